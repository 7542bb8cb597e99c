#!/usr/bin/env python3
"""QUIC connections that move, and QUIC that is denied: what becomes of their clients, and how soon they know."""

import os
import re
import tempfile
import time

from support import Suite, binary, expect, expect_equal, skip_unless_possible
from support.clients import http3_worked
from support.daemon import allow
from support.hello import quic_hello
from support.proc import PATIENCE, must
from support.quic_initial import V1, hello_datagrams
from support.refused import expect_printed_quic_close, expect_quic_closed
from support.servers import NAMES
from support.services import Services
from support.world import UDP, World, world

RULES = allow("allowed.test", "quic, tls", "443, 4434")
# The page asks for two further resources, one after the other, and tells how long each took and over what it came.
PAGE = """<html><body><script>
for (const i of [1, 2]) {
  const began = performance.now(), request = new XMLHttpRequest();
  request.open('GET', '/bulk?' + i, false);
  request.send();
  const took = Math.round(performance.now() - began);
  document.write('[resource ' + i + ' in ' + took + ' ms: ' + request.status + ']');
}
</script></body></html>"""
FALLBACK_MS = int(1000 * PATIENCE)


def body(suite: Suite) -> None:
    with world(suite, "gateway", RULES, "quic") as it:
        for family in (4, 6):
            moved(suite, it, f"v{family}", family)
        Services(it.servers).start_web_with_quic(PAGE)
        for family in (4, 6):
            with suite.case(f"v{family}: control: where QUIC is not denied the browser does try it"):
                mark = it.mark()
                expect("resource 2 in" in visit(it, family), "no page")
                expect(any(p.protocol == UDP and p.dport == 443 for p in it.capture.packets(mark[0])), "no QUIC")
    # A rule for the address and UDP as a whole does not help it either.
    with world(suite, "gateway", RULES + allow("10.91.9.2, fd91:0:0:9::2", "udp", '"any"'), "quic", "sink", quic="deny") as it:
        Services(it.servers).start_web_with_quic(PAGE)
        for family in (4, 6):
            denied(suite, it, f"v{family}", family)


def moved(suite: Suite, it: World, label: str, family: int) -> None:
    for how, arguments in (("the client moves to another port", ()), ("the client's port changes under it (NAT)", ("--nat-rebinding",))):
        with suite.case(f"{label}: {how}: no packet of the connection arrives from there, and the client is told why"):
            mark = it.mark()
            result = it.clients.http3("allowed.test", family, 443, "--change-local-addr=50ms", "--delay-stream=150ms", *arguments, seconds=1)
            expect(not http3_worked(result), result.describe())
            first = it.expect_event(mark, verdict="allow", name="allowed.test", protocol="quic")
            event = it.expect_event(mark, verdict="deny", dport=443, reason="quic_short_header")
            ports = {p.sport for p in it.capture.packets(mark[0]) if p.protocol == UDP and p.dport == 443 and p.payload}
            expect_equal(ports, {first["sport"]}, "ports that something arrived from")
            expect(event["sport"] not in ports, str(event))
    with suite.case(f"{label}: a client that begins anew gets through at once"):
        result = it.clients.http3("allowed.test", family, 443, seconds=2)
        expect(http3_worked(result) and result.within(1.5), result.describe())
    for bit, what in ((0x40, "as it is"), (0x00, "without its fixed bit (RFC 9287)")):
        with suite.case(f"{label}: a short header of nobody, {what}: the sender is told within 0.2 s, and its hello from the same port passes"):
            time.sleep(1.2)  # A router sends a host one ICMP error a second when it has sent it many (net.ipv4.icmp_ratelimit).
            mark, port, address = it.mark(), 41_000 + bit + family, it.bed.server_address(family)
            secret = bytes([bit]) + os.urandom(50)
            answer = it.clients.raw(address, 443, secret, transport="udp", source_port=port, read=2.0)
            expect_equal(answer["error"], "EHOSTUNREACH" if family == 4 else "EACCES", str(answer))
            expect(answer["seconds"] < 0.2 * PATIENCE, str(answer))
            scid = os.urandom(8)
            hello, = hello_datagrams(V1, quic_hello("allowed.test", scid=scid), scid, [])
            expect(it.clients.raw(address, 443, hello, transport="udp", source_port=port)["received"], "the server does not answer")
            it.expect_never(mark, secret[1:])
            it.expect_event(mark, verdict="deny", sport=port, reason="quic_short_header")
            it.expect_event(mark, verdict="allow", sport=port, name="allowed.test")


def denied(suite: Suite, it: World, label: str, family: int) -> None:
    with suite.case(f"{label}: a browser that is offered QUIC has its answer over TCP within {FALLBACK_MS} ms"):
        mark = it.mark()
        page = visit(it, family)
        times = [int(took) for took in re.findall(r"resource \d in (\d+) ms: 200", page)]
        expect_equal(len(times), 2, page)
        expect(max(times) < FALLBACK_MS, f"{times} ms")
        print(f"     {label}: the resources took {times} ms")
        it.expect_event(mark, verdict="deny", protocol="quic", reason="quic_denied", dport=443)
        it.expect_event(mark, verdict="allow", protocol="tls", name="allowed.test")
        it.expect_nothing_arrived(mark, UDP, 443)
    for port in (443, 4434):
        with suite.case(f"{label}: ngtcp2's client on {port} is refused at its first datagram"):
            mark = it.mark()
            result = it.clients.http3("allowed.test", family, port, seconds=1)
            expect(not http3_worked(result), result.describe())
            expect_printed_quic_close(result, f"sallyport: {it.bed.server_address(family)}: the policy denies QUIC")
            it.expect_nothing_arrived(mark, UDP, port)
            it.expect_event(mark, verdict="deny", protocol="quic", reason="quic_denied", dport=port)
    with suite.case(f"{label}: other UDP goes by its rules, and QUIC behind it is refused"):
        mark = it.mark()
        scid = os.urandom(8)
        hello, = hello_datagrams(V1, quic_hello("allowed.test", scid=scid), scid, [])
        answer = it.clients.raw(it.bed.server_address(family), 9000, b"a game", transport="udp", then=[hello.hex()], read=1.0)
        expect_equal(bytes.fromhex(answer["reads"][0]), b"got 6", str(answer))
        expect_quic_closed(answer, hello, f"sallyport: {it.bed.server_address(family)}: the policy denies QUIC")
        it.expect_never(mark, hello[100:200])
        it.expect_event(mark, verdict="deny", protocol="quic", reason="quic_denied", dport=9000)


def key_hash(it: World) -> str:
    """key_hash names the server's key: with a certificate that it merely tolerates the browser would not believe the offer of QUIC."""
    der = f"openssl x509 -in {it.servers.cert} -pubkey -noout | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | openssl base64"
    return must(["sh", "-c", der]).out.strip()


def visit(it: World, family: int) -> str:
    """visit returns what a new browser makes of the page, which it looks up in the family alone."""
    it.bed.set_hosts(NAMES, (family,))
    try:
        with tempfile.TemporaryDirectory() as profile:
            return it.bed.run("client", ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync", "--enable-quic",
                                         "--disable-background-networking", "--disable-component-update", f"--ignore-certificate-errors-spki-list={key_hash(it)}",
                                         "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE allowed.test", f"--user-data-dir={profile}", f"--timeout={int(8000 * PATIENCE)}",
                                         "--dump-dom", "https://allowed.test/"], 30.0).out
    finally:
        it.bed.set_hosts(NAMES)


if __name__ == "__main__":
    skip_unless_possible(binary(), ("gtlsclient", "gtlsserver", "nginx", "chromium"))
    Suite("quic_changes", 200).main(body)
