#!/usr/bin/env python3
"""Whose a flow is: users, groups, cgroups and units of this host; sources and interfaces of workloads behind a gateway."""

import json
import os
import sys
from contextlib import contextmanager
from pathlib import Path

from support import Suite, Testbed, Servers, binary, expect, expect_equal, policy_text, skip_unless_possible
from support.clients import Clients
from support.daemon import Sallyport
from support.proc import run, wait_until
from support.refused import expect_printed_alert
from support.suite import skip
from support.world import world

NAME = f"spt{os.getpid()}"


def cgroup2() -> Path | None:
    for line in Path("/proc/mounts").read_text().splitlines():
        if line.split()[2] == "cgroup2":
            return Path(line.split()[1])
    return None


ROOT = cgroup2()


def rule(names: str, scope: str = "", action: str = "allow", protocols: str = '"tls"', ports: str = "[443]") -> str:
    scoped = f'scope = "{scope}"\n' if scope else ""
    return f'[[rules]]\nto = [{names}]\nprotocols = [{protocols}]\nports = {ports}\naction = "{action}"\n{scoped}'


HOST_SCOPES = f"""
[scopes.ci]
cgroups = ["/{NAME}/ci-*"]
[scopes.agent]
cgroups = ["/{NAME}/agent"]
[scopes.unit]
units = ["{NAME}-*.service"]
[scopes.people]
groups = [4711]
[scopes.user]
users = [4712]
"""
# The same name for two workloads, one of which may and one of which may not.
HOST_RULES = (rule('"allowed.test"', "ci") + rule('"other.test"', "agent") + rule('"second.test"', "unit") + rule('"www.allowed.test"', "people")
              + rule('"blocked.test"', "user") + rule('"denied.test"', "agent", "deny") + rule('"denied.test"')
              + rule('"any"', "ci", protocols='"udp"', ports="[9000]"))


@contextmanager
def cgroups(*paths: str):
    made = []
    try:
        for path in paths:
            whole = ROOT
            for part in path.strip("/").split("/"):
                whole = whole / part
                if not whole.exists():
                    whole.mkdir()
                    made.append(whole)
        yield
    finally:
        for whole in reversed(made):
            whole.rmdir()


class Host:
    def __init__(self, bed, servers, firewall_pid: int = 0):
        self.bed, self.servers, self.firewall_pid = bed, servers, firewall_pid

    def inside(self, cgroup: str, *command: str, uid: int | None = None, gid: int | None = None):
        """inside runs a command in a cgroup; "" is this process's own."""
        enter = f"echo 0 > {ROOT}/{cgroup}/cgroup.procs; " if cgroup else ""
        become = ["setpriv", *([f"--reuid={uid}"] if uid else []), *([f"--regid={gid}"] if gid else []), "--clear-groups", "--"] if uid or gid else []
        script = enter + 'exec "$@"'
        # The cgroup is entered outside of `ip netns exec`, which takes /sys/fs/cgroup out of sight.
        argv = ["sh", "-c", script, "x", *self.bed.argv("client", [*become, *command])]
        return run(argv, 12)

    def page(self, cgroup: str, name: str, family: int, **who):
        return self.inside(cgroup, "curl", "-sS", f"-{family}", "--cacert", str(self.servers.ca), "-m", "4", f"https://{name}/", **who)

    def expect_page(self, cgroup: str, name: str, family: int, **who) -> None:
        result = self.page(cgroup, name, family, **who)
        expect_equal(result.out.strip(), f"vhost {name}", result.describe())

    def expect_none(self, cgroup: str, name: str, family: int, **who) -> None:
        result = self.page(cgroup, name, family, **who)
        expect_printed_alert(result)


def host(suite: Suite, it: Host, family: int) -> None:
    label = f"v{family}"
    with suite.case(f"{label}: a cgroup that was there before the rules, and what is below it"):
        it.expect_page(f"{NAME}/ci-1", "allowed.test", family)
        it.expect_page(f"{NAME}/ci-1/below", "allowed.test", family)
    with suite.case(f"{label}: a cgroup that is made while the program runs"):
        with cgroups(f"{NAME}/ci-2"):
            it.expect_page(f"{NAME}/ci-2", "allowed.test", family)
    with suite.case(f"{label}: two workloads, the same names, different rights"):
        it.expect_page(f"{NAME}/agent", "other.test", family)
        it.expect_none(f"{NAME}/agent", "allowed.test", family)
        it.expect_none(f"{NAME}/ci-1", "other.test", family)
    with suite.case(f"{label}: in no cgroup that a rule names there is only what everybody may"):
        for cgroup in ("", NAME):
            it.expect_none(cgroup, "allowed.test", family)
            it.expect_page(cgroup, "denied.test", family)
    with suite.case(f"{label}: a deny rule is for its cgroup alone"):
        it.expect_none(f"{NAME}/agent", "denied.test", family)
        it.expect_page(f"{NAME}/ci-1", "denied.test", family)
    with suite.case(f"{label}: a unit is known below slices, and not where others may choose names"):
        it.expect_page(f"{NAME}.slice/{NAME}-a.service", "second.test", family)
        it.expect_none(f"{NAME}.slice/x.scope/{NAME}-a.service", "second.test", family)
    with suite.case(f"{label}: groups and users"):
        it.expect_page("", "www.allowed.test", family, gid=4711)
        it.expect_none("", "www.allowed.test", family, gid=4713)
        it.expect_page("", "blocked.test", family, uid=4712)
        it.expect_none("", "blocked.test", family, uid=4713)
    with suite.case(f"{label}: UDP, by connected and unconnected sockets, an IPv4 one of IPv6 among them"):
        server = it.bed.server_address(family)
        for kind in ("connected", "unconnected") + (("mapped",) if family == 4 else ()):
            for cgroup, answered in ((f"{NAME}/ci-1", True), (f"{NAME}/agent", False)):
                result = it.inside(cgroup, sys.executable, "-c", DATAGRAM, kind, server)
                expect_equal(result.out.strip(), "answered" if answered else "silence", f"{kind} from {cgroup}: {result.describe()}")
    with suite.case(f"{label}: a socket of IPv6 that speaks IPv4, and one that is bound to its interface"):
        for kind in ("device",) + (("mapped",) if family == 4 else ()):
            for cgroup, connected in ((f"{NAME}/ci-1", True), (f"{NAME}/agent", False)):
                result = it.inside(cgroup, sys.executable, "-c", STREAM, kind, it.bed.server_address(family), str(it.servers.ca))
                expect_equal(result.out.strip(), "served" if connected else "refused", f"{kind} from {cgroup}: {result.describe()}")
    with suite.case(f"{label}: a port that two cgroups share belongs to none"):
        script = f'exec 8> {ROOT}/{NAME}/ci-1/cgroup.procs 9> {ROOT}/{NAME}/agent/cgroup.procs; exec "$@"'
        result = run(["sh", "-c", script, "x", *it.bed.argv("client", [sys.executable, "-c", SHARED, "8", "9", it.bed.server_address(family)])], 12)
        expect_equal(result.out.strip(), "silence", result.describe())
    with suite.case(f"{label}: a socket that is closed before anybody asks is not taken for another user's on its port"):
        for sender, answered in (("still there", "answered"), ("closed", "silence")):
            argv = [sys.executable, "-c", CLOSED, "8", "9", it.bed.server_address(family), str(it.firewall_pid), sender]
            result = run(["sh", "-c", script, "x", *it.bed.argv("client", argv)], 12)
            expect_equal(result.out.strip(), answered, f"{sender}: {result.describe()}")


DATAGRAM = """import socket, sys
kind, server = sys.argv[1:]
six = ":" in server or kind == "mapped"
s = socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(0.7)
target = ("::ffff:" + server if kind == "mapped" else server, 9000)
try:
    if kind == "connected":
        s.connect(target); s.send(b"x")
    else:
        s.sendto(b"x", target)
    s.recv(100); print("answered")
except OSError:
    print("silence")
"""
STREAM = """import socket, ssl, sys
kind, server, ca = sys.argv[1:]
six = ":" in server or kind == "mapped"
s = socket.socket(socket.AF_INET6 if six else socket.AF_INET)
s.settimeout(3)
if kind == "device": s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"east")
try:
    s.connect(("::ffff:" + server if kind == "mapped" else server, 443))
    ssl.create_default_context(cafile=ca).wrap_socket(s, server_hostname="allowed.test"); print("served")
except OSError:
    print("refused")
"""
# A process of the cgroup that may not sends from a port that one of the cgroup that may has, too. Both cgroups are entered
# through the descriptors that were opened before /sys/fs/cgroup went out of sight.
SHARED = """import os, socket, sys
may, may_not, server = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
family = socket.AF_INET6 if ":" in server else socket.AF_INET
def bound():
    s = socket.socket(family, socket.SOCK_DGRAM); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1); s.bind(("", 40404)); return s
ready, go = os.pipe(), os.pipe()
if os.fork() == 0:
    os.write(may, b"0"); other = bound(); os.write(ready[1], b"x"); os.read(go[0], 1); os._exit(0)
os.write(may_not, b"0")
os.read(ready[0], 1)
s = bound(); s.settimeout(0.7)
try:
    s.sendto(b"x", (server, 9000)); s.recv(100); print("answered")
except OSError:
    print("silence")
os.write(go[1], b"x"); os.wait()
"""
# User 4713 of the cgroup that may has a socket on a port. "closed": root's of the cgroup that may not sends by the same port, and is
# gone when the program, which is stopped meanwhile, asks whose the datagram is. Else the user's own sends.
CLOSED = """import os, signal, socket, sys
may, may_not, server, program, sender = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4]), sys.argv[5]
family = socket.AF_INET6 if ":" in server else socket.AF_INET
def bound():
    s = socket.socket(family, socket.SOCK_DGRAM); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(("", PORT)); return s
PORT = 40405 if sender == "closed" else 40406
os.write(may, b"0"); os.seteuid(4713); honest = bound(); honest.settimeout(0.7 if sender == "closed" else 5); os.seteuid(0)  # Who waits for silence waits no longer than that.
os.write(may_not, b"0"); other = bound()
def state(task): return open(f"/proc/{program}/task/{task}/stat").read().rsplit(")", 1)[1].split()[0]
os.kill(program, signal.SIGSTOP)
# It stops a moment later; until then it could answer before the other socket, which would get what comes back, is closed.
while any(state(task) != "T" for task in os.listdir(f"/proc/{program}/task")): pass
try:
    (other if sender == "closed" else honest).sendto(b"x", (server, 9000))
    other.close()
finally:
    os.kill(program, signal.SIGCONT)
try:
    honest.recv(100); print("answered")
except OSError:
    print("silence")
"""


def gateway(suite: Suite) -> None:
    scopes = """
[scopes.source]
sources = ["10.91.0.1", "fd91::1"]
[scopes.elsewhere]
sources = ["10.91.7.0/24", "fd91:0:0:7::/64"]
[scopes.inside]
interfaces = ["west"]
[scopes.other]
interfaces = ["nosuch0"]
[scopes.cgroup]
cgroups = ["/"]
"""
    rules = (rule('"allowed.test"', "source") + rule('"other.test"', "elsewhere") + rule('"second.test"', "inside") + rule('"blocked.test"', "other")
             + rule('"denied.test"', "cgroup"))
    with world(suite, "gateway", rules, "web", extra=scopes, capture=False) as it:
        for family in (4, 6):
            for name, allowed in (("allowed.test", True), ("other.test", False), ("second.test", True), ("blocked.test", False), ("denied.test", False)):
                with suite.case(f"gateway v{family}: {name} is {'allowed' if allowed else 'denied'}"):
                    result = it.clients.curl(f"https://{name}/", family)
                    if allowed:
                        expect_equal(result.out.strip(), f"vhost {name}", result.describe())
                    else:
                        expect_printed_alert(result)


CONTAINER_SCOPES = """
[scopes.web]
containers = ["web-*"]
[scopes.shop]
containers = ["compose:shop/front"]
"""
CONTAINER_RULES = (rule('"allowed.test"', "web") + rule('"other.test"', "shop") + rule('"denied.test"', "web", "deny") + rule('"denied.test"'))


class Engine:
    """Engine is a container engine's API, as the program sees it at /run/podman/podman.sock; nobody else does."""

    def __init__(self, bed):
        self.folder = bed.scratch / "engine"
        (self.folder / "podman").mkdir(parents=True)
        self.state = bed.scratch / "containers.json"
        self.set()
        process = bed.spawn("firewall", "engine", [sys.executable, "-B", str(Path(__file__).with_name("support") / "engine.py"),
                                                   str(self.folder / "podman" / "podman.sock"), str(self.state)])
        expect(wait_until(lambda: "listening" in process.out(), 5.0), process.err())
        # The program in a mount namespace of its own, with this folder for its /run.
        self.program = bed.scratch / "sallyport-with-engine"
        self.program.write_text(f"""#!/bin/sh
exec unshare -m sh -c 'mount --bind {self.folder} /run && exec "$0" "$@"' {binary()} "$@"
""")
        self.program.chmod(0o755)

    def set(self, *containers: dict) -> None:
        new = self.state.with_suffix(".new")
        new.write_text(json.dumps(list(containers)))
        new.rename(self.state)


def container(digit: str, name: str, addresses: tuple[str, str] = ("", ""), service: str = "", pid: int = 0) -> dict:
    project, _, part = service.partition("/")
    labels = {"com.docker.compose.project": project, "com.docker.compose.service": part} if service else {}
    return {"Id": digit * 64, "Names": [f"/{name}"], "Labels": labels, "Pid": pid,
            "NetworkSettings": {"Networks": {"net": {"IPAddress": addresses[0], "GlobalIPv6Address": addresses[1]}}}}


@contextmanager
def program(path: Path):
    previous = os.environ.get("SALLYPORT")
    os.environ["SALLYPORT"] = str(path)
    try:
        yield
    finally:
        if previous is None:
            del os.environ["SALLYPORT"]
        else:
            os.environ["SALLYPORT"] = previous


def containers_behind(suite: Suite) -> None:
    """Containers behind a gateway are known by their addresses."""
    with Testbed("gateway") as bed, Servers(bed) as servers:
        servers.start_web()
        clients, engine = Clients(bed, servers), Engine(bed)
        own = (bed.client_address(4), bed.client_address(6))
        with program(engine.program), Sallyport(bed, policy_text(bed, CONTAINER_RULES, extra=CONTAINER_SCOPES)):
            for what, listed, allowed in (
                    ("not known", [], []),
                    ("web-1, started behind the rules", [container("a", "web-1", own)], ["allowed.test"]),
                    ("of the service shop/front", [container("a", "shop-front-1", own, "shop/front")], ["other.test", "denied.test"]),
                    ("of another service", [container("a", "x", own, "shop/back")], ["denied.test"]),
                    ("two at one address", [container("a", "web-1", own), container("b", "db", own)], []),
                    ("web-1 gone, its address another's", [container("b", "db", own)], ["denied.test"])):
                engine.set(*listed)
                for family in (4, 6):
                    with suite.case(f"containers v{family}: a workload that is {what}"):
                        def pages() -> list[str]:
                            names = ("allowed.test", "other.test", "denied.test")
                            return [name for name in names if clients.curl(f"https://{name}/", family).out.strip() == f"vhost {name}"]
                        wait_until(lambda: pages() == allowed, 4.0, 0.2)
                        expect_equal(pages(), allowed, "pages")


def containers_here(suite: Suite) -> None:
    """A container in the host's network is known by its cgroup."""
    with cgroups(f"{NAME}/box"), Testbed("host") as bed, Servers(bed) as servers:
        servers.start_web()
        it, engine = Host(bed, servers), Engine(bed)
        sleeper = bed.spawn("client", "box", ["sh", "-c", "sleep 60"])
        (ROOT / NAME / "box" / "cgroup.procs").write_text(str(sleeper.pid))
        engine.set(container("a", "web-1", pid=sleeper.pid))
        with program(engine.program), Sallyport(bed, policy_text(bed, CONTAINER_RULES, extra=CONTAINER_SCOPES)):
            for family in (4, 6):
                with suite.case(f"containers v{family}: one in the host's network, and a process that is in none"):
                    it.expect_page(f"{NAME}/box", "allowed.test", family)
                    it.expect_none(f"{NAME}/box", "denied.test", family)
                    it.expect_none("", "allowed.test", family)
                    it.expect_page("", "denied.test", family)
        sleeper.stop()


def body(suite: Suite) -> None:
    with cgroups(f"{NAME}/ci-1/below", f"{NAME}/agent", f"{NAME}.slice/{NAME}-a.service", f"{NAME}.slice/x.scope/{NAME}-a.service"):
        with Testbed("host") as bed, Servers(bed) as servers:
            servers.start_web()
            servers.start_sink()
            with Sallyport(bed, policy_text(bed, HOST_RULES, extra=HOST_SCOPES)) as firewall:
                suite.on_failure = firewall.log
                for family in (4, 6):
                    host(suite, Host(bed, servers, firewall.process.pid), family)
                suite.on_failure = None
    gateway(suite)
    containers_behind(suite)
    containers_here(suite)


if __name__ == "__main__":
    skip_unless_possible(binary(), ("curl", "nginx", "setpriv"))
    if ROOT is None:
        skip("no cgroup2 file system is mounted")
    Suite("scopes", 200).main(body)
