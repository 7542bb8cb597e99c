#!/usr/bin/env python3
"""DNS rebinding: answers that point public names into the network, as dig, the C library and a DNS library take them."""

import json
import subprocess

from support import Suite, binary, expect, expect_equal, skip_unless_possible
from support.daemon import allow
from support.suite import skip
from support.testbed import ETC_NETNS, SERVER_LINK, address
from support.world import World, world

ANSWERS = {"loop.test": "127.0.0.1", "private.test": "10.0.0.1", "unique.test": "fd00::1", "mapped.test": "::ffff:127.0.0.1",
           "link.test": "169.254.169.254", "nat64.test": "64:ff9b::a00:1"}
PASSING = {"public.test": "203.0.113.9", "blocked.test": "0.0.0.0", "except.test": "10.0.0.2", "printer.local": "10.0.0.3"}
RECORDS = ["--local-ttl=60", *(f"--host-record={name},{value}" for name, value in (ANSWERS | PASSING).items()),
           "--cname=alias.test,private.test", "--dns-rr=hint.test,65,00010000040004c0a80001"]
RULES = allow("*.test, *.local", "tls", "443")


RESOLVERS = ", ".join(f'"{address(family, SERVER_LINK, 2)}"' for family in (4, 6))


def dns(rebinding: str) -> str:
    return f'[dns]\nrebinding = "{rebinding}"\nrebinding_except = ["except.test"]\nresolvers = [{RESOLVERS}]\n'


def start_dns(it: World) -> None:
    it.bed.spawn("server", "dnsmasq", ["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--user=root",
                                       "--pid-file=", "--log-facility=-", *RECORDS])
    it.bed.wait_listening("server", "udp", 53)
    it.bed.wait_listening("server", "tcp", 53)


# A DNS library, in the system's interpreter, which has it.
LIBRARY = """
import dns.message, dns.query, json, sys
query = dns.message.make_query(sys.argv[2], sys.argv[3], use_edns=0)
answer = getattr(dns.query, sys.argv[4])(query, sys.argv[1], timeout=3)
print(json.dumps([answer.rcode(), [str(rrset) for rrset in answer.answer], [option.to_text() for option in answer.options]]))
"""


def library(it: World, name: str, kind: str, transport: str) -> list:
    result = it.bed.run("client", ["/usr/bin/python3", "-B", "-c", LIBRARY, it.bed.server_address(4), name, kind, transport], 9)
    expect_equal(result.code, 0, result.describe())
    return json.loads(result.out)


def kind_of(value: str) -> str:
    return "AAAA" if ":" in value else "A"


def refused_by_dig(it: World, name: str, value: str, family: int, *how: str) -> None:
    mark = it.mark()
    result = it.clients.dig(name, family, *how, kind=kind_of(value))
    expect("status: NXDOMAIN" in result.out and "ANSWER: 0" in result.out, result.describe())
    expect(value not in result.out.replace("has the address " + value, ""), f"the address came through: {result.describe()}")
    expect("malformed" not in result.out + result.err and result.within(2), result.describe())
    if "+noedns" not in how:
        expect("EDE: 15 (Blocked)" in result.out, result.describe())  # In a stream the text is cut to the answer's length.
        expect("+tcp" in how or f"{name} has the address" in result.out, result.describe())
    event = it.expect_event(mark, verdict="deny", reason="rebinding", name=name)
    expect_equal(event["answer"], value if name != "alias.test" else "10.0.0.1", "the event's address")


def refused(suite: Suite, mode: str, it: World) -> None:
    for family in (4, 6):
        for name, value in ANSWERS.items():
            for how in (["+edns"], ["+noedns"], ["+tcp"], ["+tcp", "+noedns"]):
                with suite.case(f"{mode}, IPv{family}: dig {' '.join(how)} {name} ({value}) gets NXDOMAIN"):
                    refused_by_dig(it, name, value, family, *how)
    with suite.case(f"{mode}: behind an alias"):
        refused_by_dig(it, "alias.test", "10.0.0.1", 4)
    with suite.case(f"{mode}: in the hint of an HTTPS record"):
        result = it.clients.dig("hint.test", 4, kind="HTTPS")
        expect("status: NXDOMAIN" in result.out and "ipv4hint" not in result.out, result.describe())
    for name, value in PASSING.items():
        for how in ("+notcp", "+tcp"):
            with suite.case(f"{mode}: {name} ({value}) passes, {how}"):
                result = it.clients.dig(name, 4, how, "+short")
                expect_equal(result.out.strip(), value, result.describe())
    for transport in ("udp", "tcp"):
        with suite.case(f"{mode}: a DNS library over {transport} reads the refusal"):
            rcode, answers, options = library(it, "private.test", "A", transport)
            expect(rcode == 3 and not answers, f"{rcode} {answers}")
            wanted = "10.0.0.1, which is not public" if transport == "udp" else "EDE 15"
            expect(any(wanted in text for text in options), f"{options}")
    with suite.case(f"{mode}: getent fails at once"):
        (ETC_NETNS / it.bed.client / "resolv.conf").write_text(f"nameserver {it.bed.server_address(4)}\noptions timeout:2 attempts:1\n")
        result = it.bed.run("client", ["getent", "ahosts", "private.test"], 9)
        expect(result.code == 2 and not result.out and result.within(1), result.describe())
        result = it.bed.run("client", ["getent", "ahostsv4", "public.test"], 9)
        expect("203.0.113.9" in result.out, result.describe())


def logged(suite: Suite, mode: str, it: World) -> None:
    for how in ("+notcp", "+tcp"):
        with suite.case(f"{mode}, log: the answer passes, with an event, {how}"):
            mark = it.mark()
            result = it.clients.dig("private.test", 4, how, "+short")
            expect_equal(result.out.strip(), "10.0.0.1", result.describe())
            event = it.expect_event(mark, verdict="allow", reason="rebinding", name="private.test")
            expect_equal(event["answer"], "10.0.0.1", "the event's address")


def body(suite: Suite) -> None:
    for mode in ("host", "gateway"):
        with world(suite, mode, RULES, extra=dns("refuse")) as it:
            start_dns(it)
            refused(suite, mode, it)
        with world(suite, mode, RULES, extra=dns("log")) as it:
            start_dns(it)
            logged(suite, mode, it)


if __name__ == "__main__":
    skip_unless_possible(binary(), ("dig", "dnsmasq", "getent"))
    if subprocess.run(["/usr/bin/python3", "-c", "import dns.query"], stderr=subprocess.DEVNULL).returncode != 0:
        skip("python3-dnspython is not installed")
    Suite("rebinding", 180).main(body)
