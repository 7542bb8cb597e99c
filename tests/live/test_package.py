#!/usr/bin/env python3
"""The .deb in a clean Debian that systemd has booted: installed it observes; reload, restart, kill, watchdog, upgrade, shutdown and
boot open no gap and cut nothing that is allowed; removed it leaves no rule, purged no file."""

import json
import re
import shutil
import sys
import time
from contextlib import contextmanager
from pathlib import Path

from support import Servers, Suite, Testbed, binary, expect, expect_equal, policy_text, skip_unless_possible
from support.clean_root import CleanRoot, base, clean_root
from support.clients import Clients
from support.daemon import allow, rulesets
from support.proc import must, run, wait_until
from support.suite import skip

BUILD = Path(binary()).resolve().parent
BULK = 200 << 20
RULES = allow("allowed.test", "tls", "443")
EVENTS = '[events]\nfold = "0s"\noutput = ["stdout", "journald", "file:/var/log/sallyport/events.json"]\n'
# At boot: what flushes all rules when it starts, and what anything that configures a network has started.
WANTED = (("sysinit.target", "nftables.service"), ("multi-user.target", "network.target"))
KILLS = 8  # More than systemd's own limit of starts.

# Tries what is denied, again and again, and says how often: each time a new flow, over TCP and UDP.
KNOCKER = """import signal, socket, sys
address, port = sys.argv[1], int(sys.argv[2])
tried, going = 0, True
def end(*_):
    global going
    going = False
signal.signal(signal.SIGTERM, end)
print("knocking", flush=True)
while going:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as knock:
        try:
            knock.sendto(b"leak", (address, port))
        except OSError:
            pass
    try:
        with socket.create_connection((address, port), 0.02) as knock:
            knock.sendall(b"leak")
    except OSError:
        pass
    tried += 1
print(tried, flush=True)
"""


def make_packages(scratch: Path) -> tuple[Path, Path]:
    """make_packages returns the package as it is built, and the same with a higher revision."""
    result = run(["cpack", "--config", str(BUILD / "CPackConfig.cmake"), "-B", str(scratch / "packages")], 120, cwd=BUILD)
    expect_equal(result.code, 0, result.describe())
    shutil.rmtree(scratch / "packages" / "_CPack_Packages", ignore_errors=True)
    first = next((scratch / "packages").glob("sallyport_*.deb"))
    content = scratch / "content"
    must(["dpkg-deb", "-R", str(first), str(content)])
    control = content / "DEBIAN/control"
    control.write_text(re.sub(r"(?m)^(Version: .*)$", r"\1.1", control.read_text()))
    second = scratch / "packages" / "upgrade.deb"
    must(["dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "-b", str(content), str(second)], 60)
    return first, second


def version(root: CleanRoot) -> str:
    return root.run("dpkg-query", "-W", "-f", "${Version} ${db:Status-Status}", "sallyport").out


def mode(root: CleanRoot) -> str:
    status = root.run("sallyport", "status", "--json")
    expect_equal(status.code, 0, status.describe())
    return json.loads(status.out)["mode"]


def write_policy(root: CleanRoot, text: str) -> None:
    root.path("/etc/sallyport/policy.toml").write_text(re.sub(r'control = "[^"]*"\n', "", text))


def body(suite: Suite) -> None:
    with Testbed("host") as bed, Servers(bed) as servers:
        servers.start_web(BULK)
        servers.start_dns()
        servers.start_sink()
        with suite.case("the package is made"):
            first, second = make_packages(bed.scratch)
        packed = base(BUILD / "package-root", first)
        with clean_root(bed, packed) as root:
            before = rulesets(bed)
            suite.on_failure = lambda: root.journal()[-3000:]
            clients = Clients(bed, servers)
            install(suite, root, clients, first)
            policy = policy_text(bed, RULES, on_exit="closed", extra=EVENTS)
            enforce(suite, root, clients, policy)
            reload(suite, root, clients, policy)
            units(suite, root)
            confined(suite, root)
            displaced(suite, root, clients)
            killed(suite, root, clients)
            broken(suite, root, clients)
            upgrade(suite, root, servers, second)
            boot(suite, root, clients)
            nothing_refused(suite, root)
            remove(suite, root, before)


def install(suite: Suite, root: CleanRoot, clients: Clients, package: Path) -> None:
    shutil.copy(package, root.path("/srv/first.deb"))
    with suite.case("install: enabled, started, and observing"):
        result = root.run("dpkg", "-i", "/srv/first.deb", timeout=120)
        expect_equal(result.code, 0, result.describe())
        expect("installed" in version(root), version(root))
        expect_equal(root.run("systemctl", "is-enabled", "sallyport").out.strip(), "enabled", "is-enabled")
        expect_equal([root.unit("ActiveState", name) for name in ("sallyport.service", "sallyport-rules.service")], ["active", "active"], "units")
        expect("observing" in root.unit("StatusText"), root.unit("StatusText"))
        expect_equal(mode(root), "observe", "mode")
        control = root.run("stat", "-c", "%G %a", "/run/sallyport/control.sock")
        expect_equal(control.out.split(), ["sallyport", "660"], "control socket")
    with suite.case("install: nothing is stopped, and it is told what would be"):
        for name in ("allowed.test", "denied.test"):
            result = clients.curl(f"https://{name}/", 4)
            expect_equal(result.out.strip(), f"vhost {name}", result.describe())
        expect(wait_until(lambda: "would deny" in root.journal(), 5.0), root.journal())
    with suite.case("install: the packaged policy is well-formed, and what is told of the files is there"):
        result = root.run("sallyport", "check", "/etc/sallyport/policy.toml")
        expect_equal(result.code, 0, result.describe())
        for name in ("/usr/share/sallyport/policy.schema.json", "/usr/share/bash-completion/completions/sallyport",
                     "/lib/systemd/system/sallyport.service", "/lib/systemd/system/sallyport-rules.service"):
            expect(root.path(name).exists(), name)


def knock(root: CleanRoot, servers: Servers, name: str):
    knocker = root.bed.spawn("client", name, [sys.executable, "-c", KNOCKER, root.bed.server_address(4), "9000"])
    expect(wait_until(lambda: "knocking" in knocker.out(), 5.0), knocker.err())
    return knocker


@contextmanager
def closed_to_all(root: CleanRoot, servers: Servers, at_least: int = 50, rate: str = "12M"):
    """closed_to_all knocks during the block and fails if one byte arrived; a download that is allowed goes on to its end."""
    download = root.bed.spawn("client", "download", [
        "curl", "-sS", "-4", "--cacert", str(servers.ca), "-m", "100", "--limit-rate", rate, "-o", "/dev/null", "-w", "%{size_download}", "https://allowed.test/bulk"])
    time.sleep(1.0)
    expect(download.running(), download.err())
    knocker = knock(root, servers, "knocker")
    arrived = len(servers.sink_bytes())
    yield
    expect(download.running(), f"the download was over too early, so this proves nothing, or failed: {download.out()} {download.err()}")
    time.sleep(0.5)
    knocker.signal(15)
    expect(knocker.wait(5.0) == 0, knocker.err())
    tried = int(knocker.out().split()[-1])
    expect(tried > at_least, f"only {tried} times knocked")
    expect_equal(len(servers.sink_bytes()) - arrived, 0, f"bytes that arrived, of {tried} times knocked")
    expect_equal((download.wait(60), download.out()), (0, str(BULK)), download.err())


def expect_served(clients: Clients) -> None:
    result = clients.curl("https://allowed.test/", 4)
    expect_equal(result.out.strip(), "vhost allowed.test", result.describe())
    expect(clients.curl("https://denied.test/", 4).code != 0, "denied.test was reached")


def enforce(suite: Suite, root: CleanRoot, clients: Clients, policy: str) -> None:
    with suite.case("control: while it observes the knocking gets through"):
        knocker = knock(root, clients.servers, "control")
        expect(wait_until(lambda: b"leak" in clients.servers.sink_bytes(), 5.0), "nothing arrived: this test would prove nothing")
        knocker.stop()
    with suite.case("a policy that enforces"):
        write_policy(root, policy)
        result = root.run("systemctl", "restart", "sallyport")
        expect_equal(result.code, 0, result.describe())
        expect_equal(mode(root), "enforce", "mode")
        expect_served(clients)


def reload(suite: Suite, root: CleanRoot, clients: Clients, policy: str) -> None:
    with suite.case("systemctl reload takes a changed policy; one with a mistake fails, says where, and changes nothing"):
        pid = root.unit("MainPID")
        write_policy(root, policy + allow("denied.test", "tls", "443"))
        expect_equal(root.run("systemctl", "reload", "sallyport").code, 0, root.journal())
        expect_equal(clients.curl("https://denied.test/", 4).out.strip(), "vhost denied.test", "what came to be allowed")
        write_policy(root, policy + "[[rules]]\nprot = 1\n")
        expect(root.run("systemctl", "reload", "sallyport").code != 0, "a broken policy was taken")
        expect(re.search(r"policy\.toml:\d+:1: rules\[1\]\.prot: unknown key", root.journal()), root.journal())
        expect_equal(clients.curl("https://denied.test/", 4).out.strip(), "vhost denied.test", "what is allowed still")
        write_policy(root, policy)
        expect_equal(root.run("systemctl", "reload", "sallyport").code, 0, root.journal())
        expect_served(clients)
        expect_equal(root.unit("MainPID"), pid, "process")


def units(suite: Suite, root: CleanRoot) -> None:
    with suite.case("a rule for one unit holds for what systemd runs as that unit, and for nobody else"):
        former = root.path("/etc/sallyport/policy.toml").read_text()
        write_policy(root, former + '[scopes.agent]\nunits = ["agent.service"]\n' + allow("denied.test", "tls", "443", 'scope = "agent"\n'))
        expect_equal(root.run("systemctl", "reload", "sallyport").code, 0, root.journal())
        connect = f"openssl s_client -connect {root.bed.server_address(4)}:443 -servername denied.test -brief </dev/null"
        try:
            for unit, served in (("agent", True), ("other", False), ("agent", True)):
                result = root.run("systemd-run", "--wait", "--pipe", "--collect", "--quiet", f"--unit={unit}", "sh", "-c", connect)
                expect_equal(result.code == 0, served, result.describe())
        finally:
            write_policy(root, former)
            expect_equal(root.run("systemctl", "reload", "sallyport").code, 0, root.journal())


def confined(suite: Suite, root: CleanRoot) -> None:
    with suite.case("the service has what its unit and it itself leave it"):
        status = root.shell(f"cat /proc/{root.unit('MainPID')}/status").out
        fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        expect_equal((fields["NoNewPrivs"], fields["Seccomp"]), ("1", "2"), status)
        allowed = sum(1 << number for number in (0, 2, 12, 13, 19))  # CHOWN, DAC_READ_SEARCH, NET_ADMIN, NET_RAW, SYS_PTRACE.
        expect_equal(int(fields["CapPrm"], 16) & ~allowed, 0, status)
        expect_equal(int(fields["CapBnd"], 16) & ~(allowed | 1 << 21), 0, status)  # SYS_ADMIN, which no_new_privs keeps from coming back.
    with suite.case("events: in the file and in the journal's own fields, with the unit and the program that asked"):
        lines = [json.loads(line) for line in root.path("/var/log/sallyport/events.json").read_text().splitlines()]
        by_unit = [line for line in lines if line.get("process") == "openssl" and line["reason"] != "revoked"]
        expect_equal([(line["verdict"], line["cgroup"]) for line in by_unit],
                     [(verdict, f"/system.slice/{unit}.service") for unit, verdict in (("agent", "allow"), ("other", "deny"), ("agent", "allow"))], "of units")
        fields = root.run("journalctl", "--no-pager", "-o", "json", "SALLYPORT_EVENT=flow").out
        expect(f'"{by_unit[0]["id"]}"' in fields, fields[-600:])


def nothing_refused(suite: Suite, root: CleanRoot) -> None:
    with suite.case("all the while the service had no complaint that its confinement could be the cause of"):
        journal = root.journal()
        expect("observing" in journal and "enforcing" in journal, f"this is not the whole journal: {journal[:300]}")
        complaint = re.search(r"(?im)^.*(not permitted|permission denied|read-only file system|bad system call|core-dump|/SYS).*$", journal)
        expect(complaint is None, complaint and complaint[0])


def displaced(suite: Suite, root: CleanRoot, clients: Clients) -> None:
    flushed(suite, root, clients, "nft")
    root.run("systemctl", "stop", "sallyport")
    root.run("sallyport", "rules", "remove")
    # Who has rules there alone is stood beside.
    if root.run("iptables-legacy", "-A", "OUTPUT", "-p", "tcp", "--dport", "25", "-j", "DROP").code == 0:
        root.run("systemctl", "restart", "sallyport-rules", "sallyport")
        flushed(suite, root, clients, "legacy")
    else:
        suite.leave_out("iptables-legacy under the unit's confinement", "this kernel has no ip_tables")
    root.run("systemctl", "stop", "sallyport")
    root.run("sallyport", "rules", "remove")
    root.run("iptables-legacy", "-F")
    root.run("systemctl", "restart", "sallyport-rules", "sallyport")


def flushed(suite: Suite, root: CleanRoot, clients: Clients, back_end: str) -> None:
    with suite.case(f"iptables-{back_end}: confined as it is, the service sets its rules, and puts back what others flush"):
        expect(all("SALLYPORT" in root.run(f"{tool}-{back_end}-save").out for tool in ("iptables", "ip6tables")), "no rules of this back end")
        expect_served(clients)
        expect_equal(root.run(f"iptables-{back_end}", "-F").code, 0, "flush")
        expect(wait_until(lambda: "-j SALLYPORT-OUT" in root.run(f"iptables-{back_end}-save").out, 4.0), root.journal()[-2000:])
        expect_served(clients)


def started_anew(root: CleanRoot, pid: str) -> bool:
    return root.unit("MainPID") not in ("0", pid) and root.unit("ActiveState") == "active"


def killed(suite: Suite, root: CleanRoot, clients: Clients) -> None:
    with suite.case("killed again and again it is back each time; what is denied never passes meanwhile, what is allowed goes on"):
        with closed_to_all(root, clients.servers, rate="6M"):
            for _ in range(KILLS):
                pid = root.unit("MainPID")
                expect_equal(root.run("systemctl", "kill", "-s", "KILL", "sallyport").code, 0, "kill")
                expect(wait_until(lambda: started_anew(root, pid), 5.0), root.run("systemctl", "status", "sallyport").out)  # noqa: B023
        expect_equal((root.unit("NRestarts"), root.unit("StartLimitIntervalUSec")), (str(KILLS), "0"), "restarts, and systemd's limit of them")
        expect_served(clients)
    with suite.case("its watchdog: stopped in its tracks, it is killed and started again, closed all the while"):
        drop_in(root, "[Service]\nWatchdogSec=2s\n")
        expect_equal(root.run("systemctl", "restart", "sallyport").code, 0, root.journal())
        with closed_to_all(root, clients.servers):
            pid = root.unit("MainPID")
            time.sleep(3.0)
            expect_equal(root.unit("MainPID"), pid, "killed although it was well")
            expect_equal(root.shell(f"kill -STOP {pid}").code, 0, "kill")
            expect(wait_until(lambda: started_anew(root, pid), 8.0), root.run("systemctl", "status", "sallyport").out)
        expect("Watchdog timeout" in root.journal(), root.journal())
        expect_served(clients)
        drop_in(root, "")
        expect_equal(root.run("systemctl", "restart", "sallyport").code, 0, root.journal())


def drop_in(root: CleanRoot, text: str) -> None:
    folder = root.path("/etc/systemd/system/sallyport.service.d")
    folder.mkdir(exist_ok=True)
    (folder / "test.conf").write_text(text)
    root.run("systemctl", "daemon-reload")


def broken(suite: Suite, root: CleanRoot, clients: Clients) -> None:
    with suite.case("a policy that does not load at a restart: the unit fails once, says why, and nothing is open"):
        former = root.path("/etc/sallyport/policy.toml").read_text()
        with closed_to_all(root, clients.servers):
            write_policy(root, former + "[[rules]]\nprot = 1\n")
            expect(root.run("systemctl", "restart", "sallyport").code != 0, "it started")
            time.sleep(1.0)
            expect_equal((root.unit("ActiveState"), root.unit("NRestarts"), root.unit("ExecMainStatus")), ("failed", "0", "2"), "unit")
            expect("unknown key" in root.journal(), root.journal())
            write_policy(root, former)
            expect_equal(root.run("systemctl", "restart", "sallyport").code, 0, root.journal())
        expect_served(clients)


def upgrade(suite: Suite, root: CleanRoot, servers: Servers, package: Path) -> None:
    shutil.copy(package, root.path("/srv/second.deb"))
    with suite.case("upgrade under traffic: what is denied never passes, what is allowed goes on"):
        drop_in(root, "[Service]\nExecStartPre=sleep 1\n")  # So that a gap would be seen.
        with closed_to_all(root, servers):
            pid = root.unit("MainPID")
            result = root.run("dpkg", "-i", "--force-confold", "/srv/second.deb", timeout=120)
            expect_equal(result.code, 0, result.describe())
            expect(version(root).startswith(version_of(package)), version(root))
            expect(root.unit("MainPID") not in ("0", pid), "the service was not restarted")
        drop_in(root, "")
    with suite.case("upgrade: the administrator's policy is as it was, and enforced"):
        expect("allowed.test" in root.path("/etc/sallyport/policy.toml").read_text(), "the policy was replaced")
        expect_equal(mode(root), "enforce", "mode")


def boot(suite: Suite, root: CleanRoot, clients: Clients) -> None:
    with suite.case("shut down under traffic: nothing is opened"):
        with closed_to_all(root, clients.servers, 10):
            root.shut_down()
        for tool in ("iptables", "ip6tables"):
            expect("SALLYPORT" in rulesets(root.bed)[f"{tool}-save"], f"{tool}: the rules of a policy that enforces")
    with suite.case("boot: the rules are there before the network may be, the service before what needs the network; from then on all is judged"):
        root.bed.run("firewall", ["sh", "-c", "for tool in iptables ip6tables; do $tool-save | sed '/SALLYPORT/d' | $tool-restore; done; conntrack -F; nft flush ruleset"])
        expect(all("SALLYPORT" not in text for text in rulesets(root.bed).values()), "this kernel remembers what another would not")
        for target, unit in WANTED:
            wants = root.path(f"/etc/systemd/system/{target}.wants")
            wants.mkdir(exist_ok=True)
            (wants / unit).symlink_to(f"/lib/systemd/system/{unit}")
        root.boot()
        expect_equal(root.unit("ActiveState"), "active", root.journal())
        expect_equal(mode(root), "enforce", "mode")
        expect_served(clients)
        rules, before, service = (int(root.unit("ActiveEnterTimestampMonotonic", name)) for name in ("sallyport-rules.service", "network-pre.target", "sallyport.service"))
        network = int(root.unit("ActiveEnterTimestampMonotonic", "network.target"))
        expect(0 < rules <= before < service <= network, f"rules {rules}, network-pre.target {before}, service {service}, network.target {network}")
        flushed_at = int(root.unit("ExecMainExitTimestampMonotonic", "nftables.service"))
        expect(0 < flushed_at <= int(root.unit("ExecMainStartTimestampMonotonic", "sallyport-rules.service")), "nftables.service, which flushes, comes behind our rules")
        invocation = root.run("journalctl", "--no-pager", "-o", "cat", f"_SYSTEMD_INVOCATION_ID={root.unit('InvocationID')}").out
        expect("ready" in invocation and "displaced" not in invocation, f"the flush of nftables' own start came behind our rules: {invocation[-1000:]}")
        root.run("systemctl", "disable", "nftables")
        root.run("nft", "delete", "table", "inet", "filter")
        failed = root.run("systemctl", "--failed", "--quiet", "--plain", "--no-legend", "list-units", "sallyport*")
        expect_equal((failed.code, failed.out), (0, ""), "failed units")


def version_of(package: Path) -> str:
    return must(["dpkg-deb", "-f", str(package), "Version"]).out.strip()


def remove(suite: Suite, root: CleanRoot, before: dict[str, str]) -> None:
    with suite.case("removal: the service ends, no rule is left, the policy stays"):
        result = root.run("dpkg", "-r", "sallyport", timeout=120)
        expect_equal(result.code, 0, result.describe())
        expect(root.unit("ActiveState") != "active", "the service runs")
        for tool, text in rulesets(root.bed).items():
            expect_equal(text, before[tool], tool)
        expect(root.path("/etc/sallyport/policy.toml").exists(), "the policy is gone")
        expect(not root.path("/usr/sbin/sallyport").exists(), "the program is still there")
    with suite.case("purge: nothing is left"):
        root.shell("rm -r /etc/systemd/system/sallyport.service.d")
        result = root.run("dpkg", "-P", "sallyport", timeout=120)
        expect_equal(result.code, 0, result.describe())
        left = root.shell("find /etc /run /var /usr -name '*sallyport*' ! -path '*/dpkg/*' ! -path '/run/systemd/*'").out.split()
        expect_equal(left, [], "left behind")


if __name__ == "__main__":
    skip_unless_possible(binary(), ("curl", "nginx", "dnsmasq", "debootstrap", "cpack", "dpkg-deb", "unshare", "nsenter", "pgrep"))
    if not (BUILD / "share/compressed/sallyport.1.gz").exists():
        skip("the man pages are not built (target sallyport_manual)")
    Suite("package", 540).main(body)
