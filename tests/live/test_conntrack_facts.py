#!/usr/bin/env python3
"""Conntrack's facts with each packet (NFQA_CT): where the kernel tells them, every packet's direction goes by them; where it does not, by
marks. `sallyport doctor` says which, and `sallyport status` counts. SALLYPORT_CONNTRACK_FACTS=1 demands them (tools/stock-kernel)."""

import json
import os

from support import Suite, binary, expect, expect_equal, skip_unless_possible
from support.daemon import allow
from support.proc import wait_until
from support.world import TCP, World, world

RULES = allow("allowed.test", "tls", "443") + allow("allowed.test", "dns", "53")


def body(suite: Suite) -> None:
    for mode in ("host", "gateway"):
        with world(suite, mode, RULES, "web", "dns") as it:
            told = doctor_says(suite, it, mode)
            for family in (4, 6):
                traffic(suite, it, f"{mode} v{family}", family)
            with suite.case(f"{mode}: the packets that came with conntrack's facts are {'all' if told else 'none'}"):
                counts = counted(it)
                expect(counts[0] > 0, "no packet came")
                expect_equal(counts[1], counts[0] if told else 0, f"packets with facts, of {counts[0]}")


def doctor_says(suite: Suite, it: World, mode: str) -> bool:
    told = False
    with suite.case(f"{mode}: doctor says whether the kernel tells them"):
        result = it.firewall.command("doctor", "--json", "--policy", str(it.firewall.policy_path), timeout=60)
        texts = [row["text"] for row in json.loads(result.out)["findings"] if row["check"] == "nfqueue"]
        told = any("the kernel tells conntrack facts with each packet" in text for text in texts)
        expect(told or any("tells no conntrack facts" in text for text in texts), result.describe())
        expect(told or os.environ.get("SALLYPORT_CONNTRACK_FACTS") != "1", f"this kernel should tell them: {texts}")
    return told


def traffic(suite: Suite, it: World, label: str, family: int) -> None:
    with suite.case(f"{label}: an allowed name is reached, and its answer comes back whole"):
        result = it.clients.curl("https://allowed.test/", family)
        expect_equal(result.out.strip(), "vhost allowed.test", result.describe())
    with suite.case(f"{label}: a denied name is refused, and no byte arrives"):
        mark = it.mark()
        result = it.clients.curl("https://denied.test/", family)
        expect(result.code not in (0, None), result.describe())
        it.expect_nothing_arrived(mark, TCP, 443)
        it.expect_event(mark, verdict="deny", name="denied.test", protocol="tls")


def counted(it: World) -> tuple[int, int]:
    """counted returns how many packets came, and how many of them with facts, when no more come."""
    seen: list[tuple[int, int]] = []

    def settled() -> bool:
        workers = json.loads(it.firewall.status("--json").out)["workers"]
        seen.append((sum(row["packets"] for row in workers), sum(row["conntrack_told"] for row in workers)))
        return len(seen) > 2 and seen[-1] == seen[-3]

    expect(wait_until(settled, 5.0, 0.3), f"packets come without end: {seen[-3:]}")
    return seen[-1]


if __name__ == "__main__":
    skip_unless_possible(binary())
    Suite("conntrack_facts", 100).main(body)
