#!/usr/bin/env python3
"""Plaintext HTTP by Host: every request of a connection is judged."""

from support import Suite, binary, expect, expect_equal, skip_unless_possible
from support.daemon import allow
from support.refused import WITH_STATUS, expect_forbidden, expect_printed_alert, expect_printed_forbidden
from support.world import TCP, World, world

RULES = allow("allowed.test", "http", "80, 8081")


def body(suite: Suite) -> None:
    for mode in ("host", "gateway"):
        with world(suite, mode, RULES, "web", bulk_bytes=8 << 20) as it:
            for family in (4, 6):
                each(suite, it, f"{mode} v{family}", family)


def request(host: str, path: str = "/") -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()


def each(suite: Suite, it: World, label: str, family: int) -> None:
    address = it.bed.server_address(family)
    for port in (80, 8081):
        with suite.case(f"{label}: curl reaches an allowed host on port {port}"):
            mark = it.mark()
            result = it.clients.curl(f"http://allowed.test:{port}/", family)
            expect_equal(result.out.strip(), "vhost allowed.test", result.describe())
            event = it.expect_event(mark, name="allowed.test", verdict="allow", dport=port)
            expect_equal(event["protocol"], "http", "the event")
        with suite.case(f"{label}: curl is told that a denied host on port {port} is refused, and no byte arrives"):
            mark = it.mark()
            result = it.clients.curl(f"http://denied.test:{port}/", family, *WITH_STATUS)
            expect_printed_forbidden(result, "denied.test", "name_not_allowed")
            event = it.expect_event(mark, name="denied.test", verdict="deny", dport=port)
            expect_equal(event["reason"], "name_not_allowed", "the event")
            it.expect_nothing_arrived(mark, TCP, port)
            it.expect_nothing_lingers(port)
    with suite.case(f"{label}: two requests to the allowed host on one connection"):
        answer = it.clients.raw(address, 80, request("allowed.test"), then=[request("allowed.test", "/two").hex()])
        expect_equal(bytes.fromhex(answer["received"]).count(b"200 OK"), 2, str(answer))
    with suite.case(f"{label}: the second request of a connection names a denied host: it does not arrive"):
        mark = it.mark()
        answer = it.clients.raw(address, 80, request("allowed.test"), then=[request("denied.test", "/stolen").hex()], to_end=True)
        expect_forbidden(answer, "denied.test", "name_not_allowed", responses=1)
        it.expect_nothing_lingers(80)
        it.expect_never(mark, b"stolen")
        it.expect_event(mark, name="denied.test", verdict="deny")
    with suite.case(f"{label}: curl reuses the connection for another Host: refused"):
        mark = it.mark()
        result = it.clients.curl("http://allowed.test/", family, "--next", "-sS", "-m", "5", "-H", "Host: denied.test", "http://allowed.test/stolen",
                                 *WITH_STATUS)
        expect_printed_forbidden(result, "denied.test", "name_not_allowed", before="vhost allowed.test\n")
        it.expect_never(mark, b"stolen")
    with suite.case(f"{label}: pipelined requests, the second to a denied host: it does not arrive"):
        mark = it.mark()
        answer = it.clients.raw(address, 80, request("allowed.test") + request("denied.test", "/stolen"), to_end=True)
        expect_forbidden(answer, "denied.test", "name_not_allowed")
        it.expect_never(mark, b"stolen")
    with suite.case(f"{label}: two Host fields are refused"):
        mark = it.mark()
        answer = it.clients.raw(address, 80, b"GET /stolen HTTP/1.1\r\nHost: allowed.test\r\nHost: denied.test\r\n\r\n", to_end=True)
        expect_forbidden(answer, address, "ambiguous", status=400)
        it.expect_nothing_arrived(mark, TCP, 80)
        event = it.expect_event(mark, verdict="deny")
        expect_equal(event["reason"], "ambiguous", "the event")
    with suite.case(f"{label}: a download of 8 MB and an upload of 8 MB in plaintext"):
        result = it.clients.curl("http://allowed.test/bulk", family, "-o", "/dev/null", "-w", "%{size_download}", timeout=30)
        expect_equal(result.out, str(8 << 20), result.describe())
        body_file = it.bed.scratch / "upload"
        body_file.write_bytes(bytes(8 << 20))
        result = it.clients.curl("http://allowed.test/", family, "-T", str(body_file), "-w", "%{size_upload} %{http_code}", "-o", "/dev/null",
                                 "-H", "Expect:", timeout=30)
        expect(result.out.endswith("200"), result.describe())
    with suite.case(f"{label}: TLS on the HTTP port is not HTTP"):
        mark = it.mark()
        expect_printed_alert(it.clients.curl("https://allowed.test:80/", family))
        it.expect_event(mark, verdict="deny", protocol="tls")
        it.expect_nothing_arrived(mark, TCP, 80)


if __name__ == "__main__":
    skip_unless_possible(binary(), ("curl", "nginx"))
    Suite("http", 200).main(body)
