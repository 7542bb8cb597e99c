#!/usr/bin/env python3
"""TLS on other ports, known by its bytes: mail, directory, MQTT and DNS behind TLS from the first byte, with their own programs.

A rule for `tls` on such a port lets no plaintext through, and a rule for the plaintext protocol no TLS.
"""

from support import Suite, binary, expect, expect_equal, skip_unless_possible
from support.daemon import allow
from support.hello import client_hello
from support.refused import expect_alert, expect_end, expect_printed, received
from support.servers import NAMES
from support.services import DOT, IMAPS, LDAPS, MQTT, MQTTS, POP3S, SMTPS, Services
from support.world import TCP, World, world

CUSTOM_DOT, LDAP = 8530, 389
# Half of the ports one by one, half in a range; the custom port lies in a range of its own.
RULES = (allow("allowed.test", "tls", f'{SMTPS}, {LDAPS}, {DOT}, "990-999", {MQTTS}, "8500-8599"')
         + allow("allowed.test", "mqtt, ldap", f"{MQTT}, {LDAP}"))
DNS = '[dns]\nresolvers = ["10.91.9.2", "fd91:0:0:9::2"]\nprivate = [".test"]\nmiss_wait = "200ms"\n'
PLAIN = {SMTPS: b"EHLO client.test\r\n", IMAPS: b"a1 LOGIN me secret\r\n", POP3S: b"USER me\r\n", LDAPS: bytes.fromhex("300c020101600702010304008000"),
         MQTTS: bytes.fromhex("100c00044d5154540402003c0000"), DOT: bytes.fromhex("00124321010000010000000000000161000001") + b"\x00\x01"}


def body(suite: Suite) -> None:
    with world(suite, "gateway", RULES, "dns", bind="strict", extra=DNS) as it:
        services = Services(it.servers)
        services.start_greeter("smtp", SMTPS)
        services.start_greeter("pop3", POP3S)
        services.start_dovecot()
        services.start_slapd()
        services.start_dot(CUSTOM_DOT)
        services.start_mosquitto()
        for family in (4, 6):
            for name, port, attempt, worked in CLIENTS:
                each(suite, it, f"v{family}, {name} on {port}", family, port, attempt, worked)
            wrong_form(suite, it, f"v{family}", family)


def curl(scheme: str, *arguments: str):
    def attempt(it: World, name: str, family: int, port: int):
        return it.clients.curl(f"{scheme}://{name}:{port}/", family, *arguments, timeout=4)
    return attempt


def with_addresses_of(it: World, family: int, command: list[str], stdin: bytes | None = None):
    """with_addresses_of runs a client that takes whatever addresses a name has."""
    it.bed.set_hosts(NAMES, (family,))
    try:
        return it.bed.run("client", command, 6.0, stdin=stdin)
    finally:
        it.bed.set_hosts(NAMES)


def publish(it: World, name: str, family: int, port: int):
    return with_addresses_of(it, family, ["mosquitto_pub", "-d", "-h", name, "-p", str(port), "--cafile", str(it.servers.ca), "-t", "t", "-m", "m"])


def search(it: World, name: str, family: int, port: int):
    # It looks the name of its own machine up, which is nobody's business.
    rename = ["unshare", "--uts", "sh", "-c", 'hostname localhost && exec "$@"', "sh"]
    return with_addresses_of(it, family, [*rename, "env", f"LDAPTLS_CACERT={it.servers.ca}", "ldapsearch", "-x", "-o", "nettimeout=4", "-H", f"ldaps://{name}:{port}",
                                          "-s", "base", "-b", "", "supportedLDAPVersion"])


def look_up(it: World, name: str, family: int, port: int):
    return it.bed.run("client", ["kdig", f"@{it.bed.server_address(family)}", "-p", str(port), "+tls", f"+tls-hostname={name}", f"+tls-sni={name}",
                                 f"+tls-ca={it.servers.ca}", "+retry=0", "+time=3", "hidden.test", "A"], 8.0)


CLIENTS = (
    ("SMTPS, curl", SMTPS, curl("smtps", "--mail-from", "a@test", "--mail-rcpt", "b@test", "-X", "NOOP"), lambda r: "502 no" in r.err or r.code in (0, 8, 56)),
    ("IMAPS, curl and dovecot", IMAPS, curl("imaps", "-u", "me:secret"), lambda r: "INBOX" in r.out),
    ("POP3S, curl", POP3S, curl("pop3s", "-u", "me:secret"), lambda r: r.code == 0),
    ("LDAPS, ldapsearch and slapd", LDAPS, search, lambda r: "supportedLDAPVersion: 3" in r.out),
    ("MQTTS, mosquitto", MQTTS, publish, lambda r: r.code == 0 and "CONNACK (0)" in r.out),
    ("DNS over TLS, kdig and unbound", DOT, look_up, lambda r: "192.0.2.7" in r.out),
    ("the same", CUSTOM_DOT, look_up, lambda r: "192.0.2.7" in r.out),
)


# What a client prints of the alert, where it is not OpenSSL's: OpenLDAP says nothing of it.
TOLD = {LDAPS: "Can't contact LDAP server", DOT: "A TLS fatal alert has been received", CUSTOM_DOT: "A TLS fatal alert has been received"}
# The replies to PLAIN: of SMTP, and of MQTT, "not authorized".
# A client of SMTP that speaks is taken to have heard the greeting; the answer to EHLO stands for the HELO behind it, too.
REPLIES = {SMTPS: 2 * b"550 5.7.1 sallyport: ADDRESS: no rule allows this protocol to this destination (default)\r\n", MQTTS: b"\x20\2\0\5"}


def each(suite: Suite, it: World, label: str, family: int, port: int, attempt, worked) -> None:
    with suite.case(f"{label}: an allowed name"):
        mark = it.mark()
        result = attempt(it, "allowed.test", family, port)
        expect(worked(result), result.describe())
        event = it.expect_event(mark, name="allowed.test", verdict="allow", dport=port)
        expect_equal(event["protocol"], "tls", "the event")
    with suite.case(f"{label}: a denied name, and no byte arrives"):
        mark = it.mark()
        result = attempt(it, "denied.test", family, port)
        expect_printed(result, TOLD.get(port, "tlsv1 alert access denied"))
        it.expect_nothing_arrived(mark, TCP, port)
        event = it.expect_event(mark, name="denied.test", verdict="deny", dport=port)
        expect_equal(event["reason"], "name_not_allowed", "the event")


def wrong_form(suite: Suite, it: World, label: str, family: int) -> None:
    for port, data in PLAIN.items():
        with suite.case(f"{label}: plaintext on {port}, which is for tls, does not arrive"):
            mark = it.mark()
            answer = it.clients.raw(it.bed.server_address(family), port, data, read=1.0, to_end=True)
            if port in REPLIES:
                expect_equal(received(answer), REPLIES[port].replace(b"ADDRESS", it.bed.server_address(family).encode()), str(answer))
                expect_end(answer)
            else:  # No protocol, or none that has words for it.
                expect(not answer["received"] and answer["error"] == "ECONNRESET", str(answer))
            it.expect_nothing_arrived(mark, TCP, port)
            it.expect_event(mark, verdict="deny", dport=port)
    for port in (MQTT, LDAP):
        with suite.case(f"{label}: TLS on {port}, which is for plaintext, does not arrive, whatever name it has"):
            mark = it.mark()
            answer = it.clients.raw(it.bed.server_address(family), port, client_hello("allowed.test"), read=1.0, to_end=True)
            expect_alert(answer)
            it.expect_nothing_arrived(mark, TCP, port)
            event = it.expect_event(mark, verdict="deny", dport=port, name="allowed.test")
            expect_equal((event["protocol"], event["reason"]), ("tls", "protocol_not_allowed"), "the event")


if __name__ == "__main__":
    skip_unless_possible(binary(), ("dnsmasq", "curl", "dovecot", "slapd", "ldapsearch", "mosquitto", "mosquitto_pub", "unbound", "kdig"))
    Suite("tls_ports", 200).main(body)
