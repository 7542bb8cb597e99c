#!/usr/bin/env python3
"""Connections that should not outlive their permission, and try: by a policy whose marks' generation comes round again, and by having
connection tracking forget them, so that they look as if another host had opened them."""

from __future__ import annotations

import time

from support import Suite, binary, expect, expect_equal, skip_unless_possible
from support.daemon import Sallyport, allow, policy_text
from support.proc import PATIENCE, wait_until
from support.servers import Servers
from support.testbed import Testbed
from support.world import modes_and_families, world
from test_existing import SIP

RULES = allow("allowed.test", "tls", "443")
DNS = '[dns]\nresolvers = ["10.91.9.2", "fd91:0:0:9::2"]\nprivate = [".test"]\n'
FORGET = ["sysctl", "-qw", "net.netfilter.nf_conntrack_tcp_timeout_close_wait=2"]  # It is a minute.

# Asks once before a change and once behind it, on one connection.
ASK_TWICE = """
import os, socket, ssl, sys, time
plain = socket.create_connection((sys.argv[3], 443), 5)
tls = ssl.create_default_context(cafile=sys.argv[1]).wrap_socket(plain, server_hostname="denied.test")
def ask():
    tls.sendall(b"GET / HTTP/1.1\\r\\nHost: denied.test\\r\\n\\r\\n")
    print("answer" if tls.recv(9999) else "end", flush=True)
tls.settimeout(4)
ask()
while not os.path.exists(sys.argv[2]): time.sleep(0.05)
ask()
"""

# A server in league: it closes its half, reads on, and says what it gets.
SERVER = """
import socket, sys
address, port, reads = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "reads"
listener = socket.create_server((address, port), family=socket.AF_INET6 if ":" in address else socket.AF_INET)
print("ready", flush=True)
peer = listener.accept()[0]
if reads: print(peer.recv(99).decode(), flush=True)
peer.shutdown(socket.SHUT_WR)
while data := peer.recv(99): print(data.decode(), flush=True)
"""
# A client that listens on the port of its own connection, as a server would whose connection came in.
CLIENT = """
import os, socket, sys, time
address, port, go, first = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
plain = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
plain.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
plain.bind(("", 0))
plain.settimeout(5)
plain.connect((address, port))
listener = socket.socket(plain.family)
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("", plain.getsockname()[1]))
listener.listen()
if first != "silent": plain.sendall(first.encode())
plain.recv(9)
for n in ("1", "2"):
    while not os.path.exists(go + n): time.sleep(0.05)
    plain.sendall(b"again" + n.encode())
time.sleep(5)
"""


def policy(bed, existing: str = "judge", rules: str = RULES) -> str:
    return policy_text(bed, rules, on_exit="closed").replace("[defaults]\n", f'[defaults]\nexisting = "{existing}"\n')


def reload_with(firewall: Sallyport, rules: str) -> None:
    former = firewall.policy_path.read_text()
    firewall.policy_path.write_text(former[:former.index("[[rules]]")] + rules)
    result = firewall.command("reload", "--control", str(firewall.control))
    expect_equal(result.code, 0, result.describe())


def restart_with(firewall: Sallyport, text: str) -> None:
    firewall.stop()
    firewall.policy_path.write_text(text)
    firewall.start()


def came_round(suite: Suite, layout: str, family: int) -> None:
    """One policy, a reload to more, a restart with another, one with the first: its generation is that of the marks of `more`."""
    with suite.case(f"{layout} v{family}: a generation that comes round again allows nothing that another policy had allowed"), \
            Testbed(layout) as bed, Servers(bed) as servers:
        servers.start_web()
        go = bed.scratch / "go"
        with Sallyport(bed, policy(bed)) as firewall:
            reload_with(firewall, RULES + allow("denied.test", "tls", "443"))
            client = bed.spawn("client", "ask", ["/usr/bin/python3", "-c", ASK_TWICE, str(servers.ca), str(go), bed.server_address(family)])
            expect(wait_until(lambda: "answer" in client.out(), 5.0), client.err())
            restart_with(firewall, policy(bed, rules=allow("other.test", "tls", "443")))
            restart_with(firewall, policy(bed))
            go.write_text("")
            client.wait(8.0)
            expect_equal(client.out().count("answer"), 1, bed.run("firewall", ["conntrack", "-L", "-p", "tcp"]).out)


class League:
    """A client and a server that are silent until connection tracking has forgotten their connection."""

    def __init__(self, bed, family: int, port: int, first: str):
        self.bed, self.port, self.go, address = bed, port, str(bed.scratch / "go"), bed.server_address(family)
        bed.run("firewall", FORGET)
        reads = "silent" if first == "silent" else "reads"
        self.server = bed.spawn("server", "league", ["/usr/bin/python3", "-c", SERVER, address, str(port), reads])
        bed.wait_listening("server", "tcp", port)
        self.client = bed.spawn("client", "ask", ["/usr/bin/python3", "-c", CLIENT, address, str(port), self.go, first])

    def tracked(self) -> str:
        listed = self.bed.run("firewall", ["sh", "-c", "conntrack -L -p tcp; conntrack -L -f ipv6 -p tcp"]).out
        return "\n".join(line for line in listed.splitlines() if f"dport={self.port} " in line)

    def forget(self) -> None:
        expect(wait_until(lambda: self.client.running() and self.tracked(), 5.0), self.client.err())
        expect(wait_until(lambda: not self.tracked(), 9.0), "tracked: " + self.tracked())

    def say(self, number: int) -> None:
        (self.bed.scratch / f"go{number}").write_text("")

    def expect_no_more(self) -> None:
        self.say(1)
        self.say(2)
        time.sleep(2.5 * PATIENCE)
        expect("again2" not in self.server.out(), "it goes on: " + self.server.out().replace("\n", " ") + self.tracked())


def forgotten(suite: Suite, family: int, how: str) -> None:
    with suite.case(f"host v{family}: forgotten by connection tracking, a listener on its port: {how}"), Testbed("host") as bed:
        with_it = RULES + allow(f"{bed.server_address(family)}/{32 if family == 4 else 128}", "tcp", "7000")
        with Sallyport(bed, policy(bed, rules=with_it)) as firewall:
            league = League(bed, family, 7000, "first")
            expect(wait_until(lambda: "first" in league.server.out(), 5.0), league.client.err())
            league.forget()
            if how.startswith("picked up"):  # The rule allows it in its middle, too.
                league.say(1)
                expect(wait_until(lambda: "again1" in league.server.out(), 5.0), league.client.err())
            if how == "a restart with another policy":
                restart_with(firewall, policy(bed))
            elif how == "a restart with kill":
                restart_with(firewall, policy(bed, "kill", with_it))
            elif "restart" in how:
                restart_with(firewall, policy(bed, rules=with_it))
            if "reload" in how:
                reload_with(firewall, RULES)
            league.expect_no_more()


def never_judged(suite: Suite, family: int) -> None:
    """Its SYN left for an address that a rule may be about, and nothing else."""
    with suite.case(f"host v{family}: never judged, forgotten, a listener on its port: a restart with the same policy"), Testbed("host") as bed:
        with Sallyport(bed, policy(bed)) as firewall:
            league = League(bed, family, 443, "silent")
            league.forget()
            restart_with(firewall, policy(bed))
            league.expect_no_more()


# Both ends hold one tuple twice: first the server opens it (before the start), then the client.
PARTNER = """
import os, socket, struct, sys, time
client, server, go = sys.argv[1:]
first = socket.socket()
first.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
first.bind((server, 443))
first.connect((client, 2222))
print("in", flush=True)
while not os.path.exists(go + "close"): time.sleep(0.05)
first.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
first.close()
listener = socket.create_server((server, 443))
print("listens", flush=True)
peer = listener.accept()[0]
peer.shutdown(socket.SHUT_WR)
while data := peer.recv(99): print(data.decode(), flush=True)
"""
HOST = """
import os, socket, sys, time
client, server, go = sys.argv[1:]
listener = socket.create_server((client, 2222))
print("ready", flush=True)
first = listener.accept()[0]
try: first.recv(9)
except OSError: pass
first.close()
listener.close()
while not os.path.exists(go + "open"): time.sleep(0.05)
plain = socket.socket()
plain.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
plain.bind((client, 2222))
plain.settimeout(5)
plain.connect((server, 443))
print("connected", flush=True)
plain.recv(9)
for n in ("1", "2"):
    while not os.path.exists(go + n): time.sleep(0.05)
    plain.sendall(b"again" + n.encode())
time.sleep(5)
"""


def opened_anew(suite: Suite) -> None:
    """What is kept of a connection that came in is its socket, and not its addresses and ports alone."""
    with suite.case("host v4: a tuple that once came in, opened anew from here, forgotten by connection tracking, behind a kill"), Testbed("host") as bed:
        client, server, go = bed.client_address(4), bed.server_address(4), str(bed.scratch / "go")
        for state in ("close_wait", "close"):
            bed.run("firewall", ["sysctl", "-qw", f"net.netfilter.nf_conntrack_tcp_timeout_{state}=2"])
        host = bed.spawn("client", "host", ["/usr/bin/python3", "-c", HOST, client, server, go], uid=65534)
        bed.wait_listening("client", "tcp", 2222)
        partner = bed.spawn("server", "partner", ["/usr/bin/python3", "-c", PARTNER, client, server, go])
        expect(wait_until(lambda: "in" in partner.out(), 5.0), partner.err())

        def tracked() -> bool:
            return "port=2222" in bed.run("firewall", ["conntrack", "-L", "-p", "tcp"]).out

        with Sallyport(bed, policy(bed)) as firewall:
            (bed.scratch / "goclose").write_text("")
            expect(wait_until(lambda: "listens" in partner.out() and not tracked(), 15.0), partner.err())
            (bed.scratch / "goopen").write_text("")
            expect(wait_until(lambda: "connected" in host.out(), 5.0), host.err())
            expect(wait_until(lambda: not tracked(), 9.0), "tracked")
            firewall.kill()
            firewall.start()
            (bed.scratch / "go1").write_text("")
            (bed.scratch / "go2").write_text("")
            time.sleep(2.5 * PATIENCE)
            expect("again2" not in partner.out(), "it goes on unjudged: " + partner.out().replace("\n", " "))


def bound(suite: Suite, layout: str, family: int) -> None:
    """Names are bound to addresses here: what a flow was for is not asked of its address, which may have other names by now."""
    rules = RULES + allow("*.allowed.test", "tls", "443")  # Of which the service looks none up by itself.
    with world(suite, layout, rules, "web", "dns", bulk_bytes=200 << 20, bind="strict", on_exit="closed", extra=DNS) as it:
        def bulk(name: str):
            mark = it.firewall.mark()
            expect_equal(it.clients.dig(name, family, kind="A" if family == 4 else "AAAA").code, 0, name)
            sink = it.bed.scratch / f"bulk{mark}"
            # Read a little at a time, so that packets go to and fro all the while: a gateway cuts with the next one.
            command = f"curl -sS -{family} --cacert {it.servers.ca} -m 100 https://{name}/bulk | /usr/bin/python3 -c '{SIP}' >{sink}"
            running = it.bed.spawn("client", f"bulk{mark}", ["sh", "-c", command])
            # Its first bytes, and not its verdict: by then the kernel has it.
            expect(wait_until(lambda: sink.exists() and sink.stat().st_size > 50, 8.0), running.err() + it.firewall.log())
            return running

        with suite.case(f"{layout} v{family}: behind a restart a flow is judged by its name: what lost permission is cut, what did not goes on"):
            lost, other = bulk("www.allowed.test"), bulk("allowed.test")
            it.firewall.stop()
            it.firewall.start()
            since = it.firewall.mark()
            reload_with(it.firewall, RULES)
            expect(wait_until(lambda: not lost.running(), 5.0), "it goes on")
            it.firewall.wait_event(since, event="flow", verdict="deny", reason="revoked", name="www.allowed.test")
            time.sleep(0.5)
            expect(other.running(), other.err() + it.firewall.log())
            other.stop(1.0)
        with suite.case(f"{layout} v{family}: behind a kill without its name, and its binding has run out: it is cut"):
            reload_with(it.firewall, rules)
            lost = bulk("www.allowed.test")
            it.firewall.kill()
            it.firewall.control.with_suffix(".bindings.json").unlink(missing_ok=True)  # As if it had run out.
            it.firewall.start()
            bulk("allowed.test").stop(1.0)  # Another name of the same address.
            expect(lost.running(), lost.err())
            reload_with(it.firewall, RULES)
            expect(wait_until(lambda: not lost.running(), 5.0), "it goes on")


def body(suite: Suite) -> None:
    for layout, family in modes_and_families():
        came_round(suite, layout, family)
        bound(suite, layout, family)
    opened_anew(suite)
    for family in (4, 6):
        never_judged(suite, family)
        forgotten(suite, family, "a restart with another policy")
    for how in ("a restart with kill", "a restart, then a reload", "picked up, then a restart and a reload", "picked up, then a reload"):
        forgotten(suite, 4, how)


if __name__ == "__main__":
    skip_unless_possible(binary(), ("curl", "nginx", "conntrack"))
    Suite("kept", 260).main(body)
