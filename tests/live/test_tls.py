#!/usr/bin/env python3
"""TLS by server name: allowed and denied, on any port, however the hello is cut."""

from support import Suite, binary, expect, expect_equal, skip_unless_possible
from support.daemon import allow
from support.hello import client_hello
from support.refused import expect_alert, expect_printed_alert
from support.world import TCP, World, world

MESSAGE_SIZE = {post_quantum: len(client_hello("allowed.test", post_quantum)) for post_quantum in (False, True)}
def deny(name: str, refuse: str) -> str:
    return f'[[rules]]\nto = ["{name}"]\nprotocols = ["tls"]\nports = "any"\naction = "deny"\nrefuse = "{refuse}"\n'


RULES = allow("allowed.test, *.allowed.test", "tls", "443, 4711, 4433, 4712") + deny("reset.test", "reset") + deny("silent.test", "drop")


def body(suite: Suite) -> None:
    for mode in ("host", "gateway"):
        with world(suite, mode, RULES, "web") as it:
            for family in (4, 6):
                real_clients(suite, it, f"{mode} v{family}", family)
                raw_clients(suite, it, f"{mode} v{family}", family)
                same_port_again(suite, it, f"{mode} v{family}", family)
            for family in (4, 6):
                without_words(suite, it, f"{mode} v{family}", family)  # Last: a client that hears nothing lingers for a while.
    with world(suite, "gateway", RULES, "web", offload=False) as it:
        raw_clients(suite, it, "gateway without offload", 4)


def real_clients(suite: Suite, it: World, label: str, family: int) -> None:
    for name, port in (("allowed.test", 443), ("www.allowed.test", 443), ("allowed.test", 4711)):
        with suite.case(f"{label}: curl reaches {name}:{port}"):
            mark = it.mark()
            result = it.clients.curl(f"https://{name}:{port}/", family)
            expect_equal(result.out.strip(), f"vhost {name}", result.describe())
            event = it.expect_event(mark, name=name, verdict="allow", dport=port)
            expect_equal((event["protocol"], event["reason"]), ("tls", "rule_allows"), "the event")
    for name, port in (("denied.test", 443), ("other.test", 4711)):
        with suite.case(f"{label}: curl gets an alert for {name}:{port}, and no byte arrives"):
            mark = it.mark()
            expect_printed_alert(it.clients.curl(f"https://{name}:{port}/", family))
            event = it.expect_event(mark, name=name, verdict="deny", dport=port)
            expect_equal((event["protocol"], event["reason"]), ("tls", "name_not_allowed"), "the event")
            it.expect_nothing_arrived(mark, TCP, port)
    with suite.case(f"{label}: openssl s_client, allowed and denied"):
        mark = it.mark()
        expect_printed_alert(it.clients.s_client("denied.test", family, 443))
        it.expect_nothing_lingers(443)
        it.expect_nothing_arrived(mark, TCP, 443)
        result = it.clients.s_client("allowed.test", family, 443)
        expect("vhost allowed.test" in result.out, result.describe())
    with suite.case(f"{label}: a hello of several segments from openssl (long ALPN list)"):
        protocols = ",".join([f"padding-{i:03}-to-fill-the-hello-up" for i in range(70)] + ["http/1.1"])
        result = it.clients.s_client("allowed.test", family, 443, "-alpn", protocols)
        expect("vhost allowed.test" in result.out, result.describe())
        mark = it.mark()
        expect_printed_alert(it.clients.s_client("denied.test", family, 443, "-alpn", protocols))
        it.expect_nothing_arrived(mark, TCP, 443)
    with suite.case(f"{label}: after a HelloRetryRequest the handshake goes on"):
        result = it.clients.curl("https://allowed.test:4433/", family)
        expect_equal(result.out.strip(), "vhost allowed.test", result.describe())
    with suite.case(f"{label}: TLS 1.2 only"):
        result = it.clients.curl("https://allowed.test:4712/", family, "--tls-max", "1.2")
        expect_equal(result.out.strip(), "vhost allowed.test", result.describe())
    with suite.case(f"{label}: a hello without a server name is refused"):
        mark = it.mark()
        expect_printed_alert(it.clients.s_client(None, family, 443))
        event = it.expect_event(mark, verdict="deny", dport=443)
        expect_equal(event["reason"], "no_name", "the event")
        it.expect_nothing_arrived(mark, TCP, 443)


def same_port_again(suite: Suite, it: World, label: str, family: int) -> None:
    """A refusal is about one connection. The next one from the same client port is judged for itself."""
    with suite.case(f"{label}: the client port of a refused connection is not burnt"):
        address, port = it.bed.server_address(family), 30_000 + family
        answer = it.clients.raw(address, 443, client_hello("denied.test"), source_port=port, to_end=True)
        expect_alert(answer)
        answer = it.clients.raw(address, 443, client_hello("allowed.test"), source_port=port)
        expect(answer["received"].startswith("16030"), f"the second connection: {answer}")
        mark = it.mark()
        answer = it.clients.raw(address, 443, client_hello("denied.test"), source_port=port, to_end=True)
        expect_alert(answer)
        it.expect_nothing_arrived(mark, TCP, 443)


def without_words(suite: Suite, it: World, label: str, family: int) -> None:
    for name, error in (("reset.test", "ECONNRESET"), ("silent.test", "timeout")):
        with suite.case(f"{label}: a rule that refuses without words, {name}: {error}, and no byte arrives"):
            mark = it.mark()
            answer = it.clients.raw(it.bed.server_address(family), 443, client_hello(name), read=1.0)
            expect_equal((answer["error"], answer["received"]), (error, ""), str(answer))
            it.expect_event(mark, name=name, verdict="deny", reason="rule_denies")
            it.expect_nothing_arrived(mark, TCP, 443)
            it.expect_nothing_lingers(443, "server")  # A client that hears nothing sends its hello again for a while.


def raw_clients(suite: Suite, it: World, label: str, family: int) -> None:
    address = it.bed.server_address(family)
    for post_quantum in (False, True):
        size = "post-quantum size" if post_quantum else "plain size"
        for segments in (1, 3, 9, 0):  # Nine fit in the first congestion window.
            cut = {0: "one byte a segment", 1: "whole"}.get(segments, f"in {segments} segments")
            piece = segments and (MESSAGE_SIZE[post_quantum] + segments - 1) // segments
            allowed_gap = 2 if segments > 1 else 0
            if segments == 0:
                one_byte_hello(suite, it, label, family, client_hello("denied.test", post_quantum), size)
                continue
            with suite.case(f"{label}: denied hello of {size}, {cut}: an alert, and no byte arrives"):
                mark = it.mark()
                answer = it.clients.raw(address, 443, client_hello("denied.test", post_quantum), piece=piece, gap_ms=allowed_gap, to_end=True)
                expect_alert(answer)
                it.expect_nothing_arrived(mark, TCP, 443)
                it.expect_nothing_lingers(443)
                it.expect_event(mark, name="denied.test", verdict="deny")
            with suite.case(f"{label}: allowed hello of {size}, {cut}: the server answers"):
                mark = it.mark()
                answer = it.clients.raw(address, 443, client_hello("allowed.test", post_quantum), piece=piece, gap_ms=allowed_gap)
                expect(answer["received"].startswith("16030"), str(answer))
                it.expect_event(mark, name="allowed.test", verdict="allow")


def one_byte_hello(suite: Suite, it: World, label: str, family: int, hello: bytes, size: str) -> None:
    """Held bytes are not acknowledged, so the client stops after its congestion window: the hold time decides."""
    with suite.case(f"{label}: denied hello of {size}, one byte a segment: an alert after the hold time, and no byte arrives"):
        mark = it.mark()
        answer = it.clients.raw(it.bed.server_address(family), 443, hello, piece=1, gap_ms=1, read=12.0, to_end=True)
        expect_alert(answer, seconds=9)
        it.expect_nothing_arrived(mark, TCP, 443)
        event = it.expect_event(mark, verdict="deny", dport=443)
        expect(event["reason"] in ("hold_timeout", "name_not_allowed", "unknown_protocol"), str(event))


if __name__ == "__main__":
    skip_unless_possible(binary(), ("curl", "nginx"))
    Suite("tls", 280).main(body)
