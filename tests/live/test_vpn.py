#!/usr/bin/env python3
"""VPNs by their bytes: WireGuard, OpenVPN over UDP and TCP, IKE; each allowed as what it is, and denied by its name where a rule
allows the address for whatever it is."""

import os

from support import Suite, binary, expect, expect_equal, skip_unless_possible
from support.daemon import allow
from support.servers import SINK_PORT
from support.vpns import IKE_NAT_PORT, IKE_PORT, OPENVPN_PORT, WIREGUARD_PORT, Vpns
from support.world import TCP, UDP, World, world

FIRST, SERVERS = "10.91.9.2, fd91:0:0:9::2", "10.91.9.0/24, fd91:0:0:9::/64"
VPNS = "wireguard, openvpn, ike"
# Protocol, what opens it, and where its first packet goes.
KINDS = (("wireguard", lambda v, a, s: v.wireguard(a, s), UDP, WIREGUARD_PORT), ("openvpn", lambda v, a, s: v.openvpn(a, "udp", s), UDP, OPENVPN_PORT),
         ("openvpn", lambda v, a, s: v.openvpn(a, "tcp", s), TCP, OPENVPN_PORT), ("ike", lambda v, a, s: v.ike(a, s), UDP, IKE_PORT))
LONG, SHORT = 5.0, 0.9  # How long one may take where it is allowed, and is waited for where it is not.


def body(suite: Suite) -> None:
    with world(suite, "gateway", allow(FIRST, VPNS) + allow(SERVERS, "udp, tcp", '"8000-8999"'), "sink") as it:
        vpns = start(it)
        for family in (4, 6):
            allowed(suite, it, vpns, f"v{family}", family)
    denied_ones = '[[rules]]\nto = ["any"]\nprotocols = ["wireguard", "openvpn", "ike"]\nports = "any"\naction = "deny"\n'
    with world(suite, "gateway", allow(SERVERS, "udp, tcp", '"any"') + denied_ones, "sink") as it:
        vpns = start(it)
        it.servers.start_sink(8000)
        for family in (4, 6):
            denied(suite, it, vpns, f"v{family}", family)


def start(it: World) -> Vpns:
    vpns = Vpns(it.servers)
    for one in (vpns.start_wireguard, vpns.start_openvpn, vpns.start_ike):
        one()
    return vpns


def allowed(suite: Suite, it: World, vpns: Vpns, label: str, family: int) -> None:
    for protocol, attempt, transport, port in KINDS:
        proto = "udp" if transport == UDP else "tcp"
        with suite.case(f"{label}: {protocol} over {proto} {port} is known and passes a rule for it"):
            mark = it.mark()
            expect(attempt(vpns, it.bed.server_address(family), LONG), "no tunnel")
            for seen in (IKE_PORT, IKE_NAT_PORT) if protocol == "ike" else (port,):
                it.expect_event(mark, verdict="allow", dport=seen, proto=proto, protocol=protocol)
    for protocol, attempt, transport, port in KINDS:
        proto = "udp" if transport == UDP else "tcp"
        with suite.case(f"{label}: {protocol} over {proto} to another address is refused, and nothing arrives"):
            mark = it.mark()
            expect(not attempt(vpns, it.bed.server_address(family, 1), SHORT), "a tunnel")
            it.expect_nothing_arrived(mark, transport, port)
            it.expect_event(mark, verdict="deny", dport=port, proto=proto)
    with suite.case(f"{label}: a rule for one of them is for no other on its port"):
        mark = it.mark()
        for port, other in ((WIREGUARD_PORT, openvpn_reset()), (OPENVPN_PORT, wireguard_initiation()), (IKE_PORT, wireguard_initiation())):
            answer = it.clients.raw(it.bed.server_address(family), port, other, transport="udp", read=0.5)
            expect(answer["error"] in ("EHOSTUNREACH", "EACCES"), str(answer))
            it.expect_nothing_arrived(mark, UDP, port)
            it.expect_event(mark, verdict="deny", dport=port, reason="protocol_not_allowed")


def denied(suite: Suite, it: World, vpns: Vpns, label: str, family: int) -> None:
    address = it.bed.server_address(family)
    with suite.case(f"{label}: the address may be reached over UDP and TCP"):
        for transport in ("udp", "tcp"):
            expect(it.clients.raw(address, SINK_PORT, b"\x80whatever", transport=transport)["received"], f"nothing over {transport}")
    for protocol, attempt, transport, port in KINDS:
        proto = "udp" if transport == UDP else "tcp"
        with suite.case(f"{label}: {protocol} over {proto} {port} is refused all the same, and nothing arrives"):
            mark = it.mark()
            expect(not attempt(vpns, address, SHORT), "a tunnel")
            it.expect_nothing_arrived(mark, transport, port)
            event = it.expect_event(mark, verdict="deny", dport=port, proto=proto, protocol=protocol)
            expect_equal(event["reason"], "rule_denies", "the event")
    for what, handshake in (("wireguard", wireguard_initiation()), ("openvpn", openvpn_reset()), ("ike", ike_init())):
        with suite.case(f"{label}: {what} behind another datagram that was answered does not pass either"):
            mark = it.mark()
            answer = it.clients.raw(address, 8000, b"\xff", transport="udp", then=[b"\xff".hex(), handshake.hex(), b"\xff".hex()], read=0.5)
            expect(bytes.fromhex(answer["received"]).startswith(b"got 1got 1") and answer["error"] in ("EHOSTUNREACH", "EACCES"), str(answer))
            it.expect_never(mark, handshake)
            it.expect_event(mark, verdict="deny", dport=8000, protocol=what, reason="rule_denies")


def wireguard_initiation() -> bytes:
    return b"\x01\0\0\0" + os.urandom(144)


def openvpn_reset() -> bytes:
    return b"\x38" + os.urandom(8) + bytes(5)


def ike_init() -> bytes:
    """ike_init returns an IKE_SA_INIT behind the non-ESP marker (RFC 3948 §2.2), as it is on port 4500."""
    return bytes(4) + os.urandom(8) + bytes(8) + bytes((33, 0x20, 34, 8)) + bytes(4) + (48).to_bytes(4, "big") + bytes(20)


if __name__ == "__main__":
    skip_unless_possible(binary(), ("wireguard-go", "wg", "openvpn", "swanctl"))
    Suite("vpn", 200).main(body)
