#!/usr/bin/env python3
"""Guarded ports against clients that know how they are guarded: below HTTP, and behind an upgrade."""

import sys
import time

from support import Sallyport, Servers, Suite, Testbed, binary, expect, expect_equal, policy_text, skip_unless_possible
from test_guards import GUARDED, GUARDS, HIDDEN, Guarded, answers, expect_refused, expect_served, request

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes.fromhex("000000040000000000")
H2C = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"
REDIRECTED = 8181

# A client that listens to a stream of events for a while before it asks for the next thing.
LISTENER = """import socket, sys, time
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 5)
s.sendall(bytes.fromhex(sys.argv[3]))
s.settimeout(0.2)
heard, until, asked = b"", time.monotonic() + 2, False
while time.monotonic() < until + 3:
    try: heard += s.recv(65536)
    except TimeoutError: pass
    except OSError as error: heard += str(error).encode(); break
    if not asked and time.monotonic() > until:
        asked = True
        s.sendall(bytes.fromhex(sys.argv[4]))
print(heard.hex())
"""
# TCP Fast Open: the first connection gets the cookie, the second one's SYN has the request.
FAST_OPEN = """import socket, sys
for data in sys.argv[3:]:
    s = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET)
    try:
        s.sendto(bytes.fromhex(data), socket.MSG_FASTOPEN, (sys.argv[1], int(sys.argv[2])))
        s.settimeout(1)
        s.recv(65536)
    except OSError: pass
    s.close()
"""
URGENT = """import socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 5)
s.sendall(b"GET /mark HTTP/1.1\\r\\nHost: localhost")
s.send(b"X", socket.MSG_OOB)
s.sendall(b"\\r\\n\\r\\n")
s.settimeout(1)
try: s.recv(999)
except OSError: pass
"""
# A WebSocket that the server resets, and another request from the same port at once.
REOPENED = """import socket, sys, time
def ask(data, port=0):
    s = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("", port))
    s.settimeout(2)
    s.connect((sys.argv[1], int(sys.argv[2])))
    s.sendall(bytes.fromhex(data))
    print(s.recv(999), flush=True)
    return s
s = ask(sys.argv[3])
s.sendall(b"\\x81\\x04ping")  # Sent back, the flow is the kernel's.
print(s.recv(999), flush=True)
s.sendall(b"\\x81\\x05reset")
try: print("end" if not s.recv(999) else "no reset", flush=True)
except OSError as error: print(error, flush=True)
port = s.getsockname()[1]
s.close()
try: ask(sys.argv[4], port)
except OSError as error: print(error, flush=True)
"""


def python(it: Guarded, where: str, family: int, program: str, *arguments: str):
    command = [sys.executable, "-c", program, it.address(where, family), str(GUARDED), *arguments]
    node = "firewall" if where == "local" else "server"
    return it.bed.spawn(node, "attack", command)


def forgotten(suite: Suite, it: Guarded, where: str, family: int) -> None:
    for path, what in (("/events/45", "the service goes on first"), ("/", "the client goes on first")):
        with suite.case(f"{where} v{family}: connection tracking forgets a connection, and {what}: its next request is judged"):
            it.forget()
            since = it.firewall.mark()
            client = python(it, where, family, LISTENER, request("localhost", line=f"GET {path}").hex(), HIDDEN.hex())
            it.firewall.wait_event(since, verdict="allow", dport=GUARDED)
            time.sleep(0.5)
            result = it.bed.run("firewall", ["conntrack", "-F"])
            expect_equal(result.code, 0, result.describe())
            client.wait(15)
            expect(b"200 OK" in bytes.fromhex(client.out()), "the first request was served")
            it.firewall.wait_event(since, verdict="deny", dport=GUARDED)
            time.sleep(1.0)  # The service reads on behind its events.
            expect(b"evil.test" not in it.served(), "what the service read: " + repr(it.served()))


def below_http(suite: Suite, it: Guarded, where: str, family: int) -> None:
    label = f"{where} v{family}"
    with suite.case(f"{label}: a refused request in a SYN (TCP Fast Open), and one that is served"):
        it.forget()
        since = it.firewall.mark()
        good = request("localhost", line="GET /good").hex()
        python(it, where, family, FAST_OPEN, good, HIDDEN.hex(), good).wait(15)
        expect_equal(it.served().count(b"/good"), 2, repr(it.served()))
        expect(b"evil.test" not in it.served(), repr(it.served()))
        it.firewall.wait_event(since, verdict="deny", reason="guard_host")
    with suite.case(f"{label}: urgent data, which may or may not be part of the stream"):
        it.forget()
        since = it.firewall.mark()
        python(it, where, family, URGENT).wait(15)
        it.firewall.wait_event(since, verdict="deny", reason="urgent_data")
        expect(b"/mark" not in it.served(), repr(it.served()))
    upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nOrigin: http://localhost\r\n"
    for what, data in (("refused", HIDDEN), ("good", request("localhost", line="GET /good"))):
        with suite.case(f"{label}: a {what} request from the port of a WebSocket that the service has reset"):
            it.forget()
            client = python(it, where, family, REOPENED, request("localhost", upgrade, "GET /ws").hex(), data.hex())
            client.wait(15)
            expect(" 101 " in client.out() and "ping" in client.out() and "Connection reset" in client.out(), client.out() + client.err())
            expect(b"evil.test" not in it.served(), repr(it.served()))
            expect_equal(it.served().count(b"/good"), 1 if what == "good" else 0, client.out())


def upgrades(suite: Suite, it: Guarded) -> None:
    def h2(authority: bytes) -> bytes:
        block = b"\x82\x86\x84\x41" + bytes([len(authority)]) + authority
        return len(block).to_bytes(3, "big") + b"\x01\x05\x00\x00\x00\x03" + block

    for name, data in (("a request of HTTP/1", HIDDEN), ("one of HTTP/2", PREFACE + h2(b"evil.test"))):
        for path in ("/ws", "/"):  # The server switches (whatever the protocol), or does not.
            with suite.case(f"an upgrade to h2c at {path}, then {name} for another host"):
                it.forget()
                since = it.firewall.mark()
                it.raw("local", 4, request("localhost", H2C, f"GET {path}"), then=[data.hex()])
                it.firewall.wait_event(since, verdict="deny", dport=GUARDED)
                expect(b"evil.test" not in it.served(), repr(it.served()))
    with suite.case("an upgrade and the next request in one go"):
        it.forget()
        it.raw("local", 4, request("localhost", H2C) + HIDDEN)
        expect(b"evil.test" not in it.served(), repr(it.served()))
    with suite.case("the preface of HTTP/2, then a request of HTTP/1"):
        it.forget()
        it.raw("local", 4, PREFACE[:24] + HIDDEN)
        expect_equal(it.served(), b"", "what the service read")


def redirected(suite: Suite, it: Guarded) -> None:
    with suite.case("another port that is redirected to the guarded one is guarded, too"):
        rule = ["iptables", "-t", "nat", "-A", "OUTPUT", "-o", "lo", "-p", "tcp", "--dport", str(REDIRECTED), "-j", "REDIRECT", "--to-ports", str(GUARDED)]
        expect_equal(it.bed.run("firewall", rule).code, 0, "iptables")
        it.forget()
        reply = it.raw("local", 4, request("localhost", line="GET /good"), REDIRECTED)
        expect_equal(answers(reply), 1, str(reply))
        since = it.firewall.mark()
        reply = it.raw("local", 4, HIDDEN, REDIRECTED)
        expect_refused(it, reply, b"/mark", since, "guard_host")


def body(suite: Suite) -> None:
    with Testbed("host") as bed, Servers(bed) as servers:
        for node in ("client", "server"):
            bed.run(node, ["sysctl", "-q", "net.ipv4.tcp_fastopen=1027"])  # Both sides, for every listener.
        with Sallyport(bed, policy_text(bed, GUARDS)) as firewall:
            suite.on_failure = firewall.log
            it = Guarded(bed, servers, firewall)
            it.start_servers()
            for where in ("local", "remote"):
                for family in (4, 6):
                    forgotten(suite, it, where, family)
                    below_http(suite, it, where, family)
            upgrades(suite, it)
            redirected(suite, it)
            it.forget()
            expect_served(it, it.raw("local", 4, request("localhost", line="GET /mark")), b"/mark")
            suite.on_failure = None


if __name__ == "__main__":
    skip_unless_possible(binary(), ("conntrack",))
    Suite("guard_attacks", 160).main(body)
