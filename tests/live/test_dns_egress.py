#!/usr/bin/env python3
"""DNS as a way out: what may be asked and of whom, and answers without the keys of Encrypted Client Hello."""

import json
import subprocess
import sys
from pathlib import Path

from support import Suite, binary, expect, skip_unless_possible
from support.daemon import allow
from support.refused import expect_dig_refused, expect_printed, is_dns_refused
from support.suite import skip
from support.testbed import SERVER_LINK, address
from support.world import World, world

RESOLVERS = ", ".join(f'"{address(family, SERVER_LINK, 2)}"' for family in (4, 6))
DNS = f"""[dns]
resolvers = [{RESOLVERS}]
wildcard_budget = 40
"""
# No rule for dns: names may be looked up because another rule has them.
RULES = allow("allowed.test, ech.test, large.test, *.wild.test", "tls", "443")


# The system's interpreter has the system's dnspython.
READ_HTTPS = ("/usr/bin/python3", "-B", str(Path(__file__).with_name("support") / "read_https.py"))


def name_bytes(name: str) -> bytes:
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


def https_record(ech: bytes, priority: int = 1) -> str:
    """https_record returns record data with alpn, ech and an address hint, in hexadecimal digits."""
    def param(key: int, value: bytes) -> bytes:
        return key.to_bytes(2, "big") + len(value).to_bytes(2, "big") + value
    return (priority.to_bytes(2, "big") + b"\0" + param(1, b"\x02h2") + param(5, ech) + param(6, bytes(15) + b"\1")).hex()


def ech_list(size: int) -> bytes:
    """ech_list returns an ECHConfigList (RFC 9849, section 4) with one configuration of an unknown version."""
    contents = b"E" * (size - 6)
    config = b"\xfe\x0a" + len(contents).to_bytes(2, "big") + contents
    return len(config).to_bytes(2, "big") + config


RECORDS = [f"--dns-rr=ech.test,65,{https_record(ech_list(70))}"] + [
    f"--dns-rr=large.test,65,{https_record(ech_list(900), priority)}" for priority in range(1, 6)]


def body(suite: Suite) -> None:
    for mode in ("host", "gateway"):
        with world(suite, mode, RULES, extra=DNS) as it:
            it.servers.start_dns(*RECORDS)
            with suite.case(f"{mode}: without the program the records carry keys"):
                for name, count in (("ech.test", 1), ("large.test", 5)):
                    result = it.bed.run("server", ["dig", "@127.0.0.1", "+short", name, "HTTPS"])
                    expect(result.out.count("ech=") == count, result.describe())
            with suite.case(f"{mode}: without the program a DNS library reads the keys"):
                result = it.bed.run("server", [*READ_HTTPS, "127.0.0.1", "udp", "ech.test"], 12)
                expect(result.code == 0 and json.loads(result.out)["records"][0]["keys"] == [1, 5, 6], result.describe())
            for family in (4, 6):
                strip(suite, it, f"{mode} v{family}", family)
                questions(suite, it, f"{mode} v{family}", family)
            budget(suite, it, mode)
        # Without offload each segment comes for itself: the first ones are dropped and sent again.
        with world(suite, mode, RULES, extra=DNS, offload=False) as it:
            it.servers.start_dns(*RECORDS)
            for family in (4, 6):
                large(suite, it, f"{mode} v{family}, no offload", family)


def strip(suite: Suite, it: World, label: str, family: int) -> None:
    for transport, arguments in (("udp", ("+bufsize=1232",)), ("tcp", ("+tcp",))):
        with suite.case(f"{label}: an HTTPS record over {transport} comes without ech, and dig reads it"):
            result = it.clients.dig("ech.test", family, *arguments, kind="HTTPS")
            expect("status: NOERROR" in result.out and 'alpn="h2"' in result.out, result.describe())
            expect("ech=" not in result.out and "key65280=" in result.out, result.describe())
            expect("ipv6hint=::1" in result.out, result.describe())
    library(suite, it, label, family)
    large(suite, it, label, family)
    with suite.case(f"{label}: addresses come as ever"):
        for arguments in ((), ("+tcp",)):
            result = it.clients.dig("allowed.test", family, "+short", *arguments)
            expect(result.out.strip() == it.bed.server_address(4), result.describe())


def library(suite: Suite, it: World, label: str, family: int) -> None:
    for name, count, transports in (("ech.test", 1, ("udp", "tcp")), ("large.test", 5, ("tcp",))):
        for transport in transports:
            with suite.case(f"{label}: a DNS library reads {count} stripped records over {transport}"):
                result = it.bed.run("client", [*READ_HTTPS, it.bed.server_address(family), transport, name], 12)
                expect(result.code == 0, result.describe())
                answer = json.loads(result.out)
                expect((answer["rcode"], answer["truncated"], answer["ad"]) == (0, False, False), result.out)
                expect(len(answer["records"]) == count, result.out)
                for record in answer["records"]:
                    expect(record["keys"] == [1, 6, 65280] and record["ordered"] and record["same_as_text"], str(record))
                    expect(record["alpn"] == ["h2"] and record["ipv6hint"] == ["::1"], str(record))


def large(suite: Suite, it: World, label: str, family: int) -> None:
    with suite.case(f"{label}: an answer of several segments comes over TCP after the truncated one, without ech"):
        result = it.clients.dig("large.test", family, "+short", "+time=6", kind="HTTPS")
        expect(result.out.count('alpn="h2"') == 5 and "ech=" not in result.out, result.describe())
        expect(result.within(3.0), f"too slow: {result.describe()}")


def questions(suite: Suite, it: World, label: str, family: int) -> None:
    # The program itself looks exact names up, at the first server: what must not arrive is known by its bytes.
    def refused(what: str, reason: str, forbidden: bytes, name: str, *arguments: str, kind: str = "A", server: int = 0) -> None:
        for transport, more in (("udp", ()), ("tcp", ("+tcp",))):
            with suite.case(f"{label}: {what} over {transport}: refused, no packet with it arrives"):
                mark = it.mark()
                command = ["dig", "+tries=1", "+time=2", f"@{it.bed.server_address(family, server)}", *arguments, *more, name, kind]
                result = it.bed.run("client", command, 8.0)
                if transport == "tcp" and server != 0:
                    expect_printed(result, "connection refused")  # At its SYN.
                else:
                    expect_dig_refused(result, name.lower() + (" is not allowed" if reason == "name_not_allowed" else ": ") if transport == "tcp" else "")
                if forbidden:
                    it.expect_never(mark, forbidden)
                leaked = [p for p in it.capture.packets(mark[0]) if p.dst == it.bed.server_address(family, 1) and p.payload]
                expect(not leaked, "payload at a server that is not trusted: " + "\n".join(map(str, leaked)))
                it.expect_event(mark, verdict="deny", reason=reason, dport=53)

    allowed = name_bytes("allowed.test")
    refused("a name that no rule has", "name_not_allowed", b"other", "other.test")
    refused("a tunnel in TXT names", "name_not_allowed", b"c2VjcmV0IGRhdGE", "c2VjcmV0IGRhdGE.t.evil.test", kind="TXT")
    refused("the client's subnet", "query_not_plain", bytes([0, 8, 0, 7, 0, 1, 24, 0]), "allowed.test", "+subnet=192.0.2.0/24")
    refused("an unknown option", "query_not_plain", b"secret", "allowed.test", "+ednsopt=65001:736563726574")
    refused("ANY", "query_not_plain", allowed + b"\0\xff", "allowed.test", kind="ANY")
    refused("another server", "resolver_not_trusted", b"", "allowed.test", server=1)
    query = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00" + allowed + b"\x00\x01\x00\x01" + b"hidden"
    for transport in ("udp", "tcp"):
        with suite.case(f"{label}: data behind the question over {transport}: refused, no packet with it arrives"):
            mark = it.mark()
            message = len(query).to_bytes(2, "big") + query if transport == "tcp" else query
            answer = it.clients.raw(it.bed.server_address(family), 53, message, transport=transport, read=1.0)
            expect(is_dns_refused(bytes.fromhex(answer["received"])[2 if transport == "tcp" else 0:]), str(answer))
            it.expect_never(mark, b"hidden")
            it.expect_event(mark, verdict="deny", reason="trailing_data", dport=53)
    with suite.case(f"{label}: the service of an allowed host may be asked for"):
        mark = it.mark()
        it.clients.dig("_8443._https.allowed.test", family, kind="HTTPS")
        it.expect_event(mark, name="_8443._https.allowed.test", verdict="allow")


def budget(suite: Suite, it: World, label: str) -> None:
    with suite.case(f"{label}: a tunnel below a wildcard ends at its budget"):
        mark = it.mark()
        names = [f"data{i}.wild.test" for i in range(60)]
        server = it.bed.server_address(4)
        it.bed.run("client", ["dig", "+tries=1", "+time=1", "+short", f"@{server}"] + [word for name in names[:40] for word in (name, "A")], 60.0)
        it.expect_event(mark, name=names[39], verdict="allow")
        mark = it.mark()
        result = it.bed.run("client", ["dig", "+tries=1", "+time=1", f"@{server}", names[40], "A", names[41], "A"], 20.0)
        expect(result.out.count("status: REFUSED") == 2 and result.out.count("EDE: 15 (Blocked)") == 2, result.describe())
        it.expect_never(mark, name_bytes(names[40]))
        it.expect_event(mark, name=names[40], verdict="deny", reason="lookup_budget")


if __name__ == "__main__":
    skip_unless_possible(binary(), ("dig", "dnsmasq"))
    if subprocess.run([READ_HTTPS[0], "-c", "import dns.rdtypes.svcbbase"], stderr=subprocess.DEVNULL).returncode != 0:
        skip("python3-dnspython is not installed")
    Suite("dns-egress", 220).main(body)
