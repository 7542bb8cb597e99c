#!/usr/bin/env python3
"""Databases and brokers by their bytes, with their own programs, so that `tcp` need not be opened; and TCP that nobody knows."""

from support import Suite, binary, expect, expect_equal, skip_unless_possible
from support.daemon import allow
from support.hello import client_hello
from support.refused import ALERT, FAST, expect_end, expect_forbidden, expect_ssh_disconnect, received
from support.services import AMQP, AMQP_SERVER, MQTT, MYSQL, POSTGRESQL, REDIS, Services
from support.world import TCP, World, world

GREETS, WAITS, BEYOND = 7000, 7010, 7011
PREFIX = "10.91.9.4/31, fd91:0:0:9::4/127"
RULES = (allow("allowed.test", "postgresql, mysql, redis, mqtt, amqp") + allow("allowed.test", "tcp", '"7000-7010"')
         + allow(PREFIX, "tcp", '"7000-7010"')
         # Without these two the address alone would decide at the SYN.
         + '[[rules]]\nto = ["evil.example"]\nprotocols = ["tls"]\nports = "any"\naction = "deny"\n'
         + '[[rules]]\nto = ["any"]\nprotocols = ["bittorrent"]\nports = "any"\naction = "deny"\n')
DNS = '[dns]\nresolvers = ["10.91.9.2", "fd91:0:0:9::2"]\nprivate = [".test"]\nmiss_wait = "200ms"\n'


def body(suite: Suite) -> None:
    with world(suite, "host", RULES, "dns", bind="strict", extra=DNS) as it:
        services = Services(it.servers)
        for start in (services.start_redis, services.start_mosquitto, services.start_amqp, services.start_postgresql, services.start_mariadb):
            start()
        for family in (4, 6):
            for protocol, port, command in CLIENTS:
                each(suite, it, f"v{family}, {protocol}", family, protocol, port, command)
        services.start_opaque("greets", GREETS)
        for port in (WAITS, BEYOND):
            services.start_opaque("waits", port)
        for family in (4, 6):
            opaque(suite, it, f"v{family}", family)


def postgresql(address: str) -> tuple[list[str], str]:
    return ["psql", f"host=server.test hostaddr={address} user=postgres dbname=postgres sslmode=disable gssencmode=disable connect_timeout=3", "-tAc",
            "select 6*7"], "42"


def mysql(address: str) -> tuple[list[str], str]:
    return ["mariadb", "--no-defaults", "--skip-ssl", "--connect-timeout=3", f"--host={address}", "--user=root", "-Nse", "select 6*7"], "42"


def redis(address: str) -> tuple[list[str], str]:
    return ["redis-cli", "-h", address, "PING"], "PONG"


def mqtt(address: str) -> tuple[list[str], str]:
    return ["mosquitto_pub", "-d", "-h", address, "-t", "t", "-m", "m"], "CONNACK (0)"


def amqp(address: str) -> tuple[list[str], str]:
    host = f"[{address}]" if ":" in address else address
    return ["/usr/bin/python3", str(AMQP_SERVER), "send", host, str(AMQP), "text"], "accepted"


CLIENTS = (("postgresql", POSTGRESQL, postgresql), ("mysql", MYSQL, mysql), ("redis", REDIS, redis), ("mqtt", MQTT, mqtt), ("amqp", AMQP, amqp))
OTHERS = {"SSH": ("ssh", b"SSH-2.0-client\r\n"), "HTTP": ("http", b"GET / HTTP/1.1\r\nHost: allowed.test\r\n\r\n"),
          "TLS": ("tls", client_hello("allowed.test")), "an unknown protocol": ("unknown", b"\x99\x01secret of a tunnel\n")}


# The address alone decides at the SYN: what each client prints of a port that is closed.
CLOSED = {"postgresql": "Connection refused", "mysql": "(115)", "redis": "Connection refused", "mqtt": "Connection refused", "amqp": "Connection refused"}


def expect_told(answer: dict, seen: str, address: str, greeted: bool) -> None:
    """The client was told in the protocol that it spoke. MySQL's server greets whoever comes, if it gets to it."""
    greeting = received(answer)
    for words in (b"SSH-2.0-sallyport", b"HTTP/1.1 403", ALERT):
        greeting = greeting.partition(words)[0]
    expect(greeted or not greeting, str(answer))
    if seen == "unknown":
        expect_equal((received(answer), answer["error"]), (greeting, "ECONNRESET"), str(answer))
        return
    if seen == "http":
        return expect_forbidden(answer, "allowed.test", "protocol_not_allowed")
    if seen == "tls":
        expect(received(answer).endswith(ALERT), str(answer))
    else:
        expect_ssh_disconnect(received(answer), f"sallyport: {address}: no rule allows this protocol")
    expect_end(answer)


def each(suite: Suite, it: World, label: str, family: int, protocol: str, port: int, command) -> None:
    with suite.case(f"{label}: the real client and server by the bound name, {port}"):
        mark = it.mark()
        argv, wanted = command(it.bed.server_address(family))
        result = it.bed.run("client", argv, 8.0)
        expect(wanted in result.out, result.describe())
        event = it.expect_event(mark, verdict="allow", dport=port, protocol=protocol)
        expect_equal(event["name"], "allowed.test", "the name of the address")
    with suite.case(f"{label}: at an address that is not the name's, and nothing arrives"):
        mark = it.mark()
        argv, wanted = command(it.bed.server_address(family, 1))
        result = it.bed.run("client", argv, 8.0)
        expect(wanted not in result.out and CLOSED[protocol] in result.out + result.err and result.within(FAST), result.describe())
        it.expect_nothing_arrived(mark, TCP, port)
        it.expect_event(mark, verdict="deny", dport=port, reason="address_not_bound")
    with suite.case(f"{label}: none of {', '.join(OTHERS)} arrives on {port}"):
        mark = it.mark()
        for seen, data in OTHERS.values():
            answer = it.clients.raw(it.bed.server_address(family), port, data, read=1.0, to_end=True)
            expect_told(answer, seen, it.bed.server_address(family), greeted=protocol == "mysql")
            it.expect_event(mark, verdict="deny", dport=port, protocol=seen)
        it.expect_nothing_arrived(mark, TCP, port)


def opaque(suite: Suite, it: World, label: str, family: int) -> None:
    for index, how in ((0, "bound name"), (2, "prefix")):
        address = it.bed.server_address(family, index)
        with suite.case(f"{label}, {how}: a server that speaks first is heard, and its client answers at once"):
            mark = it.mark()
            answer = it.clients.raw(address, GREETS, b"", then=[b"\x81an answer".hex(), b"more".hex()])
            expect_equal(bytes.fromhex(answer["received"]), b"\x80WELCOME to nothing in particular\ngot 10\ngot 4\n", str(answer))
            expect(answer["seconds"] < 1.0, str(answer))
            it.expect_event(mark, verdict="allow", dport=GREETS)
        for what, data in FIRST_WORDS.items():
            with suite.case(f"{label}, {how}: a client that speaks first, {what}, is let through at once"):
                answer = it.clients.raw(address, WAITS, data, then=[b"more".hex()])
                expect_equal(bytes.fromhex(answer["received"]), b"got %d\ngot 4\n" % len(data), str(answer))
                expect(answer["seconds"] < 1.0, str(answer))
    for index, port, what, reason in ((1, GREETS, "an address of nobody", "address_not_bound"), (0, BEYOND, "a port behind the range", "address_not_allowed"),
                                      (3, BEYOND, "a port behind the prefix's range", "address_not_allowed")):
        with suite.case(f"{label}: {what} is refused before the server speaks"):
            mark = it.mark()
            answer = it.clients.raw(it.bed.server_address(family, index), port, b"", then=[b"secret".hex()])
            expect(not answer["received"] and answer["error"] == "ECONNREFUSED", str(answer))
            it.expect_nothing_arrived(mark, TCP, port)
            it.expect_event(mark, verdict="deny", dport=port, reason=reason)
    with suite.case(f"{label}: what a deny rule has does not pass a rule for tcp"):
        mark = it.mark()
        answer = it.clients.raw(it.bed.server_address(family), WAITS, b"\x13BitTorrent protocol" + bytes(8) + b"h" * 20 + b"p" * 20, read=1.0)
        expect(not answer["received"] and answer["error"] == "ECONNRESET", str(answer))
        it.expect_nothing_arrived(mark, TCP, WAITS)
        it.expect_event(mark, verdict="deny", dport=WAITS, protocol="bittorrent", reason="rule_denies")


# What clients of protocols that have no word of their own say first, whole: none of it may wait for more.
FIRST_WORDS = {
    "binary": b"\x99\x01\x02\x03", "a Kafka request": bytes.fromhex("0000001700120000000000010006636c69656e7400") + b"\0" * 6,
    "a line": b"hello, nobody\n", "NATS": b'CONNECT {"verbose":false,"pedantic":false}\r\nPING\r\n', "memcached": b"get something\r\n",
    "git": b"0033git-upload-pack /project.git\0host=myserver.com\0", "whois": b"example.com\r\n", "rsync": b"@RSYNCD: 31.0 sha512\n",
    "one byte": b"\xff",
}


if __name__ == "__main__":
    skip_unless_possible(binary(), ("dnsmasq", "redis-server", "redis-cli", "mosquitto", "mosquitto_pub", "psql", "mariadbd", "mariadb", "mariadb-install-db"))
    Suite("brokers", 200).main(body)
