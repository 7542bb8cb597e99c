#!/usr/bin/env python3
"""Judged bytes are lost behind the firewall, the sender rewrites the page, the retransmission differs: the server must
never see the forbidden bytes. Runs as a user without any privilege. A run without the firewall shows that the
attack works, and one with an honest sender that a lost first flight alone is no crime."""

import json
import os
import sys
from pathlib import Path

from support import Capture, Servers, Suite, Testbed, binary, expect, expect_equal, skip_unless_possible
from support.clients import Clients
from support.daemon import allow
from support.hello import client_hello
from support.refused import ALERT, expect_problem, received
from support.testbed import UNPRIVILEGED_UID
from support.world import world

ATTACK = Path(__file__).with_name("support") / "attack.py"
RULES = allow("allowed.test", "tls", "443") + allow("allowed.test", "http", "80")
GOOD, EVIL = "allowed.test", "blocked.test"  # Of one length: the sequence numbers must agree.
HTTP = "GET / HTTP/1.1\r\nHost: {}\r\n\r\n"


def messages(kind: str) -> tuple[int, bytes, bytes]:
    if kind == "tls":
        random = os.urandom(32)
        good = client_hello(GOOD, random=random)
        return 443, good, good.replace(GOOD.encode(), EVIL.encode())
    return 80, HTTP.format(GOOD).encode(), HTTP.format(EVIL).encode()


def attack(bed, kind: str, family: int, ttl: int, honest: bool = False) -> dict:
    port, shown, sent = messages(kind)
    request = {"address": bed.server_address(family), "port": port, "ttl": ttl, "read": 6.0, "shown": shown.hex(),
               "sent": (shown if honest else sent).hex()}
    result = bed.run("client", [sys.executable, str(ATTACK)], 20, UNPRIVILEGED_UID, stdin=json.dumps(request).encode() + b"\n")
    if result.code != 0:
        raise RuntimeError(result.describe())
    return json.loads(result.out)


def expect_told(kind: str, answer: dict) -> None:
    """It is told as any other client is."""
    if kind == "tls":
        expect_equal(received(answer), ALERT, str(answer))
    else:
        head, _, content = received(answer).partition(b"\r\n\r\n")
        expect_problem(head, content, GOOD, "retransmission_differs")


def arrived(capture: Capture, mark: int, name: str) -> bool:
    """Towards the server only: its certificate names everybody."""
    return any(name.encode() in packet.payload for packet in capture.packets(mark) if packet.dport in (80, 443))


def body(suite: Suite) -> None:
    # The first flight dies one router behind the firewall.
    for mode, hops, ttl in (("host", 1, 1), ("gateway", 2, 2)):
        with Testbed(mode, hops) as bed, Servers(bed) as servers:
            servers.start_web()
            capture = Capture(bed)
            Clients(bed, servers)
            for family in (4, 6):
                for kind in ("tls", "http"):
                    with suite.case(f"control, no firewall, {mode} v{family} {kind}: the attack works"):
                        mark = capture.mark()
                        answer = attack(bed, kind, family, ttl)
                        expect(arrived(capture, mark, EVIL), f"the forbidden bytes did not arrive: {answer}")
                        expect(not arrived(capture, mark, GOOD), "the first flight was not lost")
        with world(suite, mode, RULES, "web", hops=hops) as it:
            for family in (4, 6):
                for kind in ("tls", "http"):
                    with suite.case(f"{mode} v{family} {kind}: the forbidden bytes never arrive"):
                        mark = it.mark()
                        answer = attack(it.bed, kind, family, ttl)
                        expect(not arrived(it.capture, mark[0], EVIL), f"the server got the forbidden name: {answer}")
                        expect_told(kind, answer)
                        it.expect_event(mark, verdict="deny", reason="retransmission_differs")
                    with suite.case(f"{mode} v{family} {kind}: an honest retransmission passes"):
                        mark = it.mark()
                        answer = attack(it.bed, kind, family, ttl, honest=True)
                        expect(arrived(it.capture, mark[0], GOOD) and answer["received"], str(answer))


if __name__ == "__main__":
    skip_unless_possible(binary(), ("nginx", "setpriv"))
    Suite("retransmission", 200).main(body)
