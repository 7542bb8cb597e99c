#!/usr/bin/env python3
"""Names sent to addresses that are not theirs, over every protocol that shows one, and answers that lie: nothing reaches the
attacker's server, whose packets are all recorded."""

import os

from support import Suite, binary, expect, expect_equal, skip_unless_possible
from support.capture import Capture
from support.clients import Clients, http3_worked
from support.daemon import Sallyport, allow, policy_text
from support.refused import WITH_STATUS, expect_printed, expect_printed_alert, expect_printed_forbidden, expect_printed_quic_close
from support.servers import DTLS_PORT, GREETER_PORTS, HTTP_PORT, QUIC_PORT, SINK_PORT, TLS_PORT, Servers
from support.testbed import Testbed
from support.world import TCP, UDP, World

# Indices of the server's addresses. The attacker has two: one of a name that is allowed, too, where connections begin and only
# the claimed name can be refused, and one that nobody ever gave for any name, where not even a connection begins.
RESOLVER, HOME, PARKED, UNBOUND = 0, 1, 2, 3

NAMES = {"victim.test": HOME, "parked.test": PARKED, "poison.test": HOME}
RULES = allow("victim.test, parked.test, *.poison.test", "tls", "443") + allow("victim.test, parked.test", "quic, http") + allow(
    "victim.test, parked.test", "dtls", str(DTLS_PORT)) + allow("victim.test", "udp", str(SINK_PORT)) + allow(
        "victim.test", "tcp", f"{GREETER_PORTS['ftp']}, {GREETER_PORTS['imap']}, {GREETER_PORTS['pop3']}")
MISS_WAIT = "200ms"

# Lie -> the name that its answer would have bound.
LIES = {"wrong-id": "", "wrong-question": "victim.test", "other-port": "", "second-answer": "", "unsolicited": "victim.test",
        "extra-answer": "victim.test", "extra-authority": "victim.test", "extra-additional": "victim.test"}


def body(suite: Suite) -> None:
    for mode in ("host", "gateway"):
        with Testbed(mode) as bed, Servers(bed) as servers:
            servers.start_web()
            servers.start_quic()
            servers.start_sink()
            for protocol in ("ftp", "imap", "pop3"):
                servers.start_greeter(protocol)
            servers.start_poisoner(RESOLVER, NAMES, "victim.test", UNBOUND)
            for family in (4, 6):
                for index in (HOME, PARKED, UNBOUND):
                    servers.start_dtls_at(DTLS_PORT, family, index)
            bed.set_hosts({})
            resolvers = ", ".join(f'"{bed.server_address(family, RESOLVER)}"' for family in (4, 6))
            dns = f'[dns]\nresolvers = [{resolvers}]\nprivate = [".test"]\nmiss_wait = "{MISS_WAIT}"\n'
            capture = Capture(bed)
            with Sallyport(bed, policy_text(bed, RULES, extra=dns, bind="strict")) as firewall:
                suite.on_failure = firewall.log
                it = World(bed, servers, Clients(bed, servers, 4.0), capture, firewall)
                for family in (4, 6):
                    controls(suite, it, f"{mode} v{family}", family)
                    forged_names(suite, it, f"{mode} v{family}", family)
                    poisoned_answers(suite, it, f"{mode} v{family}", family)
                suite.on_failure = None


def bracketed(it: World, family: int, index: int) -> str:
    address = it.bed.server_address(family, index)
    return f"[{address}]" if family == 6 else address


def https(it: World, family: int, name: str, index: int):
    return it.clients.curl(f"https://{name}/", family, "-k", "--resolve", f"{name}:{TLS_PORT}:{bracketed(it, family, index)}")


def http(it: World, family: int, name: str, index: int):
    return it.clients.curl(f"http://{bracketed(it, family, index)}/", family, "-H", f"Host: {name}", *WITH_STATUS)


def quic(it: World, family: int, name: str, index: int):
    return it.clients.http3(name, family, QUIC_PORT, seconds=2, index=index)


def dtls(it: World, family: int, name: str, index: int):
    return it.clients.s_client(name, family, DTLS_PORT, "-dtls1_2", index=index)


def controls(suite: Suite, it: World, label: str, family: int) -> None:
    """Each client comes through where the name is at home, so that a refusal elsewhere is the address's."""
    mark = it.mark()
    for what, attempt, worked in (("TLS", https, lambda r: "vhost victim.test" in r.out), ("HTTP", http, lambda r: "vhost victim.test" in r.out),
                                  ("QUIC", quic, http3_worked), ("DTLS", dtls, lambda r: "verify return" in r.out + r.err)):
        with suite.case(f"{label}: {what} to the name's own address"):
            result = attempt(it, family, "victim.test", HOME)
            expect(worked(result), result.describe())
            it.expect_event(mark, verdict="allow", name="victim.test", protocol=what.lower(), dst=it.bed.server_address(family, HOME))
    with suite.case(f"{label}: a datagram without a name to the name's own address"):
        answer = it.clients.raw(it.bed.server_address(family, HOME), SINK_PORT, b"nameless", transport="udp")
        expect(answer["received"], str(answer))
    for protocol, answer_to_first in (("ftp", "331 and the password"), ("imap", "* CAPABILITY"), ("pop3", "STLS")):
        with suite.case(f"{label}: {protocol}, whose server speaks first, by the name of its address"):
            mark = it.mark()
            result = it.clients.curl(f"{protocol}://me:secret@{bracketed(it, family, HOME)}/", family, "-v", "-m", "3", *(["-I"] if protocol == "ftp" else []))
            expect(answer_to_first in result.err and result.within(3), result.describe())
            it.expect_event(mark, verdict="allow", name="victim.test", dport=GREETER_PORTS[protocol])


def nothing_at(it: World, mark: tuple[int, int], family: int, index: int, payload: bool = True) -> None:
    """Not one byte of payload came to that address of the server since the mark; without `payload` not one packet of TCP or UDP."""
    address = it.bed.server_address(family, index)
    arrived = [p for p in it.capture.packets(mark[0]) if p.dst == address and p.protocol in (TCP, UDP) and (p.payload or not payload)]
    expect(not arrived, "the attacker's server got:\n" + "\n".join(map(str, arrived[:5])))


def forged_names(suite: Suite, it: World, label: str, family: int) -> None:
    for where, index in (("the address of another allowed name", PARKED), ("an address of no name", UNBOUND)):
        for what, attempt, port in (("TLS", https, TLS_PORT), ("HTTP", http, HTTP_PORT), ("QUIC", quic, QUIC_PORT), ("DTLS", dtls, DTLS_PORT)):
            with suite.case(f"{label}: {what} with a forged name to {where}: refused, and not one byte of it arrives"):
                mark = it.mark()
                result = attempt(it, family, "victim.test", index)
                it.expect_event(mark, verdict="deny", reason="address_not_bound", dst=it.bed.server_address(family, index), dport=port)
                nothing_at(it, mark, family, index)
                expect("vhost" not in result.out and not http3_worked(result), result.describe())
                expect_told(what, result, index)
        with suite.case(f"{label}: a datagram without a name to {where}: refused, and it does not arrive"):
            mark = it.mark()
            it.clients.raw(it.bed.server_address(family, index), SINK_PORT, os.urandom(16), transport="udp", read=0.5)
            it.expect_event(mark, verdict="deny", reason="address_not_bound", dst=it.bed.server_address(family, index), dport=SINK_PORT)
            nothing_at(it, mark, family, index)


def expect_told(what: str, result, index: int) -> None:
    """At an address of no name a connection ends at its SYN; DTLS has no words in the clear, and a client that hears no ICMP."""
    if what == "QUIC":
        expect_printed_quic_close(result, "sallyport: victim.test: the name is allowed, but no trusted resolver gave this address for it (")
    elif what != "DTLS" and index == UNBOUND:
        expect_printed(result, "Failed to connect to ")
    elif what == "TLS":
        expect_printed_alert(result)
    elif what == "HTTP":
        expect_printed_forbidden(result, "victim.test", "address_not_bound")


def poisoned_answers(suite: Suite, it: World, label: str, family: int) -> None:
    kind = "A" if family == 4 else "AAAA"
    attacker = it.bed.server_address(family, UNBOUND)

    def ask(lie: str):
        return it.bed.run("client", ["dig", "+tries=1", "+time=2", f"@{it.bed.server_address(family, RESOLVER)}", f"{lie}.poison.test", kind], 8)

    for lie, poisoned in LIES.items():
        name = poisoned or f"{lie}.poison.test"
        with suite.case(f"{label}: {lie}: the client gets the true answer, and {name} does not move to the attacker"):
            result = ask(lie)
            expect(f"{kind}\t{it.bed.server_address(family, HOME)}" in result.out, result.describe())
            expect("mismatch" not in result.out + result.err, f"the forged answer came through: {result.describe()}")
            mark = it.mark()
            result = https(it, family, name, UNBOUND)
            expect_printed(result, f"Failed to connect to {name} port {TLS_PORT}")
            it.expect_event(mark, verdict="deny", reason="address_not_bound", dst=attacker, dport=TLS_PORT)
            nothing_at(it, mark, family, UNBOUND, payload=False)
    with suite.case(f"{label}: control: a name whose owner gives it the attacker's address goes there, and no other name does"):
        expect(attacker in ask("owned").out, "the answer")
        result = https(it, family, "owned.poison.test", UNBOUND)
        expect_equal(result.out.strip(), "vhost owned.poison.test", result.describe())
        mark = it.mark()
        expect_printed_alert(https(it, family, "victim.test", UNBOUND))
        it.expect_event(mark, verdict="deny", reason="address_not_bound", name="victim.test")
        nothing_at(it, mark, family, UNBOUND)


if __name__ == "__main__":
    skip_unless_possible(binary(), ("nginx", "gtlsclient", "gtlsserver", "dig", "curl", "openssl"))
    Suite("forgeries", 300).main(body)
