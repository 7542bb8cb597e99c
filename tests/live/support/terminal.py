"""A terminal of tmux in the firewall's namespace: keys go in, what the screen shows comes out."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import time

from .suite import expect
from .testbed import Testbed

SERIAL = itertools.count()


class Screen:
    """Screen is a tmux of its own, with one window in the firewall's namespace."""

    def __init__(self, bed: Testbed, width: int = 120, height: int = 30):
        self.bed = bed
        self.socket = str(bed.scratch / f"tmux{next(SERIAL)}.sock")  # The server of one before may still be on its way out.
        self.size = (width, height)

    def tmux(self, *arguments: str, check: bool = True) -> str:
        environment = {key: value for key, value in os.environ.items() if key not in ("TMUX", "NO_COLOR")}
        environment |= {"LC_ALL": "C.UTF-8", "TERM": "xterm-256color"}
        result = subprocess.run(["tmux", "-S", self.socket, "-f", "/dev/null", *arguments], capture_output=True, text=True, env=environment,
                                timeout=10, check=False)
        expect(result.returncode == 0 or not check, f"tmux {arguments}: {result.stderr}")
        return result.stdout

    def __enter__(self) -> "Screen":
        # A shell stays when the program has ended, so that what it left on the terminal is seen.
        self.tmux("new-session", "-d", "-x", str(self.size[0]), "-y", str(self.size[1]), "ip", "netns", "exec", self.bed.firewall,
                  "env", "PS1=shell> ", "TZ=UTC", "sh")
        self.tmux("set", "-g", "set-clipboard", "on")
        self.wait("shell>")
        return self

    def __exit__(self, *_error) -> None:
        self.tmux("kill-server", check=False)

    def run(self, command: str) -> None:
        self.keys(command, "Enter")

    def keys(self, *keys: str) -> None:
        if keys:
            self.tmux("send-keys", *keys)

    def text(self, *options: str) -> str:
        return self.tmux("capture-pane", "-p", *options)

    def wait(self, pattern: str, timeout: float = 6.0) -> str:
        deadline = time.monotonic() + timeout
        while True:
            text = self.text()
            if re.search(pattern, text):
                return text
            expect(time.monotonic() < deadline, f"no {pattern!r} on the screen:\n{text}")
            time.sleep(0.05)

    def resize(self, width: int, height: int) -> None:
        self.tmux("resize-window", "-x", str(width), "-y", str(height))
