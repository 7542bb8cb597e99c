#!/usr/bin/env python3
"""The kernel does the rest: once a bulk flow is decided, not one more of its packets is queued."""

import time

from support import Suite, binary, expect, expect_equal, skip_unless_possible
from support.daemon import allow
from support.proc import PATIENCE
from support.world import World, world

BULK = int((2 << 30) / PATIENCE ** 2)  # 2 GB; an emulated machine is given less.
RULES = allow("allowed.test", "tls", "443, 9443")


def body(suite: Suite) -> None:
    for mode, families in (("host", (4, 6)), ("gateway", (4, 6))):
        with world(suite, mode, RULES, "web", "upload", capture=False, bulk_bytes=BULK) as it:
            for family in families:
                bulk(suite, it, f"{mode} v{family}", family, upload=False)
                bulk(suite, it, f"{mode} v{family}", family, upload=True)


def bulk(suite: Suite, it: World, label: str, family: int, upload: bool) -> None:
    what = "uploaded" if upload else "downloaded"
    with suite.case(f"{label}: the queue's counter stands still while {BULK / (1 << 30):.2g} GB are {what}"):
        big = it.servers.www / "bulk"
        arguments = ["-T", str(big), "-H", "Expect:", "https://allowed.test:9443/", "-w", "%{size_upload}"] if upload else \
            ["https://allowed.test/bulk", "-w", "%{size_download}"]
        before = it.firewall.queued_packets()
        mark = it.mark()
        client = it.bed.spawn("client", "curl", ["curl", "-sS", f"-{family}", "--cacert", str(it.servers.ca), "-m", "110", "-o", "/dev/null",
                                                 *arguments])
        it.expect_event(mark, name="allowed.test", verdict="allow")
        time.sleep(0.3)  # The server's acknowledgement hands the flow over.
        expect(client.running(), f"it went by in no time: {client.err()}")
        decided = it.firewall.queued_packets()
        expect(before < decided, "the flow was not inspected at all")
        code = client.wait(115)
        after = it.firewall.queued_packets()
        expect_equal((code, client.out().strip()), (0, str(BULK)), client.err())
        expect_equal(after, decided, "packets queued after the verdict")
        expect(decided - before < 40, f"{decided - before} packets until the verdict")


if __name__ == "__main__":
    skip_unless_possible(binary(), ("curl", "nginx"))
    Suite("offload", 550).main(body)
