#!/usr/bin/env python3
"""Protocols over IP itself, cloud metadata addresses, the local network's protocols, and NAT64 by address."""

import struct
import sys
import time
from pathlib import Path

from support import Suite, binary, expect, expect_equal, skip_unless_possible
from support.daemon import allow
from support.testbed import UNPRIVILEGED_UID, address
from support.world import World, world

PACKETS = str(Path(__file__).resolve().parent / "support" / "packets.py")
METADATA = {4: "169.254.169.254", 6: "fd00:ec2::254"}
MDNS = {4: "224.0.0.251", 6: "ff02::fb"}
QUERY = b"\0\0\0\0\0\1\0\0\0\0\0\0\x05_http\x04_tcp\x05local\0\0\x0c\0\1"
SCTP, ESP, AH, OSPF, VRRP, GRE = 132, 50, 51, 89, 112, 47


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def sctp_init(text: bytes) -> bytes:
    """sctp_init returns an INIT chunk whose last parameter, one that nobody knows, is `text`."""
    text += b"\0" * (-len(text) % 4)
    parameter = struct.pack("!HH", 0x8008, 4 + len(text)) + text
    chunk = struct.pack("!BBHIIHHI", 1, 0, 20 + len(parameter), 0x1234, 65_536, 4, 4, 1) + parameter
    head = struct.pack("!HHI", 4000, 5000, 0)
    return head + struct.pack("<I", crc32c(head + b"\0\0\0\0" + chunk)) + chunk


def payload_of(number: int, text: bytes) -> bytes:
    if number == SCTP:
        return sctp_init(text)
    if number == ESP:
        return struct.pack("!II", 0x1001, 1) + text + b"\0" * 16
    if number == AH:
        datagram = struct.pack("!HHHH", 4000, 5000, 8 + len(text), 0) + text  # Its checksum is not looked at on the way.
        return struct.pack("!BBHII", 17, 4, 0, 0x1001, 1) + b"\0" * 12 + datagram
    if number == GRE:
        return struct.pack("!HH", 0, 0x88B5) + text
    return text


def body(suite: Suite) -> None:
    one = "10.91.9.2, fd91:0:0:9::2"
    listed = allow(one, "sctp, esp, ah") + allow(one, "ip-proto", more=f"ip_protos = [{OSPF}]\n")
    for mode in ("host", "gateway"):
        with world(suite, mode, listed) as it:
            for family in (4, 6):
                raw_protocols(suite, it, f"{mode} v{family}", family)
        metadata(suite, mode)
        nat64(suite, mode)
    local_network(suite)


def send(it: World, number: int, destination: str, text: bytes) -> None:
    result = it.bed.run("client", [sys.executable, PACKETS, str(number), destination, payload_of(number, text).hex()])
    expect_equal(result.code, 0, result.describe())
    time.sleep(0.2)


def arrived(it: World, mark, text: bytes) -> bool:
    return any(text in packet.payload for packet in it.capture.packets(mark[0]))


def raw_protocols(suite: Suite, it: World, label: str, family: int) -> None:
    there, other = it.bed.server_address(family), it.bed.server_address(family, 1)
    for number in (SCTP, ESP, OSPF, AH):
        with suite.case(f"{label}: protocol {number} where a rule has it, and nowhere else"):
            mark = it.mark()
            send(it, number, there, b"let through")
            expect(arrived(it, mark, b"let through"), "nothing arrived")
            it.expect_event(mark, verdict="allow", dst=there)
            send(it, number, other, b"secret")
            it.expect_never(mark, b"secret")
            it.expect_event(mark, verdict="deny", dst=other, reason="transport_not_allowed")
    with suite.case(f"{label}: other protocols end in the kernel"):
        mark, queued = it.mark(), it.firewall.queued_packets()
        for number in (VRRP, GRE, 4, 41, 253, 254):
            send(it, number, there, b"secret")
        it.expect_never(mark, b"secret")
        expect_equal(it.firewall.queued_packets(), queued, "queued packets")


def metadata(suite: Suite, mode: str) -> None:
    wide = '[[rules]]\nto = ["any"]\nports = "any"\nprotocols = ["tcp", "udp", "http"]\n' \
        + allow("169.254.0.0/16, fd00::/8", "tcp, udp", '"any"') + allow("0.0.0.0/0, ::/0", "icmp")
    named = allow("169.254.169.254, fd00:ec2::254", "tcp", "9000")
    for rules, reached in ((wide, False), (wide + named, True)):
        with world(suite, mode, rules, "sink") as it:
            for family in (4, 6):
                service = METADATA[family]
                long = f"{service}/{32 if family == 4 else 128}"
                it.bed.run("server", ["ip", "addr", "add", long, "dev", "west"])
                for node in it.bed.nodes[:-1]:
                    it.bed.run(node, ["ip", f"-{family}", "route", "add", long, "via", next_hop(it, node, family)])
                with suite.case(f"{mode} v{family}: the metadata address {'opens to the rule that names it' if reached else 'stays closed to wide rules'}"):
                    mark = it.mark()
                    answer = it.clients.raw(service, 9000, b"give me the keys", read=1.0)
                    expect_equal(bool(answer["received"]), reached, str(answer))
                    if not reached:
                        it.expect_event(mark, verdict="deny", reason="metadata_address", dst=service)
                        seen = [p for p in it.capture.packets(mark[0]) if p.dst == service and p.protocol in (6, 17)]
                        expect(not seen, f"the server saw {seen[:1]}")
                    mark = it.mark()
                    it.clients.raw(service, 9001, b"secret", transport="udp", read=0.3)
                    it.expect_event(mark, verdict="deny", dst=service)
                    it.expect_never(mark, b"secret")


def next_hop(it: World, node: str, family: int) -> str:
    """next_hop returns where a node sends what is for the server."""
    if node == it.bed.nodes[-2]:
        return it.bed.server_address(family)
    return address(family, it.bed.links[it.bed.nodes.index(node)], 254)


def nat64(suite: Suite, mode: str) -> None:
    """nat64: the server has the translated address itself, so that no translator is needed."""
    inside = "64:ff9b::198.51.100.7"
    outside = "64:ff9b::198.51.100.8"
    private = "64:ff9b::10.91.9.9"
    rules = allow("198.51.100.0/29", "tcp", "9000") + '[[rules]]\nto = ["10.0.0.0/8"]\nprotocols = ["tcp"]\nports = [9000]\naction = "deny"\n'
    with world(suite, mode, rules, "sink") as it:
        for translated in (inside, outside, private):
            it.bed.run("server", ["ip", "addr", "add", f"{translated}/128", "dev", "west"])
        for node in it.bed.nodes[:-1]:
            it.bed.run(node, ["ip", "-6", "route", "add", "64:ff9b::/96", "via", next_hop(it, node, 6)])
        with suite.case(f"{mode}: a rule for IPv4 addresses holds for what NAT64 makes of them"):
            answer = it.clients.raw(inside, 9000, b"hello")
            expect(answer["received"], str(answer))
            for translated in (outside, private):
                mark = it.mark()
                answer = it.clients.raw(translated, 9000, b"secret")
                expect_equal(answer["error"], "ECONNREFUSED", str(answer))
                it.expect_never(mark, b"secret")


def local_network(suite: Suite) -> None:
    preset = 'include = ["preset:lan"]\n'
    worker = f'[scopes.worker]\nusers = ["{UNPRIVILEGED_UID}"]\n'
    for included in (True, False):
        with world(suite, "host", allow("10.91.9.2", "tcp", "9000"), extra=worker) as it:
            text = it.firewall.policy_path.read_text()
            if included:
                it.firewall.stop()
                it.firewall.policy_path.write_text(text.replace("version = 1\n", "version = 1\n" + preset, 1))
                it.firewall.start()
            for family in (4, 6):
                it.bed.run("client", ["ip", f"-{family}", "route", "add", MDNS[family], "dev", "east"])
                with suite.case(f"host v{family}: multicast DNS {'passes with' if included else 'does not pass without'} the preset, and never in a scope"):
                    for uid in (None, UNPRIVILEGED_UID):
                        mark = it.mark()
                        multicast(it, family, uid)
                        expect_equal(arrived(it, mark, b"_http"), included and uid is None, f"a query of uid {uid} at the neighbour")
                with suite.case(f"host v{family}: and is no way to other addresses"):
                    mark = it.mark()
                    it.clients.raw("192.0.2.9" if family == 4 else "2001:db8::9", 5353, QUERY, transport="udp", read=0.3)
                    expect(not arrived(it, mark, b"_http"), "it left")
            with suite.case("host: the kernel's own group reports pass"):
                mark = it.mark()
                join = "import socket\ns=socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n" \
                    "s.setsockopt(0, 35, socket.inet_aton('239.9.9.9')+socket.inet_aton('10.91.9.1'))\nimport time; time.sleep(0.5)\n"
                result = it.bed.run("client", [sys.executable, "-c", join])
                expect_equal(result.code, 0, result.describe())
                expect([p for p in it.capture.packets(mark[0]) if p.protocol == 2], "no IGMP at the neighbour")


def multicast(it: World, family: int, uid: int | None) -> None:
    name = "AF_INET" if family == 4 else "AF_INET6"
    interface = "s.setsockopt(0, 32, socket.inet_aton('10.91.9.1'))" if family == 4 else "s.setsockopt(41, 17, socket.if_nametoindex('east'))"
    code = f"import socket\ns=socket.socket(socket.{name}, socket.SOCK_DGRAM)\n{interface}\n" \
        f"try: s.sendto({QUERY!r}, ({MDNS[family]!r}, 5353))\nexcept OSError: pass\n"
    it.bed.run("client", [sys.executable, "-c", code], uid=uid)
    time.sleep(0.4)


if __name__ == "__main__":
    skip_unless_possible(binary())
    Suite("ip_protocols", 200).main(body)
