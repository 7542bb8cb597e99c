#!/usr/bin/env python3
"""Connections that are older than the service: defaults.existing lets them go on, ends them, or has them judged in their middle.
What begins behind the start is judged by its name, whichever it is."""

import time

from support import Suite, binary, expect, expect_equal, skip_unless_possible
from support.daemon import Sallyport, allow, policy_text
from support.proc import PATIENCE, wait_until
from support.servers import Servers
from support.testbed import Testbed

# The downloads are of a name that no rule allows: only their age can let them go on.
RULES = allow("allowed.test", "tls", "443")
BULK = 400 << 20
# Reads little at a time, so that packets go to and fro all the while, and says how far it is.
SIP = "import os,sys,time\nn=0\nwhile b:=os.read(0,65536):\n n+=len(b)\n print(n,flush=True)\n time.sleep(0.005)"


class Download:
    def __init__(self, bed, servers, family: int):
        script = f"curl -sS -{family} --cacert {servers.ca} -m {60 * PATIENCE} https://denied.test/bulk | /usr/bin/python3 -c '{SIP}'"
        self.bed = bed
        self.process = bed.spawn("client", f"bulk{family}", ["sh", "-c", script])
        expect(wait_until(lambda: self.read() > 0, 8.0), self.process.err())
        self.port = self.sockets("client", "dport = :443")[0].split()[2].rsplit(":", 1)[1]

    def read(self) -> int:
        lines = self.process.out().split("\n")[:-1]
        return int(lines[-1]) if lines else 0

    def sockets(self, where: str, filter_: str) -> list[str]:
        return self.bed.run(where, ["ss", "-Htn", "state", "established", filter_]).out.strip().splitlines()

    def goes_on(self) -> bool:
        before = self.read()
        time.sleep(0.8 * PATIENCE)
        return self.process.running() and self.read() > before + (1 << 20)


def policy(bed, existing: str, mode: str = "enforce", on_exit: str = "open") -> str:
    return policy_text(bed, RULES, mode=mode, on_exit=on_exit).replace("[defaults]\n", f'[defaults]\nexisting = "{existing}"\n')


def track(bed) -> None:
    """Whoever has rules like these has connection tracking on."""
    for tool in ("iptables", "ip6tables"):
        bed.run("firewall", [tool, "-A", "OUTPUT", "-m", "conntrack", "--ctstate", "INVALID"])


def reload_with(firewall: Sallyport, rules: str) -> None:
    former = firewall.policy_path.read_text()
    firewall.policy_path.write_text(former[:former.index("[[rules]]")] + rules)
    result = firewall.command("reload", "--control", str(firewall.control))
    expect_equal(result.code, 0, result.describe())


def judged_by_name(bed, servers, family: int) -> None:
    def curl(host: str) -> int:
        return bed.run("client", ["curl", "-sS", f"-{family}", "--cacert", str(servers.ca), "-m", "4", "-o", "/dev/null",
                                  f"https://{host}/"]).code
    expect_equal(curl("allowed.test"), 0, "a new connection of an allowed name")
    expect(curl("denied.test") != 0, "a new connection of another name passes")


def started(suite: Suite, layout: str, family: int, existing: str, tracked: bool) -> None:
    label = f"{layout} v{family}, {'tracked' if tracked else 'not tracked'} before"
    with suite.case(f"{label}: {existing}"), Testbed(layout) as bed, Servers(bed) as servers:
        servers.start_web(BULK)
        if tracked:
            track(bed)
        download = Download(bed, servers, family)
        with Sallyport(bed, policy(bed, existing)) as firewall:
            if existing == "allow":
                expect(download.goes_on(), f"it was interrupted\n{firewall.log()}")
            if existing == "kill":
                for where, filter_ in (("client", f"sport = :{download.port}"), ("server", f"dport = :{download.port}")):
                    expect(wait_until(lambda: not download.sockets(where, filter_), 2.0), f"{where}: its socket lives")  # noqa: B023
            judged_by_name(bed, servers, family)
            if existing == "allow":
                reload_with(firewall, RULES + allow("other.test", "tls", "8443"))
                expect(download.goes_on(), f"it was interrupted later\n{firewall.log()}")
                reload_with(firewall, RULES.replace("allowed.test", "other.test"))
                expect(wait_until(lambda: not download.goes_on(), 6.0), "nothing that is left could have allowed it, and it goes on")
        download.process.stop(1.0)


# Asks once before a change and once behind it, on one connection, which it opens as OPEN or POSE does.
ASK_TWICE = """
tls = ssl.create_default_context(cafile=ca).wrap_socket(plain, server_hostname="denied.test")
def ask():
    tls.sendall(b"GET / HTTP/1.1\\r\\nHost: denied.test\\r\\n\\r\\n")
    print("answer" if tls.recv(9999) else "end", flush=True)
tls.settimeout(4)
ask()
while not os.path.exists(go): time.sleep(0.05)
ask()
"""
OPEN = "plain = socket.create_connection((address, 443), 5)"
# As a server would whose connection came in, it then listens on the port of its own.
POSE = """
plain = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
plain.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
plain.bind(("", 0))
plain.settimeout(5)
plain.connect((address, 443))
listener = socket.socket(plain.family)
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("", plain.getsockname()[1]))
listener.listen()
"""


class Asker:
    def __init__(self, bed, servers, how: str, address: str):
        self.go = bed.scratch / "go"
        script = "import os, socket, ssl, sys, time\nca, go, address = sys.argv[1:]\n" + how + ASK_TWICE
        self.client = bed.spawn("client", "ask", ["/usr/bin/python3", "-c", script, str(servers.ca), str(self.go), address])
        expect(wait_until(lambda: "answer" in self.client.out(), 5.0), self.client.err())

    def expect_answers(self, count: int, firewall: Sallyport) -> None:
        """expect_answers has it ask again, and wants `count` answers to both."""
        self.go.write_text("")
        self.client.wait(8.0)
        expect_equal(self.client.out().count("answer"), count, self.client.err() + firewall.log())


def asked_again(suite: Suite, layout: str, existing: str) -> None:
    with suite.case(f"{layout}: a request on an older connection: {existing}"), Testbed(layout) as bed, Servers(bed) as servers:
        servers.start_web()
        track(bed)
        asker = Asker(bed, servers, OPEN, "denied.test")
        with Sallyport(bed, policy(bed, existing)) as firewall:
            since = firewall.mark()
            asker.expect_answers(2 if existing == "allow" else 1, firewall)
            if existing == "judge":
                firewall.wait_event(since, event="flow", dport=443, verdict="deny")


def posed(suite: Suite, family: int) -> None:
    for existing in ("judge", "kill"):
        with suite.case(f"host v{family}: who listens on the port of its own connection does not make it another's: {existing}"), \
                Testbed("host") as bed, Servers(bed) as servers:
            servers.start_web()
            track(bed)
            asker = Asker(bed, servers, POSE, bed.server_address(family))
            with Sallyport(bed, policy(bed, existing)) as firewall:
                asker.expect_answers(1, firewall)
    for change in ("a restart with another policy", "a reload behind a restart"):
        with suite.case(f"host v{family}: nor for {change}"), Testbed("host") as bed, Servers(bed) as servers:
            servers.start_web()
            with Sallyport(bed, policy(bed, "judge", on_exit="closed").replace("allowed.test", "denied.test")) as firewall:
                asker = Asker(bed, servers, POSE, bed.server_address(family))
                firewall.stop()
                if "another" in change:
                    firewall.policy_path.write_text(policy(bed, "judge", on_exit="closed"))
                firewall.start()
                if "reload" in change:
                    reload_with(firewall, RULES)
                asker.expect_answers(1, firewall)
                if "another" in change:
                    firewall.wait_event(event="flow", verdict="deny", dport=443)


def restarted(suite: Suite, layout: str, family: int) -> None:
    with suite.case(f"{layout} v{family}: a restart with kill ends what the same policy had let go on"), \
            Testbed(layout) as bed, Servers(bed) as servers:
        servers.start_web(BULK)
        with Sallyport(bed, policy(bed, "allow", on_exit="closed").replace("allowed.test", "denied.test")) as firewall:
            download = Download(bed, servers, family)
            firewall.stop()
            firewall.start()
            expect(download.goes_on(), f"allow interrupts it\n{firewall.log()}")
            firewall.stop()
            firewall.policy_path.write_text(firewall.policy_path.read_text().replace('existing = "allow"', 'existing = "kill"'))
            firewall.start()
            for where, filter_ in (("client", f"sport = :{download.port}"), ("server", f"dport = :{download.port}")):
                expect(wait_until(lambda: not download.sockets(where, filter_), 3.0), f"{where}: its socket lives\n{firewall.log()}")  # noqa: B023
            download.process.stop(1.0)


# This host's end of a session that another host opened: it speaks first once connections are tracked, then answers.
SESSION = """
import os, socket, sys, time
listener = socket.create_server((sys.argv[1], 2222), family=socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET)
peer = listener.accept()[0]
while not os.path.exists(sys.argv[2]): time.sleep(0.05)
peer.sendall(b"first")
while data := peer.recv(99): peer.sendall(b"answer to " + data)
"""
VISITOR = """
import os, socket, sys, time
session = socket.create_connection((sys.argv[1], 2222), 8 * float(os.environ.get("SALLYPORT_PATIENCE", "1")))
print("connected", flush=True)
print(session.recv(99).decode(), flush=True)
while not os.path.exists(sys.argv[2]): time.sleep(0.05)
session.settimeout(4)
for i in range(3):
    session.sendall(b"key")
    print(session.recv(99).decode(), flush=True)
    time.sleep(0.2)
"""


def visited(suite: Suite, family: int) -> None:
    with suite.case(f"host v{family}: kill leaves a session alone that another host opened, though tracking began with a packet of ours"), \
            Testbed("host") as bed:
        tracked, go, address = bed.scratch / "tracked", bed.scratch / "go", bed.client_address(family)
        bed.spawn("client", "session", ["/usr/bin/python3", "-c", SESSION, address, str(tracked)])
        bed.wait_listening("client", "tcp", 2222)
        peer = bed.spawn("server", "visitor", ["/usr/bin/python3", "-c", VISITOR, address, str(go)])
        expect(wait_until(lambda: "connected" in peer.out(), 5.0), peer.err())
        track(bed)
        time.sleep(0.5)
        tracked.write_text("")
        expect(wait_until(lambda: "first" in peer.out(), 5.0), peer.err())
        listed = bed.run("firewall", ["conntrack", "-L", "-f", f"ipv{family}", "-p", "tcp"])
        expect("sport=2222" in listed.out.split("src=")[1], f"it is not tracked as ours: {listed.describe()}")
        with Sallyport(bed, policy(bed, "kill")) as firewall:
            go.write_text("")
            expect(wait_until(lambda: peer.out().count("answer to key") == 3, 6.0), peer.out() + peer.err() + firewall.log())


def published(suite: Suite, family: int) -> None:
    with suite.case(f"gateway v{family}: kill leaves a session alone that came in by a published port"), Testbed("gateway") as bed:
        tracked, go, inside = bed.scratch / "tracked", bed.scratch / "go", bed.client_address(family)
        tracked.write_text("")
        outside = bed.run("firewall", ["ip", "-o", f"-{family}", "addr", "show", "dev", "east", "scope", "global"]).out.split()[3].split("/")[0]
        target = f"[{inside}]:2222" if family == 6 else f"{inside}:2222"
        bed.run("firewall", ["iptables" if family == 4 else "ip6tables", "-t", "nat", "-A", "PREROUTING", "-i", "east", "-p", "tcp", "--dport", "2222",
                             "-j", "DNAT", "--to-destination", target])
        bed.spawn("client", "session", ["/usr/bin/python3", "-c", SESSION, inside, str(tracked)])
        bed.wait_listening("client", "tcp", 2222)
        peer = bed.spawn("server", "visitor", ["/usr/bin/python3", "-c", VISITOR, outside, str(go)])
        expect(wait_until(lambda: "first" in peer.out(), 5.0), peer.err())
        with Sallyport(bed, policy(bed, "kill")) as firewall:
            go.write_text("")
            expect(wait_until(lambda: peer.out().count("answer to key") == 3, 6.0), peer.out() + peer.err() + firewall.log())


def observed(suite: Suite) -> None:
    with suite.case("observing, kill ends nothing"), Testbed("host") as bed, Servers(bed) as servers:
        servers.start_web(BULK)
        download = Download(bed, servers, 4)
        with Sallyport(bed, policy(bed, "kill", mode="observe")) as firewall:
            expect(download.goes_on(), firewall.log())
        download.process.stop(1.0)


def body(suite: Suite) -> None:
    for family in (4, 6):
        for existing in ("allow", "kill"):
            for layout in ("host", "gateway"):
                started(suite, layout, family, existing, True)
        for existing in ("allow", "kill"):  # Where nobody tracks, only this host's own sockets tell of them.
            started(suite, "host", family, existing, False)
        for layout in ("host", "gateway"):
            restarted(suite, layout, family)
    for layout in ("host", "gateway"):
        for existing in ("allow", "judge", "kill"):
            asked_again(suite, layout, existing)
    for family in (4, 6):
        visited(suite, family)
        posed(suite, family)
        published(suite, family)
    observed(suite)


if __name__ == "__main__":
    skip_unless_possible(binary(), ("curl", "nginx", "conntrack"))
    Suite("existing", 220).main(body)
