"""Testbed: a chain of network namespaces, client - routers - server, that always disappears again.

    host, no hop     client ------------------------ server      the firewall is in the client
    host, 1 hop      client -------- router -------- server      the firewall is in the client
    gateway, 1 hop   client -------- router -------- server      the firewall is in the router
    gateway, 2 hops  client -- router -- router ---- server      the firewall is in the first router

Every link is a veth pair with IPv4 and IPv6. The server's addresses are the same in every layout.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Sequence

from .proc import Process, Result, must, run, wait_until

PREFIX = "spt"
SCRATCH = "sallyport-live-"
ETC_NETNS = Path("/etc/netns")
SERVER_LINK = 9
SERVER_HOSTS = range(2, 6)
UNPRIVILEGED_UID = 65534

_serial = itertools.count()


def address(family: int, link: int, host: int) -> str:
    return f"10.91.{link}.{host}" if family == 4 else f"fd91:0:0:{link}::{host:x}"


def sweep() -> None:
    """sweep removes what a test left that was killed before it could clean up."""
    for line in run(["ip", "netns", "list"]).out.splitlines():
        name = line.split()[0] if line.split() else ""
        match = re.fullmatch(rf"{PREFIX}(\d+)x\d+\w", name)
        if match and not Path(f"/proc/{match.group(1)}").exists():
            remove_namespace(name)
    for folder in Path(tempfile.gettempdir()).glob(f"{SCRATCH}*"):
        match = re.fullmatch(rf"{SCRATCH}(\d+)-\w+", folder.name)
        if match and not Path(f"/proc/{match.group(1)}").exists():
            shutil.rmtree(folder, ignore_errors=True)


def remove_namespace(name: str) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        pids = [int(pid) for pid in run(["ip", "netns", "pids", name]).out.split()]
        for pid in pids:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass
        if pids:
            wait_until(lambda: not run(["ip", "netns", "pids", name]).out.strip(), 2.0)
    run(["ip", "netns", "del", name])
    shutil.rmtree(ETC_NETNS / name, ignore_errors=True)
    try:
        ETC_NETNS.rmdir()  # Only when nothing else is in it.
    except OSError:
        pass


class Testbed:
    """Use as a context manager. Namespaces, processes, names and scratch files end with it."""

    def __init__(self, mode: str = "host", hops: int | None = None, offload: bool = True, mtu: int = 1500):
        assert mode in ("host", "gateway")
        self.mode = mode
        self.hops = (1 if mode == "gateway" else 0) if hops is None else hops
        assert self.hops >= (1 if mode == "gateway" else 0)
        self.offload = offload
        self.mtu = mtu
        serial = next(_serial)
        letters = ["c"] + [chr(ord("p") + i) for i in range(self.hops)] + ["s"]
        self.nodes = [f"{PREFIX}{os.getpid()}x{serial}{letter}" for letter in letters]
        self.client, self.server = self.nodes[0], self.nodes[-1]
        self.firewall = self.nodes[0] if mode == "host" else self.nodes[1]
        self.links = list(range(self.hops)) + [SERVER_LINK]
        self.scratch = Path()
        self.processes: list[Process] = []

    # --- Life ---------------------------------------------------------------------------------------

    def __enter__(self) -> "Testbed":
        sweep()
        self.scratch = Path(tempfile.mkdtemp(prefix=f"{SCRATCH}{os.getpid()}-"))
        self.scratch.chmod(0o755)  # Unprivileged clients read certificates here.
        try:
            self._build()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_error) -> None:
        self.close()

    def close(self) -> None:
        # A signal in the middle of the clean-up must not leave half of it behind.
        previous = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            for process in reversed(self.processes):
                process.stop(2.0)
            self.processes.clear()
            for node in self.nodes:
                remove_namespace(node)
            shutil.rmtree(self.scratch, ignore_errors=True)
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _build(self) -> None:
        for node in self.nodes:
            etc = ETC_NETNS / node
            etc.mkdir(parents=True)
            (etc / "hosts").write_text("127.0.0.1 localhost\n::1 localhost\n")
            (etc / "resolv.conf").write_text(f"nameserver {self.server_address(4)}\noptions timeout:1 attempts:1\n")
            must(["ip", "netns", "add", node])
            must(["ip", "-n", node, "link", "set", "lo", "up"])
            settings = ["net.ipv6.conf.default.accept_dad=0", "net.ipv6.conf.all.accept_dad=0",
                        "net.ipv6.conf.default.accept_ra=0", "net.ipv6.conf.default.router_solicitations=0"]
            if node not in (self.client, self.server):
                settings += ["net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"]
            must(["ip", "netns", "exec", node, "sysctl", "-q", *settings])
        for i, link in enumerate(self.links):
            self._connect(self.nodes[i], self.nodes[i + 1], link)
        self._route()

    def _connect(self, left: str, right: str, link: int) -> None:
        last = link == SERVER_LINK
        must(["ip", "link", "add", "east", "netns", left, "type", "veth", "peer", "name", "west", "netns", right])
        for node, device, hosts in ((left, "east", [1]), (right, "west", SERVER_HOSTS if last else [254])):
            must(["ip", "-n", node, "link", "set", device, "mtu", str(self.mtu), "up"])
            for host in hosts:
                must(["ip", "-n", node, "addr", "add", f"{address(4, link, host)}/24", "dev", device])
                must(["ip", "-n", node, "addr", "add", f"{address(6, link, host)}/64", "dev", device, "nodad"])
            if not self.offload:
                tool = Path(__file__).with_name("offload.py")
                must(["ip", "netns", "exec", node, sys.executable, str(tool), device, "off"])

    def _route(self) -> None:
        for i, node in enumerate(self.nodes):
            for family in (4, 6):
                add = ["ip", "-n", node, f"-{family}", "route", "add"]
                if node == self.server:
                    must([*add, "default", "via", address(family, SERVER_LINK, 1)])
                elif i == self.hops:  # On the server's link.
                    if node == self.client:
                        must([*add, "default", "via", self.server_address(family)])
                else:
                    must([*add, "default", "via", address(family, self.links[i], 254)])
                for link in self.links[: max(0, i - 1)] if node != self.server else []:
                    net = f"{address(family, link, 0)}/24" if family == 4 else f"fd91:0:0:{link}::/64"
                    must([*add, net, "via", address(family, self.links[i - 1], 1)])

    # --- Addresses and names ------------------------------------------------------------------------

    def server_address(self, family: int, index: int = 0) -> str:
        return address(family, SERVER_LINK, SERVER_HOSTS[index])

    def client_address(self, family: int) -> str:
        return address(family, self.links[0], 1)

    @property
    def client_interface(self) -> str:
        return "east"

    @property
    def inside_interface(self) -> str:
        """The firewall's interface towards the client, in gateway mode."""
        return "west"

    def set_hosts(self, names: dict[str, int], families: tuple[int, ...] = (4, 6)) -> None:
        """set_hosts gives each name, in every namespace, the server's address of that index."""
        lines = ["127.0.0.1 localhost", "::1 localhost"]
        for name, index in names.items():
            lines += [f"{self.server_address(family, index)} {name}" for family in families]
        for node in self.nodes:
            (ETC_NETNS / node / "hosts").write_text("\n".join(lines) + "\n")

    # --- Commands -----------------------------------------------------------------------------------

    def argv(self, where: str, command: Sequence[str], uid: int | None = None) -> list[str]:
        node = {"client": self.client, "server": self.server, "firewall": self.firewall}.get(where, where)
        become = [] if uid is None else ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--"]
        return ["ip", "netns", "exec", node, *become, *command]

    def run(self, where: str, command: Sequence[str], timeout: float = 20.0, uid: int | None = None,
            stdin: bytes | None = None) -> Result:
        return run(self.argv(where, command, uid), timeout, stdin)

    def spawn(self, where: str, name: str, command: Sequence[str], uid: int | None = None,
              env: dict[str, str] | None = None) -> Process:
        process = Process(f"{name}-{len(self.processes)}", self.argv(where, command, uid), self.scratch, env=env)
        self.processes.append(process)
        return process

    def wait_listening(self, where: str, transport: str, port: int, timeout: float = 10.0) -> None:
        """wait_listening returns once a socket in the namespace listens on the port, or raises."""
        def listening() -> bool:
            tables = self.run(where, ["cat", f"/proc/net/{transport}", f"/proc/net/{transport}6"]).out
            wanted = {"tcp": "0A", "udp": "07"}[transport]
            for line in tables.splitlines():
                fields = line.split()
                if len(fields) > 3 and fields[1].endswith(f":{port:04X}") and fields[3] == wanted:
                    return True
            return False

        if not wait_until(listening, timeout):
            logs = "\n".join(f"{p.name}: {p.err()[-400:]}" for p in self.processes)
            raise RuntimeError(f"nothing listens on {transport} port {port} of {where}\n{logs}")

    def settle(self, seconds: float = 0.2) -> None:
        """settle gives packets under way the time to arrive; a virtual link needs microseconds."""
        time.sleep(seconds)
