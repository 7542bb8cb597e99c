"""The cases of services, VPNs and QUIC that moves, for capture_pcaps.py: they need servers of their own, on ports of others."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from .hello import client_hello, quic_hello
from .quic_initial import V1, hello_datagrams
from .services import AMQP, AMQP_SERVER, DOT, IMAPS, LDAPS, MQTT, MQTTS, MYSQL, POP3S, POSTGRESQL, REDIS, SMTPS, Services
from .vpns import Vpns

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import test_brokers  # noqa: E402
import test_tls_ports  # noqa: E402
import test_vpn  # noqa: E402

GREETS, SINK = 7000, 9000


def start(lab) -> None:
    servers = lab.servers
    servers.start_dns()
    servers.start_quic()
    servers.start_sink(SINK)
    servers.start_dtls_at(4444, 6, 0)
    lab.services = services = Services(servers)
    services.start_greeter("smtp", SMTPS)
    services.start_greeter("pop3", POP3S)
    services.start_opaque("greets", GREETS)
    for one in (services.start_ntp, services.start_dovecot, services.start_slapd, services.start_dot, services.start_mosquitto, services.start_redis,
                services.start_amqp, services.start_postgresql, services.start_mariadb):
        one()
    lab.vpns = vpns = Vpns(servers)
    for one in (vpns.start_wireguard, vpns.start_openvpn, vpns.start_ike):
        one()


def must(worked: object, what: object) -> None:
    if not worked:
        raise RuntimeError(str(what))


def asked(lab, action, family: int = 4, index: int = 0) -> None:
    """asked has the client look the name up and then do something at an address of the server."""
    lab.dig("allowed.test", more=("-t", "AAAA" if family == 6 else "A"))
    action(lab.bed.server_address(family, index))


def program(lab, command, family: int = 4) -> None:
    def action(address: str) -> None:
        argv, wanted = command(address)
        result = lab.bed.run("client", argv, 8.0)
        must(wanted in result.out, result.describe())
    asked(lab, action, family)


def by_tls(lab, attempts, family: int = 4) -> None:
    def action(_address: str) -> None:
        for attempt, port, worked in attempts:
            result = attempt(World(lab), "allowed.test", family, port)
            must(worked(result), result.describe())
    asked(lab, action, family)


class World:
    """World is as much of world.World as the clients of the live tests take."""

    def __init__(self, lab):
        self.bed, self.servers, self.clients = lab.bed, lab.servers, lab.clients


def tls_clients(*ports: int):
    return [(attempt, port, worked) for _name, port, attempt, worked in test_tls_ports.CLIENTS if port in ports]


def time_of(lab, family: int = 4) -> None:
    def action(address: str) -> None:
        result = lab.services.ask_time(address)
        must(result.code == 0, result.describe())
    asked(lab, action, family)


def datagrams(lab, family: int, *pairs: tuple[int, int]) -> None:
    """datagrams sends one to each (index of an address, port)."""
    lab.dig("allowed.test", more=("-t", "AAAA" if family == 6 else "A"))
    for index, port in pairs:
        lab.raw(port, b"a request", index=index, family=family, transport="udp")


def server_first(lab, family: int = 4) -> None:
    asked(lab, lambda _address: lab.raw(GREETS, b"", family=family, then=[b"\x81an answer".hex()]), family)


def vpn(lab, *attempts, family: int = 4) -> None:
    for attempt in attempts:
        must(attempt(lab.vpns, lab.bed.server_address(family)), "no tunnel")


def behind_keep_alive(lab, family: int) -> None:
    """The datagrams of a WireGuard client whose first one is a keep-alive of something else."""
    lab.raw(SINK, b"\xff", family=family, transport="udp", then=[b"\xff".hex(), test_vpn.wireguard_initiation().hex(), b"\xff".hex()])


def moved(lab, family: int) -> None:
    lab.clients.http3("allowed.test", family, 443, "--change-local-addr=50ms", "--delay-stream=150ms", seconds=2)


def anew(lab) -> None:
    """A short header of nobody, and the hello of a new connection from the same port."""
    lab.raw(443, b"\x0d" + os.urandom(50), transport="udp", source_port=41_234)
    scid = os.urandom(8)
    lab.raw(443, hello_datagrams(V1, quic_hello("allowed.test", scid=scid), scid, [])[0], transport="udp", source_port=41_234)


WIREGUARD = lambda v, a: v.wireguard(a)
OPENVPN_UDP, OPENVPN_TCP = (lambda v, a: v.openvpn(a)), (lambda v, a: v.openvpn(a, "tcp"))
IKE = lambda v, a: v.ike(a)
VPN_PORTS = "udp port 51820 or port 1194 or udp port 500 or udp port 4500"
# Without the servers' attempts to go on with a client of an earlier case.
DENIED_VPN_PORTS = f"( {VPN_PORTS} ) and not udp src port 51820 and not udp src port 1194"
MAIL = f"udp port 53 or tcp port {SMTPS} or tcp port {IMAPS} or tcp port {POP3S}"


def with_dns(expression: str) -> str:
    return f"udp port 53 or {expression}"


SERVICE_CASES = {
    "ntp-chrony": (time_of, with_dns("udp port 123")),
    "ipv6-ntp-chrony": (lambda lab: time_of(lab, 6), with_dns("udp port 123")),
    "udp-port-range-by-name": (lambda lab: datagrams(lab, 4, (0, 9000), (0, 9010), (0, 9011), (1, 9000)), with_dns("udp portrange 9000-9011")),
    "ipv6-udp-port-range-by-name": (lambda lab: datagrams(lab, 6, (0, 9000), (0, 9010), (0, 9011), (1, 9000)), with_dns("udp portrange 9000-9011")),
    "tls-mail-ports": (lambda lab: by_tls(lab, tls_clients(SMTPS, IMAPS, POP3S)), MAIL),
    "tls-ldaps": (lambda lab: by_tls(lab, tls_clients(LDAPS)), with_dns(f"tcp port {LDAPS}")),
    "tls-mqtts": (lambda lab: by_tls(lab, tls_clients(MQTTS)), with_dns(f"tcp port {MQTTS}")),
    "tls-dot": (lambda lab: by_tls(lab, tls_clients(DOT)), with_dns(f"tcp port {DOT}")),
    "ipv6-tls-dot": (lambda lab: by_tls(lab, tls_clients(DOT), 6), with_dns(f"tcp port {DOT}")),
    "tls-on-mqtt-port-denied": (lambda lab: asked(lab, lambda _a: lab.raw(MQTT, client_hello("allowed.test"))), with_dns(f"tcp port {MQTT}")),
    "mqtt-on-tls-port-denied": (lambda lab: asked(lab, lambda _a: lab.raw(MQTTS, test_tls_ports.PLAIN[MQTTS])), with_dns(f"tcp port {MQTTS}")),
    "postgresql-by-name": (lambda lab: program(lab, test_brokers.postgresql), with_dns(f"tcp port {POSTGRESQL}")),
    "mysql-by-name": (lambda lab: program(lab, test_brokers.mysql), with_dns(f"tcp port {MYSQL}")),
    "redis-by-name": (lambda lab: program(lab, test_brokers.redis), with_dns(f"tcp port {REDIS}")),
    "ipv6-redis-by-name": (lambda lab: program(lab, test_brokers.redis, 6), with_dns(f"tcp port {REDIS}")),
    "mqtt-by-name": (lambda lab: program(lab, test_brokers.mqtt), with_dns(f"tcp port {MQTT}")),
    "amqp-by-name": (lambda lab: program(lab, test_brokers.amqp), with_dns(f"tcp port {AMQP}")),
    "redis-port-speaks-ssh-denied": (lambda lab: asked(lab, lambda _a: lab.raw(REDIS, b"SSH-2.0-client\r\n")), with_dns(f"tcp port {REDIS}")),
    "tcp-server-speaks-first-by-name": (server_first, with_dns(f"tcp port {GREETS}")),
    "ipv6-tcp-server-speaks-first-by-name": (lambda lab: server_first(lab, 6), with_dns(f"tcp port {GREETS}")),
    "vpns-by-their-words": (lambda lab: vpn(lab, WIREGUARD, OPENVPN_UDP, OPENVPN_TCP, IKE), VPN_PORTS),
    "vpns-denied-beside-an-address-rule": (lambda lab: vpn(lab, WIREGUARD, OPENVPN_UDP, OPENVPN_TCP, IKE), DENIED_VPN_PORTS),
    "ipv6-vpns-denied-beside-an-address-rule": (lambda lab: vpn(lab, WIREGUARD, OPENVPN_UDP, OPENVPN_TCP, IKE, family=6), DENIED_VPN_PORTS),
    "vpn-behind-another-datagram-denied": (lambda lab: behind_keep_alive(lab, 4), f"udp port {SINK}"),
    "ipv6-vpn-behind-another-datagram-denied": (lambda lab: behind_keep_alive(lab, 6), f"udp port {SINK}"),
    "quic-denied": (lambda lab: lab.http3("allowed.test"), "udp port 443"),
    "ipv6-quic-denied": (lambda lab: lab.http3("allowed.test", family=6), "udp port 443"),
    "quic-moved-denied": (lambda lab: moved(lab, 4), "udp port 443"),
    "ipv6-quic-moved-denied": (lambda lab: moved(lab, 6), "udp port 443"),
    "quic-anew-from-the-same-port": (anew, "udp port 443"),
    "ipv6-dtls": (lambda lab: lab.clients.s_client("allowed.test", 6, 4444, "-dtls1_2"), "udp port 4444"),
}
