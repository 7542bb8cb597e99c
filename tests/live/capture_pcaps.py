#!/usr/bin/env python3
"""capture_pcaps.py FOLDER [CASE...]: makes input.pcap of the case folders anew, with real clients and servers.

There is no firewall: a capture shows what a client sends, and the replay says what would have become of it. Policy,
expectation and README of a case are written by hand and stay.
"""

from __future__ import annotations

import json
import os
import signal
import struct
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable

from capture_ip import CLIENT_SIDE, DNS_ARGUMENTS, IP_CASES
from support import Capture, Servers, Testbed, skip_unless_possible
from support.clients import Clients, http3_worked
from support.ftp_servers import FtpServers
from support.hello import client_hello, quic_hello
from support.proc import must
from support.proxies import (H2C_UPGRADE_PORT, HTTP_PROXY_PORT, SOCKS5_PASSWORD_PORT, SOCKS5_PORT, SSH_SOCKS_PORT, WEBSOCKET_H2_PORT, start_h2c_upgrade,
                             start_http_proxy, start_socks, start_websocket, start_websocket_h2, websocket_h2)
from support.quic_initial import V1, V2, hello_datagrams
from support import service_cases
from support.service_cases import SERVICE_CASES
from support.servers import DTLS_COOKIE_PORT, DTLS_PORT, GREETER_PORTS, H2C_PORT, SINK_PORT
from test_chromium import https_record
from test_dns import query
from test_starttls import TALKS, s_client
from support.tunnels import Tunnel
from support.upgrade_servers import PORTS, UpgradeServers
from test_retransmission import attack

OLD_SSH_PORT = 2222  # Of a server that also takes the key exchanges that are off by default.
OLD_METHODS = ("diffie-hellman-group1-sha1", "diffie-hellman-group14-sha1", "diffie-hellman-group-exchange-sha1")

VSFTPD_PORT, FTP_DATA_PORT, BOUND_DTLS_PORT = 2121, 40_000, 4446
LIAR = 3  # Index of the address at which a resolver lies (poisoner.py).

BIG_ALPN = ",".join([f"padding-{i:03}-to-fill-the-hello-up" for i in range(50)] + ["http/1.1"])


@dataclass
class Lab:
    bed: Testbed
    servers: Servers
    clients: Clients
    tunnels: int = 0
    passed: list[tuple[float, int]] = field(default_factory=list)  # Moments, and how many seconds are said to pass there.

    def curl(self, url: str, *arguments: str, family: int = 4) -> None:
        self.clients.curl(url, family, *arguments)

    def raw(self, port: int, data: bytes, index: int = 0, family: int = 4, **options) -> dict:
        return self.clients.raw(self.bed.server_address(family, index), port, data, read=options.pop("read", 0.5), **options)

    def proxied_hello(self, target: str, name: str) -> None:
        """proxied_hello asks the HTTP proxy for `target` and shows `name` inside."""
        self.bed.run("client", ["openssl", "s_client", "-proxy", f"10.91.9.2:{HTTP_PROXY_PORT}", "-connect", target, "-servername", name,
                                "-CAfile", str(self.servers.ca), "-quiet"], 8, stdin=b"GET / HTTP/1.0\r\n\r\n")

    def http3(self, name: str, *arguments: str, family: int = 4, works: bool = True, index: int | None = None) -> None:
        result = self.clients.http3(name, family, 443, *arguments, seconds=2, index=index)
        if http3_worked(result) != works:
            raise RuntimeError(result.describe())

    def quic(self, version: int, name: str, cuts: list[int], order: list[int] | None = None, post_quantum: bool = False) -> None:
        scid = os.urandom(8)
        datagrams = hello_datagrams(version, quic_hello(name, post_quantum, scid), scid, cuts, order)
        self.raw(443, b"", transport="udp", datagrams=[datagram.hex() for datagram in datagrams])

    def starttls(self, protocol: str, name: str, port: int | None = None, *arguments: str) -> None:
        self.clients.s_client(name, 4, port or GREETER_PORTS[protocol], "-starttls", protocol, *arguments)

    def upgrades(self, word: str) -> None:
        """A session that goes over to TLS, one whose hello names another server, plaintext where TLS is required, and a hello
        behind the request for TLS. Where no scripted server does it, a real one is started."""
        if word in ("mysql", "ldap", "xmpp"):
            upgrade = UpgradeServers(self.servers, word)
            getattr(upgrade, word)()
        for name in ("allowed.test", "denied.test"):
            s_client(self, 4, word, name, 0)
        talk, first = TALKS[word], [b""] if word in ("smtp", "imap", "pop3", "ftp", "mysql") else []
        hello = client_hello("allowed.test")
        for index, last in ((1, talk.secret), (0, talk.asks + hello)):
            said = [*first, *talk.before, last]
            if talk.asks or index:
                self.raw(PORTS[word], said[0], index, then=[one.hex() for one in said[1:]])

    def websocket(self, host: str) -> None:
        """curl asks for the upgrade, and gives up when the server has said hello in a frame."""
        self.curl(f"http://{host}:{GREETER_PORTS['websocket']}/chat", "--http1.1", "-N", "-m", "1", "-H", "Connection: Upgrade", "-H",
                  "Upgrade: websocket", "-H", "Sec-WebSocket-Version: 13", "-H", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")

    def websocket_h2(self, host: str) -> None:
        result = websocket_h2(self.bed, f"ws://{host}:{WEBSOCKET_H2_PORT}/chat", 4, "one", "two")
        if "echo two" not in result.out:
            raise RuntimeError(result.describe())

    def ssh_with_each_method(self) -> None:
        """One connection for each key exchange that this OpenSSH still has."""
        for method in must(["ssh", "-Q", "kex"]).out.split():
            if method.startswith("gss"):
                continue
            result = self.bed.run("client", self.servers.ssh_command(self.bed.server_address(4), "true", OLD_SSH_PORT, (f"KexAlgorithms={method}",)), 12)
            if result.code != 0:
                raise RuntimeError(f"{method}: {result.describe()}")

    def dtls(self, port: int, name: str, index: int = 0) -> None:
        self.clients.s_client(name, 4, port, "-dtls1_2", index=index)

    def ping(self, family: int) -> None:
        name, echo = ("AF_INET", b"\x08") if family == 4 else ("AF_INET6", b"\x80")
        # The kernel fills in the ICMPv6 checksum; for ICMP it is made here.
        body = echo + b"\0\0\0\x12\x34\0\x01" + b"ping"
        if family == 4:
            total = sum(body[i] << 8 | body[i + 1] for i in range(0, len(body), 2))
            total = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
            body = body[:2] + total.to_bytes(2, "big") + body[4:]
        code = (f"import socket; s=socket.socket(socket.{name}, socket.SOCK_RAW, {1 if family == 4 else 58}); "
                f"s.sendto({body!r}, ({self.bed.server_address(family)!r}, 0))")
        self.bed.run("client", [sys.executable, "-c", code])


    def tunnelled(self, kind: str, *names: str) -> None:
        tunnel = Tunnel(self.bed, kind, self.tunnels)
        self.tunnels += 1
        for name in names:
            self.curl(f"https://{name}/", *tunnel.resolve(name), family=6 if ":" in tunnel.inner_server else 4)
        tunnel.remove()

    def fragmented(self, data: bytes) -> None:
        """The client lets routers cut its packets, and the router's way on is narrow."""
        router, server = self.bed.nodes[1], f"{self.bed.server_address(4)}/32"
        no_discovery = "net.ipv4.ip_no_pmtu_disc"
        self.bed.run("client", ["sysctl", "-q", "-w", f"{no_discovery}=1"])
        self.bed.run(router, ["ip", "route", "add", server, "dev", "east", "mtu", "lock", "600"])
        try:
            self.raw(443, data)
        finally:
            self.bed.run(router, ["ip", "route", "del", server])
            self.bed.run("client", ["sysctl", "-q", "-w", f"{no_discovery}=0"])


    def dig(self, *names: str, index: int = 0, more: tuple[str, ...] = ()) -> None:
        for name in names:
            self.bed.run("client", ["dig", "+tries=1", "+time=2", f"@{self.bed.server_address(4, index)}", *more, name], 5)

    def dig_then(self, names: tuple[str, ...], action: Callable[[], object], **options) -> None:
        self.dig(*names, **options)
        action()

    def pass_time(self, seconds: int) -> None:
        """pass_time has the capture say that so much time passes now."""
        time.sleep(0.3)
        self.passed.append((time.time(), seconds))
        time.sleep(0.3)

    def curl_at(self, name: str, index: int) -> None:
        """curl_at asks a server for a name at an address that need not be the name's."""
        self.curl(f"https://{name}/", "--resolve", f"{name}:443:{self.bed.server_address(4, index)}")

    def stale(self) -> None:
        """The name moves, and a client goes to the old address ten minutes and an hour after it was told."""
        for index in (0, 1):
            self.name_moves_to(index)
            self.dig("rotated.test")
        for seconds in (600, 3000):
            self.pass_time(seconds)
            self.curl_at("rotated.test", 0)

    def browse(self, name: str) -> None:
        """browse has Chromium visit a name; it is told the address and that no other name exists, so that it looks nothing up."""
        with tempfile.TemporaryDirectory() as profile:
            self.bed.run("client", ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync",
                                    "--disable-background-networking", "--disable-component-update", "--disable-quic",
                                    "--ignore-certificate-errors", f"--host-resolver-rules=MAP {name} {self.bed.server_address(4)},MAP * ~NOTFOUND,EXCLUDE {self.bed.server_address(4)}",
                                    f"--user-data-dir={profile}", "--timeout=5000", "--dump-dom", f"https://{name}/"], 30.0)

    def ask_time(self) -> None:
        result = self.bed.run("client", ["ntpdig", "-t", "2", self.bed.server_address(4)], 8)
        if result.code != 0:
            raise RuntimeError(result.describe())

    def list_files(self) -> None:
        result = self.clients.curl(f"ftp://allowed.test:{VSFTPD_PORT}/", 4, "--disable-epsv")
        if result.code != 0:
            raise RuntimeError(result.describe())

    def serve_ftp(self, family: int, liar: str | None = None) -> int:
        """serve_ftp starts pyftpdlib, or a server that lies, and returns its port."""
        ftp = FtpServers(self.servers)
        port = 2131 if liar else 2100 + family
        if liar:
            ftp.start_liar(port, liar)
        else:
            ftp.start_pyftpd(port, family)
        return port

    def get_file(self, family: int) -> None:
        """curl gets a file; then somebody knocks at a port of the same server that it has not announced."""
        result = self.clients.curl(f"ftp://allowed.test:{self.serve_ftp(family)}/file", family, *(["--disable-epsv"] if family == 4 else []))
        if result.code != 0:
            raise RuntimeError(result.describe())
        self.raw(SINK_PORT, b"secret", family=family)

    def ask_liar(self, kind: str) -> None:
        self.raw(self.serve_ftp(4, kind), b"USER anonymous\r\n", then=[b"PASS me\r\n".hex(), b"PASV\r\n".hex(), b"NOOP\r\n".hex()])

    def bounce(self) -> None:
        self.raw(self.serve_ftp(4), b"USER anonymous\r\n", then=[b"PASS me@\r\n".hex(), b"PORT 10,91,9,3,35,40\r\n".hex()])

    def ice(self, family: int, stun: bool) -> None:
        """ice sends a check and media to a peer, behind a question to coturn or without one."""
        server, peer = (self.bed.server_address(family, index) for index in (0, 1))
        port = 3470 + family
        self.bed.spawn("server", "turnserver", ["turnserver", "-S", "-n", "-p", str(port), "-L", server, "--no-cli", "--no-tls", "--no-dtls", "--log-file", "stdout",
                                                "--pidfile", f"{self.bed.scratch}/turn.pid", "--userdb", f"{self.bed.scratch}/turn.db"])
        self.bed.wait_listening("server", "udp", port)
        support = Path(__file__).with_name("support")
        peer_port = 50_000 + family + 10 * stun
        self.bed.spawn("server", "ice-peer", [sys.executable, str(support / "ice_peer.py"), str(peer_port)])
        self.bed.wait_listening("server", "udp", peer_port)
        steps = [["check", peer, peer_port], ["send", peer, peer_port, "80600001" + "00000002" + "12345678" + "5a" * 160]]
        request = {"family": family, "port": 41_000 + family + 10 * stun, "steps": ([["ask", server, port]] if stun else []) + steps}
        self.bed.run("client", [sys.executable, str(support / "ice_probe.py")], 10, stdin=json.dumps(request).encode() + b"\n")

    def ssh_to(self, *indices: int) -> None:
        for index in indices:
            self.clients.ssh(self.bed.server_address(4, index))

    def rotate(self) -> None:
        """The name moves from one address to another; both serve it."""
        for index in (0, 1):
            self.name_moves_to(index)
            self.dig("rotated.test")
            self.curl_at("rotated.test", index)

    def name_moves_to(self, index: int) -> None:
        dns_table(self.bed).write_text(f"{self.bed.server_address(4, index)} rotated.test\n")
        next(process for process in self.bed.processes if process.name.startswith("dnsmasq")).signal(signal.SIGHUP)
        time.sleep(0.5)


def dns_table(bed: Testbed) -> Path:
    return bed.scratch / "dns-table"


def dns_arguments(bed: Testbed) -> list[str]:
    """dnsmasq's: a name that moves, one behind two aliases, one with keys for its hello, and no socket where another resolver is."""
    dns_table(bed).write_text("")
    listen = [f"--listen-address={bed.server_address(family, index)}" for family in (4, 6) for index in range(LIAR)]
    return ["--bind-interfaces", *listen, f"--dns-rr=ech.test,65,{https_record()}",
            f"--addn-hosts={dns_table(bed)}", f"--host-record=end.test,{bed.server_address(4)}", "--cname=www.chain.test,middle.chain.test",
            "--cname=middle.chain.test,end.test"]


def other_id(number: int, frame: bytes) -> tuple[bytes, int]:
    """other_id changes the id of the second frame's DNS message, an answer over UDP and IPv4: what a forger has to guess."""
    at = 14 + (frame[14] & 15) * 4 + 8
    return (frame[:at] + bytes([frame[at] ^ 1]) + frame[at + 1:] if number == 2 else frame, len(frame))


def rewrite(path: Path, change: Callable[[int, bytes], tuple[bytes, int]]) -> None:
    """rewrite writes a little-endian capture anew; `change` gets a frame's number, from 1, and its bytes, and returns its bytes and
    its length on the wire."""
    data = path.read_bytes()
    out, offset, number = data[:24], 24, 0
    while offset < len(data):
        seconds, fraction, captured, _wire = struct.unpack("<IIII", data[offset:offset + 16])
        number += 1
        frame, wire = change(number, data[offset + 16:offset + 16 + captured])
        out += struct.pack("<IIII", seconds, fraction, len(frame), wire) + frame
        offset += 16 + captured
    path.write_bytes(out)


def delay(path: Path, passed: list[tuple[float, int]]) -> None:
    """delay adds to the time of each frame what passed before it."""
    data, offset = bytearray(path.read_bytes()), 24
    while offset < len(data):
        seconds, fraction, captured, _wire = struct.unpack("<IIII", data[offset:offset + 16])
        later = sum(more for moment, more in passed if seconds + fraction / 1e6 > moment)
        data[offset:offset + 4] = struct.pack("<I", seconds + later)
        offset += 16 + captured
    path.write_bytes(data)


def tagged(*tags: tuple[int, int]) -> Callable[[int, bytes], tuple[bytes, int]]:
    """tagged puts VLAN tags (ethertype, identifier) into each frame, as a switch's trunk port does."""
    tag = b"".join(struct.pack("!HH", *pair) for pair in tags)
    return lambda _number, frame: (frame[:12] + tag + frame[12:], len(frame) + len(tag))


def cut(limit: int, only: range | None = None) -> Callable[[int, bytes], tuple[bytes, int]]:
    """cut keeps `limit` bytes of each frame, or of those in `only`, as a short snapshot length does."""
    return lambda number, frame: (frame[:limit] if only is None or number in only else frame, len(frame))


def http(method: str, target: str, host: str, more: str = "", body: bytes = b"") -> bytes:
    return f"{method} {target} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n".encode() + body


LOOKUP_AND_SSH, LOOKUP_AND_TLS = "udp port 53 or tcp port 22", "udp port 53 or tcp port 443"

# Case -> what the client does, and the packets that are kept.
CASES: dict[str, tuple[Callable[[Lab], object], str]] = {
    "tls-allowed": (lambda lab: lab.curl("https://allowed.test/"), "tcp port 443"),
    "tls-denied": (lambda lab: lab.curl("https://denied.test/"), "tcp port 443"),
    "tls-subdomain-by-wildcard": (lambda lab: lab.curl("https://www.allowed.test/"), "tcp port 443"),
    "tls-deny-rule-wins": (lambda lab: lab.curl("https://denied.test/"), "tcp port 443"),
    "tls-odd-port": (lambda lab: lab.curl("https://allowed.test:4711/"), "tcp port 4711"),
    "tls-port-not-covered": (lambda lab: lab.curl("https://allowed.test:4711/"), "tcp port 4711"),
    "tls-post-quantum": (lambda lab: lab.raw(443, client_hello("allowed.test", post_quantum=True)), "tcp port 443"),
    "tls-long-hello-by-openssl": (lambda lab: lab.clients.s_client("allowed.test", 4, 443, "-alpn", BIG_ALPN), "tcp port 443"),
    "tls-many-segments": (lambda lab: lab.raw(443, client_hello("allowed.test", post_quantum=True), piece=190, gap_ms=3), "tcp port 443"),
    "tls-many-segments-denied": (lambda lab: lab.raw(443, client_hello("denied.test"), piece=1, gap_ms=1), "tcp port 443"),
    "tls-hello-retry-request": (lambda lab: lab.curl("https://allowed.test:4433/"), "tcp port 4433"),
    "tls12-only": (lambda lab: lab.curl("https://allowed.test:4712/", "--tls-max", "1.2"), "tcp port 4712"),
    "tls-no-sni-denied": (lambda lab: lab.clients.s_client(None, 4, 443), "tcp port 443"),
    "tls-no-sni-by-address": (lambda lab: lab.clients.s_client(None, 4, 443), "tcp port 443"),
    "tls-retransmission-differs": (lambda lab: attack(lab.bed, "tls", 4, 1), "tcp port 443"),
    "ipv6-tls": (lambda lab: lab.curl("https://allowed.test/", family=6), "tcp port 443"),
    "quic-v1-allowed": (lambda lab: lab.http3("allowed.test"), "udp port 443"),
    "quic-v1-denied": (lambda lab: lab.http3("denied.test"), "udp port 443"),
    "quic-v2": (lambda lab: lab.quic(V2, "allowed.test", []), "udp port 443"),
    "quic-v2-denied": (lambda lab: lab.quic(V2, "denied.test", []), "udp port 443"),
    "quic-v2-draft": (lambda lab: lab.http3("allowed.test", "--version=v2draft", works=True), "udp port 443"),
    "quic-hello-over-two-datagrams": (lambda lab: lab.quic(V1, "allowed.test", [1000], [1, 0], post_quantum=True), "udp port 443"),
    "quic-version-negotiation": (
        lambda lab: lab.http3("allowed.test", "--version=0x1a2a3a4a", "--preferred-versions=v1"), "udp port 443"),
    "ipv6-quic": (lambda lab: lab.http3("allowed.test", family=6), "udp port 443"),
    "http-allowed": (lambda lab: lab.curl("http://allowed.test/"), "tcp port 80"),
    "http-denied": (lambda lab: lab.curl("http://denied.test/"), "tcp port 80"),
    "http-keepalive-second-host-denied": (
        lambda lab: lab.curl("http://allowed.test/", "--next", "-sS", "-H", "Host: denied.test", "http://allowed.test/second"), "tcp port 80"),
    "http-pipelined": (lambda lab: lab.raw(80, http("GET", "/1", "allowed.test") + http("GET", "/2", "other.test")), "tcp port 80"),
    "http-pipelined-second-denied": (
        lambda lab: lab.raw(80, http("GET", "/1", "allowed.test") + http("GET", "/2", "denied.test")), "tcp port 80"),
    "http-chunked-post": (
        lambda lab: lab.curl("http://allowed.test/", "-H", "Transfer-Encoding: chunked", "-H", "Expect:", "-d", "field=" + "x" * 3000,
                             "--next", "-sS", "http://allowed.test/after"), "tcp port 80"),
    "http-absolute-form": (lambda lab: lab.curl("http://denied.test/", "-x", "http://allowed.test:80"), "tcp port 80"),
    "http-connect": (lambda lab: lab.curl("https://denied.test/", "-x", "http://allowed.test:80"), "tcp port 80"),
    "http-two-hosts": (lambda lab: lab.raw(80, http("GET", "/", "allowed.test", "Host: denied.test\r\n")), "tcp port 80"),
    "http-websocket": (lambda lab: lab.websocket("allowed.test"), "tcp port 8082"),
    "http2-prior-knowledge": (
        lambda lab: lab.curl(f"http://allowed.test:{H2C_PORT}/", "--http2-prior-knowledge"), f"tcp port {H2C_PORT}"),
    "http-method-denied": (lambda lab: lab.curl("http://allowed.test/api/x", "-X", "DELETE"), "tcp port 80"),
    "http-path-second-denied": (lambda lab: lab.curl("http://allowed.test/api/x", "http://allowed.test/other"), "tcp port 80"),
    "http-path-two-readings-denied": (lambda lab: lab.curl("http://allowed.test/api/%2e%2e/other", "--path-as-is"), "tcp port 80"),
    "http2-path-denied": (lambda lab: lab.curl(f"http://allowed.test:{H2C_PORT}/other", "--http2-prior-knowledge"), f"tcp port {H2C_PORT}"),
    "h2c-upgrade": (lambda lab: lab.curl(f"http://allowed.test:{H2C_UPGRADE_PORT}/api/x", f"http://allowed.test:{H2C_UPGRADE_PORT}/api/y", "--http2"),
                    f"tcp port {H2C_UPGRADE_PORT}"),
    "h2c-upgrade-denied": (lambda lab: lab.curl(f"http://denied.test:{H2C_UPGRADE_PORT}/api/x", "--http2"), f"tcp port {H2C_UPGRADE_PORT}"),
    "h2c-upgrade-second-denied": (
        lambda lab: lab.curl(f"http://allowed.test:{H2C_UPGRADE_PORT}/api/x", f"http://allowed.test:{H2C_UPGRADE_PORT}/other", "--http2"),
        f"tcp port {H2C_UPGRADE_PORT}"),
    "http2-websocket": (lambda lab: lab.websocket_h2("allowed.test"), f"tcp port {WEBSOCKET_H2_PORT}"),
    "http2-websocket-denied": (lambda lab: lab.websocket_h2("allowed.test"), f"tcp port {WEBSOCKET_H2_PORT}"),
    "http-websocket-denied": (lambda lab: lab.websocket("allowed.test"), "tcp port 8082"),
    "proxy-connect": (lambda lab: lab.curl("https://allowed.test/", "-x", f"http://10.91.9.2:{HTTP_PROXY_PORT}"), f"tcp port {HTTP_PROXY_PORT}"),
    "proxy-connect-denied": (
        lambda lab: lab.curl("https://denied.test/", "-x", f"http://10.91.9.2:{HTTP_PROXY_PORT}"), f"tcp port {HTTP_PROXY_PORT}"),
    "proxy-inner-name-differs": (lambda lab: lab.proxied_hello("allowed.test:443", "denied.test"), f"tcp port {HTTP_PROXY_PORT}"),
    "proxy-absolute-form": (
        lambda lab: lab.curl("http://allowed.test/", "http://denied.test/", "-x", f"http://10.91.9.2:{HTTP_PROXY_PORT}"), f"tcp port {HTTP_PROXY_PORT}"),
    "proxy-socks5-ipv6": (
        lambda lab: lab.curl("https://allowed.test/", "-x", f"socks5h://user:secret@[fd91:0:0:9::2]:{SOCKS5_PASSWORD_PORT}", family=6),
        f"tcp port {SOCKS5_PASSWORD_PORT}"),
    "proxy-socks5-denied": (lambda lab: lab.curl("https://denied.test/", "-x", f"socks5h://10.91.9.2:{SOCKS5_PORT}"), f"tcp port {SOCKS5_PORT}"),
    "proxy-socks4a": (lambda lab: lab.curl("http://allowed.test/", "-x", f"socks4a://10.91.9.2:{SSH_SOCKS_PORT}"), f"tcp port {SSH_SOCKS_PORT}"),
    "http-on-tls-port": (lambda lab: lab.raw(443, http("GET", "/", "allowed.test")), "tcp port 443"),
    "ssh-allowed-by-address": (lambda lab: lab.clients.ssh(lab.bed.server_address(4)), "tcp port 22"),
    "ssh-denied": (lambda lab: lab.clients.ssh(lab.bed.server_address(4, 1)), "tcp port 22"),
    "ssh-host-key": (lambda lab: lab.clients.ssh(lab.bed.server_address(4)), "tcp port 22"),
    "ssh-kex-methods": (lambda lab: lab.ssh_with_each_method(), f"tcp port {OLD_SSH_PORT}"),
    "dtls-by-address": (lambda lab: lab.dtls(DTLS_PORT, "allowed.test"), f"udp port {DTLS_PORT}"),
    "dtls-hello-verify-request": (lambda lab: lab.dtls(DTLS_COOKIE_PORT, "allowed.test"), f"udp port {DTLS_COOKIE_PORT}"),
    "smtp-starttls": (lambda lab: lab.starttls("smtp", "allowed.test"), "tcp port 25"),
    "smtp-starttls-by-curl": (
        lambda lab: lab.curl("smtp://allowed.test/me.test", "--ssl-reqd", "--mail-from", "a@me.test", "--mail-rcpt", "b@allowed.test", "-T", "/etc/hostname"),
        "tcp port 25"),
    "imap-starttls": (lambda lab: lab.starttls("imap", "allowed.test"), "tcp port 143"),
    "pop3-stls": (lambda lab: lab.starttls("pop3", "allowed.test"), "tcp port 110"),
    "ftp-auth-tls": (lambda lab: lab.curl("ftp://allowed.test/", "--ssl-reqd", "-I", "-m", "3"), "tcp port 21"),
    "ftp-passive": (lambda lab: lab.get_file(4), "tcp"),
    "ipv6-ftp-extended-passive": (lambda lab: lab.get_file(6), "tcp"),
    "ftp-other-address": (lambda lab: lab.ask_liar("other"), "tcp"),
    "ftp-bounce": (lambda lab: lab.bounce(), "tcp"),
    "webrtc-peer": (lambda lab: lab.ice(4, True), "udp port 3474 or udp port 50014"),
    "webrtc-peer-without-stun": (lambda lab: lab.ice(4, False), "udp port 50004"),
    "ipv6-webrtc-peer": (lambda lab: lab.ice(6, True), "udp port 3476 or udp port 50016"),
    "mqtt-denied": (lambda lab: lab.curl("mqtt://allowed.test/topic", "-d", "text", "-m", "2"), "tcp port 1883"),
    "postgresql-tls-request": (lambda lab: lab.starttls("postgres", "allowed.test"), "tcp port 5432"),
    "socks5-denied": (lambda lab: lab.curl("http://denied.test/", "--socks5-hostname", "allowed.test:1080", "-m", "3"), "tcp port 1080"),
    "ssh-host-key-pinned": (lambda lab: lab.clients.ssh(lab.bed.server_address(4)), "tcp port 22"),
    "ssh-wrong-host-key-denied": (lambda lab: lab.clients.ssh(lab.bed.server_address(4)), "tcp port 22"),
    "ssh-port-speaks-http-denied": (lambda lab: lab.clients.ssh(lab.bed.server_address(4), port=80), "tcp port 80"),
    "dns-udp-allowed": (lambda lab: lab.clients.dig("allowed.test", 4), "udp port 53"),
    "dns-udp-denied": (lambda lab: lab.clients.dig("denied.test", 4), "udp port 53"),
    "dns-tcp": (lambda lab: lab.clients.dig("allowed.test", 4, "+tcp"), "tcp port 53"),
    "dns-tcp-second-query-denied": (
        lambda lab: lab.raw(53, query("allowed.test", "tcp"), then=[query("denied.test", "tcp").hex()]), "tcp port 53"),
    "tcp-plain-denied": (lambda lab: lab.raw(9000, b"no protocol that anybody knows\n"), "tcp port 9000"),
    "tcp-plain-by-address": (lambda lab: lab.raw(9000, b"no protocol that anybody knows\n"), "tcp port 9000"),
    "udp-plain-denied": (lambda lab: lab.raw(9000, b"a datagram of no known protocol", transport="udp"), "udp port 9000"),
    "vlan-tls": (lambda lab: lab.curl("https://allowed.test/"), "tcp port 443"),
    "qinq-tls-denied": (lambda lab: lab.curl("https://denied.test/"), "tcp port 443"),
    "fragments-tls": (lambda lab: lab.fragmented(client_hello("allowed.test", post_quantum=True)), "tcp port 443 or ip[6:2] & 0x1fff != 0"),
    "gre-named": (lambda lab: lab.tunnelled("gre", "denied.test"), "ip proto 47"),
    "gre-looked-into": (lambda lab: lab.tunnelled("gre:5", "allowed.test", "denied.test"), "ip proto 47"),
    "ipip-looked-into": (lambda lab: lab.tunnelled("ipip", "allowed.test", "denied.test"), "ip proto 4"),
    "vxlan-named": (lambda lab: lab.tunnelled("vxlan", "denied.test"), "udp port 4789"),
    "vxlan-looked-into": (lambda lab: lab.tunnelled("vxlan", "allowed.test", "denied.test"), "udp port 4789"),
    "teredo-looked-into": (lambda lab: lab.tunnelled("teredo", "allowed.test", "denied.test"), "udp port 3544"),
    "ssh-two-names-one-port": (lambda lab: lab.dig_then(("allowed.test", "second.test"), lambda: lab.ssh_to(0, 1)), LOOKUP_AND_SSH),
    "ssh-third-host-denied": (lambda lab: lab.dig_then(("allowed.test", "second.test"), lambda: lab.ssh_to(2)), LOOKUP_AND_SSH),
    "tls-bound-after-dns": (lambda lab: lab.dig_then(("allowed.test",), lambda: lab.curl_at("allowed.test", 0)), LOOKUP_AND_TLS),
    "tls-forged-sni-denied": (lambda lab: lab.dig_then(("allowed.test", "second.test"), lambda: lab.curl_at("allowed.test", 1)), LOOKUP_AND_TLS),
    "tls-unbound-address-denied": (lambda lab: lab.dig_then(("allowed.test",), lambda: lab.curl_at("allowed.test", 1)), LOOKUP_AND_TLS),
    "dns-cname-chain-binds": (lambda lab: lab.dig_then(("www.chain.test",), lambda: lab.curl_at("www.chain.test", 0)), LOOKUP_AND_TLS),
    "dns-unsolicited-answer-never-binds": (
        lambda lab: lab.dig_then(("allowed.test",), lambda: lab.curl_at("allowed.test", 0)), "udp src port 53 or tcp port 443"),
    "dns-wrong-id-never-binds": (lambda lab: lab.dig_then(("allowed.test",), lambda: lab.curl_at("allowed.test", 0)), LOOKUP_AND_TLS),
    "dns-other-resolver-never-binds": (
        lambda lab: (lab.dig("allowed.test", index=1), lab.curl_at("allowed.test", 0)), LOOKUP_AND_TLS),
    "address-rotates": (lambda lab: lab.rotate(), LOOKUP_AND_TLS),
    "address-cached-in-grace": (lambda lab: lab.stale(), LOOKUP_AND_TLS),
    "quic-forged-sni-denied": (
        lambda lab: lab.dig_then(("allowed.test", "second.test"), lambda: lab.http3("allowed.test", index=1)), "udp port 53 or udp port 443"),
    "http-forged-host-denied": (
        lambda lab: lab.dig_then(("allowed.test", "second.test"), lambda: lab.curl("http://second.test/", "-H", "Host: allowed.test")),
        "udp port 53 or tcp port 80"),
    "dtls-forged-sni-denied": (
        lambda lab: lab.dig_then(("allowed.test", "second.test"), lambda: lab.dtls(BOUND_DTLS_PORT, "allowed.test", index=1)),
        f"udp port 53 or udp port {BOUND_DTLS_PORT}"),
    "udp-unbound-address-denied": (
        lambda lab: lab.dig_then(("allowed.test",), lambda: [lab.raw(9000, b"a datagram of no known protocol", index, transport="udp") for index in (0, 1)]),
        "udp port 53 or udp port 9000"),
    "dns-txt-tunnel-denied": (
        lambda lab: lab.dig("c2VjcmV0IGRhdGE.data.wild.test", "c2VjcmV0IGRhdGE.tunnel.test", more=("-t", "TXT")), "udp port 53"),
    "dns-txt-tunnel-over-budget": (
        lambda lab: lab.dig(*(f"c2VjcmV0IGRhdGE-{i}.wild.test" for i in range(5)), "c2VjcmV0IGRhdGE-0.wild.test", more=("-t", "TXT")), "udp port 53"),
    "dns-data-behind-question-denied": (lambda lab: lab.raw(53, query("allowed.test", "udp") + b"hidden", transport="udp"), "udp port 53"),
    "dns-extra-records-never-bind": (
        lambda lab: lab.dig_then(tuple(f"extra-{section}.poison.test" for section in ("answer", "authority", "additional")),
                                 lambda: (lab.curl_at("victim.test", 1), lab.curl_at("extra-answer.poison.test", 0)), index=LIAR), LOOKUP_AND_TLS),
    "dns-wrong-question-never-binds": (
        lambda lab: lab.dig_then(("wrong-question.poison.test",), lambda: lab.curl_at("victim.test", 1), index=LIAR), LOOKUP_AND_TLS),
    "dns-second-answer-never-binds": (
        lambda lab: lab.dig_then(("second-answer.poison.test",), lambda: (time.sleep(0.2), lab.curl_at("second-answer.poison.test", 1)),
                                 index=LIAR), LOOKUP_AND_TLS),
    "dns-private-address-never-binds": (lambda lab: lab.dig_then(("allowed.test",), lambda: lab.curl_at("allowed.test", 0)), LOOKUP_AND_TLS),
    "dns-ech-stripped": (
        lambda lab: (lab.dig("ech.test", more=("-t", "HTTPS")), lab.dig("ech.test", more=("+tcp", "-t", "HTTPS"))), "port 53"),
    "tls-ech-denied": (lambda lab: lab.dig_then(("allowed.test",), lambda: lab.browse("allowed.test")), LOOKUP_AND_TLS),
    "dns-tcp-cname-chain-binds": (
        lambda lab: lab.dig_then(("www.chain.test",), lambda: lab.curl_at("www.chain.test", 0), more=("+tcp",)), "tcp port 53 or tcp port 443"),
    "ntp-by-name": (lambda lab: lab.dig_then(("allowed.test",), lab.ask_time), "udp port 53 or udp port 123"),
    "ftp-by-name": (
        lambda lab: lab.dig_then(("allowed.test",), lab.list_files), f"udp port 53 or tcp port {VSFTPD_PORT} or tcp port {FTP_DATA_PORT}"),
    **{f"{word}-goes-over-to-tls": ((lambda word: lambda lab: lab.upgrades(word))(word), f"tcp port {port}") for word, port in PORTS.items()},
    "truncated-capture": (lambda lab: lab.curl("https://allowed.test/"), "tcp port 443"),
    "truncated-middle-segment": (
        lambda lab: lab.raw(443, client_hello("allowed.test", post_quantum=True), piece=600, gap_ms=3), "tcp port 443"),
    "icmp-denied": (lambda lab: lab.ping(4), "icmp[icmptype] = icmp-echo or icmp[icmptype] = icmp-echoreply"),
    **IP_CASES,
}


# What becomes of a case's frames before they are stored: what a trunk port or a short snapshot length does to them.
REWRITES: dict[str, Callable[[int, bytes], tuple[bytes, int]]] = {
    "vlan-tls": tagged((0x8100, 7)),
    "qinq-tls-denied": tagged((0x88A8, 100), (0x8100, 7)),
    "dns-wrong-id-never-binds": other_id,
    "truncated-capture": cut(96),
    "truncated-middle-segment": cut(200, range(6, 7)),
}


def capture(lab: Lab, name: str, folder: Path) -> None:
    action, expression = (CASES | SERVICE_CASES)[name]
    # The attack's first flight is lost on the way to the server: only the client's side sees both.
    where, interface = ("client", "east") if name == "tls-retransmission-differs" or name in CLIENT_SIDE else ("server", "west")
    recorded = Capture(lab.bed, where, interface, name, f"( {expression} ) or udp port 49999")
    action(lab)
    time.sleep(0.3)
    recorded.flush()
    recorded.process.stop()
    (folder / name).mkdir(parents=True, exist_ok=True)
    # Written anew without the capture's own sentinel, and with the clock of the capture.
    lab.bed.run(where, ["tcpdump", "-r", str(recorded.path), "-w", str(folder / name / "input.pcap"), "-Z", "root", expression])
    if lab.passed:
        delay(folder / name / "input.pcap", lab.passed)
        lab.passed.clear()
    if name in REWRITES:
        rewrite(folder / name / "input.pcap", REWRITES[name])
    size = (folder / name / "input.pcap").stat().st_size
    print(f"{name}: {size} bytes", flush=True)
    if size <= 24:
        raise RuntimeError(f"{name}: nothing was captured")


def main() -> int:
    folder, names = Path(sys.argv[1]), sys.argv[2:] or sorted(CASES | SERVICE_CASES)
    unknown = [name for name in names if name not in CASES and name not in SERVICE_CASES]
    if unknown:
        print(f"unknown cases: {' '.join(unknown)}\nknown: {' '.join(sorted(CASES | SERVICE_CASES))}", file=sys.stderr)
        return 2
    own = [name for name in names if name in SERVICE_CASES]
    if own:
        with Testbed("host", hops=1) as bed, Servers(bed) as servers:
            lab = Lab(bed, servers, Clients(bed, servers))
            service_cases.start(lab)
            for name in own:
                capture(lab, name, folder)
    names = [name for name in names if name in CASES]
    if not names:
        return 0
    skip_unless_possible(None, ("nginx", "dnsmasq", "sshd", "gtlsserver", "curl", "dig"))
    with Testbed("host", hops=1) as bed, Servers(bed) as servers:
        servers.start_web()
        servers.start_ssh()
        servers.start_ssh(OLD_SSH_PORT, "KexAlgorithms +" + ",".join(OLD_METHODS))
        servers.start_dns(*dns_arguments(bed), *DNS_ARGUMENTS)
        servers.start_quic()
        servers.start_sink()
        servers.start_h2c()
        servers.start_dtls()
        servers.start_dtls_at(BOUND_DTLS_PORT, 4, 1)
        servers.start_poisoner(LIAR, {"victim.test": 0, "poison.test": 0}, "victim.test", 1, (4,))
        servers.start_ntp()
        servers.start_ftp(VSFTPD_PORT, FTP_DATA_PORT)
        for protocol in GREETER_PORTS:
            servers.start_greeter(protocol)
        start_http_proxy(bed, servers)
        start_socks(bed, servers)
        start_websocket(bed)
        start_websocket_h2(bed)
        start_h2c_upgrade(bed)
        lab = Lab(bed, servers, Clients(bed, servers))
        for name in names:
            capture(lab, name, folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
