"""A clean Debian below a folder: made once by debootstrap, kept packed in the build folder, unpacked for each test."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path

from .proc import Result, must, run
from .suite import skip

# Stands in for systemd, which cannot run here: does with the packaged unit what systemctl would, and notes what it is asked.
# Between the end of the old service and the start of the new one it waits, so that a gap would be seen.
SYSTEMCTL = r"""#!/bin/sh
echo "$*" >> /run/systemctl.log
verb= unit=
for word in "$@"; do
  case $word in -*) ;; *) if [ -z "$verb" ]; then verb=$word; else unit=$word; fi ;; esac
done
case $verb in
  daemon-reload) exit 0 ;;
  is-enabled) echo enabled; exit 0 ;;
esac
[ "$unit" = sallyport.service ] || exit 0
running() { [ -f /run/sallyport.pid ] && [ -d "/proc/$(cat /run/sallyport.pid)" ]; }
stop() {
  [ -f /run/sallyport.pid ] || return 0
  pid=$(cat /run/sallyport.pid)
  kill -TERM "$pid" 2>/dev/null
  for i in $(seq 200); do [ -d "/proc/$pid" ] && sleep 0.05 || break; done
  rm -f /run/sallyport.pid
}
start() {
  command=$(sed -n 's/^ExecStart=//p' /lib/systemd/system/sallyport.service)
  setsid sh -c "exec $command" </dev/null >>/var/log/service.log 2>&1 &
  echo $! > /run/sallyport.pid
  for i in $(seq 200); do sallyport status >/dev/null 2>&1 && return 0; sleep 0.05; done
  return 1
}
case $verb in
  is-active) running ;;
  preset | enable)
    mkdir -p /etc/systemd/system/multi-user.target.wants
    ln -sf /lib/systemd/system/sallyport.service /etc/systemd/system/multi-user.target.wants/ ;;
  stop) stop ;;
  start) running || start ;;
  restart) stop; sleep 1; start ;;
esac
"""


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
    """wanted_packages returns what the package depends on; of alternatives the one without systemd itself."""
    text = must(["dpkg-deb", "-f", str(package), "Depends"]).out
    names = []
    for entry in text.split(","):
        choices = [choice.split("(")[0].strip() for choice in entry.split("|")]
        names.append(next((choice for choice in choices if choice.startswith("systemd-standalone")), choices[0]))
    return sorted({*names, "ca-certificates"})


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
    def __init__(self, bed, folder: Path):
        self.bed, self.folder = bed, folder

    def run(self, *command: str, timeout: float = 60.0) -> Result:
        environment = ["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive"]
        return self.bed.run("firewall", [*environment, "chroot", str(self.folder), *command], timeout)

    def path(self, name: str) -> Path:
        return self.folder / name.lstrip("/")

    def asked(self) -> str:
        log = self.path("/run/systemctl.log")
        return log.read_text() if log.exists() else ""


@contextmanager
def clean_root(bed, packed: Path):
    """clean_root unpacks the system where `bed`'s scratch files are; what runs in it is in the firewall's namespace."""
    folder = bed.scratch / "root"
    folder.mkdir()
    must(["tar", "-C", str(folder), "-xf", str(packed)], 120)
    must(["mount", "-t", "proc", "proc", str(folder / "proc")])
    root = CleanRoot(bed, folder)
    root.path("/usr/bin/systemctl").write_text(SYSTEMCTL)
    root.path("/usr/bin/systemctl").chmod(0o755)
    root.path("/run/systemd/system").mkdir(parents=True)
    root.path("/etc/resolv.conf").write_text(f"nameserver {bed.server_address(4)}\n")
    try:
        yield root
    finally:
        root.run("systemctl", "stop", "sallyport.service")
        subprocess.run(["umount", "-l", str(folder / "proc")], check=False)
