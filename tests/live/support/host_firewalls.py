"""ufw and firewalld themselves, in the firewall's namespace, each with a copy of its configuration and a /run of its own."""

from __future__ import annotations

import shutil
import subprocess

from .proc import wait_until
from .suite import expect, expect_equal

UFW = shutil.which("ufw")
FIREWALLD = shutil.which("firewalld")


class Ufw:
    def __init__(self, bed):
        self.bed, self.etc, self.default = bed, bed.scratch / "etc-ufw", bed.scratch / "default-ufw"
        shutil.copytree("/etc/ufw", self.etc)
        shutil.copy("/etc/default/ufw", self.default)

    def __call__(self, *arguments: str) -> str:
        script = f'mount --bind {self.etc} /etc/ufw && mount --bind {self.default} /etc/default/ufw && exec {UFW} "$@"'
        result = self.bed.run("firewall", ["unshare", "-m", "sh", "-c", script, "ufw", *arguments], 60)
        expect_equal(result.code, 0, result.describe())
        return result.out


class Firewalld:
    """Use as a context manager: a message bus and the daemon, which all commands of its own talk to."""

    def __init__(self, bed):
        self.bed = bed
        etc = bed.scratch / "etc-firewalld"
        shutil.copytree("/etc/firewalld", etc)
        script = (f"mount -t tmpfs tmpfs /run && mkdir -p /run/dbus /run/firewalld && mount --bind {etc} /etc/firewalld && "
                  f"dbus-daemon --system --fork --nopidfile && exec {FIREWALLD} --nofork --nopid --log-target=console")
        self.process = bed.spawn("firewall", "firewalld", ["unshare", "-m", "sh", "-c", script])

    def __enter__(self) -> "Firewalld":
        expect(wait_until(lambda: self.ask("--state").returncode == 0, 30.0, 0.3), self.process.err())
        return self

    def __exit__(self, *_error) -> None:
        self.process.stop(5.0)

    def ask(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["nsenter", "-t", str(self.process.pid), "-m", "-n", "firewall-cmd", *arguments], capture_output=True, text=True,
                              timeout=60, check=False)

    def __call__(self, *arguments: str) -> str:
        result = self.ask(*arguments)
        expect_equal(result.returncode, 0, f"firewall-cmd {' '.join(arguments)}: {result.stdout} {result.stderr}")
        return result.stdout
