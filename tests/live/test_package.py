#!/usr/bin/env python3
"""The .deb in a clean Debian: installed it observes; an upgrade under traffic opens no gap and cuts nothing that is allowed;
removed it leaves no rule, purged no file."""

import json
import re
import shutil
import sys
import time
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
            suite.on_failure = lambda: root.run("tail", "-n", "20", "/var/log/service.log").out + root.asked()
            install(suite, root, Clients(bed, servers), first)
            enforce(suite, root, Clients(bed, servers), policy_text(bed, RULES, on_exit="closed"))
            upgrade(suite, root, servers, second)
            remove(suite, root, before)


def install(suite: Suite, root: CleanRoot, clients: Clients, package: Path) -> None:
    shutil.copy(package, root.path("/tmp/first.deb"))
    with suite.case("install: enabled, started, and observing"):
        result = root.run("dpkg", "-i", "/tmp/first.deb", timeout=120)
        expect_equal(result.code, 0, result.describe())
        expect("installed" in version(root), version(root))
        expect("start sallyport.service" in root.asked(), root.asked())
        expect(root.path("/etc/systemd/system/multi-user.target.wants/sallyport.service").is_symlink(), "not enabled")
        expect(re.search(r"(?m)^sallyport:", root.path("/etc/group").read_text()) is not None, "no group")
        expect_equal(mode(root), "observe", "mode")
        control = root.path("/run/sallyport/control.sock").stat()
        group = int(re.search(r"(?m)^sallyport:[^:]*:(\d+)", root.path("/etc/group").read_text())[1])
        expect_equal((control.st_gid, control.st_mode & 0o777), (group, 0o660), "control socket")
    with suite.case("install: nothing is stopped, and it is told what would be"):
        for name in ("allowed.test", "denied.test"):
            result = clients.curl(f"https://{name}/", 4)
            expect_equal(result.out.strip(), f"vhost {name}", result.describe())
        log = root.path("/var/log/service.log")
        expect(wait_until(lambda: "would deny" in log.read_text(), 5.0), log.read_text())
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


def enforce(suite: Suite, root: CleanRoot, clients: Clients, policy: str) -> None:
    with suite.case("control: while it observes the knocking gets through"):
        knocker = knock(root, clients.servers, "control")
        expect(wait_until(lambda: b"leak" in clients.servers.sink_bytes(), 5.0), "nothing arrived: this test would prove nothing")
        knocker.stop()
    with suite.case("a policy that enforces"):
        root.path("/etc/sallyport/policy.toml").write_text(re.sub(r'control = "[^"]*"\n', "", policy))
        result = root.run("systemctl", "restart", "sallyport.service")
        expect_equal(result.code, 0, result.describe())
        expect_equal(mode(root), "enforce", "mode")
        result = clients.curl("https://allowed.test/", 4)
        expect_equal(result.out.strip(), "vhost allowed.test", result.describe())
        expect(clients.curl("https://denied.test/", 4).code != 0, "denied.test was reached")


def upgrade(suite: Suite, root: CleanRoot, servers: Servers, package: Path) -> None:
    shutil.copy(package, root.path("/tmp/second.deb"))
    with suite.case("upgrade under traffic: what is denied never passes, what is allowed goes on"):
        download = root.bed.spawn("client", "download", [
            "curl", "-sS", "-4", "--cacert", str(servers.ca), "-m", "100", "--limit-rate", "12M", "-o", "/dev/null", "-w", "%{size_download}", "https://allowed.test/bulk"])
        time.sleep(1.0)
        expect(download.running(), download.err())
        knocker = knock(root, servers, "knocker")
        arrived = len(servers.sink_bytes())
        pid = root.path("/run/sallyport.pid").read_text()
        result = root.run("dpkg", "-i", "--force-confold", "/tmp/second.deb", timeout=120)
        expect_equal(result.code, 0, result.describe())
        expect(version(root).startswith(version_of(package)), version(root))
        expect("restart sallyport.service" in root.asked() and "stop sallyport.service" not in root.asked(), root.asked())
        expect(root.path("/run/sallyport.pid").read_text() != pid, "the service was not restarted")
        expect(download.running(), "the download was over before the upgrade was: this test proves nothing")
        time.sleep(0.5)
        knocker.signal(15)
        expect(knocker.wait(5.0) == 0, knocker.err())
        tried = int(knocker.out().split()[-1])
        expect(tried > 50, f"only {tried} times knocked")
        expect_equal(len(servers.sink_bytes()) - arrived, 0, f"bytes that arrived, of {tried} times knocked")
        expect_equal((download.wait(60), download.out()), (0, str(BULK)), download.err())
    with suite.case("upgrade: the administrator's policy is as it was, and enforced"):
        expect("allowed.test" in root.path("/etc/sallyport/policy.toml").read_text(), "the policy was replaced")
        expect_equal(mode(root), "enforce", "mode")


def version_of(package: Path) -> str:
    return must(["dpkg-deb", "-f", str(package), "Version"]).out.strip()


def remove(suite: Suite, root: CleanRoot, before: dict[str, str]) -> None:
    with suite.case("removal: the service ends, no rule is left, the policy stays"):
        result = root.run("dpkg", "-r", "sallyport", timeout=120)
        expect_equal(result.code, 0, result.describe())
        expect(not root.path("/run/sallyport.pid").exists(), "the service runs")
        for tool, text in rulesets(root.bed).items():
            expect_equal(text, before[tool], tool)
        expect(root.path("/etc/sallyport/policy.toml").exists(), "the policy is gone")
        expect(not root.path("/usr/sbin/sallyport").exists(), "the program is still there")
    with suite.case("purge: nothing is left"):
        result = root.run("dpkg", "-P", "sallyport", timeout=120)
        expect_equal(result.code, 0, result.describe())
        left = [str(path.relative_to(root.folder)) for place in ("etc", "run", "var", "usr", "lib")
                for path in root.path(place).rglob("*sallyport*") if "dpkg" not in path.parts]
        expect_equal(left, [], "left behind")


if __name__ == "__main__":
    skip_unless_possible(binary(), ("curl", "nginx", "dnsmasq", "debootstrap", "cpack", "dpkg-deb"))
    if not (BUILD / "share/compressed/sallyport.1.gz").exists():
        skip("the man pages are not built (target sallyport_manual)")
    Suite("package", 540).main(body)
