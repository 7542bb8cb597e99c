#!/usr/bin/env python3
"""Names and addresses: what a trusted resolver said decides, for SSH on one port and for hellos; dnsmasq, OpenSSH, curl."""

import json
import os
import signal
import sys
import time

from support import Suite, binary, expect, expect_equal, skip_unless_possible
from support.capture import Capture
from support.clients import Clients
from support.daemon import Sallyport, policy_text
from support.proc import wait_until
from support.servers import Servers
from support.proc import must
from support.refused import expect_dig_refused, expect_printed, expect_printed_alert
from support.testbed import ETC_NETNS, SERVER_LINK, UNPRIVILEGED_UID, Testbed, address
from support.world import TCP, UDP, World

# Indices of the server's addresses. The trusted resolver is at NOBODY's, and no name of the policy is ever given it.
NOBODY, GITHUB, GITLAB, SPARE = 0, 1, 2, 3
LIAR = SPARE

POLICY = """
[dns]
private = [".test"]
wildcard_budget = 10000
"""
RULES = """
[[rules]]
to = ["github.test", "gitlab.test"]
protocols = ["ssh"]
action = "allow"
[[rules]]
to = ["web.test", "*.many.test"]
protocols = ["tls"]
action = "allow"
"""
# Two denied names, of which the second may not even be asked for, by others than Sallyport.
DENY = """
[[rules]]
to = ["github.test"]
protocols = ["ssh"]
action = "deny"
[[rules]]
to = ["gitlab.test"]
protocols = ["tcp", "udp"]
ports = "any"
action = "deny"
"""
RESOLVE = """
import socket, sys, time
slowest = 0.0
for i in range(int(sys.argv[1])):
    began = time.monotonic()
    socket.getaddrinfo("web.test", 443)
    slowest = max(slowest, time.monotonic() - began)
print(slowest)
"""
RESOLVE_MANY = """
import concurrent.futures, socket
def one(i):
    return len(socket.getaddrinfo(f"n{i}.many.test", 443, socket.AF_INET, socket.SOCK_STREAM))
with concurrent.futures.ThreadPoolExecutor(16) as pool:
    print(sum(pool.map(one, range(2000))))
"""
MANY, MANY_ADDRESSES, FIRST_OF_MANY = 2_000, 40, 100  # An address takes 256 names; the names of each are 50.


def address_of_many(i: int) -> str:
    return address(4, SERVER_LINK, FIRST_OF_MANY + i % MANY_ADDRESSES)


class Dns:
    """dnsmasq on one of the server's addresses, with a table that a test may change while it runs."""

    def __init__(self, bed, index: int, table: dict[str, int]):
        self.bed, self.index = bed, index
        self.hosts = bed.scratch / f"dns-{index}"
        self._write(table)
        listen = [f"--listen-address={bed.server_address(family, index)}" for family in (4, 6)]
        many = bed.scratch / "many-hosts"
        many.write_text("".join(f"{address_of_many(i)} n{i}.many.test\n" for i in range(MANY + 1)))
        self.process = bed.spawn("server", f"dnsmasq-{index}", [
            "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--user=root", "--pid-file=",
            "--log-facility=-", "--bind-interfaces", "--local=/test/", "--local-ttl=1", f"--addn-hosts={self.hosts}", f"--addn-hosts={many}", *listen])
        name = next(iter(table))
        expect(wait_until(lambda: self.answer(name) == bed.server_address(4, table[name]), 10.0), "dnsmasq does not answer")

    def _write(self, table: dict[str, int]) -> None:
        lines = [f"{self.bed.server_address(family, index)} {name}" for name, index in table.items() for family in (4, 6)]
        self.hosts.write_text("\n".join(lines) + "\n")

    def answer(self, name: str) -> str:
        server = self.bed.server_address(4, self.index)
        return self.bed.run("server", ["dig", "+short", "+tries=1", "+time=1", f"@{server}", name]).out.strip()

    def set(self, table: dict[str, int]) -> None:
        self._write(table)
        self.process.signal(signal.SIGHUP)
        expect(wait_until(lambda: all(self.answer(n) == self.bed.server_address(4, i) for n, i in table.items()), 5.0), "dnsmasq keeps the old table")


TABLE = {"github.test": GITHUB, "gitlab.test": GITLAB, "web.test": GITLAB}


def body(suite: Suite) -> None:
    for mode in ("host", "gateway"):
        with Testbed(mode) as bed, Servers(bed) as servers:
            for i in range(MANY_ADDRESSES):
                must(["ip", "-n", bed.server, "addr", "add", f"{address_of_many(i)}/24", "dev", "west"])
            servers.start_ssh()
            servers.start_web()
            dns = Dns(bed, NOBODY, TABLE)
            Dns(bed, LIAR, {**TABLE, "web.test": NOBODY})
            capture = Capture(bed)
            with Sallyport(bed, policy_text(bed, RULES, extra=POLICY, on_exit="closed", bind="strict")) as firewall:
                suite.on_failure = firewall.log
                it = World(bed, servers, Clients(bed, servers), capture, firewall)
                for family in (4, 6):
                    many_names_on_one_port(suite, it, dns, f"{mode} v{family}", family)
                    hellos(suite, it, f"{mode} v{family}", family)
                resolving(suite, it, mode)
                flood(suite, it, mode)
                silent_resolver(suite, it, dns, mode)
                restart(suite, it, dns, mode)
                other_configuration(suite, it, mode)
            (ETC_NETNS / bed.firewall / "resolv.conf").write_text(f"nameserver {bed.server_address(4, NOBODY)}\n")
            allowing = policy_text(bed, DENY, extra=POLICY, on_exit="closed", bind="strict").replace("[defaults]", '[defaults]\naction = "allow"')
            with Sallyport(bed, allowing, name="allowing") as firewall:
                suite.on_failure = firewall.log
                denied_by_name(suite, World(bed, servers, Clients(bed, servers), capture, firewall), dns, mode)
                suite.on_failure = None


def status(it: World) -> dict:
    return json.loads(it.firewall.status("--json").out)


def ssh(it: World, host: str, family: int, command: str = "echo $SSH_CONNECTION") -> list[str]:
    return ["ssh", f"-{family}", *it.servers.ssh_command(host, command)[1:]]


def reached(it: World, host: str, family: int) -> str:
    """reached returns the server's address that a session to `host` came to, or an empty text."""
    result = it.bed.run("client", ssh(it, host, family), 12)
    words = result.out.split()
    return words[2] if result.code == 0 and len(words) == 4 else ""


def refused(it: World, family: int, index: int) -> None:
    mark = it.mark()
    result = it.bed.run("client", ssh(it, it.bed.server_address(family, index), family), 12)
    expect_printed(result, "Connection refused")  # At the SYN: no name has this address.
    it.expect_event(mark, verdict="deny", reason="address_not_bound", dport=22)
    it.expect_nothing_arrived(mark, TCP, 22)


def many_names_on_one_port(suite: Suite, it: World, dns: Dns, label: str, family: int) -> None:
    address = lambda index: it.bed.server_address(family, index)
    dns.set(TABLE)
    with suite.case(f"{label}: the names of rules are bound before anybody asks"):
        expect(wait_until(lambda: status(it)["bindings"]["lookups"] >= 6, 5.0), str(status(it)))
    for name, index in (("github.test", GITHUB), ("gitlab.test", GITLAB)):
        with suite.case(f"{label}: ssh {name} on 22"):
            mark = it.mark()
            expect_equal(reached(it, name, family), address(index), "the server's address")
            it.expect_event(mark, verdict="allow", dport=22, protocol="ssh", name=name)
    with suite.case(f"{label}: ssh to a third address on 22 is refused with the reason"):
        refused(it, family, NOBODY)
    with suite.case(f"{label}: a name outside the policy is not even looked up"):
        mark = it.mark()
        result = it.bed.run("client", ssh(it, "third.test", family), 12)
        expect(result.code not in (0, None), result.describe())
        it.expect_never(mark, b"third")
    with suite.case(f"{label}: an address that rotated in a moment ago passes without a lookup of the client"):
        dns.set({**TABLE, "github.test": SPARE})
        time.sleep(1.2)  # A name is asked at most once a second.
        expect_equal(reached(it, address(SPARE), family), address(SPARE), "the server's address")
    with suite.case(f"{label}: gitlab.test moves: a running session lives on, new ones follow, and the cached address is still good"):
        dns.set(TABLE)
        session = it.bed.spawn("client", "session", ssh(it, "gitlab.test", family, "sleep 3; echo $SSH_CONNECTION"))
        time.sleep(1.0)
        dns.set({**TABLE, "gitlab.test": SPARE})
        expect_equal(reached(it, "gitlab.test", family), address(SPARE), "a new session")
        expect_equal(reached(it, address(GITLAB), family), address(GITLAB), "a client that has the old address")
        expect_equal(session.wait(10), 0, session.err())
        expect(address(GITLAB) in session.out(), f"the running session: {session.out()}")
        dns.set(TABLE)


def hellos(suite: Suite, it: World, label: str, family: int) -> None:
    address = lambda index: it.bed.server_address(family, index)
    bracketed = lambda index: f"[{address(index)}]" if family == 6 else address(index)
    with suite.case(f"{label}: curl to the name's own address"):
        result = it.clients.curl("https://web.test/", family, "-k")
        expect_equal(result.out.strip(), "vhost web.test", result.describe())
    with suite.case(f"{label}: a forged server name to another address is refused, and not one byte of it arrives"):
        mark = it.mark()
        result = it.clients.curl("https://web.test/", family, "-k", "--resolve", f"web.test:443:{bracketed(NOBODY)}")
        expect_printed(result, "Failed to connect to web.test port 443")
        it.expect_event(mark, verdict="deny", reason="address_not_bound", dport=443)
        it.expect_nothing_arrived(mark, TCP, 443)
    with suite.case(f"{label}: a lying resolver is not asked, and not believed"):
        mark = it.mark()
        result = it.bed.run("client", ["dig", "+tries=1", "+time=1", f"@{address(LIAR)}", "web.test"], 8)
        expect_dig_refused(result)
        it.expect_event(mark, verdict="deny", reason="resolver_not_trusted", dport=53)
        it.expect_nothing_arrived(mark, UDP, 53)
        mark = it.mark()
        result = it.clients.curl("https://web.test/", family, "-k", "--resolve", f"web.test:443:{bracketed(NOBODY)}")
        expect_printed(result, "Failed to connect to web.test port 443")
        it.expect_nothing_arrived(mark, TCP, 443)


def lost(it: World) -> int:
    return sum(queue["queue_dropped"] + queue["user_dropped"] for queue in status(it)["queues"])


def resolving(suite: Suite, it: World, label: str) -> None:
    with suite.case(f"{label}: three hundred getaddrinfo in a row, A and AAAA at once, none of which waits"):
        mark = it.mark()
        # resolv.conf says one try of a second: whatever is lost or late is an error, or takes that second.
        result = it.bed.run("client", [sys.executable, "-c", RESOLVE, "300"], 60)
        expect(result.code == 0 and float(result.out) < 0.9, result.describe())
        asked = [p for p in it.capture.packets(mark[0]) if p.protocol == UDP and p.dport == 53 and b"\3web\4test" in p.payload]
        kinds = [int.from_bytes(p.payload[p.payload.index(b"\4test\0") + 6:][:2], "big") for p in asked if p.sport]
        expect(kinds.count(1) >= 300 and kinds.count(28) >= 300, f"{kinds.count(1)} questions for A, {kinds.count(28)} for AAAA")
        pairs = {}
        for packet, kind in zip(asked, kinds):
            pairs.setdefault(packet.sport, set()).add(kind)
        expect(sum(kinds == {1, 28} for kinds in pairs.values()) >= 250, "A and AAAA are not asked from one socket")
    with suite.case(f"{label}: two thousand names under load, and no packet is lost"):
        before, bound = lost(it), status(it)["bindings"]["answers"]
        result = it.bed.run("client", [sys.executable, "-c", RESOLVE_MANY], 90)
        expect_equal(result.out.strip(), "2000", result.describe())
        expect_equal(lost(it), before, "packets lost by a full queue or socket")
        expect_equal(status(it)["bindings"]["answers"] - bound, MANY, "bindings made by the answers")
    with suite.case(f"{label}: each of a sample of them can be connected to, one that is asked for behind them, and no other address by its name"):
        for i in (0, 39, 999, 1_500, 1_999, MANY):
            name = f"n{i}.many.test"
            expect_equal(it.clients.curl(f"https://{name}/", 4, "-k").out.strip(), f"vhost {name}", name)
        mark = it.mark()
        result = it.clients.curl("https://n7.many.test/", 4, "-k", "--resolve", f"n7.many.test:443:{address_of_many(8)}")
        expect_printed_alert(result)
        it.expect_event(mark, verdict="deny", reason="address_not_bound", name="n7.many.test")


FLOOD = """
import resource, socket, time
resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
knocking, end = [], time.monotonic() + 4
while time.monotonic() < end:
    for i in range(1500):
        s = socket.socket()
        s.setblocking(False)
        s.connect_ex((f"10.91.9.{i % 99 + 150}", 443))
        knocking.append(s)
    time.sleep(0.2)
    for s in knocking: s.close()
    knocking.clear()
"""


def flood(suite: Suite, it: World, label: str) -> None:
    with suite.case(f"{label}: thousands of SYNs to unbound addresses leave the others' hellos and waits alone"):
        flooder = it.bed.spawn("client", "flood", [sys.executable, "-c", FLOOD], uid=UNPRIVILEGED_UID)
        time.sleep(0.5)
        slowest, most = 0.0, 0
        while flooder.running():
            most = max(most, status(it)["held"])
            result = it.clients.curl("https://web.test/", 4, "-k")
            expect_equal(result.out.strip(), "vhost web.test", result.describe())
            slowest = max(slowest, result.seconds)
        now = status(it)
        expect(now["packet_reasons"].get("wait_limit", 0) > 0, str(now["packet_reasons"]))
        expect(now["packet_reasons"].get("hold_limit", 0) == 0 and most <= 512 * len(now["workers"]) + 8, f"{most} held")
        expect(slowest < 3.0, f"a hello took {slowest:.2f} s")
        expect(wait_until(lambda: status(it)["awaiting_binding"] == 0, 5.0), str(status(it)))


def silent_resolver(suite: Suite, it: World, dns: Dns, label: str) -> None:
    with suite.case(f"{label}: the resolver is silent: known names go on, the unknown is refused in time"):
        dns.process.signal(signal.SIGSTOP)
        try:
            expect_equal(reached(it, it.bed.server_address(4, GITHUB), 4), it.bed.server_address(4, GITHUB), "a known address")
            refused(it, 4, NOBODY)
        finally:
            dns.process.signal(signal.SIGCONT)


def restart(suite: Suite, it: World, dns: Dns, label: str) -> None:
    state = it.bed.scratch / "control.bindings.json"
    known, unknown = it.bed.server_address(4, GITHUB), it.bed.server_address(4, NOBODY)
    for how, number in (("ended", signal.SIGTERM), ("killed", signal.SIGKILL)):
        with suite.case(f"{label}: {how} and started again, it keeps the bindings, and at no moment an unbound address passes"):
            mark = it.mark()
            knocking = it.bed.spawn("client", f"knocking-{how}", [sys.executable, "-c", f"""
import socket, time
end = time.monotonic() + 6
while time.monotonic() < end:
    for address in {(unknown, it.bed.server_address(6, NOBODY))!r}:
        try:
            with socket.create_connection((address, 22), 0.2) as s: s.sendall(b'SSH-2.0-secret\\r\\n')
        except OSError: pass
"""])
            time.sleep(0.5)
            if number == signal.SIGKILL:
                it.firewall.kill()
                time.sleep(0.5)
            else:
                expect_equal(it.firewall.stop(), 0, "exit code")
            expect(state.exists() and state.stat().st_mode & 0o777 == 0o600, "the state file")
            dns.process.signal(signal.SIGSTOP)  # Nothing can be learned anew.
            try:
                it.firewall.start()
                expect(status(it)["bindings"]["restored"] >= 6, str(status(it)["bindings"]))
                expect_equal(reached(it, known, 4), known, "a known address behind the restart")
                knocking.wait(15)
            finally:
                dns.process.signal(signal.SIGCONT)
            knocked = (unknown, it.bed.server_address(6, NOBODY))
            leaked = [p for p in it.capture.packets(mark[0]) if p.protocol == TCP and p.dport == 22 and p.dst in knocked]
            expect(not leaked, f"the server saw {leaked[:2]}")
    with suite.case(f"{label}: a broken state file is said and ignored"):
        it.firewall.stop()
        state.write_text('{"version":1,"bindings":[')
        it.firewall.start()
        expect("control.bindings.json is ignored" in it.firewall.process.err(), it.firewall.process.err())
        expect(wait_until(lambda: reached(it, "github.test", 4) == known, 10.0), "github.test")


def denied_by_name(suite: Suite, it: World, dns: Dns, label: str) -> None:
    resolver, spare = it.bed.server_address(4, NOBODY), it.bed.server_address(4, SPARE)
    with suite.case(f"{label}: a default that allows, and deny rules by name for SSH and TCP: their addresses are known and refused"):
        expect(wait_until(lambda: status(it)["bindings"]["lookups"] >= 4, 10.0), str(status(it)))
        expect(status(it)["binds"]["new"] >= 4 and status(it)["binds"]["full"] == 0, str(status(it)["binds"]))
        for family in (4, 6):
            for index in (GITHUB, GITLAB):
                mark = it.mark()
                result = it.bed.run("client", ssh(it, it.bed.server_address(family, index), family), 12)
                # The rule for ssh wants to see SSH, the one for tcp decides at the SYN.
                expect_printed(result, f"sallyport: {it.bed.server_address(family, index)} is not allowed (allowing.toml:" if index == GITHUB else "Connection refused")
                it.expect_event(mark, verdict="deny", reason="rule_denies", dport=22)
        mark = it.mark()
        result = it.bed.run("client", ["dig", "+tries=1", "+time=1", f"@{resolver}", "gitlab.test"], 8)
        expect_dig_refused(result)
        it.expect_event(mark, verdict="deny", reason="rule_denies", dport=53)
        expect_equal(reached(it, spare, 4), spare, "an address of no denied name")
    with suite.case(f"{label}: a default that allows: answers bind, so the address is refused that a denied name has moved to"):
        dns.set({**TABLE, "github.test": SPARE})
        result = it.bed.run("client", ["dig", "+short", f"@{resolver}", "github.test"], 8)
        expect_equal(result.out.strip(), spare, result.describe())
        mark = it.mark()
        result = it.bed.run("client", ssh(it, spare, 4), 12)
        expect_printed(result, f"sallyport: {spare} is not allowed (allowing.toml:")
        it.expect_event(mark, verdict="deny", reason="rule_denies", dport=22)


def other_configuration(suite: Suite, it: World, label: str) -> None:
    with suite.case(f"{label}: another resolver in resolv.conf is trusted within seconds, and the old one no more"):
        other = it.bed.server_address(4, LIAR)
        since = int(time.time())
        (ETC_NETNS / it.bed.firewall / "resolv.conf").write_text(f"nameserver {other}\n")
        # A gateway also trusts itself, where the workloads are.
        expect(wait_until(lambda: status(it)["resolver"]["asked"] == [other], 6.0), str(status(it)["resolver"]))
        trusted = status(it)["resolver"]["trusted"]
        expect(trusted[0] == other and it.bed.server_address(4, NOBODY) not in trusted, str(trusted))
        mark = it.mark()
        result = it.bed.run("client", ["dig", "+tries=1", "+time=1", f"@{it.bed.server_address(4, NOBODY)}", "web.test"], 8)
        expect_dig_refused(result)
        it.expect_event(mark, verdict="deny", reason="resolver_not_trusted", dport=53)
        result = it.bed.run("client", ["dig", "+short", f"@{other}", "web.test"], 8)
        expect_equal(result.out.strip(), it.bed.server_address(4, NOBODY), result.describe())
    with suite.case(f"{label}: what the old resolver said is not written"):
        it.firewall.stop()
        state = json.loads((it.bed.scratch / "control.bindings.json").read_text())
        expect_equal(state["resolvers"], {"": [other]}, "whose word it is: not the gateway's own addresses, which may be others then")
        expect(state["bindings"] and all(each["told"] >= since for each in state["bindings"]), str(state["bindings"][:2]))
        it.firewall.start()


if __name__ == "__main__":
    skip_unless_possible(binary(), ("sshd", "ssh", "ssh-keygen", "dnsmasq", "dig", "curl", "nginx"))
    Suite("bindings", 280).main(body)
