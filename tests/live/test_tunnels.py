#!/usr/bin/env python3
"""Tunnels: allowed as what they are, and with [inspect] tunnels judged by what is in them too."""

import sys

from support import Suite, binary, expect, expect_equal, skip_unless_possible
from support.daemon import allow
from support.tunnels import Tunnel
from support.world import World, world

KINDS = ("vxlan", "gre", "gre:5", "ipip", "teredo")
WORDS = '["gre", "ipip", "vxlan", "teredo"]'


def body(suite: Suite) -> None:
    ends = allow("10.91.9.2", "gre, ipip, vxlan, teredo")
    name = allow("allowed.test", "tls", "443, 4712")
    # In gateway mode the workload makes its own tunnel. On a host a tunnel of the kernel is bare on its device first.
    with world(suite, "gateway", ends + name, "web", extra=f"[inspect]\ntunnels = {WORDS}\n") as it:
        for index, kind in enumerate(KINDS):
            looked_into(suite, it, f"gateway, {kind}", Tunnel(it.bed, kind, index))
    with world(suite, "gateway", ends, "web") as it:
        for index, kind in enumerate(("vxlan", "gre")):
            whole(suite, it, f"gateway, {kind}", Tunnel(it.bed, kind, index))
    with world(suite, "gateway", name, "web", extra=f"[inspect]\ntunnels = {WORDS}\n") as it:
        for index, kind in enumerate(("vxlan", "gre", "teredo")):
            refused(suite, it, f"gateway, {kind}", Tunnel(it.bed, kind, index))
    with world(suite, "host", ends + name, "web", extra=f"[inspect]\ntunnels = {WORDS}\n") as it:
        for index, kind in enumerate(("vxlan", "gre", "teredo")):
            looked_into(suite, it, f"host, {kind}", Tunnel(it.bed, kind, index))


def looked_into(suite: Suite, it: World, label: str, tunnel: Tunnel) -> None:
    family = 6 if ":" in tunnel.inner_server else 4
    for port, version in ((443, "TLS 1.3"), (4712, "TLS 1.2")):
        with suite.case(f"{label}: an allowed name inside, {version}"):
            mark = it.mark()
            result = it.clients.curl(f"https://allowed.test:{port}/", family, *tunnel.resolve("allowed.test", port))
            expect("vhost allowed.test" in result.out, result.describe())
            event = it.expect_event(mark, verdict="allow", name="allowed.test", tunnel=tunnel.kind.partition(":")[0])
            expect_equal(event["dst"], tunnel.inner_server, "the inner address")
    with suite.case(f"{label}: another name inside does not pass, and no byte of it arrives"):
        mark = it.mark()
        result = it.clients.curl("https://denied.test/", family, *tunnel.resolve("denied.test"), timeout=2)
        expect(result.code == 28, f"nobody answers into a tunnel: {result.describe()}")
        it.expect_event(mark, verdict="deny", name="denied.test", reason="name_not_allowed")
        it.expect_never(mark, b"denied.test")
    with suite.case(f"{label}: and the tunnel goes on"):
        result = it.clients.curl("https://allowed.test/", family, *tunnel.resolve("allowed.test"))
        expect("vhost allowed.test" in result.out, result.describe())
    with suite.case(f"{label}: after a long transfer nothing in it passes unread"):
        result = it.clients.curl("https://allowed.test/", family, *tunnel.resolve("allowed.test"), "--data-binary", "x" * 100_000)
        expect("vhost" in result.out, result.describe())
        mark = it.mark()
        result = it.clients.curl("https://denied.test/", family, *tunnel.resolve("denied.test"), timeout=1)
        expect(result.code == 28, f"nobody answers into a tunnel: {result.describe()}")
        it.expect_never(mark, b"denied.test")


def whole(suite: Suite, it: World, label: str, tunnel: Tunnel) -> None:
    with suite.case(f"{label}: without the key a rule for the tunnel lets everything in it through"):
        mark = it.mark()
        result = it.clients.curl("https://denied.test/", 4, *tunnel.resolve("denied.test"))
        expect("vhost denied.test" in result.out, result.describe())
        it.expect_event(mark, verdict="allow", protocol=tunnel.kind)


def refused(suite: Suite, it: World, label: str, tunnel: Tunnel) -> None:
    with suite.case(f"{label}: a tunnel that no rule allows is refused, whatever is in it"):
        mark = it.mark()
        family = 6 if ":" in tunnel.inner_server else 4
        result = it.clients.curl("https://allowed.test/", family, *tunnel.resolve("allowed.test"), timeout=2)
        expect(result.code != 0, result.describe())
        it.expect_never(mark, b"allowed.test")


if __name__ == "__main__":
    skip_unless_possible(binary(), ("nginx", "curl"))
    Suite("tunnels", 220).main(body)
