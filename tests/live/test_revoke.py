#!/usr/bin/env python3
"""What a policy change does to living flows beyond downloads (those: test_reload.py): QUIC connections, and TCP connections on which
nothing is said."""

import time

from support import Suite, binary, expect, expect_equal, skip_unless_possible
from support.daemon import allow
from support.proc import Process, wait_until
from support.servers import NAMES
from support.world import World, world

QUIC_PORT = 4434
PAGE = "body 3 bytes"  # So ngtcp2's client says.
RULES = allow("allowed.test", "tls", "443") + allow("allowed.test", "quic", str(QUIC_PORT))
MORE = RULES + allow("denied.test", "tls", "443") + allow("denied.test", "quic", str(QUIC_PORT))

# Asks for a page, keeps silent for three seconds, or until the connection ends, and asks again.
IDLE = """import select, socket, ssl, sys
family = socket.AF_INET6 if ":" in sys.argv[2] else socket.AF_INET
raw = socket.socket(family)
raw.connect((sys.argv[2], 443))
tls = ssl.create_default_context(cafile=sys.argv[1]).wrap_socket(raw, server_hostname=sys.argv[3])
request = b"GET / HTTP/1.1\\r\\nHost: " + sys.argv[3].encode() + b"\\r\\n\\r\\n"
def ask():
    tls.send(request)
    return tls.recv(65536).startswith(b"HTTP/1.1 200")
print("answered" if ask() else "refused", tls.getsockname()[1], flush=True)
try:
    if select.select([tls], [], [], 3)[0]:
        tls.recv(1)
        print("closed")
    else:
        print("answered" if ask() else "ended")
except OSError as error:
    print(type(error).__name__)
"""


def body(suite: Suite) -> None:
    for layout in ("host", "gateway"):
        with world(suite, layout, RULES, "web", "quic") as it:
            original = it.firewall.policy_path.read_text()
            for family in (4, 6):
                quic(suite, it, f"{layout} v{family}", original, family)
                idle(suite, it, layout, f"{layout} v{family}", original, family)


def spawn_quic(it: World, name: str) -> Process:
    """spawn_quic connects at once and asks for the page two seconds later."""
    return it.bed.spawn("client", "quic-" + name, ["gtlsclient", "--exit-on-all-streams-close", "--timeout=6s", "--no-quic-dump",
                                                   "--delay-stream=2s", name, str(QUIC_PORT), f"https://{name}/"])


def quic(suite: Suite, it: World, label: str, original: str, family: int) -> None:
    with suite.case(f"{label}: a QUIC connection that lost permission brings no page, one beside it does"):
        it.reload(original.replace(RULES, MORE))
        it.bed.set_hosts(NAMES, (family,))  # Its client takes the name, and no address beside it.
        try:
            lost, kept = spawn_quic(it, "denied.test"), spawn_quic(it, "allowed.test")
            time.sleep(1.0)
            expect(lost.running() and kept.running(), lost.err() + kept.err())
            report = it.reload(original)
            expect_equal([flow["name"] for flow in report["cut_flows"]], ["denied.test"], report)
            lost.wait(15)
            kept.wait(15)
        finally:
            it.bed.set_hosts(NAMES)
        expect(PAGE not in lost.out() + lost.err(), "the page of the revoked connection came")
        expect(PAGE in kept.out() + kept.err(), kept.err()[-2000:])


def idle(suite: Suite, it: World, layout: str, label: str, original: str, family: int) -> None:
    soon = layout == "host"
    when = "at once" if soon else "with its next packet"
    with suite.case(f"{label}: an idle TCP connection that lost permission ends at both ends {when}, one beside it answers"):
        it.reload(original.replace(RULES, MORE))
        address = it.bed.server_address(family)
        clients = [it.bed.spawn("client", "idle-" + name, ["/usr/bin/python3", "-c", IDLE, str(it.servers.ca), address, name])
                   for name in ("denied.test", "allowed.test")]
        expect(wait_until(lambda: all(client.out().startswith("answered") for client in clients), 5.0), clients[0].err() + clients[1].err())
        time.sleep(0.3)
        report = it.reload(original)
        expect_equal([flow["name"] for flow in report["cut_flows"]], ["denied.test"], report)
        lost, kept = clients
        if soon:
            expect(wait_until(lambda: not lost.running(), 1.0, 0.01), "the client was not told")
        expect(wait_until(lambda: not lost.running() and not kept.running(), 5.0), "a client hangs")
        expect(lost.out().split()[-1] in ("closed", "ended", "ConnectionResetError", "ConnectionAbortedError"), lost.out() + lost.err())
        expect_equal(kept.out().split()[-1], "answered", kept.err())
        port = lost.out().split()[1]
        alive = lambda: it.bed.run("server", ["ss", "-Htn", "state", "established", f"dport = :{port}"]).out.strip()  # noqa: E731
        expect(wait_until(lambda: not alive(), 1.0, 0.02), "the server's socket lives")


if __name__ == "__main__":
    skip_unless_possible(binary(), ("gtlsclient", "gtlsserver", "nginx"))
    Suite("revoke", 120).main(body)
