"""A clean Debian below a folder, made once by debootstrap, kept packed in the build folder, unpacked for each test; systemd boots in it."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path

from .proc import Process, Result, must, run, wait_until
from .suite import skip

CONTAINER = Path(__file__).with_name("container.sh")
# What would go out by itself, or wait for a network that is not there.
NOT_WANTED = ("apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer", "fstrim.timer", "systemd-timesyncd.service",
              "systemd-networkd.service", "getty.target")


def mirror() -> tuple[str, str]:
    """mirror returns this machine's own: the address and the name of the release."""
    release = re.search(r"(?m)^VERSION_CODENAME=(\w+)", Path("/etc/os-release").read_text())
    targets = run(["apt-get", "indextargets", "--format", "$(CREATED_BY) $(REPO_URI) $(RELEASE)"]).out
    for line in targets.splitlines():
        kind, uri, name = line.split()[:3]
        if kind == "Packages" and release and name == release[1]:
            return uri, name
    skip("apt knows no mirror of this release")
    raise AssertionError


def wanted_packages(package: Path) -> list[str]:
    """wanted_packages returns what the package depends on, of alternatives the first, and what boots."""
    text = must(["dpkg-deb", "-f", str(package), "Depends"]).out
    names = [entry.split("|")[0].split("(")[0].strip() for entry in text.split(",")]
    return sorted({*names, "systemd-sysv", "dbus", "kmod", "ca-certificates", "openssl"})


def base(folder: Path, package: Path) -> Path:
    """base returns the packed system with what the package needs, made now if need be."""
    uri, release = mirror()
    names = wanted_packages(package)
    packed = folder / f"{release}-{hashlib.sha256(' '.join(names).encode()).hexdigest()[:12]}.tar"
    if packed.exists():
        return packed
    folder.mkdir(exist_ok=True)
    scratch = folder / f"root.{os.getpid()}"
    try:
        result = run(["debootstrap", "--variant=minbase", f"--include={','.join(names)}", release, str(scratch), uri], 420)
        if result.code != 0:
            skip(f"debootstrap could not make a system (no network?): {result.out.strip().splitlines()[-1:]}")
        must(["tar", "-C", str(scratch), "--exclude=./var/cache/apt/*", "--exclude=./var/lib/apt/lists/*", "--exclude=./proc/*", "--exclude=./sys/*", "-cf", f"{packed}.new", "."], 120)
        os.rename(f"{packed}.new", packed)
    finally:
        subprocess.run(["umount", "-l", str(scratch / "proc")], stderr=subprocess.DEVNULL)
        shutil.rmtree(scratch, ignore_errors=True)
    return packed


class CleanRoot:
    """CleanRoot is a machine in the firewall's network namespace: boot() starts it, run() executes a command in it."""

    def __init__(self, bed, folder: Path):
        self.bed, self.folder = bed, folder
        self.machine: Process | None = None
        self.first = 0  # systemd's process id, as this machine counts.

    def path(self, name: str) -> Path:
        """path returns a file of the machine; below /run and /tmp ask run()."""
        return self.folder / name.lstrip("/")

    def boot(self) -> None:
        """boot returns when systemd says that the machine runs, or raises."""
        self.machine = Process(f"systemd-{len(self.bed.processes)}", ["setpriv", "--pdeathsig", "KILL", str(CONTAINER), str(self.folder), self.bed.firewall], self.bed.scratch)
        self.bed.processes.append(self.machine)

        def found() -> bool:
            children = run(["pgrep", "-x", "systemd", "-P", str(self.machine.popen.pid)]).out.split()
            self.first = int(children[0]) if children else 0
            return self.first != 0

        if not wait_until(found, 10.0) or not wait_until(lambda: self.run("systemctl", "is-system-running").out.strip() in ("running", "degraded"), 60.0):
            raise RuntimeError(f"systemd does not boot:\n{self.machine.out()[-2000:]}\n{self.machine.err()[-2000:]}")

    def shut_down(self) -> None:
        """shut_down ends all that runs in the machine in order, as a machine is turned off."""
        self.run("systemctl", "--no-block", "poweroff")
        if self.machine.wait(60.0) is None:
            raise RuntimeError("the machine does not end")
        self.forget_cgroup()

    def forget_cgroup(self) -> None:
        """forget_cgroup ends what the machine left behind, and removes its cgroups."""
        self.first = 0
        mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines() if line.split()[2] == "cgroup2"]
        folder = Path(mounts[0]) / self.bed.firewall if mounts else Path("/nowhere")
        if folder.exists():
            (folder / "cgroup.kill").write_text("1")
            wait_until(lambda: "populated 0" in (folder / "cgroup.events").read_text(), 10.0)
            subprocess.run(["find", str(folder), "-depth", "-type", "d", "-exec", "rmdir", "{}", ";"], check=False)

    def run(self, *command: str, timeout: float = 60.0) -> Result:
        if self.first == 0 or not self.machine.running():  # A process of that number would be this machine's.
            raise RuntimeError("the machine does not run")
        environment = ["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive"]
        return run(["nsenter", "-t", str(self.first), "-a", *environment, *command], timeout)

    def shell(self, script: str, timeout: float = 60.0) -> Result:
        return self.run("sh", "-c", script, timeout=timeout)

    def unit(self, key: str, name: str = "sallyport.service") -> str:
        """unit returns what systemd says of a unit: MainPID, ActiveState, Result, NRestarts, ..."""
        return self.run("systemctl", "show", "--value", "-p", key, name).out.strip()

    def journal(self, unit: str = "sallyport.service") -> str:
        return self.run("journalctl", "--no-pager", "-o", "cat", "-u", unit).out


@contextmanager
def clean_root(bed, packed: Path):
    """clean_root unpacks the system where `bed`'s scratch files are, and boots it."""
    if not any(line.split()[2] == "cgroup2" for line in Path("/proc/mounts").read_text().splitlines()):
        skip("no cgroup2 file system is mounted, which systemd wants")
    folder = bed.scratch / "root"
    folder.mkdir()
    must(["tar", "-C", str(folder), "-xf", str(packed)], 120)
    root = CleanRoot(bed, folder)
    root.path("/etc/resolv.conf").unlink(missing_ok=True)
    root.path("/etc/resolv.conf").write_text(f"nameserver {bed.server_address(4)}\n")
    for name in NOT_WANTED:
        root.path(f"/etc/systemd/system/{name}").unlink(missing_ok=True)
        root.path(f"/etc/systemd/system/{name}").symlink_to("/dev/null")
    try:
        root.boot()
        yield root
    finally:
        if root.machine:
            root.machine.stop(1.0)
        root.forget_cgroup()
