"""Starts the program in the firewall's namespace, waits until it is ready, reads its events, ends it."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from pathlib import Path

from .event_schema import check_schema
from .proc import PATIENCE, Process, Result, run, wait_until

REPOSITORY = Path(__file__).resolve().parents[3]


def binary() -> str:
    return os.environ.get("SALLYPORT") or str(REPOSITORY / "build" / "sallyport")


def policy_text(bed, rules: str, *, mode: str = "enforce", on_exit: str = "open", extra: str = "", queues: int | None = None,
                bind: str = "any", quic: str = "allow") -> str:
    """policy_text returns a policy for the bed's layout; `rules` and `extra` are TOML. Names go unbound unless a test asks for
    them to be bound; the server is the resolver unless `extra` says who is."""
    hooks = '["output"]' if bed.mode == "host" else '["forward"]'
    inside = f'inside = ["{bed.inside_interface}"]\n' if bed.mode == "gateway" else ""
    count = f"queues = {queues}\n" if queues else ""
    if "[dns]" not in extra:
        extra += f'[dns]\nresolvers = ["{bed.server_address(4)}", "{bed.server_address(6)}"]\n'
    if "[events]" not in extra:  # Most tests look for a line of each flow.
        extra += '[events]\nfold = "0s"\n'
    if "rebinding" not in extra:  # The bed's addresses are private, and its names would be public ones.
        extra = extra.replace("[dns]\n", '[dns]\nrebinding = "allow"\n', 1)
    return f"""version = 1
[defaults]
mode = "{mode}"
bind = "{bind}"
quic = "{quic}"
[deploy]
hooks = {hooks}
{inside}{count}on_exit = "{on_exit}"
control = "{bed.scratch}/control.sock"
{extra}
{rules}
"""


def allow(to: str, protocols: str, ports: str = "", more: str = "") -> str:
    """allow returns one allow rule; the arguments are comma-separated lists."""
    def listed(text: str) -> str:
        return ", ".join(f'"{word.strip()}"' for word in text.split(",") if word.strip())
    port_line = f"ports = [{ports}]\n" if ports else ""
    return f'[[rules]]\nto = [{listed(to)}]\nprotocols = [{listed(protocols)}]\n{port_line}{more}action = "allow"\n'


class Sallyport:
    """Use as a context manager; `with Sallyport(bed, policy) as firewall:` is ready inside the block."""

    def __init__(self, bed, policy: str, *arguments: str, name: str = "sallyport", ready: bool = True, json_lines: bool = True,
                 environment: dict[str, str] | None = None, before: str = ""):
        """`before` is a shell command that runs first in the service's own mount namespace."""
        self.bed = bed
        self.before = before
        self.environment = {**os.environ, **(environment or {})}
        self.policy_path: Path = bed.scratch / f"{name}.toml"
        self.policy_path.write_text(policy)
        self.control = Path(re.search(r'control = "([^"]+)"', policy).group(1))
        self.process: Process | None = None
        self.arguments = arguments
        self.name = name
        self._wait = ready
        self._format = ["--json"] if json_lines else []

    def __enter__(self) -> "Sallyport":
        self.start()
        return self

    def __exit__(self, *_error) -> None:
        self.stop()
        self.remove_rules()

    def start(self) -> None:
        command = [binary(), "run", "--policy", self.policy_path.name, *self._format, *self.arguments]  # In the scratch folder.
        if self.before:
            command = ["sh", "-c", f'{self.before} && exec "$@"', "sh", *command]
        self.process = self.bed.spawn("firewall", self.name, command, env=self.environment)
        if not self._wait:
            return

        def ready() -> bool:
            return not self.process.running() or self.status().code == 0

        if not wait_until(ready, 15.0) or not self.process.running():
            raise RuntimeError(f"the program did not get ready:\n{self.process.err()}\n{self.process.out()[-500:]}")

    def command(self, *arguments: str, timeout: float = 10.0) -> Result:
        return self.bed.run("firewall", [binary(), *arguments], timeout)

    def status(self, *arguments: str) -> Result:
        return self.command("status", "--control", str(self.control), *arguments)

    def stop(self, number: int = signal.SIGTERM, timeout: float = 8.0) -> int | None:
        """stop returns the exit code; a program that does not end is killed, and that raises."""
        if self.process is None or not self.process.running():
            return self.process.popen.poll() if self.process else None
        self.process.signal(number)
        code = self.process.wait(timeout)
        if code is None:
            self.process.stop(1.0)
            raise RuntimeError(f"the program did not end within {timeout} s of signal {number}")
        return code

    def kill(self) -> None:
        self.process.signal(signal.SIGKILL)
        self.process.wait(5.0)

    def remove_rules(self) -> Result:
        return self.command("rules", "remove", "--policy", str(self.policy_path))

    # --- Events -------------------------------------------------------------------------------------

    def events(self) -> list[dict]:
        """events returns the complete JSON lines written so far."""
        lines = self.process.out().split("\n")[:-1]
        return [json.loads(line) for line in lines if line.startswith("{")]

    def mark(self) -> int:
        return len(self.events())

    def wait_event(self, since: int = 0, timeout: float = 4.0, **wanted) -> dict:
        """wait_event returns the first event after position `since` whose fields have the wanted values."""
        deadline = time.monotonic() + timeout * PATIENCE
        while True:
            events = self.events()[since:]
            for event in events:
                if all(event.get(key) == value for key, value in wanted.items()):
                    check_schema(event)
                    return event
            if time.monotonic() > deadline:
                raise AssertionError(f"no event with {wanted}; events: {events[-6:]}\n{self.process.err()[-500:]}")
            time.sleep(0.05)

    def queued_packets(self) -> int:
        """queued_packets returns how many packets the kernel ever queued here: the sum of the id sequences, column 8 of
        /proc/net/netfilter/nfnetlink_queue."""
        table = self.bed.run("firewall", ["cat", "/proc/net/netfilter/nfnetlink_queue"]).out
        return sum(int(line.split()[7]) for line in table.splitlines() if len(line.split()) >= 8)

    def log(self) -> str:
        """log returns the end of what the program said, for the report of a failed case."""
        if self.process is None:
            return ""
        return f"{self.process.err()[-1500:]}\n{self.process.out()[-1500:]}".strip()


# Whoever looks at a table of iptables-legacy makes it, and nobody can take it away again: an empty one is none.
LEGACY = "legacy" in run(["iptables", "--version"]).out


def without_empty_tables(text: str) -> str:
    return re.sub(r"^\*\w+\n(?::[A-Z]+ ACCEPT \[0:0\]\n)*COMMIT\n", "", text, flags=re.M)


def rulesets(bed, where: str = "firewall") -> dict[str, str]:
    """rulesets returns what the firewall tools print, without counters and dates."""
    texts = {}
    for command in (["iptables-save"], ["ip6tables-save"], ["nft", "list", "ruleset"]):
        text = bed.run(where, command).out
        text = re.sub(r"^#.*\n", "", text, flags=re.M)
        text = re.sub(r"\[\d+:\d+\]", "[0:0]", text)
        if LEGACY:
            text = without_empty_tables(text)
        texts[command[0]] = re.sub(r"counter packets \d+ bytes \d+", "counter", text)
    return texts
