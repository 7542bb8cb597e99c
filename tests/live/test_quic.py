#!/usr/bin/env python3
"""QUIC by the server name in its Initial packets, with ngtcp2's client and server."""

import os

from support import Suite, binary, expect, expect_equal, skip_unless_possible
from support.clients import http3_worked
from support.daemon import allow
from support.hello import quic_hello
from support.quic_initial import V1, V2, hello_datagrams
from support.refused import expect_printed_quic_close, expect_quic_closed
from support.world import UDP, World, world

RULES = allow("allowed.test", "quic", "443, 4434")


def body(suite: Suite) -> None:
    for mode in ("host", "gateway"):
        with world(suite, mode, RULES, "quic") as it:
            for family in (4, 6):
                each(suite, it, f"{mode} v{family}", family)


def datagrams(version: int, name: str, fixed_bit: bool) -> list[bytes]:
    scid = os.urandom(8)
    return hello_datagrams(version, quic_hello(name, scid=scid), scid, [], fixed_bit=fixed_bit)


def each(suite: Suite, it: World, label: str, family: int) -> None:
    for port in (443, 4434):
        with suite.case(f"{label}: an allowed name on port {port}"):
            mark = it.mark()
            result = it.clients.http3("allowed.test", family, port)
            expect(http3_worked(result), result.describe())
            event = it.expect_event(mark, name="allowed.test", verdict="allow", dport=port)
            expect_equal((event["protocol"], event["proto"]), ("quic", "udp"), "the event")
        with suite.case(f"{label}: a denied name on port {port}, and no byte arrives"):
            mark = it.mark()
            result = it.clients.http3("denied.test", family, port, seconds=2)
            expect(not http3_worked(result), result.describe())
            expect_printed_quic_close(result, "sallyport: denied.test is not allowed (default)")
            it.expect_nothing_arrived(mark, UDP, port)
            event = it.expect_event(mark, name="denied.test", verdict="deny", dport=port)
            expect_equal(event["reason"], "name_not_allowed", "the event")
    for version, fixed_bit in ((V1, True), (V1, False), (V2, True), (V2, False)):
        variant = f"version {version:#x}, fixed bit {'set' if fixed_bit else 'cleared (RFC 9287)'}"
        with suite.case(f"{label}: a second connection from the port of an allowed one, {variant}: judged for itself"):
            mark = it.mark()
            first, = datagrams(V1, "allowed.test", True)
            second, = datagrams(version, "denied.test", fixed_bit)
            answer = it.clients.raw(it.bed.server_address(family), 443, first, transport="udp", then=[second.hex()], read=0.5, to_end=True)
            expect(len(answer["reads"]) > 1, f"no answer to the first: {answer}")
            expect_quic_closed(answer, second, "sallyport: denied.test is not allowed (default)")
            it.expect_never(mark, second[100:200])
            it.expect_event(mark, name="denied.test", verdict="deny")
    with suite.case(f"{label}: QUIC of an unread version is refused"):
        mark = it.mark()
        result = it.clients.http3("allowed.test", family, 443, "--version=0xfaceb001", seconds=2)
        expect(not http3_worked(result), result.describe())
        it.expect_nothing_arrived(mark, UDP, 443)
    with suite.case(f"{label}: datagrams that are not QUIC are refused on the same port"):
        mark = it.mark()
        answer = it.clients.raw(it.bed.server_address(family), 443, b"\x00secret of a tunnel", transport="udp", read=1.0)
        expect_equal(answer["error"], "EHOSTUNREACH" if family == 4 else "EACCES", str(answer))
        it.expect_nothing_arrived(mark, UDP, 443)


if __name__ == "__main__":
    skip_unless_possible(binary(), ("gtlsclient", "gtlsserver"))
    Suite("quic", 200).main(body)
