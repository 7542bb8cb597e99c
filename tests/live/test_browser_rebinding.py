#!/usr/bin/env python3
"""A web page against a local service, in a real browser: DNS rebinding and requests across sites, without and with a guard, and where the name may
not turn."""

from support import Sallyport, Suite, Testbed, binary, expect, expect_equal, policy_text, skip_unless_possible
from support.daemon import allow
from support.proc import wait_until
from support.rebinding import NAMES, PORT, PUBLIC, RPC, SECRET, Attack

ATTACKER, REBOUND = f"http://attacker.test:{PORT}", set(NAMES.values())
HOSTS = ("127.0.0.1", "[::1]", "localhost")
GUARD = f"""[[guards]]
name = "MCP server"
listen = ["127.0.0.1:{PORT}", "[::1]:{PORT}"]
hosts = ["localhost", "127.0.0.1", "::1"]
origins = ["localhost"]
"""
WEB = allow("attacker.test, *.attacker.test, collector.test", "http", "8080, 8081")


def dns(more: str) -> str:
    return f'[dns]\nresolvers = ["{PUBLIC[4]}"]\n{more}'


def body(suite: Suite) -> None:
    with Testbed("host", hops=0) as bed:
        attack = Attack(bed)
        unguarded(suite, attack)
        with Sallyport(bed, policy_text(bed, WEB, extra=GUARD + dns('rebinding = "allow"\n'))) as firewall:
            suite.on_failure = firewall.log
            guarded(suite, attack, firewall)
            owner(suite, attack, firewall)
        with Sallyport(bed, policy_text(bed, WEB, extra=dns('rebinding = "refuse"\n')), name="names") as firewall:
            suite.on_failure = firewall.log
            unnamed(suite, attack, firewall)
        suite.on_failure = None


def expect_service_read(page: dict[str, str]) -> None:
    expect_equal(page["secret"], f"200 {SECRET}", "the page read")
    expect(page["rpc"].startswith("200") and "shell" in page["rpc"], page["rpc"])
    expect(page["events"].startswith("200 data:"), page["events"])
    expect_equal(page["socket"], "word opened", "WebSocket")


def unguarded(suite: Suite, attack: Attack) -> None:
    """Each attack works where nobody keeps it off, so that the cases below can fail."""
    with suite.case("control: without the program a page whose name turns to loopback reads the service, over IPv4 and IPv6"):
        pages = attack.visit(f"{ATTACKER}/", REBOUND, rebind=True)
        for page in pages.values():
            expect_service_read(page)
    with suite.case("control: without the program a page posts to the service across sites, and speaks with it by WebSocket"):
        before = len(attack.bytes_at_service())
        page = attack.visit(f"{ATTACKER}/cross.html", {"attacker.test"})["attacker.test"]
        for host in HOSTS:
            expect_equal((page[f"post {host}"], page[f"socket {host}"]), ("opaque", "word opened"), host)
        expect_equal(attack.bytes_at_service()[before:].count(RPC.encode()), len(HOSTS), "calls that the service got")


def guarded(suite: Suite, attack: Attack, firewall: Sallyport) -> None:
    with suite.case("with a guard the page whose name turned gets 403, and the service no byte of it"):
        before, events = len(attack.bytes_at_service()), firewall.mark()
        for host, page in attack.visit(f"{ATTACKER}/", REBOUND, rebind=True).items():
            for key in ("secret", "rpc", "events"):
                expect(page[key].startswith("403 ") and SECRET not in page[key], f"{host}: {key}: {page[key]}")
            expect_equal(page["socket"], "error", f"{host}: WebSocket")
            firewall.wait_event(events, verdict="deny", reason="guard_host", name=host, dport=PORT)
        expect_equal(attack.bytes_at_service()[before:], b"", "at the service")
    with suite.case("with a guard no request across sites arrives, nor a WebSocket"):
        before, events = len(attack.bytes_at_service()), firewall.mark()
        page = attack.visit(f"{ATTACKER}/cross.html", {"attacker.test"})["attacker.test"]
        for host in HOSTS:
            expect_equal(page[f"socket {host}"], "error", f"{host}: WebSocket")
        expect_equal(attack.bytes_at_service()[before:], b"", "at the service")

        def refused() -> list[dict]:
            return [event for event in firewall.events()[events:] if event.get("reason") == "guard_origin" and event["verdict"] == "deny"]
        expect(wait_until(lambda: len(refused()) >= 2 * len(HOSTS), 4.0), f"a refusal for each: {refused()}")


def owner(suite: Suite, attack: Attack, firewall: Sallyport) -> None:
    with suite.case("the service's own page works as before, with events and WebSocket"):
        expect_service_read(attack.visit(f"http://localhost:{PORT}/", {"localhost"})["localhost"])
    for host in HOSTS:
        with suite.case(f"curl, which sends no Origin, reads http://{host}:{PORT}"):
            result = attack.bed.run("client", ["curl", "-sg", "-m", "5", f"http://{host}:{PORT}/secret"])
            expect_equal(result.out, SECRET, result.describe())
    with suite.case("curl with a foreign Origin or Host is told so at once"):
        for field, reason in (("Origin: http://attacker.test", "guard_origin"), ("Origin: null", "guard_origin"), ("Host: attacker.test:8080", "guard_host")):
            events = firewall.mark()
            result = attack.bed.run("client", ["curl", "-s", "-m", "5", "-w", "%{http_code}", "-o", "/dev/null", "-H", field, f"http://127.0.0.1:{PORT}/secret"])
            expect_equal(result.out, "403", result.describe())
            firewall.wait_event(events, verdict="deny", reason=reason)


def unnamed(suite: Suite, attack: Attack, firewall: Sallyport) -> None:
    with suite.case("without a guard, but with rebinding refused, the name turns to nothing"):
        before, events = len(attack.bytes_at_service()), firewall.mark()
        for host, page in attack.visit(f"{ATTACKER}/", REBOUND, rebind=True).items():
            for key in ("secret", "rpc", "events", "socket"):
                expect(page[key].startswith("error"), f"{host}: {key}: {page[key]}")
            firewall.wait_event(events, verdict="deny", reason="rebinding", name=host)
        expect_equal(attack.bytes_at_service()[before:], b"", "at the service")


if __name__ == "__main__":
    skip_unless_possible(binary(), ("chromium", "curl"))
    Suite("browser_rebinding", 220).main(body)
