#!/usr/bin/env python3
"""One command behind the firewall: `sallyport run -- COMMAND`, what it may, what it gives back, and that nothing is left behind."""

import os
import pty
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

from support import Capture, NAMES, Result, Servers, Suite, Testbed, binary, expect, expect_equal, policy_text, skip_unless_possible
from support.clients import Clients
from support.daemon import Sallyport, allow, rulesets
from support.hello import client_hello
from support.loopback import forged_beginning
from support.proc import run, wait_until
from support.refused import expect_printed_alert
from support.suite import skip

RULES = allow("allowed.test", "tls", "443") + allow("*.allowed.test, allowed.test", "dns", "53")
LEAVE = "open('{root}/cgroup.procs', 'w').write('0')"

LEAVE_FOR = """import os, sys
for path in sys.argv[1:]:
    try:
        os.write(os.open(path, os.O_WRONLY), b"0"); print("left")
    except OSError as error:
        print(error.strerror)
print(open("/proc/self/cgroup").read())
"""


def cgroup2() -> Path | None:
    for line in Path("/proc/mounts").read_text().splitlines():
        if line.split()[2] == "cgroup2":
            return Path(line.split()[1])
    return None


ROOT = cgroup2()


def run_cgroups() -> list[str]:
    return [str(path) for path in ROOT.rglob("sallyport-run-*")]


@contextmanager
def delegated(uid: int):
    """delegated makes a tree of cgroups in which that user may move processes, as user@UID.service is."""
    tree = ROOT / f"spt{os.getpid()}"
    made = (tree, tree / "inner", tree / "other")
    try:
        for path in made:
            path.mkdir()
            for name in ("", "cgroup.procs", "cgroup.threads", "cgroup.subtree_control"):
                os.chown(path / name, uid, uid)
        yield tree
    finally:
        for path in reversed(made):
            wait_until(lambda path=path: not path.joinpath("cgroup.procs").read_text(), 3.0)
            path.rmdir()


class Runs:
    """Runs starts commands behind the firewall, in the client's namespace of a testbed."""

    def __init__(self, bed, *options: str):
        self.bed, self.options = bed, options
        self.policy = bed.scratch / "p.toml"
        self.policy.write_text(policy_text(bed, RULES))

    def argv(self, *command: str, options: tuple[str, ...] = ()) -> list[str]:
        return [binary(), "run", "--policy", str(self.policy), *self.options, *options, "--", *command]

    def run(self, *command: str, options: tuple[str, ...] = (), stdin: bytes | None = None) -> Result:
        return self.bed.run("client", self.argv(*command, options=options), 30, stdin=stdin)

    def spawn(self, *command: str, options: tuple[str, ...] = ()):
        process = self.bed.spawn("client", "run", self.argv(*command, options=options))
        expect(wait_until(lambda: "started" in process.out(), 10.0), f"the command did not start: {process.err()}")
        return process

    def curl(self, clients: Clients, url: str, family: int, *arguments: str) -> Result:
        return self.run("curl", "-sS", f"-{family}", "--cacert", str(clients.servers.ca), "-m", "5", url, *arguments)


class State:
    """State is everything that a run may change, read from outside."""

    def __init__(self, bed):
        self.bed = bed
        self.before = self.read()

    def read(self) -> dict:
        return {**rulesets(self.bed, "client"), "cgroups": run_cgroups(),
                "links": re.sub(r" (state|qlen) \S+", "", self.bed.run("client", ["ip", "-o", "addr"]).out),
                "files": sorted(str(path) for path in Path("/run").glob("sallyport-run-*")),
                "sysctl": self.bed.run("client", ["sysctl", "net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"]).out}

    def expect_same(self, when: str, within: float = 3.0) -> None:
        wait_until(lambda: self.read() == self.before, within, 0.1)
        after = self.read()
        for what, text in self.before.items():
            expect_equal(after[what], text, f"{what} {when}")


def descendants(process) -> dict[int, str]:
    """descendants returns pid -> name of the processes of a run: those with its session's leader among their ancestors."""
    found, parents = {process.pid: "leader"}, {}
    names = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = entry.read_text()
        except OSError:
            continue
        name, rest = text[text.index("(") + 1:text.rindex(")")], text[text.rindex(")") + 2:].split()
        parents[int(entry.parent.name)], names[int(entry.parent.name)] = int(rest[1]), name
    grew = True
    while grew:
        grew = False
        for pid, parent in parents.items():
            if parent in found and pid not in found:
                found[pid] = names[pid]
                grew = True
    found[process.pid] = names.get(process.pid, "")
    return found


def pid_of(process, name: str) -> int:
    pids = [pid for pid, each in descendants(process).items() if each == name]
    expect(pids, f"no process {name} below the run: {descendants(process)}")
    return pids[0]


def verdicts(suite: Suite, bed, runs: Runs, clients: Clients, capture: Capture, state: State) -> None:
    for family in (4, 6):
        with suite.case(f"v{family}: what is allowed works, and nothing is said"):
            result = runs.curl(clients, "https://allowed.test/", family)
            expect((result.code, result.out.strip(), result.err) == (0, "vhost allowed.test", ""), result.describe())
        with suite.case(f"v{family}: --verbose tells of it on standard error alone"):
            result = runs.run("curl", "-sS", f"-{family}", "--cacert", str(clients.servers.ca), "https://allowed.test/", options=("--verbose",))
            expect(result.out.strip() == "vhost allowed.test" and "sallyport: allowed.test is allowed (" in result.err, result.describe())
        with suite.case(f"v{family}: what is denied is told in one line, the exit code is curl's, and nothing arrives"):
            mark = capture.mark()
            result = runs.curl(clients, "https://denied.test/", family)
            server = bed.server_address(family) if family == 4 else f"[{bed.server_address(family)}]"
            # curl writes its own line in two pieces, and ours may come in between.
            lines = re.findall(r"sallyport: .*", result.err)
            expect(result.code == 35 and result.out == "" and len(lines) == 1, result.describe())
            expect_printed_alert(result)
            expect(lines[0].startswith("sallyport: denied.test is not allowed (default: ") and lines[0].endswith(f"): tls {server}:443"), lines[0])
            leaked = [p for p in capture.packets(mark) if p.dport == 443 and p.payload]
            expect(not leaked, f"payload at the server: {leaked}")
        with suite.case(f"v{family}: a child of a child is behind it, too, and a name that may be asked is answered"):
            server = bed.server_address(family)
            result = runs.run("sh", "-c", f"(setsid dig +tries=1 +time=2 +short @{server} allowed.test A); (dig +tries=1 +time=2 @{server} denied.test A)")
            expect(bed.server_address(4) in result.out and "status: REFUSED" in result.out and "EDE: 15 (Blocked)" in result.out, result.describe())
            expect("sallyport: denied.test is not allowed" in result.err, result.describe())
    with suite.case("--observe lets everything through and tells what the policy says"):
        result = runs.run("curl", "-sS", "-4", "--cacert", str(clients.servers.ca), "https://denied.test/", options=("--observe",))
        expect(result.out.strip() == "vhost denied.test" and "sallyport: denied.test would not be allowed (" in result.err, result.describe())
    with suite.case("nothing is left behind"):
        state.expect_same("after the runs")


def exit_codes(suite: Suite, bed, runs: Runs, state: State) -> None:
    for script, code in (("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137), ("kill -15 $$", 143)):
        with suite.case(f"sh -c '{script}' gives {code}"):
            expect_equal(runs.run("sh", "-c", script).code, code, "exit code")
    with suite.case("no such program: 127; not a program: 126; each says why"):
        result = runs.run("no-such-program")
        expect(result.code == 127 and "sallyport: no-such-program: No such file" in result.err, result.describe())
        result = runs.run("/etc/passwd")
        expect(result.code == 126 and "sallyport: /etc/passwd: Permission denied" in result.err, result.describe())
    with suite.case("standard input, arguments and environment reach the command"):
        result = runs.run("sh", "-c", 'cat; echo "$1|$PATH"', "x", "a  b --json", stdin=b"from stdin\n")
        expect_equal(result.out, f"from stdin\na  b --json|{os.environ['PATH']}\n", "output")
    with suite.case("wrong use is 2, and a policy that does not load, too"):
        for arguments in (["run", "--user", "nobody"], ["run", "--netns"], ["run", "--verbose"], ["run", "--json", "--", "true"],
                          ["run", "--policy", "/nonexistent.toml", "--", "true"]):
            expect_equal(bed.run("client", [binary(), *arguments]).code, 2, " ".join(arguments))
    with suite.case("only root may: anybody else is told so, in one line"):
        result = bed.run("client", runs.argv("echo", "ran"), uid=65534)
        expect(result.code == 125 and result.out == "" and len(result.err.splitlines()) == 1 and "root" in result.err, result.describe())
    with suite.case("nothing is left behind"):
        state.expect_same("after the runs")


def signals(suite: Suite, bed, runs: Runs, state: State) -> None:
    with suite.case("SIGTERM reaches the command, which decides"):
        process = runs.spawn("sh", "-c", "trap 'exit 9' TERM; echo started; while :; do sleep 0.1; done")
        process.signal(signal.SIGTERM)
        expect_equal(process.wait(5.0), 9, "exit code")
        state.expect_same("after SIGTERM")
    for name in ("SIGHUP", "SIGUSR1", "SIGINT"):
        with suite.case(f"{name} ends a command that does not care"):
            # A shell's background job begins with SIGINT ignored; this one is no such job.
            process = runs.spawn("python3", "-c", "import time; print('started', flush=True); time.sleep(30)")
            process.signal(getattr(signal, name))
            wanted = (1, 130) if name == "SIGINT" else (128 + getattr(signal, name),)
            expect(process.wait(5.0) in wanted, f"{process.popen.poll()} {process.err()}")
            state.expect_same(f"after {name}")
    for script, code in (("echo started; exec sleep 30", 130), ("trap 'echo caught; exit 5' INT; echo started; while :; do sleep 0.1; done", 5)):
        with suite.case(f"Ctrl-C at a terminal reaches the command once: {code}"):
            ended, output = at_terminal(bed.argv("client", runs.argv("sh", "-c", script)), b"\x03")
            expect_equal(ended, code, output)
            expect_equal(output.count("caught"), int(code == 5), "how often")
            state.expect_same("after Ctrl-C")
    with suite.case("kill -9 of the program: the command ends, and nothing is left behind"):
        process = runs.spawn("sh", "-c", "echo started; sleep 31 & exec sleep 30")
        during = rulesets(bed, "client")
        expect("SALLYPORT" in str(during) or "--netns" in runs.options, "no rules while it runs")
        ours = descendants(process)
        os.kill(pid_of(process, "sallyport"), signal.SIGKILL)
        process.wait(5.0)
        expect(wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in ours), 5.0), f"still there: {ours}")
        state.expect_same("after kill -9 of the program")
    with suite.case("kill -9 of the program at any moment of its start and of its end: nothing is left behind"):
        for ends in (False, True):
            for moment in range(18):
                process = bed.spawn("client", "run", runs.argv("sh", "-c", "exit 0" if ends else "echo started; exec sleep 30"))
                if ends:
                    wait_until(lambda: "SALLYPORT" in str(rulesets(bed, "client")), 5.0, 0.005)
                time.sleep(0.03 * moment)
                ours = [pid for pid, name in descendants(process).items() if name == "sallyport"]
                for pid in ours[:1]:
                    os.kill(pid, signal.SIGKILL)
                process.stop()
                state.expect_same(f"after kill -9, ending: {ends}, moment {moment}", 12.0)
    with suite.case("kill -9 of the command: 137, and nothing is left behind"):
        process = runs.spawn("sh", "-c", "echo started; exec sleep 30")
        os.kill(pid_of(process, "sleep"), signal.SIGKILL)
        expect_equal(process.wait(5.0), 137, "exit code")
        state.expect_same("after kill -9 of the command")
    with suite.case("kill -9 of the process that cleans up: the run ends, and nothing is left behind"):
        process = runs.spawn("sh", "-c", "echo started; exec sleep 30")
        os.kill(pid_of(process, "sallyport-keep"), signal.SIGKILL)
        expect_equal(process.wait(5.0), 125, "exit code")
        state.expect_same("after kill -9 of the keeper")
    with suite.case("what the command leaves running ends with it"):
        result = runs.run("sh", "-c", "setsid sleep 4242 & exit 3")
        expect_equal(result.code, 3, result.describe())
        expect(not run(["pgrep", "-f", "^sleep 4242"]).out.strip(), "it goes on")
        state.expect_same("after a left process")


def at_terminal(argv: list[str], keys: bytes) -> tuple[int, str]:
    """at_terminal runs a command at a terminal of its own, types once it has said "started", and returns exit code and output."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvp(argv[0], argv)
    output, typed, deadline = b"", False, time.monotonic() + 15
    os.set_blocking(terminal, False)
    while time.monotonic() < deadline:
        try:
            piece = os.read(terminal, 4096)
            output += piece
        except BlockingIOError:
            time.sleep(0.02)
        except OSError:  # The terminal's last user is gone.
            break
        if not typed and b"started" in output:
            os.write(terminal, keys)
            typed = True
    else:
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    os.close(terminal)
    return os.waitstatus_to_exitcode(status), output.decode(errors="replace")


def terminal(suite: Suite, bed, runs: Runs) -> None:
    """What a terminal lets its users do to each other."""
    code = """import fcntl, sys
print("started")
for request in (0x5412, 0x541C, 0x100005412, 0x10000541C):
    arguments = (request & 0xffffffff, b"x") if request < 2**32 else None
    if arguments is None:
        import ctypes
        libc = ctypes.CDLL(None, use_errno=True)
        libc.syscall({"x86_64": 16, "aarch64": 29}[__import__("platform").machine()], 0, ctypes.c_ulong(request), b"x")
        print("error", ctypes.get_errno())
        continue
    try:
        fcntl.ioctl(0, *arguments)
        print("error 0")
    except OSError as error:
        print("error", error.errno)
fcntl.ioctl(0, 0x5413, bytes(8))
print("size")"""
    for options in ((), ("--user", "nobody")):
        with suite.case(f"{' '.join(options)}: a command cannot type into its terminal (TIOCSTI, TIOCLINUX)"):
            ended, output = at_terminal(bed.argv("client", runs.argv("python3", "-c", code, options=options)), b"")
            expect_equal((ended, output.count("error 1\r"), output.count("size")), (0, 4, 1), output)


def others(suite: Suite, bed, runs: Runs, clients: Clients, state: State) -> None:
    """Everybody else's traffic while a run stands."""
    for command in ("add table inet site", "add chain inet site out { type filter hook postrouting priority 10; }",
                    "add rule inet site out udp dport 4242 meta mark 0x21000007 counter"):
        expect_equal(bed.run("client", ["nft", *command.split()]).code, 0, command)
    process = runs.spawn("sh", "-c", "echo started; exec sleep 30")
    with suite.case("meanwhile others may do what the command may not"):
        for family in (4, 6):
            expect_equal(clients.curl("https://denied.test/", family).out.strip(), "vhost denied.test", f"v{family}")
            expect("NOERROR" in clients.dig("denied.test", family).out, f"dig v{family}")
        expect_equal(bed.run("client", ["ping", "-c", "1", "-W", "2", bed.server_address(4)]).code, 0, "ping")
    with suite.case("none of their packets went through a queue"):
        table = bed.run("client", ["cat", "/proc/net/netfilter/nfnetlink_queue"]).out
        expect(table.strip() and all(line.split()[7] == "0" for line in table.splitlines()), table)
    with suite.case("their marks stay as they are"):
        code = ("import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, 0x21000007); "
                f"s.sendto(b'x', ('{bed.server_address(4)}', 4242))")
        expect_equal(bed.run("client", [sys.executable, "-c", code]).code, 0, "sent")
        counters = bed.run("client", ["nft", "list", "table", "inet", "site"]).out
        expect("counter packets 1 bytes 29" in counters, counters)
    process.signal(signal.SIGTERM)
    process.wait(5.0)
    bed.run("client", ["nft", "delete", "table", "inet", "site"])
    state.expect_same("afterwards")


def containment(suite: Suite, bed, runs: Runs, clients: Clients, state: State) -> None:
    with suite.case("--user: another user, without a way back"):
        result = runs.run("sh", "-c", "id -u; id -g; echo $HOME $USER; grep NoNewPrivs /proc/self/status; grep CapEff /proc/self/status", options=("--user", "nobody"))
        expect_equal(result.out.split(), ["65534", "65534", "/nonexistent", "nobody", "NoNewPrivs:", "1", "CapEff:", "0000000000000000"], result.describe())
        result = runs.run("true", options=("--user", "no-such-user"))
        expect(result.code == 125 and "no user no-such-user" in result.err, result.describe())
    with suite.case("--user: a user who is logged in gets a warning, another does not"):
        for number, warnings in (("65534", 1), ("65533", 0)):
            result = bed.run("client", ["env", f"SUDO_UID={number}", *runs.argv("true", options=("--user", "nobody"))])
            expect(result.code == 0 and result.err.count("sallyport: warning: user nobody is logged in") == warnings, result.describe())
    with suite.case("--user: it cannot leave its cgroup, and is judged"):
        script = f"python3 -c \"{LEAVE.format(root=ROOT)}\"; exec curl -sS -4 --cacert {clients.servers.ca} -m 5 https://denied.test/"
        result = runs.run("sh", "-c", script, options=("--user", "nobody"))
        expect(result.code == 35 and ("Permission denied" in result.err or "No such file" in result.err), result.describe())
        expect("sallyport: denied.test is not allowed" in result.err, result.describe())
    with suite.case("--user: nor by a tree that is delegated to that user, where the caller is"):
        with delegated(65534) as tree:
            # Not by `ip netns exec`, which takes /sys/fs/cgroup out of sight.
            argv = ["nsenter", f"--net=/run/netns/{bed.client}", "--", *runs.argv("/usr/bin/python3", "-c", LEAVE_FOR, *(str(path / "cgroup.procs") for path in (
                tree / "inner", tree / "other", tree, ROOT)), options=("--user", "nobody"))]
            result = run(["sh", "-c", f"echo 0 > {tree}/inner/cgroup.procs; exec \"$@\"", "x", *argv], 15)
            lines = result.out.splitlines()
            expect_equal(lines[:4], ["Permission denied"] * 4, result.describe())
            expect(any(re.fullmatch(r"0::/(.*/)?sallyport-run-\d+", line) for line in lines[4:]), result.describe())
    with suite.case("a connection that was opened outside is not handed in"):
        code = ("import os, socket, sys; s = socket.create_connection((sys.argv[1], 80)); os.set_inheritable(s.fileno(), True); "
                "os.execvp(sys.argv[2], [w.replace('FD', str(s.fileno())) for w in sys.argv[2:]])")
        argv = [sys.executable, "-c", code, bed.server_address(4), *runs.argv("sh", "-c", "ls /proc/self/fd; echo hello >&FD")]
        result = bed.run("client", argv)
        expect(result.code != 0 and "Bad file descriptor" in result.err, result.describe())
    with suite.case("what is neither TCP nor UDP is refused"):
        result = runs.run("ping", "-c", "1", "-W", "1", bed.server_address(4))
        expect(result.code != 0 and " 0 received" in result.out, result.describe())
    with suite.case("nothing is left behind"):
        state.expect_same("after the runs")


def forged_beginnings(suite: Suite, bed, runs: Runs, capture: Capture) -> None:
    for family, options in ((4, ()), (6, ("--user", "nobody"))):
        with suite.case(f"v{family}: a flow made up over the loopback, from the server's address, opens no way back to it"):
            mark = capture.mark()
            result = runs.run("/usr/bin/python3", "-c", forged_beginning(bed, family, 9001), options=options)
            expect("tried" in result.out, result.describe())
            arrived = [p for p in capture.packets(mark) if b"secret" in p.payload]
            expect(not arrived, f"the server got {arrived[:1]}")


def after_the_end(suite: Suite, bed, runs: Runs, capture: Capture) -> None:
    """What the kernel would still send when the command is gone and its rules, too."""
    half = ("import socket, sys; s = socket.create_connection((sys.argv[1], 443)); s.sendall(bytes.fromhex(sys.argv[2])); "
            "print('started', flush=True); sys.stdin.read()")
    for family in (4, 6):
        argv = ("python3", "-c", half, bed.server_address(family), client_hello("denied.test")[:100].hex())
        for options in ((), ("--netns",))[:1 if family == 6 else 2]:
            with suite.case(f"v{family} {' '.join(options)}: what was held when the command ended is not sent later"):
                mark = capture.mark()
                result = runs.run(*argv, options=options, stdin=b"")
                expect(result.code == 0 and "started" in result.out, result.describe())
                time.sleep(3.0)
                leaked = [p for p in capture.packets(mark) if p.dport == 443 and p.payload]
                expect(not leaked, f"payload at the server: {leaked}")
    with suite.case("nor when the program was killed"):
        mark = capture.mark()
        process = runs.spawn(*argv)
        os.kill(pid_of(process, "sallyport"), signal.SIGKILL)
        process.wait(5.0)
        expect(wait_until(lambda: "SALLYPORT" not in str(rulesets(bed, "client")), 5.0), "the rules stay")
        time.sleep(3.0)
        leaked = [p for p in capture.packets(mark) if p.dport == 443 and p.payload]
        expect(not leaked, f"payload at the server: {leaked}")
    with suite.case("a process that does not end keeps the rules; they go when it does"):
        mounted = bed.scratch / "freezer"
        mounted.mkdir()
        expect_equal(run(["mount", "-t", "cgroup", "-o", "freezer", "none", str(mounted)]).code, 0, "mount")
        frozen = mounted / f"sallyport-{os.getpid()}"
        frozen.mkdir()
        try:
            process = runs.spawn("sh", "-c", "sleep 4243 & echo started; sleep 2")
            expect(wait_until(lambda: sleeps(process, "4243"), 1.0), "no sleep")
            (frozen / "cgroup.procs").write_text(str(sleeps(process, "4243")[0]))
            (frozen / "freezer.state").write_text("FROZEN")
            expect_equal(process.wait(10.0), 125, process.err())
            expect("does not end; the rules stay" in process.err(), process.err())
            expect("SALLYPORT" in str(rulesets(bed, "client")), "the rules are gone")
        finally:
            (frozen / "freezer.state").write_text("THAWED")
            wait_until(lambda: not (frozen / "cgroup.procs").read_text().strip(), 5.0)
            frozen.rmdir()
            run(["umount", str(mounted)])
        expect(wait_until(lambda: "SALLYPORT" not in str(rulesets(bed, "client")) and not run_cgroups(), 15.0), "the rules stay")


def sleeps(process, seconds: str) -> list[int]:
    return [pid for pid in descendants(process) if Path(f"/proc/{pid}/cmdline").read_bytes() == b"sleep\0" + seconds.encode() + b"\0"]


def beside_a_service(suite: Suite, bed, runs: Runs, clients: Clients) -> None:
    with Sallyport(bed, policy_text(bed, allow("denied.test", "tls", "443")), name="service"):
        during = rulesets(bed, "client")
        with suite.case("beside a service: a refusal in one line, and the service goes on"):
            result = runs.run("echo", "ran")
            expect(result.code == 125 and result.out == "" and "already in this network namespace" in result.err, result.describe())
            expect_equal(rulesets(bed, "client"), during, "rules")
            expect_equal(clients.curl("https://denied.test/", 4).out.strip(), "vhost denied.test", "the service")
            expect_equal(run_cgroups(), [], "cgroups")
    process = runs.spawn("sh", "-c", "echo started; exec sleep 30")
    with suite.case("beside a run: a service does not start, and the run goes on behind its rules"):
        during = rulesets(bed, "client")
        with Sallyport(bed, policy_text(bed, allow("denied.test", "tls", "443")), name="second", ready=False) as service:
            expect_equal(service.process.wait(5.0), 1, "exit code")
            expect_equal(len([line for line in service.process.err().splitlines() if "already in this network namespace" in line]), 1, service.process.err())
            expect_equal(rulesets(bed, "client"), during, "rules")
            process.signal(signal.SIGTERM)
            expect_equal(process.wait(5.0), 143, "exit code")


def own_network(suite: Suite, bed, clients: Clients, capture: Capture, state: State) -> None:
    """--netns: the same with a namespace of its own, whose gateway enforces."""
    runs = Runs(bed, "--netns")
    with suite.case("--netns: what is allowed works, by a name that it looked up; nothing is said"):
        result = runs.curl(clients, "https://allowed.test/", 4)
        expect((result.code, result.out.strip(), result.err) == (0, "vhost allowed.test", ""), result.describe())
        result = runs.run("dig", "+tries=1", "+time=2", "+short", "allowed.test", "A")
        expect_equal(result.out.strip(), bed.server_address(4), result.describe())
    with suite.case("--netns: what is denied is told, the exit code is curl's, and nothing arrives"):
        mark = capture.mark()
        result = runs.curl(clients, "https://denied.test/", 4)
        expect(result.code == 35 and result.out == "", result.describe())
        expect_printed_alert(result)
        expect(f"sallyport: denied.test is not allowed (default: " in result.err and f"): tls {bed.server_address(4)}:443" in result.err, result.err)
        leaked = [p for p in capture.packets(mark) if p.dport == 443 and p.payload]
        expect(not leaked, f"payload at the server: {leaked}")
    with suite.case("--netns: the host's loopback addresses and interfaces are out of reach"):
        listener = bed.spawn("client", "listener", [sys.executable, "-m", "http.server", "8009"])
        bed.wait_listening("client", "tcp", 8009)
        for target in ("127.0.0.1", bed.client_address(4)):
            result = runs.run("curl", "-sS", "-m", "2", f"http://{target}:8009/")
            expect(result.code not in (0, None) and result.out == "", result.describe())
        listener.stop()
        links = re.findall(r"(\S+):", runs.run("cat", "/proc/net/dev").out)
        expect_equal(sorted(links), ["eth0", "lo"], "interfaces")
    with suite.case("--netns --user: neither rules nor interfaces can be changed"):
        result = runs.run("sh", "-c", "id -u; ip link set eth0 down; ip link add x type dummy; nft flush ruleset; ip link", options=("--user", "nobody"))
        expect(result.out.startswith("65534") and result.err.count("not permitted") >= 2, result.describe())
    with suite.case("--netns: the host's D-Bus and Avahi, which look names up for others, are out of reach"):
        connect = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"
        host = ("import os, socket, subprocess, sys; path = sys.argv[1]; directory = os.path.dirname(path); "
                "subprocess.run(['mount', '-t', 'tmpfs', 'none', '/run/lock'], check=True); os.makedirs('/run/lock' + directory); "
                "os.makedirs(directory, exist_ok=True); subprocess.run(['mount', '--bind', '/run/lock' + directory, directory], check=True); "
                "s = socket.socket(socket.AF_UNIX); s.bind(path); s.listen(); os.chmod(path, 0o666); "
                "here = subprocess.run([*sys.argv[-4:]]); sys.exit(here.returncode or 10 + subprocess.run(sys.argv[2:]).returncode)")
        for path in ("/run/dbus/system_bus_socket", "/run/avahi-daemon/socket"):
            new = not Path(path).parent.exists()
            result = bed.run("client", ["unshare", "-m", sys.executable, "-c", host, path, *runs.argv("python3", "-c", connect, path)], 20)
            if new:
                Path(path).parent.rmdir()
            expect(result.code == 11 and "Connection refused" in result.err, result.describe())
    with suite.case("--netns: IPv6 is not there"):
        expect(runs.curl(clients, "https://allowed.test/", 6).code not in (0, None), "it is")
    with suite.case("--netns: two at once, beside a service, with a FORWARD policy of DROP"):
        bed.run("client", ["iptables", "-P", "FORWARD", "DROP"])
        before = State(bed)
        with Sallyport(bed, policy_text(bed, allow("denied.test", "tls", "443")), name="service"):
            first = runs.spawn("sh", "-c", "echo started; exec sleep 30")
            result = runs.curl(clients, "https://allowed.test/", 4)
            expect_equal(result.out.strip(), "vhost allowed.test", result.describe())
            expect_equal(clients.curl("https://denied.test/", 4).out.strip(), "vhost denied.test", "the service")
            expect("= 1" in bed.run("client", ["sysctl", "net.ipv4.ip_forward"]).out, "forwarding, while the first run stands")
            first.signal(signal.SIGTERM)
            first.wait(8.0)
        before.expect_same("after both and the service")
        bed.run("client", ["iptables", "-P", "FORWARD", "ACCEPT"])
    with suite.case("--netns: two at once, the first ends first: the last resets forwarding, and meanwhile the host is no router"):
        before = State(bed)
        forwarding = lambda: bed.run("client", ["sysctl", "-n", "net.ipv4.ip_forward"]).out.strip()
        expect_equal(forwarding(), "0", "forwarding before")
        first = runs.spawn("sh", "-c", "echo started; exec sleep 30")
        second = runs.spawn("sh", "-c", "echo started; exec sleep 30")
        for process, wanted in ((first, "1"), (second, "0")):
            closed = bed.run("client", ["nft", "list", "ruleset"]).out
            expect('iifname != "spr*" oifname != "spr*" drop' in closed, closed)
            result = runs.curl(clients, "https://allowed.test/", 4)
            expect_equal(result.out.strip(), "vhost allowed.test", result.describe())
            process.signal(signal.SIGTERM)
            process.wait(8.0)
            expect_equal(forwarding(), wanted, "forwarding")
        before.expect_same("after both")
    for name, wanted in (("sallyport", None), ("sleep", 137), ("sallyport-keep", 125)):
        with suite.case(f"--netns: kill -9 of {name}: nothing is left behind"):
            before = State(bed)
            process = runs.spawn("sh", "-c", "echo started; exec sleep 30")
            ours = descendants(process)
            os.kill(pid_of(process, name), signal.SIGKILL)
            code = process.wait(8.0)
            expect(wanted in (None, code), f"exit code {code}")
            expect(wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in ours), 5.0), f"still there: {ours}")
            before.expect_same(f"after kill -9 of {name}")


def body(suite: Suite) -> None:
    with Testbed("host") as bed, Servers(bed) as servers:
        servers.start_web()
        servers.start_dns()
        runs, clients, state = Runs(bed), Clients(bed, servers), State(bed)
        verdicts(suite, bed, runs, clients, Capture(bed), state)
        exit_codes(suite, bed, runs, state)
        signals(suite, bed, runs, state)
        terminal(suite, bed, runs)
        others(suite, bed, runs, clients, state)
        containment(suite, bed, runs, clients, state)
        forged_beginnings(suite, bed, runs, Capture(bed, name="forged-beginnings"))
        beside_a_service(suite, bed, runs, clients)
        own_network(suite, bed, clients, Capture(bed, name="own-network"), state)
        after_the_end(suite, bed, runs, Capture(bed, name="after-the-end"))


if __name__ == "__main__":
    skip_unless_possible(binary(), ("curl", "nginx", "dig", "nft", "pgrep", "ping"))
    if ROOT is None:
        skip("no cgroup2 file system is mounted")
    Suite("run_command", 200).main(body)
