#!/usr/bin/env python3
"""DTLS by the server name in its hello: OpenSSL's and GnuTLS' clients, over IPv4 and IPv6, by bound names and by address."""

import errno

from support import Suite, binary, expect, expect_equal, skip_unless_possible
from support.daemon import allow
from support.refused import FAST
from support.servers import DTLS_PORT
from support.world import UDP, World, world

BY_ADDRESS = 4450
RULES = allow("allowed.test", "dtls", '"4440-4449"') + allow("10.91.9.4, fd91:0:0:9::4", "dtls", str(BY_ADDRESS))
DNS = '[dns]\nresolvers = ["10.91.9.2", "fd91:0:0:9::2"]\nprivate = [".test"]\nmiss_wait = "200ms"\n'


def body(suite: Suite) -> None:
    for mode in ("host", "gateway"):
        with world(suite, mode, RULES, "dns", bind="strict", extra=DNS) as it:
            for family in (4, 6):
                for index, port in ((0, DTLS_PORT), (1, DTLS_PORT), (2, BY_ADDRESS)):
                    it.servers.start_dtls_at(port, family, index)
                for client, attempt in (("OpenSSL", openssl), ("GnuTLS", gnutls)):
                    each(suite, it, f"{mode} v{family}, {client}", family, attempt)


def openssl(it: World, name: str | None, family: int, port: int, index: int):
    address = it.bed.server_address(family, index)
    named = ["-servername", name] if name else ["-noservername"]
    result = it.bed.run("client", ["openssl", "s_client", "-dtls1_2", "-connect", f"[{address}]:{port}" if family == 6 else f"{address}:{port}", *named,
                                   "-CAfile", str(it.servers.ca)], 3.0, stdin=b"")  # At the end of its input it says goodbye.
    return "Server certificate" in result.out and "Verify return code: 0" in result.out, result


def gnutls(it: World, name: str | None, family: int, port: int, index: int):
    named = [f"--sni-hostname={name}", f"--verify-hostname={name}"] if name else ["--disable-sni", "--no-ca-verification"]
    result = it.bed.run("client", ["gnutls-cli", "--udp", "-p", str(port), f"--x509cafile={it.servers.ca}", *named, it.bed.server_address(family, index)],
                        4.0, stdin=b"")
    return "Handshake was completed" in result.out, result


# What ICMP "administratively prohibited" is to a connected socket, and what its program makes of it.
TOLD = {openssl: {4: f"write:errno={errno.EHOSTUNREACH}", 6: f"write:errno={errno.EACCES}"}, gnutls: {4: "No route to host", 6: "Permission denied"}}


def each(suite: Suite, it: World, label: str, family: int, attempt) -> None:
    with suite.case(f"{label}: a bound name"):
        mark = it.mark()
        worked, result = attempt(it, "allowed.test", family, DTLS_PORT, 0)
        expect(worked, result.describe())
        event = it.expect_event(mark, verdict="allow", name="allowed.test", dport=DTLS_PORT)
        expect_equal((event["proto"], event["protocol"]), ("udp", "dtls"), "the event")
    for name, index, port, what, reason in (("denied.test", 0, DTLS_PORT, "another name", "name_not_allowed"),
                                            ("allowed.test", 1, DTLS_PORT, "the name at another address", "address_not_bound"),
                                            (None, 0, DTLS_PORT, "no name", "no_name")):
        with suite.case(f"{label}: {what} is refused, and no byte arrives"):
            mark = it.mark()
            worked, result = attempt(it, name, family, port, index)
            expect(not worked, result.describe())
            expect(TOLD[attempt][family] in result.out + result.err and result.within(FAST), result.describe())
            it.expect_nothing_arrived(mark, UDP, port)
            it.expect_event(mark, verdict="deny", dport=port, protocol="dtls", reason=reason)
    with suite.case(f"{label}: without a name, by a rule for the address"):
        mark = it.mark()
        worked, result = attempt(it, None, family, BY_ADDRESS, 2)
        expect(worked, result.describe())
        it.expect_event(mark, verdict="allow", dport=BY_ADDRESS, protocol="dtls")


if __name__ == "__main__":
    skip_unless_possible(binary(), ("dnsmasq", "gnutls-cli"))
    Suite("dtls", 110).main(body)
