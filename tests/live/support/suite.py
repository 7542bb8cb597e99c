"""Suite runs the cases of one script, prints one line for each, and ends with an honest exit code."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import traceback
from contextlib import contextmanager

from .proc import PATIENCE

SKIPPED = 77  # ctest's SKIP_RETURN_CODE, set in tests/live/tests.cmake.


class Failure(AssertionError):
    pass


class OutOfTime(BaseException):
    """Not an Exception, so that no case swallows it."""


def expect(condition: object, message: str) -> None:
    if not condition:
        raise Failure(message)


def expect_equal(got: object, wanted: object, what: str) -> None:
    if got != wanted:
        raise Failure(f"{what}: got {got!r}, wanted {wanted!r}")


def skip(reason: str) -> None:
    print(f"SKIPPED: {reason}", flush=True)
    sys.exit(SKIPPED)


def skip_unless_possible(program: str | None, tools: tuple[str, ...] = ()) -> None:
    """skip_unless_possible leaves with code 77 and the reason when this machine cannot run live tests."""
    if os.geteuid() != 0:
        skip("live tests make network namespaces and need root")
    if program is not None and not os.access(program, os.X_OK):
        skip(f"the program is not built ({program})")
    for tool in ("ip", "iptables", "ip6tables", "iptables-save", "openssl", "tcpdump", *tools):
        if subprocess.run(["sh", "-c", f"command -v {tool}"], stdout=subprocess.DEVNULL).returncode != 0:
            skip(f"{tool} is not installed")
    probe = f"spt{os.getpid()}probe"
    if subprocess.run(["ip", "netns", "add", probe], stderr=subprocess.DEVNULL).returncode != 0:
        skip("this machine does not let us make network namespaces")
    try:
        rule = ["ip", "netns", "exec", probe, "iptables", "-t", "mangle", "-A", "OUTPUT", "-p", "udp", "-j", "NFQUEUE",
                "--queue-num", "4711"]
        if subprocess.run(rule, stderr=subprocess.DEVNULL).returncode != 0:
            skip("the kernel has no NFQUEUE target")
    finally:
        subprocess.run(["ip", "netns", "del", probe], check=False)


class Suite:
    """Suite counts cases. `limit` bounds the whole script, below ctest's own limit, so that clean-up runs."""

    def __init__(self, name: str, limit: int = 240):
        self.name = name
        self.passed = 0
        self.failed = 0
        self.left_out = 0
        self.on_failure = None  # Called without arguments; its text is printed below a failed case.
        for number in (signal.SIGTERM, signal.SIGINT):  # A background job of a shell begins with SIGINT ignored.
            signal.signal(number, self._terminate)
        signal.signal(signal.SIGALRM, self._out_of_time)
        signal.alarm(int(limit * PATIENCE))

    @staticmethod
    def _terminate(_number, _frame):
        raise KeyboardInterrupt

    @staticmethod
    def _out_of_time(_number, _frame):
        raise OutOfTime

    @contextmanager
    def case(self, name: str):
        started = time.monotonic()
        try:
            yield
        except Failure as failure:
            self._report_failure(name, str(failure))
        except Exception:  # A broken case must not hide the others.
            self._report_failure(name, traceback.format_exc())
        else:
            self.passed += 1
            print(f"ok   {name} ({time.monotonic() - started:.2f} s)", flush=True)

    def leave_out(self, name: str, reason: str) -> None:
        """leave_out says of a case that this machine cannot run it; the last line of the script counts it."""
        self.left_out += 1
        print(f"SKIPPED {name}: {reason}", flush=True)

    def _report_failure(self, name: str, text: str) -> None:
        self.failed += 1
        print(f"FAIL {name}")
        for line in text.rstrip().splitlines():
            print(f"     {line}")
        if self.on_failure:
            for line in str(self.on_failure()).rstrip().splitlines():
                print(f"     | {line}")
        sys.stdout.flush()

    def main(self, body) -> None:
        """main runs `body(suite)` and leaves with 0 only if at least one case ran and none failed."""
        try:
            body(self)
        except KeyboardInterrupt:
            print("interrupted", flush=True)
            self.failed += 1
        except OutOfTime:
            print("FAIL the script ran out of its time", flush=True)
            self.failed += 1
        except Exception:
            self._report_failure("the testbed", traceback.format_exc())
        signal.alarm(0)
        skipped = f", {self.left_out} SKIPPED" if self.left_out else ""
        print(f"{self.name}: {self.passed} ok, {self.failed} failed{skipped}", flush=True)
        sys.exit(0 if self.failed == 0 and self.passed > 0 else 1)
