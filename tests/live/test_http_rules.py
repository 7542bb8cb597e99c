#!/usr/bin/env python3
"""Plaintext HTTP by method and path, each request of a connection, and WebSockets by Host."""

import struct
from urllib.parse import urlsplit

from support import Suite, binary, expect, expect_equal, skip_unless_possible
from support.daemon import allow
from support.proxies import (H2C_UPGRADE_PORT, WEBSOCKET_H2_PORT, WEBSOCKET_PORT, start_h2c_upgrade, start_websocket, start_websocket_h2,
                              websocket, websocket_h2)
from support.refused import WITH_STATUS, expect_end, expect_forbidden, expect_printed_forbidden, expect_problem_text, received
from support.servers import H2C_PORT
from support.world import TCP, World, world

PORTS = f"80, {H2C_PORT}, {H2C_UPGRADE_PORT}"
RULES = (
    allow("allowed.test", "http", PORTS, 'methods = ["GET", "HEAD"]\npaths = ["/api/", "re:/items/[0-9]+"]\n')
    + allow("allowed.test", "http", PORTS, 'methods = ["POST"]\npaths = ["/form"]\n')
    + allow("other.test", "http", PORTS)
    + '[[rules]]\nto = ["other.test"]\nprotocols = ["http"]\nports = [' + PORTS + ']\naction = "deny"\npaths = ["/admin"]\n'
    + allow("allowed.test, www.allowed.test", "http", f"{WEBSOCKET_PORT}, {WEBSOCKET_H2_PORT}")
    + allow("other.test", "http", f"{WEBSOCKET_PORT}, {WEBSOCKET_H2_PORT}", 'websocket = "deny"\n')
    + f'[[rules]]\nto = ["www.allowed.test"]\nprotocols = ["http"]\nports = [{WEBSOCKET_PORT}, {WEBSOCKET_H2_PORT}]\n'
    + 'action = "deny"\nwebsocket = "only"\n'
)


def body(suite: Suite) -> None:
    for mode in ("host", "gateway"):
        with world(suite, mode, RULES, "web") as it:
            it.servers.start_h2c()
            start_websocket(it.bed)
            start_websocket_h2(it.bed)
            start_h2c_upgrade(it.bed)
            for family in (4, 6):
                requests(suite, it, f"{mode} v{family}", family)
                connections(suite, it, f"{mode} v{family}", family)
                http2(suite, it, f"{mode} v{family}", family)
                websockets(suite, it, f"{mode} v{family}", family)


def expect_denied(it: World, family: int, reason: str, url: str, *arguments: str, name: str = "allowed.test") -> None:
    mark = it.mark()
    result = it.clients.curl(url, family, *arguments, *WITH_STATUS)
    expect_printed_forbidden(result, name, reason, 400 if reason == "ambiguous" else 403)
    event = it.expect_event(mark, name=name, verdict="deny")
    expect_equal(event["reason"], reason, str(event))
    it.expect_nothing_arrived(mark, TCP, urlsplit(url).port or 80)


def request(line: str, host: str = "allowed.test") -> bytes:
    return f"{line} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()


H2_OPEN = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])


def h2_get(stream: int, path: str) -> bytes:
    """h2_get returns a HEADERS frame whose fields are literals, so that a capture shows them (RFC 7541 §6.2.2)."""
    fields = ((":method", "GET"), (":scheme", "http"), (":authority", "allowed.test"), (":path", path))
    block = b"".join(bytes([0, len(name)]) + name.encode() + bytes([len(value)]) + value.encode() for name, value in fields)
    return struct.pack(">I", len(block))[1:] + bytes([1, 5]) + struct.pack(">I", stream) + block


def expect_h2_forbidden(answer: dict, stream: int, name: str, reason: str) -> None:
    """The client read what the server said, then a 403 on the stream with its content, and a GOAWAY (RFC 9113 §6)."""
    rest, seen = received(answer), []
    while rest:
        size = int.from_bytes(rest[:3], "big")
        seen.append((rest[3], int.from_bytes(rest[5:9], "big"), rest[9:9 + size]))
        rest = rest[9 + size:]
    (headers, data, goaway) = seen[-3:]
    expect_equal([one[:2] for one in seen[-3:]], [(1, stream), (0, stream), (7, 0)], str(seen))
    expect(b"\x08\x03403" in headers[2] and b"application/problem+json" in headers[2], str(headers))
    expect_problem_text(data[2].decode(), name, reason)
    expect(f"sallyport: {name}".encode() in goaway[2], str(goaway))
    expect_end(answer)


def requests(suite: Suite, it: World, label: str, family: int) -> None:
    with suite.case(f"{label}: curl gets what the rules have"):
        for url, arguments in (("http://allowed.test/api/x?q=1", ()), ("http://allowed.test/items/17", ()),
                               ("http://allowed.test/form", ("-d", "a=b")), ("http://other.test/anything", ("-X", "DELETE"))):
            result = it.clients.curl(url, family, *arguments)
            expect(result.out.startswith("vhost"), result.describe())
    with suite.case(f"{label}: another method is refused, and no byte arrives"):
        expect_denied(it, family, "method_not_allowed", "http://allowed.test/api/stolen", "-X", "PUT")
        expect_denied(it, family, "path_not_allowed", "http://allowed.test/api/x", "-d", "stolen")
    with suite.case(f"{label}: another path is refused, and no byte arrives"):
        expect_denied(it, family, "path_not_allowed", "http://allowed.test/stolen")
        expect_denied(it, family, "path_not_allowed", "http://allowed.test/items/17/stolen")
        expect_denied(it, family, "path_not_allowed", "http://allowed.test/api/../stolen", "--path-as-is")
    with suite.case(f"{label}: a denied path is denied however it is spelt"):
        expect_denied(it, family, "rule_denies", "http://other.test/admin/stolen", name="other.test")
        expect_denied(it, family, "rule_denies", "http://other.test/%61dmin/stolen", name="other.test")
        for path in ("/x/..%2fadmin/stolen", "//admin/stolen", "/x/%2e%2e/admin/stolen", "/admin;x/stolen"):
            expect_denied(it, family, "ambiguous", "http://other.test" + path, "--path-as-is", name="other.test")


def connections(suite: Suite, it: World, label: str, family: int) -> None:
    address = it.bed.server_address(family)
    with suite.case(f"{label}: the second request of a connection has another path: it does not arrive"):
        mark = it.mark()
        answer = it.clients.raw(address, 80, request("GET /api/one"), then=[request("GET /stolen").hex()], to_end=True)
        expect_forbidden(answer, "allowed.test", "path_not_allowed", responses=1)
        it.expect_never(mark, b"stolen")
        expect_equal(it.expect_event(mark, verdict="deny")["reason"], "path_not_allowed", "the event")
    with suite.case(f"{label}: two requests that curl sends over one connection"):
        result = it.clients.curl("http://allowed.test/api/one", family, "http://allowed.test/items/2", "-w", "%{num_connects} ")
        expect_equal(result.out.count("vhost allowed.test"), 2, result.describe())
        expect("0 " in result.out, result.describe())
    with suite.case(f"{label}: pipelined requests, the second with another method: it does not arrive"):
        mark = it.mark()
        answer = it.clients.raw(address, 80, request("GET /api/one") + request("DELETE /api/stolen"), to_end=True)
        expect_forbidden(answer, "allowed.test", "method_not_allowed")
        it.expect_never(mark, b"stolen")


def http2(suite: Suite, it: World, label: str, family: int) -> None:
    base = f"http://allowed.test:{H2C_PORT}"
    with suite.case(f"{label}: HTTP/2 with prior knowledge goes by :method and :path"):
        result = it.clients.curl(f"{base}/api/x", family, "--http2-prior-knowledge", "-w", "%{http_version}")
        expect_equal(result.out.split(), ["vhost", "allowed.test", "2"], result.describe())
        expect_denied(it, family, "path_not_allowed", f"{base}/stolen", "--http2-prior-knowledge")
        expect_denied(it, family, "method_not_allowed", f"{base}/api/stolen", "--http2-prior-knowledge", "-X", "PUT")
    with suite.case(f"{label}: the second stream of an HTTP/2 connection has another path: it does not arrive"):
        mark = it.mark()
        answer = it.clients.raw(it.bed.server_address(family), H2C_PORT, H2_OPEN + h2_get(1, "/api/x"), then=[h2_get(3, "/stolen").hex()], to_end=True)
        expect_h2_forbidden(answer, 3, "allowed.test", "path_not_allowed")
        it.expect_event(mark, verdict="deny", reason="path_not_allowed")
        it.expect_never(mark, b"stolen")
        expect(any(b"/api/x" in packet.payload for packet in it.capture.packets(mark[0])), "the first stream did not arrive")
    upgraded = f"http://allowed.test:{H2C_UPGRADE_PORT}"
    with suite.case(f"{label}: an upgrade to h2c, and the requests behind it"):
        result = it.clients.curl(f"{upgraded}/api/x", family, "--http2", "-w", "%{http_version}")
        expect_equal(result.out.split(), ["vhost", "allowed.test", "2"], result.describe())
        expect_denied(it, family, "path_not_allowed", f"{upgraded}/stolen", "--http2")
        mark = it.mark()
        result = it.clients.curl(f"{upgraded}/api/x", family, f"{upgraded}/stolen", "--http2", *WITH_STATUS)
        expect_printed_forbidden(result, "allowed.test", "path_not_allowed", before="vhost allowed.test\n200")
        it.expect_event(mark, verdict="deny", reason="path_not_allowed")


def websockets(suite: Suite, it: World, label: str, family: int) -> None:
    with suite.case(f"{label}: a WebSocket to a host whose rule allows it"):
        mark = it.mark()
        result = websocket(it.bed, f"ws://allowed.test:{WEBSOCKET_PORT}/chat", family, "one", "two" * 30_000)
        expect_equal(result.out.split(), ["echo", "one", "echo", "two" * 30_000], result.describe()[:500])
        expect_equal(it.expect_event(mark, name="allowed.test", verdict="allow")["protocol"], "http", "the event")
    with suite.case(f"{label}: a WebSocket in a stream of HTTP/2 (RFC 8441)"):
        mark = it.mark()
        result = websocket_h2(it.bed, f"ws://allowed.test:{WEBSOCKET_H2_PORT}/chat", family, "one", "two")
        expect_equal(result.out.split("\n")[:2], ["echo one", "echo two"], result.describe())
        expect_equal(it.expect_event(mark, name="allowed.test", verdict="allow")["protocol"], "http2", "the event")
    with suite.case(f"{label}: other requests of a host whose WebSockets a rule of its own denies"):
        result = it.clients.curl(f"http://www.allowed.test:{WEBSOCKET_PORT}/", family, "-o", "/dev/null", "-w", "%{http_code}")
        expect_equal(result.out.strip(), "426", result.describe())  # Upgrade Required: it got there.
    for way, port in ((websocket, WEBSOCKET_PORT), (websocket_h2, WEBSOCKET_H2_PORT)):
        for name, reason, why in (("other.test", "upgrade_not_allowed", "whose rule denies it"), ("denied.test", "name_not_allowed", "of no rule"),
                                  ("www.allowed.test", "rule_denies", "whose WebSockets a rule of its own denies")):
            with suite.case(f"{label}: {way.__name__} to a host {why} does not get there"):
                mark = it.mark()
                result = way(it.bed, f"ws://{name}:{port}/stolen", family, "one")
                expect(result.code not in (0, None) and "echo" not in result.out and "403" in result.out + result.err, result.describe())
                it.expect_event(mark, name=name, verdict="deny", reason=reason)
                it.expect_never(mark, b"stolen")


if __name__ == "__main__":
    skip_unless_possible(binary(), ("curl", "nginx", "nghttpx"))
    Suite("http_rules", 200).main(body)
