#!/usr/bin/env python3
"""DNS over UDP and TCP by the name that is asked for."""

import sys

from support import Suite, binary, expect, expect_equal, skip_unless_possible
from support.daemon import allow
from support.refused import expect_dig_refused, is_dns_refused
from support.world import TCP, UDP, World, world

RULES = allow("allowed.test, *.allowed.test", "dns", "53")


def body(suite: Suite) -> None:
    for mode in ("host", "gateway"):
        with world(suite, mode, RULES, "dns") as it:
            for family in (4, 6):
                each(suite, it, f"{mode} v{family}", family)


def each(suite: Suite, it: World, label: str, family: int) -> None:
    for transport, protocol, arguments in (("udp", UDP, ()), ("tcp", TCP, ("+tcp",))):
        for name in ("allowed.test", "deep.www.allowed.test"):
            with suite.case(f"{label}: dig {name} over {transport}"):
                mark = it.mark()
                result = it.clients.dig(name, family, "+short", *arguments)
                expect_equal(result.out.strip(), it.bed.server_address(4), result.describe())
                event = it.expect_event(mark, name=name, verdict="allow", dport=53)
                expect_equal((event["protocol"], event["proto"]), ("dns", transport), "the event")
        with suite.case(f"{label}: dig denied.test over {transport}: refused, and no byte arrives"):
            mark = it.mark()
            result = it.clients.dig("denied.test", family, *arguments)
            expect_dig_refused(result, "denied.test is not allowed (default)" if transport == "tcp" else "")
            it.expect_nothing_arrived(mark, protocol, 53)
            it.expect_event(mark, name="denied.test", verdict="deny", dport=53)
        with suite.case(f"{label}: two queries on one socket over {transport}, the second denied"):
            mark = it.mark()
            # Both queries over one connection, or from one port: the verdict on the first is none on the second.
            first, second = query("allowed.test", transport), query("leak.denied.test", transport)
            answer = it.clients.raw(it.bed.server_address(family), 53, first, transport=transport, then=[second.hex()], read=1.5)
            start = len(query("leak.denied.test", transport)) - (2 if transport == "tcp" else 0)
            read = bytes.fromhex(answer["received"])
            expect(b"allowed" in read and is_dns_refused(read[-start:]) and read.endswith(query("leak.denied.test", "udp")[12:]), str(answer))
            it.expect_never(mark, b"leak")
            it.expect_event(mark, name="leak.denied.test", verdict="deny")
    with suite.case(f"{label}: getaddrinfo asks for A and AAAA from one socket"):
        # A lone hosts file without names makes the resolver ask.
        code = "import socket; print(sorted({r[4][0] for r in socket.getaddrinfo('x.allowed.test', 80)}))"
        result = it.bed.run("client", [sys.executable, "-c", code])
        for address in (it.bed.server_address(4), "fd91:0:0:9::2"):
            expect(address in result.out, result.describe())
        expect(result.within(1.5, at_most=4.5), f"the resolver had to repeat itself: {result.describe()}")
    with suite.case(f"{label}: bytes that are no DNS do not leave by port 53"):
        mark = it.mark()
        answer = it.clients.raw(it.bed.server_address(family), 53, b"secret of a tunnel over the DNS port", transport="udp", read=1.0)
        expect_equal(answer["error"], "EHOSTUNREACH" if family == 4 else "EACCES", str(answer))
        it.expect_nothing_arrived(mark, UDP, 53)


def query(name: str, transport: str) -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    message = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00" + labels + b"\0\x00\x01\x00\x01"
    return (len(message).to_bytes(2, "big") if transport == "tcp" else b"") + message


if __name__ == "__main__":
    skip_unless_possible(binary(), ("dig", "dnsmasq"))
    Suite("dns", 200).main(body)
