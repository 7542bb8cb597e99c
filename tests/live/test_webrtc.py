#!/usr/bin/env python3
"""WebRTC: a socket that a STUN server (coturn) answered may go on to peers, checks first; aiortc at both ends, DTLS by openssl."""

import json
import os
import sys

from support import Suite, binary, expect, expect_equal, skip_unless_possible
from support.daemon import allow
from support.world import UDP, World, world

STUN, OTHER_STUN, PEER, DTLS = 3478, 3479, 50_000, 50_443
AIORTC = "/usr/lib/python3/dist-packages/aiortc"
RULES = (allow("10.91.9.2, fd91:0:0:9::2", "stun", f"{STUN}", 'ice = "allow"\n') + allow("10.91.9.2, fd91:0:0:9::2", "stun", f"{OTHER_STUN}")
         + '[[rules]]\nto = ["denied.test"]\nprotocols = ["dtls"]\nports = ["any"]\naction = "deny"\n'
         + '[[rules]]\nto = ["10.91.9.5", "fd91:0:0:9::5"]\nprotocols = ["udp"]\nports = ["any"]\naction = "deny"\n')
PROBE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "support", "ice_probe.py")
AGENT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "support", "webrtc_agent.py")
RTP = "806000010000000212345678" + "5a" * 160
SECRET = b"secret of the workload".hex()

_port = iter(range(40_000, 48_000))


def body(suite: Suite) -> None:
    for mode in ("host", "gateway"):
        with world(suite, mode, RULES) as it:
            start(it)
            for family in (4, 6):
                sockets(suite, it, f"{mode} v{family}", family)
                dtls(suite, it, f"{mode} v{family}", family)
                turn(suite, it, f"{mode} v{family}", family)
            browsers(suite, it, mode)


def start(it: World) -> None:
    addresses = [word for family in (4, 6) for word in ("-L", it.bed.server_address(family))]
    for port in (STUN, OTHER_STUN):
        it.bed.spawn("server", f"turnserver-{port}", ["turnserver", "-n", "-p", str(port), *addresses, "-E", it.bed.server_address(4), "--no-cli", "--no-tls",
                                                      "--no-dtls", "--lt-cred-mech", "-u", "user:password", "-r", "test", "--log-file", "stdout", "--pidfile", f"{it.bed.scratch}/turn-{port}.pid",
                                                      "--userdb", f"{it.bed.scratch}/turn-{port}.db", "--allow-loopback-peers", "--min-port", "52000", "--max-port", "52100"])
        it.bed.wait_listening("server", "udp", port)
    it.bed.spawn("server", "ice-peer", [sys.executable, os.path.join(os.path.dirname(PROBE), "ice_peer.py"), str(PEER), str(DTLS)])
    it.bed.wait_listening("server", "udp", PEER)
    it.servers.start_dtls_at_loopback(DTLS)
    # As on any host with a firewall of its own: nobody outside begins a flow. A peer's check would open its own.
    chain = ["-A", "INPUT"] if it.bed.mode == "host" else ["-A", "FORWARD", "-i", "east"]
    for tables in ("iptables", "ip6tables"):
        it.bed.run("firewall", [tables, *chain, "-p", "udp", "-m", "conntrack", "--ctstate", "NEW", "-j", "DROP"])


def talk(it: World, family: int, *steps: list, port: int = 0) -> list[str]:
    request = {"family": family, "port": port or next(_port), "steps": steps}
    result = it.bed.run("client", [sys.executable, PROBE], 30, stdin=json.dumps(request).encode() + b"\n")
    expect_equal(result.code, 0, result.describe())
    return json.loads(result.out)


def answered(result: str) -> bool:
    return len(result) >= 40


def forbidden(result: str, address: str) -> bool:
    """An error response to a Binding request (RFC 8489 §6.3.4): 403, and the text."""
    read = bytes.fromhex(result)
    return read[:2] == b"\x01\x11" and b"\0\0\x04\x03sallyport: " + address.encode() + b" is not allowed (default)" in read


def sockets(suite: Suite, it: World, label: str, family: int) -> None:
    server, peer, closed = (it.bed.server_address(family, index) for index in (0, 1, 3))
    refused = ("EHOSTUNREACH", "EACCES", "EPERM", "")
    with suite.case(f"{label}: a peer is refused before a STUN server has answered, and behind a rule without ice"):
        mark = it.mark()
        results = talk(it, family, ["check", peer, PEER], ["ask", server, OTHER_STUN], ["check", peer, PEER])
        expect(results[0] in refused and answered(results[1]) and results[2] in refused, str(results))
        it.expect_nothing_arrived(mark, UDP, PEER)
        it.expect_event(mark, verdict="deny", dport=PEER)
    with suite.case(f"{label}: behind an answer checks go to a peer, and media behind its answer"):
        mark = it.mark()
        results = talk(it, family, ["ask", server, STUN], ["send", peer, PEER, SECRET], ["check", peer, PEER], ["send", peer, PEER, RTP])
        expect(answered(results[0]) and results[1] in refused and answered(results[2]), str(results))
        expect_equal(results[3], RTP, str(results))
        event = it.expect_event(mark, verdict="allow", dport=PEER)
        expect_equal((event["reason"], event["protocol"]), ("expected", "stun"), str(event))
        it.expect_never(mark, bytes.fromhex(SECRET))
    with suite.case(f"{label}: nothing but checks goes to a peer that has not answered"):
        mark = it.mark()
        results = talk(it, family, ["ask", server, STUN], ["check", peer, PEER + 7], ["send", peer, PEER + 7, RTP], ["send", peer, PEER + 7, SECRET], ["check", peer, PEER + 7])
        arrived = [packet.payload for packet in it.capture.packets(mark[0]) if packet.dport == PEER + 7]
        expect(len(arrived) == 2 and all(payload[:2] == b"\0\1" for payload in arrived), f"{results} {arrived}")
    with suite.case(f"{label}: deny rules, system ports and a relay's channel data"):
        mark = it.mark()
        results = talk(it, family, ["ask", server, STUN], ["check", closed, PEER], ["check", peer, 53], ["check", peer, 443], ["send", peer, PEER, "40000004" + "61626364"])
        # Where the address decides, ICMP, of which this socket hears nothing; port 53 waits for the protocol.
        expect(all(results[i] in refused for i in (1, 3, 4)) and forbidden(results[2], peer), str(results))
        leaked = [packet for packet in it.capture.packets(mark[0]) if packet.protocol == UDP and packet.payload and STUN not in (packet.dport, packet.sport)]
        expect(not leaked, str(leaked))
    with suite.case(f"{label}: sixteen peers of one socket, and no more"):
        mark = it.mark()
        talk(it, family, ["ask", server, STUN], *(["check", peer, 51_000 + i] for i in range(18)))
        ports = {packet.dport for packet in it.capture.packets(mark[0]) if packet.protocol == UDP and packet.dport >= 51_000 and packet.payload}
        expect_equal(ports, set(range(51_000, 51_016)), "peers")
        it.expect_event(mark, verdict="deny", reason="ice_peer_limit")


def dtls(suite: Suite, it: World, label: str, family: int) -> None:
    server, peer = it.bed.server_address(family), it.bed.server_address(family, 1)
    it.clients.timeout = 1.5  # The server goes on waiting for more.
    for name, good in ((None, True), ("allowed.test", True), ("denied.test", False)):
        with suite.case(f"{label}: openssl's DTLS behind ICE, server name {name}: {'goes through' if good else 'denied by a rule'}"):
            mark, port = it.mark(), next(_port)
            results = talk(it, family, ["ask", server, STUN], ["check", peer, PEER], port=port)
            expect(answered(results[1]), str(results))
            own = it.bed.client_address(family)
            result = it.clients.s_client(name, family, PEER, "-dtls1_2", "-bind", f"[{own}]:{port}" if family == 6 else f"{own}:{port}", index=1)
            hellos = [p for p in it.capture.packets(mark[0]) if p.dport == PEER and p.payload[:1] == b"\x16"]
            expect_equal(bool(hellos), good, result.describe())
            if not good:
                it.expect_event(mark, verdict="deny", dport=PEER, reason="rule_denies", name="denied.test")
                it.expect_never(mark, b"denied.test")


def turn(suite: Suite, it: World, label: str, family: int) -> None:
    server = it.bed.server_address(family)
    with suite.case(f"{label}: coturn's own clients: an address and a relay"):
        mark = it.mark()
        result = it.bed.run("client", ["timeout", "1", "turnutils_stunclient", "-p", str(STUN), server], 10)
        expect("reflexive addr" in result.out, result.describe())
        it.expect_event(mark, verdict="allow", dport=STUN, protocol="stun")
        if family == 6:
            return  # The relay's own addresses are of IPv4.
        result = it.bed.run("client", ["turnutils_uclient", "-y", "-n", "3", "-c", "-u", "user", "-w", "password", "-p", str(STUN), "-L", it.bed.client_address(family), server], 25)
        expect("Total lost packets 0" in result.out, result.describe())


def browsers(suite: Suite, it: World, mode: str) -> None:
    if not os.path.isdir(AIORTC):
        print("SKIPPED part: a data channel between two WebRTC peers, since python3-aiortc is not installed", flush=True)
        return
    for stun, works in ((it.bed.server_address(4), True), ("-", False)):
        with suite.case(f"{mode}: a data channel between two WebRTC peers {'behind STUN' if works else 'is refused without it'}"):
            folder = it.bed.scratch / f"webrtc-{works}"
            folder.mkdir()
            mark = it.mark()
            answerer = it.bed.spawn("server", "answerer", ["/usr/bin/python3", "-B", AGENT, "answer", str(folder), "-"])
            result = it.bed.run("client", ["/usr/bin/python3", "-B", AGENT, "offer", str(folder), stun], 30)
            answerer.stop(1.0)
            expect_equal("back: hello through the channel" in result.out, works, result.describe() + answerer.err()[-500:])
            dtls_hellos = [p for p in it.capture.packets(mark[0]) if p.protocol == UDP and p.payload[:1] == b"\x16"]
            expect_equal(bool(dtls_hellos), works, "DTLS at the peer")


if __name__ == "__main__":
    skip_unless_possible(binary(), ("turnserver", "turnutils_stunclient", "turnutils_uclient"))
    Suite("webrtc", 220).main(body)
