#!/usr/bin/python3
"""packed_seeds.py: writes the named seeds of the targets whose input is packed, so that their bytes can be read here.

tcp_stream and quic_flow take steps (a byte with kind and argument, then operands; see take_step() of each); mail,
ip_packet, dtls, queue_message and refusal_packet a header byte or more before the bytes; likeness the bytes alone.
"""
import pathlib
import struct

CORPUS = pathlib.Path(__file__).parent / "corpus"


def step(kind, argument=0, *operands):
    return bytes([kind | argument << 3]) + b"".join(operands)


def u16(value):
    return struct.pack(">H", value)


def short(data):
    return bytes([len(data)]) + data


# tcp_stream: numbers of its messages; 8 more gives the forbidden one of the pair.
HELLO, RECORDS, RETRIED, GETS, POST, CHUNKED, GET, DNS = range(8)
EVIL = 8
DECOY = 16


def segment(message, offset=0, size=255):
    return step(0, message, u16(offset), bytes([size]))


def rest(message, offset=0):
    return step(2, message, u16(offset), b"\0")


def acknowledge(size=0xFFFF):
    return step(4, 0, u16(size))


SERVER_HELLO, RETRY_REQUEST, BOUND, UNBOUND = step(5, 0), step(5, 1), step(5, 2), step(5, 31)


def pause(n):
    return step(6, n)


# The client's own: an acknowledgement, a reset, a SYN that begins at one of four places in the sequence space.
RESET, RESET_LOST = step(7, 1), step(7, 5)


def syn(start, lost=False):
    return step(7, 2 | lost << 2 | start << 3)


TCP_STREAM = {
    "hello-whole": rest(HELLO) + acknowledge() + SERVER_HELLO + acknowledge(),
    "hello-last-half-first": rest(HELLO, 100) + segment(HELLO, 0, 100) + SERVER_HELLO,
    "hello-in-records-one-byte-segments": b"".join(segment(RECORDS, i, 1) for i in range(20)) + rest(RECORDS, 20),
    "hello-repeated-with-another-name": rest(HELLO) + rest(HELLO + EVIL) + acknowledge(),
    "hello-name-exchanged-while-held": segment(HELLO, 0, 60) + rest(HELLO + EVIL, 40) + rest(HELLO, 60),
    "decoy-then-another-by-the-same-name": rest(DECOY) + rest(HELLO) + acknowledge() + SERVER_HELLO,
    "second-hello-after-retry-request": rest(HELLO) + RETRY_REQUEST + rest(RETRIED),
    "second-hello-names-another": rest(HELLO) + RETRY_REQUEST + rest(RETRIED + EVIL),
    "second-hello-too-early": rest(RETRIED + EVIL) + RETRY_REQUEST,
    "no-record-after-retry-request": rest(HELLO) + RETRY_REQUEST + rest(POST + EVIL, 204),
    "requests-pipelined": rest(GETS) + acknowledge(40),
    "second-request-forbidden": rest(GETS + EVIL),
    "body-rewritten": rest(POST) + segment(CHUNKED + EVIL, 70, 90) + acknowledge(),
    "body-hides-request": segment(POST, 0, 90) + rest(GETS + EVIL, 90) + rest(POST, 80),
    "chunks-then-forbidden": rest(CHUNKED) + rest(CHUNKED + EVIL, 90),
    "stalled-and-sent-again": segment(GET, 0, 20) + pause(2) + rest(GET) + segment(GET + EVIL, 0, 20),
    "held-too-long": segment(GET, 0, 20) + pause(17) + rest(GET),
    "dns-two-queries": rest(DNS) + acknowledge(20) + rest(DNS + EVIL),
    "raw-bytes-urgent": step(3, 4, u16(0), short(b"GET / HTTP/1.1\r\n")) + rest(GET),
    "fin-then-more": rest(GET) + step(3, 1, u16(36), short(b"")) + rest(GETS + EVIL, 36),
    "reset-then-new-connection": rest(GET) + RESET + syn(3) + rest(HELLO),
    "same-sequence-number-after-reset": rest(HELLO) + SERVER_HELLO + RESET + syn(0) + rest(RETRIED + EVIL) + RETRY_REQUEST,
    "reset-lost-then-overlapping-connection": rest(GET) + RESET_LOST + syn(1) + rest(GETS + EVIL),
    "new-connection-while-the-old-lives": rest(POST) + syn(3) + rest(GET) + syn(0) + rest(GETS + EVIL),
    "name-bound-while-the-hello-waits": UNBOUND + rest(HELLO) + BOUND + acknowledge() + SERVER_HELLO + acknowledge(),
    "hello-sent-again-while-it-waits": UNBOUND + rest(HELLO) + rest(HELLO) + rest(HELLO + EVIL) + BOUND,
    "half-a-hello-then-bound": UNBOUND + segment(HELLO, 0, 100) + BOUND + rest(HELLO, 100) + SERVER_HELLO,
    "second-request-while-the-first-waits": UNBOUND + rest(GET) + rest(GETS + EVIL) + pause(5) + BOUND + acknowledge(),
    "waits-in-vain": UNBOUND + rest(GETS) + pause(8) + BOUND + rest(GETS),
    "new-connection-while-the-hello-waits": UNBOUND + rest(HELLO) + RESET + syn(3) + rest(HELLO) + BOUND + SERVER_HELLO,
    "new-connection-before-any-byte": syn(2) + rest(GET + EVIL, 3) + syn(0) + rest(GET),
}

# quic_flow.
TYPICAL, TYPICAL_EVIL, POST_QUANTUM, POST_QUANTUM_EVIL, DECOY_HELLO = range(5)
END, END_COALESCED, PING = step(3, 0), step(3, 1), step(2, 5)
QUIC_BOUND, QUIC_UNBOUND = step(7, 2), step(7, 31)


def piece(hello, offset=0, size=0xFF):
    return step(0, hello, u16(offset), bytes([size]))


def connection(number, version=0):
    return step(4, number | version << 2)


QUIC_FLOW = {
    "hello-whole": piece(TYPICAL) + END,
    "hello-of-another": piece(TYPICAL_EVIL) + END,
    "post-quantum-two-datagrams-reversed": piece(POST_QUANTUM, 900) + END + piece(POST_QUANTUM, 0, 113) + END,
    "frames-shuffled-pings-between": PING + piece(TYPICAL, 96, 5) + PING + piece(TYPICAL, 136) + piece(TYPICAL, 0, 12) + END,
    "packets-coalesced": piece(TYPICAL, 0, 9) + END_COALESCED + piece(TYPICAL, 72) + END,
    "version-2": connection(0, 1) + piece(TYPICAL) + END,
    "draft-29": connection(0, 2) + piece(TYPICAL) + END,
    "reserved-version": connection(0, 3) + piece(TYPICAL) + END,
    "server-answers-to-a-reserved-version": piece(TYPICAL, 0, 9) + connection(1, 3) + piece(TYPICAL) + END + step(7, 0),
    "version-changed-midway": piece(TYPICAL, 0, 9) + connection(0, 1) + piece(TYPICAL, 72) + END,
    "overlap-with-another-name": piece(TYPICAL, 0, 20) + END + piece(TYPICAL_EVIL, 40) + END + piece(TYPICAL, 40) + END,
    "hello-sent-again-changed": piece(TYPICAL) + END + piece(TYPICAL_EVIL) + END,
    "two-connections-interleaved": piece(TYPICAL, 0, 9) + connection(1) + piece(TYPICAL_EVIL) + connection(0) + piece(TYPICAL, 72),
    "connection-comes-back-changed": piece(TYPICAL) + connection(1) + piece(TYPICAL) + connection(0) + piece(DECOY_HELLO),
    "held-too-long": piece(TYPICAL, 0, 9) + step(5, 31) + piece(TYPICAL, 72) + END,
    "acknowledgement-and-close": step(1, 0, short(bytes.fromhex("02000000001c00000000"))) + piece(TYPICAL) + END,
    "padding-behind-the-packet": piece(TYPICAL) + step(6, 0, short(bytes(32))) + END,
    "name-bound-while-the-hello-waits": QUIC_UNBOUND + piece(POST_QUANTUM, 900) + END + piece(POST_QUANTUM, 0, 113) + END + QUIC_BOUND,
    "hello-sent-again-while-it-waits": QUIC_UNBOUND + piece(TYPICAL) + END + piece(TYPICAL) + END + QUIC_BOUND + piece(TYPICAL_EVIL) + END,
    "another-connection-while-one-waits": QUIC_UNBOUND + piece(TYPICAL) + connection(1) + piece(TYPICAL_EVIL) + END + QUIC_BOUND,
    "waits-in-vain": QUIC_UNBOUND + piece(TYPICAL) + END + step(5, 12) + piece(TYPICAL) + END,
    "server-answers": piece(TYPICAL) + END + step(7, 1) + step(7, 0) + piece(TYPICAL) + END,
}

# mail: protocol (SMTP, FTP, IMAP, POP3), a quarter of the client's bytes, both sides' bytes.


def session(protocol, client, server):
    padded = client + b" " * (-len(client) % 4)
    return bytes([protocol, len(padded) // 4]) + padded + server


MAIL = {
    "smtp-starttls": session(0, b"EHLO a.example\r\nSTARTTLS\r\n\x16\x03\x01\0\x05hello", b"220 mx ESMTP\r\n250-mx\r\n250 STARTTLS\r\n"),
    "smtp-greeting-of-several-lines": session(0, b"", b"220-mx\r\n220-\r\n220 ESMTP\r\n"),
    "smtp-short-line-in-greeting": session(0, b"", b"220-mx\r\n\r\n\n"),
    "ftp-auth-tls": session(1, b"AUTH TLS\r\n\x16\x03\x01", b"220 FTP ready\r\n234 go\r\n"),
    "imap-starttls": session(2, b"a1 CAPABILITY\r\na2 starttls\r\n", b"* OK ready\r\n"),
    "pop3-stls": session(3, b"CAPA\r\nSTLS \r\n", b"+OK ready\r\n"),
    "line-without-end": session(0, b"EHLO a\r\nSTARTTLS", b"220 mx\r\n"),
    "bare-line-feeds": session(3, b"CAPA\nSTLS\n", b"+OK\n"),
}


def ipv4(protocol, payload, flags=0, options=b"", length=None):
    length = 20 + len(options) + len(payload) if length is None else length
    return struct.pack(">BBHHHBBH4s4s", 0x45 + len(options) // 4, 0, length, 1, flags, 64, protocol, 0,
                       bytes([192, 0, 2, 1]), bytes([203, 0, 113, 5])) + options + payload


def ipv6(next_header, payload, length=None):
    length = len(payload) if length is None else length
    address = bytes.fromhex("20010db80000000000000000000000")
    return struct.pack(">IHBB", 0x60000000, length, next_header, 64) + address + b"\1" + address + b"\2" + payload


def tcp(payload=b"", flags=0x18, options=b"", sequence=1, acknowledged=2):
    return struct.pack(">HHIIBBHHH", 40000, 443, sequence, acknowledged, (5 + len(options) // 4) << 4, flags, 64000, 0, 0) + options + payload


def udp(payload, length=None, port=53):
    return struct.pack(">HHHH", 40000, port, 8 + len(payload) if length is None else length, 0) + payload


IP_PACKET = {
    "tcp-v4": b"\0" + ipv4(6, tcp(b"hello")),
    "tcp-v4-options-of-both": b"\0" + ipv4(6, tcp(b"hello", options=b"\1\1\1\0"), options=b"\x94\4\0\0"),
    "tcp-v4-length-zero": b"\0" + ipv4(6, tcp(b"offload"), length=0),
    "tcp-v6": b"\0" + ipv6(6, tcp(b"hello", 0x02)),
    "udp-v6-behind-extensions": b"\0" + ipv6(0, b"\x3c\0\1\4\0\0\0\0" + b"\x11\0\1\4\0\0\0\0" + udp(b"query")),
    "udp-v4": b"\0" + ipv4(17, udp(b"query")),
    "udp-v4-length-too-long": b"\0" + ipv4(17, udp(b"query", 40)),
    "fragment-v4": b"\0" + ipv4(17, udp(b"part"), 0x2000),
    "fragment-v6": b"\0" + ipv6(44, b"\x11\0\0\1\0\0\0\1" + udp(b"part")),
    "fragment-v6-atomic": b"\0" + ipv6(44, b"\x11\0\0\0\0\0\0\1" + udp(b"whole")),
    "routing-header-v6": b"\0" + ipv6(43, b"\6\2\0\1\0\0\0\0" + bytes(16) + tcp()),
    "icmp-v4": b"\0" + ipv4(1, b"\x08\0\0\0\0\1\0\1ping"),
    "padded": b"\0" + ipv4(17, udp(b"q")) + bytes(17),
    "truncated": b"\x20" + ipv4(6, tcp(b"hello"))[:40],
}


def dtls_record(body, content_type=22, version=0xFEFD, epoch=0, number=0):
    return struct.pack(">BHHHIH", content_type, version, epoch, 0, number, len(body)) + body


def dtls_fragment(kind, length, offset, body, sequence=0):
    return struct.pack(">BBHHBHBH", kind, 0, length, sequence, 0, offset, 0, len(body)) + body


HELLO_BODY = (b"\xfe\xfd" + bytes(32) + b"\0" + b"\0" + b"\0\2\xc0\x2b" + b"\1\0" + b"\0\x15\0\0\0\x11\0\x0f\0\0\x0cgood.example")
DTLS = {
    "hello": b"\x08" + dtls_record(dtls_fragment(1, len(HELLO_BODY), 0, HELLO_BODY)),
    "hello-in-two-fragments": b"\0" + dtls_record(dtls_fragment(1, len(HELLO_BODY), 0, HELLO_BODY[:30]) +
                                                  dtls_fragment(1, len(HELLO_BODY), 30, HELLO_BODY[30:])),
    "hello-verify-request": b"\0" + dtls_record(dtls_fragment(3, 23, 0, b"\xfe\xff\x14" + bytes(20))),
    "server-hello": b"\0" + dtls_record(dtls_fragment(2, 38, 0, b"\xfe\xfd" + bytes(32) + b"\0\xc0\x2b\0")),
    "encrypted-record-behind": b"\0" + dtls_record(dtls_fragment(14, 0, 0, b"")) + dtls_record(bytes(40), 23, epoch=1),
    "no-record-then-hello": b"\0\x75" + dtls_record(dtls_fragment(1, len(HELLO_BODY), 0, HELLO_BODY)),
    "encrypted-handshake-record": b"\0" + dtls_record(dtls_fragment(1, len(HELLO_BODY), 0, HELLO_BODY), epoch=255),
    "fragment-overruns-message": b"\0" + dtls_record(dtls_fragment(1, 10, 8, b"12345")),
}


def attribute(kind, payload):
    return struct.pack("<HH", 4 + len(payload), kind) + payload + bytes(-len(payload) % 4)


def message(*attributes, kind=0x0300, length=None):
    body = struct.pack("<BBH", 2, 0, 0) + b"".join(attributes)
    return struct.pack("<IHHII", 16 + len(body) if length is None else length, kind, 0, 0, 0) + body


PACKET_HEADER = attribute(1, struct.pack(">IHB", 77, 0x0800, 3))
QUEUE_MESSAGE = {
    "packet": b"\1\3" + bytes(6) + message(PACKET_HEADER, attribute(3, u16(0) + b"\0\x42"), attribute(10, ipv4(17, udp(b"q")))),
    "packet-cut-with-its-length": b"\0\3" + bytes(6) + message(PACKET_HEADER, attribute(13, struct.pack(">I", 9000)), attribute(10, b"E")),
    "packet-of-a-user": b"\3\1" + bytes(6) + message(PACKET_HEADER, attribute(16, struct.pack(">I", 1000)), attribute(17, struct.pack(">I", 100))),
    "no-packet-header": b"\x0e\1" + bytes(6) + message(attribute(10, b"E")),
    "attribute-overruns-message": b"\x2e\1" + bytes(6) + message(PACKET_HEADER, struct.pack("<HH", 400, 10)),
    "another-type": b"\2\1" + bytes(6) + message(PACKET_HEADER, kind=2),
}

# inspector: control byte (direction, time), length, packet. What the replay cases (inspector_seeds.py) lack.


def packet(direction, data):
    return bytes([direction | 1 << 3]) + u16(len(data)) + data


def datagrams(*payloads):
    return b"".join(packet(1, ipv4(17, udp(payload, port=4433))) for payload in payloads)


def conversation(*parts):
    """A handshake, then what client and server say in turns."""
    swapped = lambda data: data[:12] + data[16:20] + data[12:16] + data[22:24] + data[20:22] + data[24:]
    sent = [1001, 5001]
    seed = packet(1, ipv4(6, tcp(b"", 2, b"", 1000, 0))) + packet(2, swapped(ipv4(6, tcp(b"", 0x12, b"", 5000, 1001))))
    for turn, part in enumerate(parts):
        side = turn % 2
        data = ipv4(6, tcp(part, 0x18, b"", sent[side], sent[1 - side]))
        seed += packet(1 + side, swapped(data) if side else data)
        sent[side] += len(part)
    return seed


DTLS_HELLO = dtls_record(dtls_fragment(1, len(HELLO_BODY), 0, HELLO_BODY))
DTLS_PARTS = [dtls_record(dtls_fragment(1, len(HELLO_BODY), begin, HELLO_BODY[begin:begin + 40])) for begin in (40, 0)]
WITH_COOKIE = HELLO_BODY[:35] + b"\x04cook" + HELLO_BODY[36:]
H2_HEADERS = b"\x82\x86\x84\x41\x0cgood.example"  # GET, http, "/", :authority
H2_HELLO = (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0" +
            bytes([0, 0, len(H2_HEADERS), 1, 5, 0, 0, 0, 1]) + H2_HEADERS)
UPGRADE = b"GET /chat HTTP/1.1\r\nHost: good.example\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n"
INSPECTOR = {
    "dtls-hello-and-again-with-cookie": datagrams(
        DTLS_HELLO, dtls_record(dtls_fragment(1, len(WITH_COOKIE), 0, WITH_COOKIE, 1), number=1)),
    "dtls-fragments-reversed": datagrams(*DTLS_PARTS),
    "dtls-name-changes": datagrams(
        DTLS_HELLO, dtls_record(dtls_fragment(1, len(WITH_COOKIE), 0, WITH_COOKIE.replace(b"good", b"evil"), 1), number=1)),
    "dtls-fragment-sent-again-changed": datagrams(DTLS_PARTS[0], DTLS_PARTS[0].replace(b"good", b"evil"), DTLS_PARTS[1]),
    "http2-prior-knowledge": conversation(H2_HELLO, b"\0\0\0\4\0\0\0\0\0"),
    "http-websocket": conversation(UPGRADE % b"websocket", b"HTTP/1.1 101 Switching\r\n\r\n", b"\x81\x05hello"),
    "http-upgrade-to-h2c": conversation(UPGRADE % b"h2c", b"HTTP/1.1 101 Switching\r\n\r\n", H2_HELLO),
    "smtp-starttls": conversation(b"", b"220 mx ESMTP\r\n", b"EHLO a\r\nSTARTTLS\r\n", b"250 STARTTLS\r\n220 go\r\n"),
}

# ... and what the world around it does (act() of inspector_fuzz). Policies and names by their numbers there.
CLAIMED, STRICT, ANY_NAME, AT_ONCE = range(4)
GOOD_NAME, ALLOWED_NAME, SECOND_NAME, WILD_NAME, BOUND_NAME, BELOW_NAME, OWN_NAME, BAD_NAME = range(8)
AT_CLIENT, AT_SERVER = 2, 4  # 192.0.2.1 and 203.0.113.5, as ipv4() has them.
NOTHING, AT_ONCE_BOUND, LATER_BOUND, ANOTHER_BOUND = range(4)
RESOLVER = bytes([192, 0, 2, 53])
OF_AGENT = bytes([203, 0, 113, 53])
A_RECORD, HTTPS_RECORD = 1, 65


def act(action, value=0, *operands):
    return step(3, action | value << 3, bytes(operands))


def policy(number):
    return act(0, number)


def bind(name, address=AT_SERVER, life=255, view=0):
    return act(1, view, name | address << 4, life)


def on_miss(what, name=GOOD_NAME):
    return act(4, what, name)


def tick(n=1):
    return step(7, n)


def to_server(data, address):
    return data[:16] + address + data[20:]


def reply(data):
    return data[:12] + data[16:20] + data[12:16] + data[22:24] + data[20:22] + data[24:]


def dns_name(name):
    return b"".join(short(label) for label in name.split(b".")) + b"\0"


def dns(name, kind=A_RECORD, answer=b"", number=7):
    answers = b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 300, len(answer)) + answer if answer else b""
    flags = 0x8180 if answer else 0x0100
    return struct.pack(">HHHHHH", number, flags, 1, 1 if answer else 0, 0, 0) + dns_name(name) + struct.pack(">HH", kind, 1) + answers


def framed(message):
    return u16(len(message)) + message


def lookup(name, kind=A_RECORD, answer=b"", resolver=RESOLVER):
    asked = packet(1, to_server(ipv4(17, udp(dns(name, kind))), resolver))
    return asked + (packet(2, reply(to_server(ipv4(17, udp(dns(name, kind, answer))), resolver))) if answer else b"")


def tls_hello(name, *extensions):
    names = u16(len(name) + 3) + b"\0" + u16(len(name)) + name
    listed = b"\0\0" + u16(len(names)) + names + b"".join(extensions)
    body = b"\3\3" + bytes(32) + b"\0" + b"\0\2\x13\1" + b"\1\0" + u16(len(listed)) + listed
    return b"\x16\3\1" + u16(len(body) + 4) + b"\1\0" + u16(len(body)) + body


def parts(*said, between=b""):
    """A conversation with something between its packets."""
    seed, out = conversation(*said), b""
    while seed:
        size = 3 + int.from_bytes(seed[1:3], "big")
        out, seed = out + seed[:size] + between, seed[size:]
    return out


def on_port(seed, port):
    """The same packets to another port."""
    out = b""
    while seed:
        size = 3 + int.from_bytes(seed[1:3], "big")
        data = bytearray(seed[3:size])
        at = 20 if data[20:22] == u16(443) else 22
        data[at:at + 2] = u16(port)
        out, seed = out + seed[:3] + bytes(data), seed[size:]
    return out


ECH_KEYS = b"\0\1\0" + struct.pack(">HH", 1, 3) + b"\x02h2" + struct.pack(">HH", 4, 4) + bytes([203, 0, 113, 5]) + struct.pack(">HH", 5, 8) + b"\0\6\xfe\x0d\0\2ab"
ECH_EXTENSION = b"\xfe\x0d\0\x10" + b"\0\0\1\0\1\7\0\2ab\0\4cdef"
PLAIN = [packet(1, ipv4(17, udp(payload, port=7000))) for payload in (b"first", b"second", b"third")]
MISSED = policy(STRICT) + on_miss(LATER_BOUND)
SERVER_FLIGHT = b"\x16\3\3\0\x04\x02\0\0\0"
INSPECTOR |= {
    "syn-waits-until-bound": MISSED + parts(tls_hello(b"good.example"), SERVER_FLIGHT, between=tick()),
    "syn-waits-in-vain": policy(STRICT) + parts(tls_hello(b"good.example")) + tick(31),
    "payload-behind-a-syn-that-waits": MISSED + parts(tls_hello(b"evil.example")) + tick() + tick(),
    "syn-bound-to-another-name": policy(STRICT) + on_miss(ANOTHER_BOUND) + parts(tls_hello(b"good.example"), between=tick()),
    "hello-waits-for-its-name": MISSED + bind(ALLOWED_NAME) + parts(tls_hello(b"good.example")) + tick() + parts(tls_hello(b"good.example"), SERVER_FLIGHT),
    "hello-sent-again-while-it-waits": MISSED + bind(ALLOWED_NAME) + parts(tls_hello(b"good.example")) +
                                       parts(tls_hello(b"evil.example")) + tick(),
    "hello-at-once-bound": policy(STRICT) + bind(ALLOWED_NAME) + on_miss(AT_ONCE_BOUND) + parts(tls_hello(b"good.example"), SERVER_FLIGHT) + tick(),
    "request-waits-for-its-name": MISSED + bind(ALLOWED_NAME) + parts(b"GET / HTTP/1.1\r\nHost: good.example\r\n\r\n", between=tick()),
    "second-request-is-of-an-unbound-name": MISSED + bind(ALLOWED_NAME) + parts(
        b"GET / HTTP/1.1\r\nHost: allowed.test\r\n\r\n", b"HTTP/1.1 204 No\r\n\r\n", b"GET / HTTP/1.1\r\nHost: good.example\r\n\r\n", between=tick()),
    "datagrams-wait-until-bound": policy(STRICT) + on_miss(LATER_BOUND, BELOW_NAME) + PLAIN[0] + PLAIN[1] + tick() + PLAIN[2],
    "datagrams-of-a-denied-name": policy(STRICT) + bind(BELOW_NAME) + bind(BAD_NAME) + b"".join(PLAIN) + on_port(parts(b"x"), 7000),
    "binding-ends-while-the-flow-lives": policy(STRICT) + bind(GOOD_NAME, life=0) + parts(tls_hello(b"good.example"), SERVER_FLIGHT, between=tick(10)),
    "dtls-hello-waits": MISSED + bind(ALLOWED_NAME) + datagrams(*reversed(DTLS_PARTS)) + tick() + datagrams(DTLS_HELLO),
    "answer-binds-then-hello": policy(STRICT) + lookup(b"good.example", A_RECORD, bytes([203, 0, 113, 5])) + parts(tls_hello(b"good.example"), SERVER_FLIGHT),
    "answer-of-an-untrusted-server": policy(STRICT) + act(2, 0, 0) + lookup(b"good.example", A_RECORD, bytes([203, 0, 113, 5])) + parts(tls_hello(b"good.example")),
    "answers-of-two-views": policy(STRICT) + act(5, 1) + lookup(b"own.example", A_RECORD, bytes([203, 0, 113, 5]), OF_AGENT) +
                            parts(tls_hello(b"own.example")) + act(5) + lookup(b"good.example", A_RECORD, bytes([203, 0, 113, 5]), OF_AGENT),
    "keys-stripped-udp": policy(STRICT) + lookup(b"good.example", HTTPS_RECORD, ECH_KEYS),
    "keys-stripped-tcp": policy(STRICT) + act(2, 0, 7) + on_port(parts(framed(dns(b"good.example", HTTPS_RECORD)),
                                                                      framed(dns(b"good.example", HTTPS_RECORD, ECH_KEYS))), 53),
    "keys-left-by-a-rule": policy(AT_ONCE) + lookup(b"good.example", HTTPS_RECORD, ECH_KEYS, bytes([10, 91, 9, 2])) +
                           lookup(b"other.example", HTTPS_RECORD, ECH_KEYS),
    "hello-with-ech-denied": policy(ANY_NAME) + bind(ALLOWED_NAME) + parts(tls_hello(b"allowed.test", ECH_EXTENSION)),
    "hello-with-ech-by-outer-name": policy(STRICT) + bind(ALLOWED_NAME) + parts(tls_hello(b"allowed.test", ECH_EXTENSION)),
    "budget-below-a-wildcard": policy(STRICT) + b"".join(lookup(b"x%d.wild.example" % i) for i in range(4)),
    "budget-used-up-by-others": policy(STRICT) + act(3, 0, 200) + lookup(b"y.wild.example") + act(6),
    "any-name-asked": policy(ANY_NAME) + lookup(b"whatever.example", A_RECORD, bytes([10, 0, 0, 1])) + lookup(b"bad.wild.example"),
    "ftp-greeted": policy(ANY_NAME) + bind(ALLOWED_NAME) + conversation(b"", b"220 FTP ready\r\n", b"USER me\r\n", b"331 go on\r\n"),
    "imap-spoken-before-the-greeting": policy(ANY_NAME) + bind(SECOND_NAME) + conversation(b"a1 LOGIN me x\r\n", b"* OK ready\r\n", b"a2 NOOP\r\n"),
    "mysql-login": policy(ANY_NAME) + bind(ALLOWED_NAME) + conversation(
        b"", b"J\0\0\0\n8.0.36\0" + bytes(4) + b"abcdefgh\0" + b"\1" * 45 + b"mysql_nat", b"\x20\0\0\1" + bytes(32)),
    "pop3-where-the-server-is-silent": policy(ANY_NAME) + bind(ALLOWED_NAME) + conversation(b"USER me\r\n") + tick(31),
    "gre-to-an-unbound-address": policy(STRICT) + packet(1, ipv4(47, b"\0\0\x08\0" + ipv4(6, tcp(b"", 2, b"", 1000, 0)))) + bind(ALLOWED_NAME) +
                                 packet(1, ipv4(47, b"\0\0\x08\0" + ipv4(6, tcp(b"", 2, b"", 1000, 0)))),
}

LIKENESS = {
    "tls-record": bytes.fromhex("16030100640100006003 03"),
    "http-get": b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n",
    "http2-preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0",
    "ssh": b"SSH-2.0-OpenSSH_9.2\r\n",
    "postgresql": bytes.fromhex("0000000804d2162f"),
    "redis": b"*1\r\n$4\r\nPING\r\n",
    "mqtt": b"\x10\x13\0\4MQTT\4\2\0\x3c\0\7client1",
    "xmpp": b"<?xml version='1.0'?><stream:stream to='a' xmlns:stream='http://etherx.jabber.org/streams'>",
    "smb2": b"\0\0\0\x44\xfeSMB\x40\0" + bytes(62),
    "ldap": bytes.fromhex("300c020101600702010304008000"),
    "bittorrent": b"\x13BitTorrent protocol" + bytes(48),
    "ntp": b"\x23\2\6\xe8" + bytes(44),
    "ike": bytes(8) + b"\1" * 8 + b"\x21\x20\x22\x08" + bytes(4) + b"\0\0\0\x1c",
    "sip": b"REGISTER sip:example.com SIP/2.0\r\n",
    "two-rtp-packets": (b"\x80\0\0\1" + b"\0\0\0\xa0" + b"abcd" + bytes(20)) + (b"\x80\0\0\2" + b"\0\0\1\x40" + b"abcd" + bytes(20)),
}


# upgrade: protocol (SMTP, IMAP, POP3, FTP, PostgreSQL, MySQL, LDAP, XMPP), then pieces of either side.


def client_says(text):
    return bytes([len(text)]) + text


def server_says(text):
    return bytes([0x80 | len(text)]) + text


LDAP_START_TLS = b"\x30\x1d\2\1\2\x77\x18\x80\x161.3.6.1.4.1.1466.20037"
UPGRADE = {
    "smtp": b"\0" + server_says(b"220 mx ESMTP\r\n") + client_says(b"EHLO a\r\n") + server_says(b"250-mx\r\n250 STARTTLS\r\n")
            + client_says(b"STARTTLS\r\n") + server_says(b"220 go\r\n"),
    "smtp-mail": b"\0" + server_says(b"220 mx ESMTP\r\n") + client_says(b"EHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<b>\r\nDATA\r\n")
                 + server_says(b"250 mx\r\n250 ok\r\n250 ok\r\n354 go\r\n") + client_says(b"x\r\n..\r\n.\r\nQUIT\r\n"),
    "lmtp": b"\0" + server_says(b"220 mx LMTP\r\n") + client_says(b"LHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<b>\r\nDATA\r\n")
            + server_says(b"250 mx\r\n250 ok\r\n250 ok\r\n354 go\r\n") + client_says(b".\r\n") + server_says(b"250 b\r\n"),
    "imap": b"\1" + server_says(b"* OK hi\r\n") + client_says(b"a STARTTLS\r\n") + server_says(b"a OK go\r\n"),
    "imap-literal": b"\1" + server_says(b"* OK hi\r\n") + client_says(b"a LOGIN me {3}\r\n") + server_says(b"+ go\r\n")
                    + client_says(b"abc\r\n") + server_says(b"a OK in\r\n"),
    "pop3": b"\2" + server_says(b"+OK hi\r\n") + client_says(b"CAPA\r\n") + server_says(b"+OK\r\nSTLS\r\n.\r\n")
            + client_says(b"STLS\r\n") + server_says(b"+OK go\r\n"),
    "ftp": b"\3" + server_says(b"220-hi\r\n220 there\r\n") + client_says(b"AUTH TLS\r\n") + server_says(b"234 go\r\n"),
    "postgresql": b"\4" + client_says(b"\0\0\0\x08\x04\xd2\x16\x2f") + server_says(b"S"),
    "mysql": b"\5" + server_says(b"\x4a\0\0\0\x0a8.0.36\0\x07\0\0\0abcdefgh\0\xff\xff" + b"\1" * 51)
             + client_says(b"\x20\0\0\1\x85\xae\x0f\0" + bytes(28)),
    "ldap": b"\6" + client_says(LDAP_START_TLS) + server_says(b"\x30\x0c\2\1\2\x78\7\x0a\1\0\4\0\4\0"),
    "xmpp": b"\7" + client_says(b"<stream:stream xmlns:stream='http://etherx.jabber.org/streams'>") + server_says(b"<stream:stream>")
            + client_says(b"<starttls/>") + server_says(b"<proceed/>"),
}


# refusal_packet: builder and flags, the size of the buffer, the most that may be said, the text, then what is answered.


def refuse(builder, flags, answered, buffer=1200, most=None, text=b"sallyport: evil.example is not allowed (policy.toml:21)"):
    return bytes([builder | flags << 2]) + u16(buffer) + u16(len(answered) if most is None else most) + short(text) + answered


FOR_DNS, FOR_STUN, FOR_QUIC, FOR_PACKET = range(4)
OPT = b"\0\0\x29\x04\xd0\0\0\x80\0"
EDNS_QUERY = dns(b"evil.example")[:10] + b"\0\1" + dns(b"evil.example")[12:] + OPT + b"\0\0"
COOKIE_QUERY = EDNS_QUERY[:-2] + u16(12) + struct.pack(">HH", 10, 8) + b"cookies!"
ALLOCATE = b"\0\3\0\0\x21\x12\xa4\x42transaction1"
CHECKED = ALLOCATE[:2] + b"\0\x08" + ALLOCATE[4:] + b"\x80\x28\0\4abcd"
ENDS4 = bytes([192, 0, 2, 1, 198, 51, 100, 7]) + u16(443) + u16(50000) + b"\1\2\3\4"
ENDS6 = b"\x20\1\x0d\xb8" + bytes(11) + b"\1" + b"\x20\1\x0d\xb8" + bytes(11) + b"\7" + u16(443) + u16(50000) + b"\1\2\3\4"
INITIAL_V1 = (CORPUS / "quic_datagram" / "rfc9001-a2-client-initial").read_bytes()
INITIAL_V2 = (CORPUS / "quic_datagram" / "rfc9369-a2-client-initial").read_bytes()
REFUSAL_PACKET = {
    "dns-plain": refuse(FOR_DNS, 0, dns(b"evil.example")),
    "dns-edns-over-udp": refuse(FOR_DNS, 0, EDNS_QUERY),
    "dns-with-cookie": refuse(FOR_DNS, 1, COOKIE_QUERY),
    "dns-edns-over-tcp": refuse(FOR_DNS, 3, EDNS_QUERY, most=65535),
    "dns-two-questions": refuse(FOR_DNS, 0, dns(b"a.example")[:5] + b"\2" + dns(b"a.example")[6:] + dns_name(b"b.example") + bytes([0, 1, 0, 1])),
    "dns-name-points-into-the-header": refuse(FOR_DNS, 0, dns(b"")[:12] + b"\xc0\0\0\1\0\1"),
    "dns-response": refuse(FOR_DNS, 0, dns(b"evil.example", A_RECORD, bytes([10, 0, 0, 1]))),
    "dns-small-buffer": refuse(FOR_DNS, 2, EDNS_QUERY, buffer=50, most=65535),
    "stun-allocate": refuse(FOR_STUN, 0, ALLOCATE, most=200),
    "stun-with-fingerprint": refuse(FOR_STUN, 0, CHECKED, most=200),
    "stun-binding-without-room": refuse(FOR_STUN, 0, b"\0\1" + ALLOCATE[2:]),
    "stun-indication": refuse(FOR_STUN, 0, b"\0\x13" + ALLOCATE[2:], most=200),
    "quic-v1": refuse(FOR_QUIC, 0, INITIAL_V1),
    "quic-v2": refuse(FOR_QUIC, 1, INITIAL_V2),
    "quic-small-buffer": refuse(FOR_QUIC, 0, INITIAL_V1, buffer=60),
    "quic-draft-29": refuse(FOR_QUIC, 2, (CORPUS / "quic_datagram" / "draft-29-initial").read_bytes()),
    "quic-reserved-version": refuse(FOR_QUIC, 0, (CORPUS / "quic_datagram" / "reserved-version").read_bytes()),
    "tcp-v4-fin": refuse(FOR_PACKET, 2, ENDS4 + b"\x15\3\3\0\2\2\x31"),
    "tcp-v6-rst": refuse(FOR_PACKET, 5, ENDS6),
    "udp-v4": refuse(FOR_PACKET, 8, ENDS4 + b"no"),
    "udp-v6-odd": refuse(FOR_PACKET, 9, ENDS6 + b"no!"),
    "udp-v6-no-room": refuse(FOR_PACKET, 9, ENDS6 + b"no!", buffer=50),
}


def main():
    for target, seeds in {"tcp_stream": TCP_STREAM, "quic_flow": QUIC_FLOW, "mail": MAIL, "ip_packet": IP_PACKET,
                          "dtls": DTLS, "queue_message": QUEUE_MESSAGE, "likeness": LIKENESS,
                          "inspector": INSPECTOR, "upgrade": UPGRADE, "refusal_packet": REFUSAL_PACKET}.items():
        folder = CORPUS / target
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in seeds.items():
            (folder / name).write_bytes(data)


if __name__ == "__main__":
    main()
