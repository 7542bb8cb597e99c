#!/usr/bin/python3
"""run_targets.py ROOT [--list] [--seconds N] [--jobs N] [TARGET...]: runs built fuzz targets, each for N CPU seconds.

tools/fuzz installs, builds and calls this. Exit codes: 0 nothing found, 1 something found, 2 wrong use, 130 Ctrl-C.
"""
import argparse
import ctypes
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

# Longest input, in bytes. Elsewhere DEFAULT_MAX: a datagram, or the beginning of a stream.
DEFAULT_MAX = 4096
MAX_INPUT = {
    "capture": 65536,     # Compressed ones grow to many frames.
    "http1": 20000,       # A head may have 16 kB, and more is refused.
    "http2": 20000,       # As a frame.
    "inspector": 16384,   # Packets of a few flows.
    "policy": 8192,
    "ssh": 8192,
    "tls_records": 20000,  # A hello may have 16 kB.
    "tcp_stream": 1024,   # Steps of a few bytes each, 200 at most.
    "quic_flow": 1024,
}
UNIT_TIMEOUT = 60  # Seconds of the clock for one input, generous: the machine may have other work.
MEMORY_MB = 2048
GRACE = 20  # Seconds that a target has to end when asked.
PR_SET_PDEATHSIG = 1
KINDS = ("crash", "leak", "timeout", "oom")


def target_names(root):
    return sorted(path.name.removesuffix("_fuzz.cc") for path in (root / "tests/fuzz").glob("*_fuzz.cc"))


def die_with_parent():
    """No target outlives this program, whatever ends it."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def cpu_seconds(pid):
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Run:
    """One target at work, and afterwards what came of it."""

    def __init__(self, root, name, seconds):
        build = root / "build-fuzz"
        self.root, self.name, self.budget = root, name, seconds
        self.cpu, self.asked_at, self.findings, self.failed = 0.0, None, [], None
        self.binary = build / f"{name}_fuzz"
        self.corpus, self.found = build / "corpus" / name, build / "findings" / name
        for folder in (self.corpus, self.found):
            folder.mkdir(parents=True, exist_ok=True)
        self.before = set(self.found.iterdir())
        self.log = build / "findings" / f"{name}.log"
        # A leak is looked for by libFuzzer itself; a large quarantine only costs time.
        self.environment = dict(os.environ, ASAN_OPTIONS="quarantine_size_mb=32:allocator_may_return_null=1",
                                UBSAN_OPTIONS="halt_on_error=1:print_stacktrace=1")
        command = [self.binary, self.corpus, root / "tests/fuzz/corpus" / name, f"-artifact_prefix={self.found}/",
                   f"-max_len={MAX_INPUT.get(name, DEFAULT_MAX)}", f"-timeout={UNIT_TIMEOUT}",
                   f"-rss_limit_mb={MEMORY_MB}", "-report_slow_units=100000", "-print_final_stats=1"]
        if seconds == 0:
            command.append("-runs=0")
        with open(self.log, "wb") as log:
            # A process group of its own: Ctrl-C comes to this program alone, which ends the targets in order.
            self.process = subprocess.Popen([str(part) for part in command], stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, env=self.environment, preexec_fn=die_with_parent,
                                            process_group=0)

    def poll(self):
        """Tells whether the target has ended; asks it to when its time is over."""
        if self.process.poll() is not None:
            self.read_result()
            return True
        self.cpu = cpu_seconds(self.process.pid) or self.cpu
        if self.asked_at is None and self.budget and self.cpu >= self.budget:
            self.ask_to_end()
        elif self.asked_at is not None and time.monotonic() > self.asked_at + UNIT_TIMEOUT + GRACE:
            self.process.kill()
        return False

    def ask_to_end(self):
        self.asked_at = time.monotonic()
        self.process.send_signal(signal.SIGUSR1)  # libFuzzer finishes its input and prints its figures.

    def end(self):
        if self.process.poll() is None:
            self.ask_to_end()
            try:
                self.process.wait(GRACE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.read_result()

    def read_result(self):
        new = sorted(path for path in set(self.found.iterdir()) - self.before if path.name.startswith(KINDS))
        # The clock runs on while the machine is busy or asleep: a timeout counts when it happens again.
        self.findings = [path for path in new if not path.name.startswith("timeout") or self.repeats(path)]
        if self.process.returncode != 0 and not new:
            self.failed = self.process.returncode

    def repeats(self, path):
        again = subprocess.run([str(self.binary), f"-timeout={UNIT_TIMEOUT}", str(path)], stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=self.environment, check=False)
        return again.returncode != 0

    def reproduction(self, path):
        return f"{self.binary.relative_to(self.root)} {path.relative_to(self.root)}"

    def figures(self):
        """Executions and edges, as libFuzzer told them last."""
        text = self.log.read_text(errors="replace")
        units = re.findall(r"^stat::number_of_executed_units:\s*(\d+)", text, re.M) or re.findall(r"^#(\d+)", text, re.M)
        edges = re.findall(r"\bcov: (\d+)", text)
        return int(units[-1]) if units else 0, int(edges[-1]) if edges else 0


def run_all(root, names, seconds, jobs, runs):
    waiting, active = list(names), []
    while waiting or active:
        while waiting and len(active) < jobs:
            run = Run(root, waiting.pop(0), seconds)
            runs.append(run)
            active.append(run)
        time.sleep(0.2)
        for run in [run for run in active if run.poll()]:
            active.remove(run)
            state = "a finding" if run.findings else f"failed ({run.failed})" if run.failed is not None else "done"
            print(f"{run.name}: {state} after {run.cpu:.0f} s", flush=True)


def print_table(runs):
    row = "{:<16} {:>8} {:>13} {:>10} {:>8} {:>7} {:>9}".format
    print()
    print(row("target", "CPU s", "executions", "per CPU s", "corpus", "edges", "findings"))
    for run in sorted(runs, key=lambda run: run.name):
        executions, edges = run.figures()
        rate = round(executions / run.cpu) if run.cpu >= 1 else 0
        print(row(run.name, round(run.cpu), f"{executions:,}", f"{rate:,}", len(list(run.corpus.iterdir())), edges,
                  len(run.findings)))
    print()
    for run in runs:
        for path in run.findings:
            print(f"{run.name}: {path.name.split('-')[0]}; again with: {run.reproduction(path)}")
        if run.failed is not None:
            print(f"{run.name} ended with {run.failed} and kept no input; see {run.log.relative_to(run.root)}")


def closing_line(runs, interrupted):
    executions = sum(run.figures()[0] for run in runs)
    findings = sum(len(run.findings) for run in runs)
    failed = sum(run.failed is not None for run in runs)
    found = "no finding" if findings == 0 else "1 finding" if findings == 1 else f"{findings} findings"
    broken = f", {failed} that did not run to the end" if failed else ""
    print(f"{len(runs)} targets, {sum(run.cpu for run in runs):.0f} CPU seconds, {executions:,} executions: "
          f"{found}{broken}{' (interrupted)' if interrupted else ''}")
    return 130 if interrupted else 1 if findings or failed else 0


def interrupt(*_):
    raise KeyboardInterrupt


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("root", type=pathlib.Path)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("targets", nargs="*")
    options = parser.parse_intermixed_args()
    names = options.targets or target_names(options.root)
    if options.list:
        print("\n".join(names))
        return 0
    # A caller that is killed takes this program along, and that its targets.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    signal.signal(signal.SIGTERM, interrupt)
    runs, interrupted = [], False
    try:
        run_all(options.root, names, options.seconds, options.jobs, runs)
    except KeyboardInterrupt:
        interrupted = True
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        for run in runs:
            run.end()
    print_table(runs)
    return closing_line(runs, interrupted)


if __name__ == "__main__":
    sys.exit(main())
