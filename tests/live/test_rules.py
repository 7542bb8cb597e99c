#!/usr/bin/env python3
"""What the program does to the machine's rules: its own come and go as a whole, foreign ones are never touched."""

import os
import signal
import sys

from support import Sallyport, Servers, Suite, Testbed, binary, expect, expect_equal, policy_text, run, skip_unless_possible
from support.clients import Clients
from support.daemon import allow, rulesets
from support.proc import wait_until
from support.refused import expect_printed_alert

RULES = allow("allowed.test", "tls", "443")
# A service manager's socket (sd_notify(3)): prints each datagram that it gets. Abstract names are those of one network namespace.
MANAGER = """import socket, sys
name = sys.argv[1]
manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
manager.bind("\\0" + name[1:] if name[0] == "@" else name)
print("bound", flush=True)
while True:
    print(manager.recv(4096), flush=True)
"""
FOREIGN = [
    ["iptables", "-N", "SITE"],
    ["iptables", "-A", "SITE", "-p", "tcp", "--dport", "25", "-j", "DROP"],
    ["iptables", "-A", "OUTPUT", "-j", "SITE"],
    ["iptables", "-I", "FORWARD", "1", "-m", "conntrack", "--ctstate", "RELATED,ESTABLISHED", "-j", "ACCEPT"],
    ["iptables", "-t", "nat", "-A", "POSTROUTING", "-s", "172.30.0.0/16", "-j", "MASQUERADE"],
    ["iptables", "-t", "mangle", "-A", "PREROUTING", "-p", "udp", "--dport", "7", "-j", "MARK", "--set-mark", "0x1"],
    ["ip6tables", "-A", "OUTPUT", "-p", "tcp", "--dport", "25", "-j", "DROP"],
    ["nft", "add", "table", "inet", "site"],
    ["nft", "add", "chain", "inet", "site", "out", "{ type filter hook output priority 10; }"],
    ["nft", "add", "rule", "inet", "site", "out", "tcp", "dport", "26", "drop"],
]


def body(suite: Suite) -> None:
    for mode in ("host", "gateway"):
        for foreign in (False, True):
            with Testbed(mode) as bed, Servers(bed) as servers:
                servers.start_web()
                for command in FOREIGN if foreign else []:
                    expect_equal(bed.run("firewall", command).code, 0, " ".join(command))
                around_a_run(suite, bed, Clients(bed, servers), f"{mode}{' beside foreign rules' if foreign else ''}", foreign)
    with Testbed("host") as bed, Servers(bed) as servers:
        servers.start_web()
        closed_on_exit(suite, bed, Clients(bed, servers))
        two_daemons(suite, bed, Clients(bed, servers))
        service_manager(suite, bed)


def expect_same(bed, before: dict[str, str], when: str) -> None:
    after = rulesets(bed)
    for tool, text in before.items():
        expect_equal(after[tool], text, f"{tool} {when}")


def around_a_run(suite: Suite, bed, clients: Clients, label: str, foreign: bool) -> None:
    before = rulesets(bed)
    host_before = {tool: run(tool.split()).out for tool in ("iptables-save", "ip6tables-save")}
    for number, name in ((signal.SIGINT, "Ctrl-C"), (signal.SIGTERM, "SIGTERM")):
        with suite.case(f"{label}: rulesets are identical before and after a run ended by {name}"):
            firewall = Sallyport(bed, policy_text(bed, RULES, on_exit="open"))
            firewall.start()
            during = rulesets(bed)
            expect("SALLYPORT" in during["iptables-save"] and "SALLYPORT" in during["ip6tables-save"], "no chains of ours while it runs")
            if foreign:
                for line in before["iptables-save"].splitlines():
                    expect(line in during["iptables-save"], f"a foreign rule is gone during the run: {line}")
                expect("tcp dport 26 drop" in during["nft"], "a foreign nft rule is gone during the run")
            result = clients.curl("https://allowed.test/", 4)
            expect_equal(result.out.strip(), "vhost allowed.test", result.describe())
            code = firewall.stop(number)
            expect_equal(code, 0, f"exit code; {firewall.process.err()[-400:]}")
            expect_same(bed, before, f"after {name}")
    with suite.case(f"{label}: the same after Ctrl-C in observe mode"):
        folder = bed.scratch / "made" / "by run"
        firewall = Sallyport(bed, policy_text(bed, RULES).replace(f"{bed.scratch}/", f"{folder}/"), "--observe")
        firewall.start()
        expect_equal(clients.curl("https://denied.test/", 4).out.strip(), "vhost denied.test", "observe lets through")
        clients.raw(bed.server_address(4), 443, b"")
        expect_equal(firewall.stop(signal.SIGINT), 0, "exit code")
        expect_equal([event["verdict"] for event in firewall.events()], ["deny", "pending"], "a line for each flow")
        expect(folder.parent.parent.exists() and not folder.parent.exists(), "the folders of the control socket")
        expect_same(bed, before, "after Ctrl-C in observe mode")
    with suite.case(f"{label}: a broken policy is exit code 2 and changes nothing"):
        firewall = Sallyport(bed, policy_text(bed, RULES + '[[rules]]\nto = ["*.*.test"]\nprot = ["tls"]\n'), ready=False)
        firewall.start()
        expect_equal(firewall.process.wait(10), 2, "exit code")
        expect("sallyport.toml:" in firewall.process.err() and "protocols" in firewall.process.err(), firewall.process.err())
        expect_same(bed, before, "after a broken policy")
    with suite.case(f"{label}: a control socket that cannot be made is an error exit and changes nothing"):
        text = policy_text(bed, RULES).replace(f"{bed.scratch}/control.sock", f"{bed.scratch}/none/none/control.sock")
        (bed.scratch / "none").write_text("not a folder")
        firewall = Sallyport(bed, text, ready=False)
        firewall.start()
        code = firewall.process.wait(10)
        (bed.scratch / "none").unlink()
        expect(code not in (0, None), f"exit code {code}")
        expect_same(bed, before, "after an error exit")
    with suite.case(f"{label}: after kill -9 `rules remove` leaves what was there before"):
        firewall = Sallyport(bed, policy_text(bed, RULES))
        firewall.start()
        firewall.kill()
        expect("SALLYPORT" in rulesets(bed)["iptables-save"], "the rules must outlive the program")
        expect_equal(firewall.remove_rules().code, 0, "exit code of `rules remove`")
        expect_same(bed, before, "after `rules remove`")
    with suite.case(f"{label}: nothing outside the namespaces changed"):
        for tool, text in host_before.items():
            expect_equal([line for line in run(tool.split()).out.splitlines() if "SALLYPORT" in line and line not in text], [], tool)


def closed_on_exit(suite: Suite, bed, clients: Clients) -> None:
    before = rulesets(bed)
    firewall = Sallyport(bed, policy_text(bed, RULES, on_exit="closed"))
    with suite.case('SIGTERM with on_exit = "closed": the rules stay and nothing new passes'):
        firewall.start()
        expect_equal(firewall.stop(signal.SIGTERM), 0, "exit code")
        expect("SALLYPORT" in rulesets(bed)["iptables-save"], "the rules are gone")
        result = clients.curl("https://allowed.test/", 4, timeout=1.5)
        expect(result.code != 0, result.describe())
    with suite.case("`rules remove` opens the machine again"):
        result = firewall.remove_rules()
        expect_equal(result.code, 0, result.describe())
        expect_same(bed, before, "after `rules remove`")
        result = clients.curl("https://allowed.test/", 4)
        expect_equal(result.code, 0, result.describe())
    with suite.case("`rules remove` twice is no error"):
        expect_equal(firewall.remove_rules().code, 0, "exit code")


def two_daemons(suite: Suite, bed, clients: Clients) -> None:
    with Sallyport(bed, policy_text(bed, RULES)) as first:
        with suite.case("status: exit code 0 and words while it runs"):
            result = first.status()
            expect(result.code == 0 and result.out.strip(), result.describe())
        for name, path in (("the same control socket", "control.sock"), ("a control socket of its own", "second.sock")):
            with suite.case(f"a second daemon with {name} refuses clearly, the first goes on"):
                during = rulesets(bed)
                text = policy_text(bed, RULES).replace("control.sock", path)
                second = Sallyport(bed, text, name="second", ready=False)
                second.start()
                code = second.process.wait(10)
                expect(code not in (0, None), f"exit code {code}: {second.process.err()}")
                expect(second.process.err().strip(), "it said nothing")
                expect_same(bed, during, "after the second's attempt")
                result = clients.curl("https://allowed.test/", 4)
                expect_equal(result.out.strip(), "vhost allowed.test", result.describe())
                expect_printed_alert(clients.curl("https://denied.test/", 4))  # The first goes on judging.
                expect_equal(first.status().code, 0, "status of the first")
    with suite.case("status: another exit code when nothing runs"):
        result = first.status()
        expect(result.code not in (0, None), result.describe())


def service_manager(suite: Suite, bed) -> None:
    for kind, name in (("a path", str(bed.scratch / "notify.sock")), ("an abstract name", f"@sallyport-notify-{os.getpid()}")):
        with suite.case(f"a service manager at {kind} hears when the program is ready and when it ends"):
            manager = bed.spawn("firewall", "manager", [sys.executable, "-c", MANAGER, name])
            expect(wait_until(lambda: manager.out() == "bound\n", 5.0), manager.err())
            with Sallyport(bed, policy_text(bed, RULES), ready=False, environment={"NOTIFY_SOCKET": name}) as firewall:
                expect(wait_until(lambda: "READY=1" in manager.out(), 15.0), f"not told: {firewall.log()}")
                expect_equal(firewall.status().code, 0, "status of what says that it is ready")
                expect("SALLYPORT" in rulesets(bed)["iptables-save"], "ready without rules")
                expect_equal(firewall.stop(), 0, "exit code")
            expect(wait_until(lambda: "STOPPING=1" in manager.out(), 2.0), manager.out())
            manager.stop()
            told = manager.out().splitlines()[1:]
            expect_equal([text.split("\\n")[0] for text in told], ["b'READY=1", "b'STOPPING=1'"], "datagrams, in order")
            expect("STATUS=sallyport: enforcing" in told[0], told[0])


if __name__ == "__main__":
    skip_unless_possible(binary(), ("curl", "nginx", "nft"))
    Suite("rules", 200).main(body)
