#!/usr/bin/env python3
"""Address rules for plain TCP and UDP, refusals that come at once, users, and packets that would slip past."""

import sys

from support import Suite, binary, expect, expect_equal, skip_unless_possible
from support.daemon import allow
from support.loopback import forged_beginning
from support.proc import PATIENCE
from support.testbed import UNPRIVILEGED_UID
from support.world import TCP, UDP, World, world

UNROUTED_PROTOCOL = 253  # RFC 3692: for experiments.

OVER_LOOPBACK = """import socket
listener = socket.socket(socket.{family}, socket.SOCK_{kind}); listener.settimeout(1); listener.bind(("{address}", 0))
if "{kind}" == "STREAM": listener.listen()
client = socket.create_connection(listener.getsockname()[:2], 1) if "{kind}" == "STREAM" else socket.socket(socket.{family}, socket.SOCK_{kind})
client.connect(listener.getsockname()) if "{kind}" == "DGRAM" else None
client.send(b"hello")
print((listener.accept()[0] if "{kind}" == "STREAM" else listener).recv(9))
"""


def body(suite: Suite) -> None:
    both = "10.91.9.2, fd91:0:0:9::2"
    rules = allow(both, "tcp, udp", "9000") + '[[rules]]\nto = ["any"]\nprotocols = ["tcp"]\nports = [9001]\naction = "allow"\n' \
        '[[rules]]\nto = ["10.91.9.3", "fd91:0:0:9::3"]\nprotocols = ["tcp"]\nports = [9001]\naction = "deny"\n'
    for mode in ("host", "gateway"):
        with world(suite, mode, rules, "sink") as it:
            it.servers.start_sink(9001)
            for family in (4, 6):
                by_address(suite, it, f"{mode} v{family}", family)
                refusals(suite, it, f"{mode} v{family}", family)
                other_transports(suite, it, f"{mode} v{family}", family)
    with world(suite, "host", allow(both, "udp", "9000"), "sink") as it:
        for family in (4, 6):
            forged_marks(suite, it, f"host v{family}", family)
            forged_beginnings(suite, it, f"host v{family}", family)
    scope = f'[scopes.worker]\nusers = ["{UNPRIVILEGED_UID}"]\n'
    with world(suite, "host", allow(both, "tcp", "9000", 'scope = "worker"\n'), "sink", extra=scope) as it:
        for family in (4, 6):
            users(suite, it, f"host v{family}", family)


def by_address(suite: Suite, it: World, label: str, family: int) -> None:
    address, other = it.bed.server_address(family, 0), it.bed.server_address(family, 1)
    for transport, protocol in (("tcp", TCP), ("udp", UDP)):
        with suite.case(f"{label}: {transport} to an allowed address and port"):
            mark = it.mark()
            answer = it.clients.raw(address, 9000, b"no protocol at all", transport=transport)
            expect_equal(bytes.fromhex(answer["received"]).strip(), b"got 18", str(answer))
            it.expect_event(mark, verdict="allow", dport=9000, proto=transport)
        with suite.case(f"{label}: {transport} to another address, and no byte arrives"):
            mark = it.mark()
            answer = it.clients.raw(other, 9000, b"secret", transport=transport, read=1.0)
            expect(not answer["received"] and answer["error"], str(answer))
            it.expect_nothing_arrived(mark, protocol, 9000)
            it.expect_event(mark, verdict="deny", dport=9000, proto=transport)
    with suite.case(f"{label}: a deny rule wins over a wider allow rule"):
        expect(it.clients.raw(address, 9001, b"x")["received"], "the wide rule allows the first address")
        answer = it.clients.raw(other, 9001, b"x")
        expect_equal(answer["error"], "ECONNREFUSED", str(answer))


def refusals(suite: Suite, it: World, label: str, family: int) -> None:
    address = it.bed.server_address(family)
    with suite.case(f"{label}: a SYN to a port that no rule covers is reset at once, and does not arrive"):
        mark = it.mark()
        answer = it.clients.raw(address, 9999, b"")
        expect(answer["error"] == "ECONNREFUSED" and answer["seconds"] < 0.9 * PATIENCE, str(answer))
        seen = [p for p in it.capture.packets(mark[0]) if p.dport == 9999]
        expect(not seen, f"the server saw {seen[:1]}")
        event = it.expect_event(mark, verdict="deny", dport=9999)
        expect_equal(event["reason"], "address_not_allowed", "the event")
    with suite.case(f"{label}: a UDP denial is ICMP admin-prohibited: a connected socket is told"):
        answer = it.clients.raw(address, 9999, b"secret", transport="udp", read=2.0)
        expect_equal(answer["error"], "EHOSTUNREACH" if family == 4 else "EACCES", str(answer))


def other_transports(suite: Suite, it: World, label: str, family: int) -> None:
    with suite.case(f"{label}: other IP protocols and pings do not leave"):
        mark = it.mark()
        address = it.bed.server_address(family)
        echo = b"\x08" if family == 4 else b"\x80"
        code = (f"import socket\nf=socket.AF_INET{'6' if family == 6 else ''}\n"
                f"for number, data in (({UNROUTED_PROTOCOL}, b'secret'), ({1 if family == 4 else 58}, {echo!r} + bytes(7) + b'secret')):\n"
                f"    s=socket.socket(f, socket.SOCK_RAW, number)\n"
                f"    try: s.sendto(data, ({address!r}, 0))\n"
                f"    except PermissionError: pass\n")
        result = it.bed.run("client", [sys.executable, "-c", code])
        expect_equal(result.code, 0, result.describe())
        it.expect_never(mark, b"secret")


def forged_marks(suite: Suite, it: World, label: str, family: int) -> None:
    # Each value of the three verdict bits, with several generations: none may stand for a verdict of ours.
    for value in range(1, 8):
        with suite.case(f"{label}: a packet mark set by the sender (verdict bits {value}) is no verdict"):
            mark = it.mark()
            for generation in (0, 1, 2):
                forged = value << 29 | generation << 24
                for transport in ("udp", "tcp"):
                    it.clients.raw(it.bed.server_address(family), 9001, b"secret", transport=transport, mark=forged, read=0.2)
            it.expect_never(mark, b"secret")
            seen = [p for p in it.capture.packets(mark[0]) if p.dport == 9001]
            expect(not seen, f"the server saw {seen[:1]}")


def forged_beginnings(suite: Suite, it: World, label: str, family: int) -> None:
    with suite.case(f"{label}: a flow made up over the loopback, from the server's address, opens no way back to it"):
        mark = it.mark()
        result = it.bed.run("client", ["/usr/bin/python3", "-c", forged_beginning(it.bed, family, 9001)], uid=UNPRIVILEGED_UID if family == 6 else None)
        expect("tried" in result.out, result.describe())
        it.expect_nothing_arrived(mark, UDP, 9001)
        it.expect_event(mark, verdict="deny", dport=9001, proto="udp")
    with suite.case(f"{label}: the loopback itself, by any address of this host"):
        own = [it.bed.client_address(family), "127.0.0.1" if family == 4 else "::1"] + (["127.9.9.9"] if family == 4 else [])
        for address in own:
            for transport in ("STREAM", "DGRAM"):
                result = it.bed.run("client", [sys.executable, "-c", OVER_LOOPBACK.format(family="AF_INET6" if family == 6 else "AF_INET",
                                                                                         kind=transport, address=address)])
                expect_equal(result.out.strip(), "b'hello'", result.describe())


def users(suite: Suite, it: World, label: str, family: int) -> None:
    address = it.bed.server_address(family)
    with suite.case(f"{label}: a rule with a user lets that user through"):
        answer = it.clients.raw(address, 9000, b"hello", uid=UNPRIVILEGED_UID)
        expect(answer["received"], str(answer))
    with suite.case(f"{label}: and nobody else, root included"):
        mark = it.mark()
        answer = it.clients.raw(address, 9000, b"secret")
        expect_equal(answer["error"], "ECONNREFUSED", str(answer))
        it.expect_nothing_arrived(mark, TCP, 9000)


if __name__ == "__main__":
    skip_unless_possible(binary())
    Suite("plain", 200).main(body)
