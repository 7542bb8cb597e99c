#!/usr/bin/env python3
"""Ping by rule, its types and its payload; errors that nobody may forge; and what IPv6 needs by itself."""

import ipaddress
import struct
import sys
import time
from pathlib import Path

from support import Suite, binary, expect, expect_equal, skip_unless_possible
from support.daemon import allow
from support.world import World, modes_and_families, world

ICMP = {4: 1, 6: 58}
PACKETS = str(Path(__file__).resolve().parent / "support" / "packets.py")


def checksum(data: bytes) -> int:
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


def message(family: int, kind: int, rest: bytes) -> bytes:
    """message returns an ICMP message; the kernel fills in the checksum of ICMPv6."""
    head = struct.pack("!BBH", kind, 0, 0)
    return head[:2] + struct.pack("!H", checksum(head + rest)) + rest if family == 4 else head + rest


def ping(it: World, address: str, *options: str, where: str = "client", **more):
    return it.bed.run(where, ["ping", "-n", "-c", "1", "-W", "1", *options, address], **more)


def send(it: World, family: int, address: str, payload: bytes, number: int | None = None):
    result = it.bed.run("client", [sys.executable, PACKETS, str(ICMP[family] if number is None else number), address, payload.hex()])
    expect_equal(result.code, 0, result.describe())
    time.sleep(0.3)


def body(suite: Suite) -> None:
    one = "10.91.9.2, fd91:0:0:9::2"
    rules = allow(one, "icmp") + allow("10.91.9.4, fd91:0:0:9::4", "icmp", more='icmp_types = ["timestamp-request"]\n') \
        + allow("10.91.9.5, fd91:0:0:9::5", "icmp", more="icmp_payload = 1400\n")
    for mode in ("host", "gateway"):
        with world(suite, mode, rules + allow(one, "udp", "9000"), "sink") as it:
            for family in (4, 6):
                by_rule(suite, it, f"{mode} v{family}", family)
                forged_errors(suite, it, f"{mode} v{family}", family)
            neighbours(suite, it, mode)
    for mode, family in modes_and_families():
        with world(suite, mode, allow(one, "tcp", "9000"), "sink") as it:
            unlisted(suite, it, f"{mode} v{family}", family)
    dns = '[dns]\nresolvers = ["10.91.9.2"]\nprivate = [".test"]\n'
    with world(suite, "host", allow("ping.test", "icmp", more='bind = "strict"\n'), "dns", bind="strict", extra=dns) as it:
        by_name(suite, it)
    small_link(suite)


def filtered(result, family: int) -> bool:
    return ("Packet filtered" if family == 4 else "Administratively prohibited") in result.out


def by_rule(suite: Suite, it: World, label: str, family: int) -> None:
    address = it.bed.server_address
    with suite.case(f"{label}: ping goes there and back, and every request is looked at"):
        mark, queued = it.mark(), it.firewall.queued_packets()
        result = ping(it, address(family), "-c", "3", "-i", "0.05")
        expect("3 received" in result.out, result.describe())
        it.expect_event(mark, verdict="allow", protocol="icmp")
        expect(it.firewall.queued_packets() - queued >= 6, "requests and replies in the queue")
    with suite.case(f"{label}: to another address it is told that it is filtered, and nothing arrives"):
        mark = it.mark()
        result = ping(it, address(family, 1), "-p", "5ec2e7", "-s", "48")
        expect(result.code != 0 and filtered(result, family), result.describe())
        it.expect_never(mark, b"\x5e\xc2\xe7\x5e\xc2\xe7")
        it.expect_event(mark, verdict="deny", reason="transport_not_allowed")
    with suite.case(f"{label}: a payload beyond the limit does not leave, nor does the last of many"):
        mark = it.mark()
        result = ping(it, address(family), "-s", "57")
        expect(result.code != 0 and filtered(result, family), result.describe())
        it.expect_event(mark, verdict="deny", reason="icmp_not_allowed")
        seen = [p for p in it.capture.packets(mark[0]) if p.protocol == ICMP[family] and p.payload[:1] in (b"\x08", b"\x80")]
        expect(not seen, f"the server saw {seen[:1]}")
    with suite.case(f"{label}: with icmp_payload larger ones pass, up to it"):
        expect("1 received" in ping(it, address(family, 3), "-s", "1400").out, "1400 octets")
        expect("1 received" not in ping(it, address(family, 3), "-s", "1401").out, "1401 octets")
    with suite.case(f"{label}: a type that the rule has not is refused"):
        mark = it.mark()
        result = ping(it, address(family, 2))
        expect(result.code != 0 and filtered(result, family), result.describe())
    if family == 4:
        with suite.case(f"{label}: and the one that it has goes through"):
            mark = it.mark()
            send(it, 4, address(4, 2), message(4, 13, struct.pack("!HHIII", 77, 1, 1, 0, 0)))
            seen = [p for p in it.capture.packets(mark[0]) if p.protocol == 1 and p.payload[:1] == b"\x0d"]
            expect_equal(len(seen), 1, "timestamp requests at the server")


def forged_errors(suite: Suite, it: World, label: str, family: int) -> None:
    address, client = it.bed.server_address(family), it.bed.client_address(family)
    with suite.case(f"{label}: errors made by the client are dropped, also about a flow that is allowed"):
        expect(it.clients.raw(address, 9000, b"hello", transport="udp", source_port=40123)["received"], "the flow itself")
        source, target = (ipaddress.ip_address(a).packed for a in (address, client))
        datagram = struct.pack("!HHHH", 9000, 40123, 14, 0) + b"secret"
        if family == 4:
            head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(datagram), 1, 0, 64, 17, 0) + source + target
            quoted = head[:10] + struct.pack("!H", checksum(head)) + head[12:] + datagram
        else:
            quoted = struct.pack("!IHBB", 6 << 28, len(datagram), 17, 64) + source + target + datagram
        mark = it.mark()
        for kind in (3, 5, 11, 12) if family == 4 else (1, 2, 3, 4, 137):
            send(it, family, address, message(family, kind, b"\0\0\0\0" + quoted))
        it.expect_never(mark, b"secret")
    with suite.case(f"{label}: so are echo replies that nobody asked for, and types that no rule lists"):
        mark = it.mark()
        for kind in (0, 8 if family == 6 else 17, 42) if family == 4 else (129, 139, 160):
            send(it, family, address, message(family, kind, struct.pack("!HH", 9, 1) + b"secret"))
        it.expect_never(mark, b"secret")


def unlisted(suite: Suite, it: World, label: str, family: int) -> None:
    with suite.case(f"{label}: where no rule lists icmp the kernel says at once that ping is filtered"):
        mark, queued = it.mark(), it.firewall.queued_packets()
        result = ping(it, it.bed.server_address(family), "-p", "5ec2e7", "-s", "48")
        expect(result.code != 0 and filtered(result, family), result.describe())
        it.expect_never(mark, b"\x5e\xc2\xe7\x5e\xc2\xe7")
        expect_equal(it.firewall.queued_packets(), queued, "and nothing is queued")


def neighbours(suite: Suite, it: World, mode: str) -> None:
    with suite.case(f"{mode}: IPv6 finds its neighbours anew"):
        for node in it.bed.nodes:
            for device in ("east", "west"):
                it.bed.run(node, ["ip", "-6", "neigh", "flush", "dev", device])
        expect("1 received" in ping(it, it.bed.server_address(6), "-W", "2").out, "ping after the neighbour tables were emptied")
    if mode == "gateway":
        with suite.case("gateway: router advertisements and redirects of a workload do not reach the host"):
            it.bed.run("firewall", ["sysctl", "-qw", "net.ipv6.conf.west.accept_ra=2"])
            advertisement = message(6, 134, struct.pack("!BBHII", 64, 0, 1800, 0, 0))
            options = struct.pack("!BBBBIII", 3, 4, 64, 0xC0, 3600, 3600, 0) + bytes.fromhex("20010db8006600000000000000000000")
            code = ("import socket,sys\ns=socket.socket(socket.AF_INET6, socket.SOCK_RAW, 58)\n"
                    "s.setsockopt(41, 18, 255)\ns.setsockopt(41, 17, socket.if_nametoindex('east'))\n"
                    f"s.sendto(bytes.fromhex('{(advertisement + options).hex()}'), ('ff02::1', 0, 0, socket.if_nametoindex('east')))\n")
            result = it.bed.run("client", [sys.executable, "-c", code])
            expect_equal(result.code, 0, result.describe())
            time.sleep(0.5)
            addresses = it.bed.run("firewall", ["ip", "-6", "addr", "show", "dev", "west"]).out
            expect("2001:db8:66" not in addresses, addresses)


def by_name(suite: Suite, it: World) -> None:
    with suite.case("host: ping by a bound name, and to an address that has it not"):
        it.bed.set_hosts({})
        result = ping(it, "ping.test", "-W", "2")
        expect("1 received" in result.out, result.describe())
        result = ping(it, it.bed.server_address(4, 3), "-W", "2")
        expect("1 received" not in result.out, result.describe())


def small_link(suite: Suite) -> None:
    rules = allow("10.91.9.2, fd91:0:0:9::2", "tcp", "9000")
    with world(suite, "gateway", rules, "sink", hops=2) as it:
        for node, device in ((it.bed.nodes[2], "east"), (it.bed.server, "west")):
            it.bed.run(node, ["ip", "link", "set", device, "mtu", "1300"])
        for family in (4, 6):
            with suite.case(f"gateway v{family}: a router's packet-too-big comes back through the firewall"):
                it.bed.run("server", ["ip", "link", "set", "west", "mtu", "1500"])  # What it offers does not tell of the link.
                answer = it.clients.raw(it.bed.server_address(family), 9000, b"x" * 20_000, read=5.0)
                expect(b"got " in bytes.fromhex(answer["received"]), str(answer))


if __name__ == "__main__":
    skip_unless_possible(binary(), ("ping",))
    Suite("icmp", 200).main(body)
