#!/usr/bin/env python3
"""The testbed alone, without a firewall: each real client reaches its server. What other tests forbid works here,
so a refusal there is the program's doing."""

import time
from pathlib import Path

from support import Capture, Servers, Suite, Testbed, expect, expect_equal, run, skip_unless_possible
from support.clients import Clients, http3_worked
from support.hello import client_hello


def body(suite: Suite) -> None:
    used = []
    for mode, hops, offload in (("host", 0, True), ("gateway", 2, False)):
        with Testbed(mode, hops, offload) as bed, Servers(bed) as servers:
            used += bed.nodes
            clients = Clients(bed, servers)
            servers.start_web()
            servers.start_ssh()
            servers.start_dns()
            servers.start_quic()
            servers.start_sink()
            capture = Capture(bed)
            for family in (4, 6):
                each_client(suite, bed, clients, servers, capture, f"{mode} v{family}", family)
    with suite.case("the namespaces and their names are gone"):
        left = run(["ip", "netns", "list"]).out
        expect(not any(node in left for node in used), left)
        expect(not any(Path("/etc/netns", node).exists() for node in used), "/etc/netns is not clean")


def each_client(suite, bed, clients, servers, capture, label, family) -> None:
    for url in ("https://allowed.test/", "https://denied.test:4711/", "https://denied.test:4433/", "https://denied.test:4712/",
                "http://denied.test/", "http://denied.test:8081/"):
        with suite.case(f"{label}: curl {url}"):
            result = clients.curl(url, family)
            expect("vhost denied.test" in result.out or "vhost allowed.test" in result.out, result.describe())
    with suite.case(f"{label}: openssl s_client"):
        result = clients.s_client("denied.test", family, 443)
        expect("vhost denied.test" in result.out, result.describe())
    with suite.case(f"{label}: ngtcp2's client"):
        result = clients.http3("denied.test", family)
        expect(http3_worked(result), result.describe())
    with suite.case(f"{label}: dig over UDP and TCP"):
        for arguments in ((), ("+tcp",)):
            result = clients.dig("denied.test", family, "+short", *arguments)
            expect_equal(result.out.strip(), bed.server_address(4), "the answer")
    with suite.case(f"{label}: ssh"):
        result = clients.ssh(bed.server_address(family))
        expect_equal(result.out.strip(), "reached", result.describe())
    for piece, read in ((0, 3.0), (60, 3.0), (1, 3.0)):
        with suite.case(f"{label}: a raw hello in pieces of {piece or 'any size'} arrives whole"):
            mark = capture.mark()
            hello = client_hello("denied.test", post_quantum=True)
            answer = clients.raw(bed.server_address(family), 443, hello, piece=piece, read=read)
            expect(answer["received"].startswith("16030"), f"no ServerHello: {answer}")
            expect(hello in capture.streams(mark, 443), "the capture does not show the hello")
    with suite.case(f"{label}: the sink records TCP and UDP"):
        address, secret = bed.server_address(family), f"secret {label}".encode()
        for transport in ("tcp", "udp"):
            answer = clients.raw(address, 9000, secret, transport=transport)
            expect(bytes.fromhex(answer["received"]).startswith(b"got"), str(answer))
        expect(servers.sink_bytes().count(secret) == 2, "the sink's log")
    with suite.case(f"{label}: a closed port refuses at once"):
        started = time.monotonic()
        answer = clients.raw(bed.server_address(family), 9999, b"")
        expect(answer["error"] == "ECONNREFUSED" and time.monotonic() - started < 2, str(answer))


if __name__ == "__main__":
    skip_unless_possible(None)
    Suite("testbed", 150).main(body)
