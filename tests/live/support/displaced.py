"""What the tests of displaced rules share: who stands where, how long until the rules are back, what was said of it."""

from __future__ import annotations

import re
import time

from .daemon import LEGACY, Sallyport, without_empty_tables
from .proc import PATIENCE
from .refused import expect_printed_alert
from .suite import expect, expect_equal

JUMPS = {("filter", "OUTPUT"), ("filter", "INPUT"), ("mangle", "OUTPUT"), ("mangle", "PREROUTING"), ("mangle", "POSTROUTING")}


def saved(bed, tool: str = "iptables") -> str:
    return bed.run("firewall", [f"{tool}-save"]).out


def without_numbers(text: str) -> str:
    return re.sub(r"\[\d+:\d+\]", "[0:0]", re.sub(r"^#.*\n", "", text, flags=re.M))


def foreign(bed, tools: tuple[str, ...] = ("iptables", "ip6tables")) -> str:
    """foreign returns what of the rules is not ours, line by line and without counters: what must stay byte by byte."""
    lines = []
    for tool in tools:
        text = without_numbers(saved(bed, tool))
        text = "".join(line for line in text.splitlines(keepends=True) if "SALLYPORT-" not in line)
        lines += [f"{tool} {line}" for line in (without_empty_tables(text) if LEGACY else text).splitlines()]
    return "\n".join(lines)


def ours(text: str) -> list[str]:
    return sorted(line for line in without_numbers(text).splitlines() if "SALLYPORT-" in line and "SALLYPORT-CREATED" not in line)


def first_rules(text: str, table: str) -> dict[str, str]:
    """first_rules returns each chain's first rule of a table."""
    found: dict[str, str] = {}
    current = ""
    for line in text.splitlines():
        if line.startswith("*"):
            current = line[1:]
        match = re.match(r"-A (\S+) (.*)", line)
        if match and current == table:
            found.setdefault(match.group(1), match.group(2))
    return found


def in_place(bed, wanted: dict[str, list[str]]) -> bool:
    """in_place: our rules are what they were, and the jumps stand first."""
    for tool, rules in wanted.items():
        text = saved(bed, tool)
        if ours(text) != rules:
            return False
        for table, chain in JUMPS:
            if any(f"-A {chain} " in rule for rule in rules) and "SALLYPORT-" not in first_rules(text, table).get(chain, ""):
                return False
    return True


def until_back(bed, firewall: Sallyport, wanted: dict[str, list[str]], since: int, started: float, limit: float = 1.0) -> dict:
    """until_back waits until the rules are back and the event is there; more than `limit` seconds fail the case (PATIENCE²
    times that: the repair and this very look at the rules each take a machine of PATIENCE as many seconds)."""
    limit *= PATIENCE**2
    while not in_place(bed, wanted):
        expect(time.monotonic() - started < limit + 4.0, f"not put back\n{firewall.log()}\n{saved(bed)[-800:]}")
        time.sleep(0.02 * PATIENCE**2)  # Where reading the rules takes a second, the repair should have its share.
    took = time.monotonic() - started
    event = firewall.wait_event(since, event="rules_displaced", repaired=True)
    expect(took < limit, f"put back after {took:.2f} s")
    event["seen_after"] = took
    return event


def kinds(event: dict) -> set[str]:
    return {row["what"] for row in event["found"]}


def expect_judged(clients, families: tuple[int, ...] = (4, 6)) -> None:
    """expect_judged: what is allowed passes, what is not is refused with our words."""
    for family in families:
        result = clients.curl("https://allowed.test/", family)
        expect_equal(result.out.strip(), "vhost allowed.test", result.describe())
        expect_printed_alert(clients.curl("https://denied.test/", family))
