"""Captures of what goes over IP itself, of metadata addresses, the local network and NAT64, for capture_pcaps.py."""

from __future__ import annotations

import sys

from test_icmp import ICMP, PACKETS, message
from test_ip_protocols import METADATA, MDNS, OSPF, QUERY, SCTP, payload_of

SERVICE_PORT = 80
TRANSLATED, TRANSLATED_ELSEWHERE, TRANSLATED_PRIVATE = "64:ff9b::c633:6407", "64:ff9b::c633:6408", "64:ff9b::a5b:902"
DNS_ARGUMENTS = (f"--address=/dns64.test/{TRANSLATED}", f"--address=/private64.test/{TRANSLATED_PRIVATE}")
ECHO = "icmp[icmptype] = icmp-echo or icmp[icmptype] = icmp-echoreply or (icmp6 and (ip6[40] = 128 or ip6[40] = 129))"


def add_addresses(lab, *addresses: str) -> None:
    """add_addresses gives the server addresses of its own, and the router a way to them."""
    for address in addresses:
        family = 6 if ":" in address else 4
        host = f"{address}/{128 if family == 6 else 32}"
        lab.bed.run("server", ["ip", "addr", "add", host, "dev", "west"])
        lab.bed.run(lab.bed.nodes[1], ["ip", f"-{family}", "route", "add", host, "via", lab.bed.server_address(family)])


def ping(lab) -> None:
    for family in (4, 6):
        for index, size in ((0, "56"), (1, "56"), (0, "57")):
            lab.bed.run("client", ["ping", "-n", "-c", "2", "-i", "0.1", "-W", "1", "-s", size, lab.bed.server_address(family, index)])


def send(lab, family: int, number: int, payload: bytes, index: int = 0) -> None:
    lab.bed.run("client", [sys.executable, PACKETS, str(number), lab.bed.server_address(family, index), payload.hex()])


def errors(lab) -> None:
    """errors sends errors that quote nothing, replies that nobody asked for, and one ping."""
    for family in (4, 6):
        for kind in (3, 5, 11, 0) if family == 4 else (1, 2, 3, 129):
            send(lab, family, ICMP[family], message(family, kind, b"\0\0\0\0" + b"secret" * 8))
        lab.bed.run("client", ["ping", "-n", "-c", "1", "-W", "1", lab.bed.server_address(family)])


def protocols(lab) -> None:
    for family in (4, 6):
        for number in (SCTP, OSPF):
            for index in (0, 1):
                send(lab, family, number, payload_of(number, b"whatever it is"), index)


def metadata(lab) -> None:
    add_addresses(lab, *METADATA.values(), TRANSLATED.replace("c633:6407", "a9fe:a9fe"))
    for host in ("169.254.169.254", "[fd00:ec2::254]", "[64:ff9b::a9fe:a9fe]"):
        lab.curl(f"http://{host}/latest/meta-data/", family=4 if host[0] == "1" else 6)


def mdns(lab) -> None:
    for family in (4, 6):
        add = ["ip", f"-{family}", "route", "replace", MDNS[family], "dev", "east"]
        lab.bed.run("client", add)
        options = "s.setsockopt(0, 32, socket.inet_aton('10.91.0.1'))" if family == 4 else "s.setsockopt(41, 17, socket.if_nametoindex('east'))"
        code = f"import socket\ns=socket.socket(socket.AF_INET{'6' if family == 6 else ''}, socket.SOCK_DGRAM)\n{options}\n" \
            f"s.sendto({QUERY!r}, ({MDNS[family]!r}, 5353))\n"
        lab.bed.run("client", [sys.executable, "-c", code])
        lab.clients.raw("192.0.2.9" if family == 4 else "2001:db8::9", 5353, QUERY, transport="udp", read=0.2)


def nat64(lab) -> None:
    add_addresses(lab, TRANSLATED, TRANSLATED_ELSEWHERE)
    for address in (TRANSLATED, TRANSLATED_ELSEWHERE):
        lab.curl("https://by-address.test/", "--resolve", f"by-address.test:443:[{address}]", family=6)


def dns64(lab) -> None:
    add_addresses(lab, TRANSLATED, TRANSLATED_PRIVATE)
    for name, address in (("dns64.test", TRANSLATED), ("private64.test", TRANSLATED_PRIVATE)):
        lab.dig(name, more=("-t", "AAAA"))
        lab.curl(f"https://{name}/", "--resolve", f"{name}:443:[{address}]", family=6)


IP_CASES = {
    "icmp-echo-by-rule": (ping, ECHO),
    "icmp-errors-denied": (errors, "icmp or (icmp6 and (ip6[40] < 130))"),
    "ip-protocols-by-number": (protocols, f"ip proto {SCTP} or ip proto {OSPF} or ip6 proto {SCTP} or ip6 proto {OSPF}"),
    "metadata-address-denied": (metadata, "tcp port 80"),
    "mdns-on-the-link-alone": (mdns, "udp port 5353"),
    "nat64-by-ipv4-rule": (nat64, "tcp port 443"),
    "nat64-answers-bind": (dns64, "udp port 53 or tcp port 443"),
}
CLIENT_SIDE = {"mdns-on-the-link-alone"}
