"""Child processes that cannot outlive their time: every wait has a bound, every group is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Sequence


# How many times longer than usual everything may take: an emulated machine (tools/stock-kernel) is slow. What a client's own
# time limit or the product's decides is not stretched.
PATIENCE = float(os.environ.get("SALLYPORT_PATIENCE", "1"))


@dataclass
class Result:
    """What a finished command left. `code` is None when it ran into its time limit."""

    argv: Sequence[str]
    code: int | None
    out: str
    err: str
    seconds: float

    @property
    def timed_out(self) -> bool:
        return self.code is None

    def within(self, seconds: float, at_most: float = float("inf")) -> bool:
        """within tells whether it took less, on a machine of PATIENCE at most so much: what must be told apart may take as long there."""
        return self.seconds < min(seconds * PATIENCE, max(seconds, at_most))

    def describe(self) -> str:
        tail = "\n".join((self.out.strip()[-600:], self.err.strip()[-600:])).strip()
        status = "timed out" if self.timed_out else f"exit code {self.code}"
        return f"{' '.join(self.argv)[:300]}: {status} after {self.seconds:.2f} s\n{tail}"


def kill_group(process: subprocess.Popen, signal_number: int) -> None:
    try:
        os.killpg(process.pid, signal_number)
    except (ProcessLookupError, PermissionError):
        pass


def run(argv: Sequence[str], timeout: float = 20.0, stdin: bytes | None = None,
        env: dict[str, str] | None = None, cwd: Path | str | None = None) -> Result:
    """run executes a command to its end or to `timeout` seconds, when its whole process group is killed."""
    started = time.monotonic()
    process = subprocess.Popen(argv, stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True, env=env,
                               cwd=cwd)
    try:
        out, err = process.communicate(stdin, timeout=timeout * PATIENCE)
        code: int | None = process.returncode
    except subprocess.TimeoutExpired:
        kill_group(process, signal.SIGKILL)
        out, err = process.communicate()
        code = None
    except BaseException:
        kill_group(process, signal.SIGKILL)
        process.wait()
        raise
    return Result(argv, code, out.decode(errors="replace"), err.decode(errors="replace"),
                  time.monotonic() - started)


def must(argv: Sequence[str], timeout: float = 20.0, **kwargs) -> Result:
    """must is run() for commands whose failure makes a test meaningless."""
    result = run(argv, timeout, **kwargs)
    if result.code != 0:
        raise RuntimeError(result.describe())
    return result


class Process:
    """A background process in a group of its own, with its output in files."""

    def __init__(self, name: str, argv: Sequence[str], scratch: Path, env: dict[str, str] | None = None,
                 stdin: int | None = None):
        self.name = name
        self.argv = list(argv)
        self.out_path = scratch / f"{name}.out"
        self.err_path = scratch / f"{name}.err"
        with open(self.out_path, "wb") as out, open(self.err_path, "wb") as err:
            self.popen = subprocess.Popen(argv, stdin=subprocess.DEVNULL if stdin is None else stdin, stdout=out,
                                          stderr=err, start_new_session=True, env=env, cwd=scratch)

    @property
    def pid(self) -> int:
        return self.popen.pid

    def running(self) -> bool:
        return self.popen.poll() is None

    def out(self) -> str:
        return self.out_path.read_text(errors="replace")

    def err(self) -> str:
        return self.err_path.read_text(errors="replace")

    def signal(self, number: int) -> None:
        """signal reaches the process alone, as a shell's `kill` does."""
        if self.running():
            self.popen.send_signal(number)

    def wait(self, timeout: float) -> int | None:
        """wait returns the exit code, or None when the process still runs after `timeout` seconds."""
        try:
            return self.popen.wait(timeout * PATIENCE)
        except subprocess.TimeoutExpired:
            return None

    def stop(self, timeout: float = 5.0) -> int | None:
        """stop asks the group to end and kills what does not listen."""
        if self.running():
            kill_group(self.popen, signal.SIGTERM)
            if self.wait(timeout) is None:
                kill_group(self.popen, signal.SIGKILL)
                self.wait(timeout)
        kill_group(self.popen, signal.SIGKILL)
        return self.popen.poll()


def wait_until(condition, timeout: float, step: float = 0.05) -> bool:
    """wait_until polls until `condition` holds; False when `timeout` seconds went by first."""
    deadline = time.monotonic() + timeout * PATIENCE
    while True:
        if condition():
            return True
        if time.monotonic() >= deadline:
            return False
        time.sleep(step)
