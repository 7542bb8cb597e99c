#!/usr/bin/env python3
"""Guards: a local HTTP server that believes everything, and what reaches it: over the loopback and from another host."""

from __future__ import annotations

from pathlib import Path

from support import Suite, Testbed, binary, expect, expect_equal, skip_unless_possible
from support.clients import Clients
from support.daemon import Sallyport, policy_text
from support.proc import wait_until
from support.servers import Servers
from support.testbed import address

SERVER = Path(__file__).resolve().parent / "support" / "guarded_server.py"
NGINX_PORT = 8090
TLS_ALERT = b"\x15\x03"
GUARDED, LISTED, FAR, FREE = 8080, 8081, 8082, 8083

GUARDS = """
[[guards]]
name = "gateway"
listen = ["*:8080"]
hosts = ["localhost", "127.0.0.1", "::1", "gateway.test", "10.91.9.1"]
origins = ["localhost", "https://app.test:8443"]

[[guards]]
name = "listed"
listen = ["[::]:8081"]
hosts = ["localhost"]
sources = ["127.0.0.1", "::1"]

[[guards]]
name = "far"
listen = ["*:8082"]
hosts = ["localhost", "gateway.test"]
interfaces = ["lo"]

[[guards]]
name = "h2c"
listen = ["*:8090"]
hosts = ["localhost", "127.0.0.1", "::1"]
origins = ["localhost"]
"""


class Guarded:
    """A bed whose client namespace has the servers and the program; `server` is a remote host."""

    def __init__(self, bed: Testbed, servers: Servers, firewall: Sallyport):
        self.bed, self.firewall = bed, firewall
        self.clients = Clients(bed, servers)
        self.logs = {port: bed.scratch / f"read-{port}" for port in (GUARDED, LISTED, FAR, FREE)}

    def start_servers(self) -> None:
        for port, log in self.logs.items():
            log.write_bytes(b"")
            self.bed.spawn("firewall", f"guarded-{port}", ["/usr/bin/python3", str(SERVER), str(log), "::", str(port)])
        for port in self.logs:
            self.bed.wait_listening("firewall", "tcp", port)

    def start_nginx(self) -> None:
        config = self.bed.scratch / "h2c.conf"
        config.write_text(f"""daemon off; pid {self.bed.scratch}/h2c.pid; error_log {self.bed.scratch}/h2c.err;
events {{}}
http {{ access_log {self.bed.scratch}/h2c.log; client_body_temp_path {self.bed.scratch}/h2c-body; proxy_temp_path {self.bed.scratch}/h2c-p;
fastcgi_temp_path {self.bed.scratch}/h2c-f; uwsgi_temp_path {self.bed.scratch}/h2c-u; scgi_temp_path {self.bed.scratch}/h2c-s;
server {{ listen [::]:{NGINX_PORT} http2 ipv6only=off; location / {{ return 200 "h2c\\n"; }} }} }}
""")
        self.bed.spawn("firewall", "h2c", ["nginx", "-c", str(config), "-p", str(self.bed.scratch)])
        self.bed.wait_listening("firewall", "tcp", NGINX_PORT)

    def raw(self, where: str, family: int, data: bytes, port: int = GUARDED, **options) -> dict:
        """raw sends bytes from `where` ("local", "remote") to the guarded host."""
        import json
        import sys
        from support.clients import RAW_CLIENT
        request = {"address": self.address(where, family), "port": port, "data": data.hex(), "read": 1.5, "connect": 2.0, **options}
        node = {"local": "firewall", "remote": "server", "inside": "client"}[where]
        result = self.bed.run(node, [sys.executable, str(RAW_CLIENT)], 20, stdin=json.dumps(request).encode() + b"\n")
        expect(result.code == 0, result.describe())
        return json.loads(result.out)

    def address(self, where: str, family: int) -> str:
        if where == "remote":
            return self.bed.client_address(family)
        if where == "inside":  # The gateway, as workloads see it.
            return address(family, self.bed.links[0], 254)
        return "127.0.0.1" if family == 4 else "::1"

    def served(self, port: int = GUARDED) -> bytes:
        return self.logs[port].read_bytes()

    def forget(self) -> None:
        for log in self.logs.values():
            log.write_bytes(b"")


def request(host: str, more: str = "", line: str = "GET /") -> bytes:
    return f"{line} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n".encode()


def answers(reply: dict) -> int:
    return bytes.fromhex(reply["received"]).count(b" 200 OK")


def expect_served(it: Guarded, reply: dict, marker: bytes, port: int = GUARDED) -> None:
    expect(answers(reply) >= 1, str(reply))
    expect(marker in it.served(port), f"{marker!r} did not reach the server")


def expect_refused(it: Guarded, reply: dict, marker: bytes, since: int, reason: str | None, port: int = GUARDED) -> None:
    """No byte of the refused request was read, and the client learned at once."""
    expect(not marker or marker not in it.served(port), f"{marker!r} reached the server: {it.served(port)!r}")
    said = bytes.fromhex(reply["received"])
    words = b" 403 " in said or b" 400 " in said or b"sallyport" in said or said.startswith(TLS_ALERT)
    expect(words or reply["error"] in ("ECONNRESET", "EPIPE", "ECONNREFUSED"), str(reply))
    event = it.firewall.wait_event(since, verdict="deny", dport=port)
    if reason is not None:
        expect_equal(event["reason"], reason, str(event))
    expect(":" in event["rule"], str(event))


# What is sent, and why it must be refused; None: it must be served.
HOSTS = {
    "a listed host": (request("localhost", line="GET /mark"), None),
    "a host with its port": (request("localhost:8080", line="GET /mark"), None),
    "an IPv4 address": (request("127.0.0.1:8080", line="GET /mark"), None),
    "an IPv6 address": (request("[::1]:8080", line="GET /mark"), None),
    "a final dot": (request("localhost.", line="GET /mark"), None),
    "upper case": (request("LocalHost", line="GET /mark"), None),
    "absolute form": (request("localhost", line="GET http://localhost/mark"), None),
    "a rebound name": (request("evil.test:8080", line="GET /mark"), "guard_host"),
    "a name that begins so": (request("localhost.evil.test", line="GET /mark"), "guard_host"),
    "another spelling of 127.0.0.1": (request("2130706433", line="GET /mark"), "guard_host"),
    "userinfo": (request("localhost@evil.test", line="GET /mark"), "ambiguous"),
    "two hosts": (request("localhost", "Host: evil.test\r\n", line="GET /mark"), "ambiguous"),
    "no host": (b"GET /mark HTTP/1.0\r\n\r\n", "guard_host"),
    "absolute form for another host": (request("localhost", line="GET http://evil.test/mark"), "ambiguous"),
    "CONNECT": (request("localhost:22", "X: mark\r\n", line="CONNECT localhost:22"), "guard_not_http"),
}
ORIGINS = {
    "no origin": ("", None),
    "a listed origin": ("Origin: http://localhost:3000\r\n", None),
    "a listed origin with its port": ("Origin: https://app.test:8443\r\n", None),
    "another port of it": ("Origin: https://app.test\r\n", "guard_origin"),
    "another origin": ("Origin: https://evil.test\r\n", "guard_origin"),
    "null": ("Origin: null\r\n", "guard_origin"),
    "file://": ("Origin: file://\r\n", "guard_origin"),
    "an empty one": ("Origin:\r\n", "guard_origin"),
    "two of them": ("Origin: http://localhost\r\nOrigin: http://localhost\r\n", "guard_origin"),
}
HIDDEN = request("evil.test", line="GET /mark")
FRAMING = {
    "CL.TE": (request("localhost", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "POST /") + b"0\r\n\r\n" + HIDDEN, "ambiguous"),
    "TE.CL": (request("localhost", "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", "POST /") + b"5c\r\n" + HIDDEN + b"0\r\n\r\n", "ambiguous"),
    "TE.TE": (request("localhost", "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "POST /") + b"0\r\n\r\n" + HIDDEN, "ambiguous"),
    "a blank before the colon": (request("localhost", "Transfer-Encoding : chunked\r\n", "POST /") + b"0\r\n\r\n" + HIDDEN, "ambiguous"),
    "obs-fold": (request("localhost", "X: a\r\n Host: evil.test\r\n", line="GET /mark"), "ambiguous"),
    "a bare LF": (b"GET /mark HTTP/1.1\nHost: localhost\n\n", "ambiguous"),
    "a bare LF in a chunk": (request("localhost", "Transfer-Encoding: chunked\r\n", "POST /") + b"1\nx\r\n0\r\n\r\n" + HIDDEN, None),
    "a hidden request behind a chunked body": (request("localhost", "Transfer-Encoding: chunked\r\n", "POST /") + b"1\r\nx\r\n0\r\n\r\n" + HIDDEN, "guard_host"),
    "pipelined": (request("localhost") + HIDDEN, "guard_host"),
}
NOT_HTTP = {
    "TLS": bytes.fromhex("1603010005010000010303") + b"mark" * 8,
    "SSH": b"SSH-2.0-mark\r\n",
    "any bytes": b"\x00\x01\x02\x03mark mark mark mark\r\n\r\n",
    "Redis": b"*2\r\n$3\r\nGET\r\n$4\r\nmark\r\n",
}


def requests(suite: Suite, it: Guarded, where: str, family: int) -> None:
    label = f"{where} v{family}"
    cases = [(f"host: {name}", data, reason) for name, (data, reason) in HOSTS.items()]
    cases += [(f"origin: {name}", request("localhost", more, "GET /mark"), reason) for name, (more, reason) in ORIGINS.items()]
    cases += [(f"not HTTP: {name}", data, "guard_not_http") for name, data in NOT_HTTP.items()]
    for name, data, reason in cases:
        with suite.case(f"{label}: {name}: {reason or 'served'}"):
            it.forget()
            since = it.firewall.mark()
            reply = it.raw(where, family, data)
            if reason is None:
                expect_served(it, reply, b"/mark")
            else:
                expect_refused(it, reply, b"mark", since, reason)
                expect_equal(it.served(), b"", "what the server read")
    for name, (data, reason) in FRAMING.items():
        with suite.case(f"{label}: framing: {name}: refused"):
            it.forget()
            since = it.firewall.mark()
            expect_refused(it, it.raw(where, family, data, to_end=True), b"/mark", since, reason)


def words(suite: Suite, it: Guarded, where: str, family: int) -> None:
    label = f"{where} v{family}"
    with suite.case(f"{label}: curl shows the refusal at once, and the service's side of it is gone"):
        result = curl(it, where, family, GUARDED, "-H", "Host: evil.test:8080", "-w", "%{http_code}")
        expect(result.out.endswith("403") and "evil.test" in result.out and "guard_host" in result.out, result.describe())
        expect("sallyport.toml:" in result.out, f"the guard's place: {result.out}")
        expect(result.within(2), result.describe())
        open_sockets = lambda: it.bed.run("firewall", ["ss", "-Htn", "state", "established", f"( sport = :{GUARDED} )"]).out  # noqa: E731
        expect(wait_until(lambda: not open_sockets().strip(), 3.0), open_sockets())


def connections(suite: Suite, it: Guarded, where: str, family: int) -> None:
    label = f"{where} v{family}"
    with suite.case(f"{label}: a kept connection: two good requests, then a bad one"):
        it.forget()
        since = it.firewall.mark()
        reply = it.raw(where, family, request("localhost"), then=[request("localhost").hex(), request("evil.test", line="GET /mark").hex()])
        expect_equal(answers(reply), 2, str(reply))
        expect_refused(it, reply, b"/mark", since, "guard_host")
    with suite.case(f"{label}: a refused request byte by byte"):
        it.forget()
        since = it.firewall.mark()
        reply = it.raw(where, family, request("evil.test", line="GET /mark"), piece=5, gap_ms=5)
        expect(it.served() == b"", f"{it.served()!r}")
        it.firewall.wait_event(since, verdict="deny", reason="guard_host")
    with suite.case(f"{label}: a stream of events arrives whole"):
        reply = it.raw(where, family, request("localhost", line="GET /events"), to_end=True, read=1.5)
        received = bytes.fromhex(reply["received"])
        expect(b"data: 4" in received, str(reply))
    with suite.case(f"{label}: a WebSocket goes both ways, and the flow is the kernel's"):
        it.forget()
        upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nOrigin: http://localhost\r\n"
        reply = it.raw(where, family, request("localhost", upgrade, "GET /ws"), then=[b"\x81\x04ping".hex(), b"\x81\x04pong".hex()])
        received = bytes.fromhex(reply["received"])
        expect(b" 101 " in received and b"ping" in received and b"pong" in received, str(reply))
    with suite.case(f"{label}: a WebSocket of another page is refused"):
        it.forget()
        since = it.firewall.mark()
        upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nOrigin: https://evil.test\r\n"
        expect_refused(it, it.raw(where, family, request("localhost", upgrade, "GET /ws")), b"/ws", since, "guard_origin")
    for more in ((), ("-H", "Transfer-Encoding: chunked")):
        with suite.case(f"{label}: an upload of 2 MB {'in chunks' if more else 'by length'}"):
            upload = it.bed.scratch / "upload"
            upload.write_bytes(bytes(2 << 20))
            result = curl(it, where, family, GUARDED, "-H", "Host: localhost", "-H", "Expect:", "-X", "POST", "-T", str(upload), *more)
            expect_equal(result.out, "hello", result.describe())


def curl(it: Guarded, where: str, family: int, port: int, *arguments: str):
    host = it.address(where, family)
    host = f"[{host}]" if family == 6 else host
    return it.bed.run("firewall" if where == "local" else "server", ["curl", "-sS", "-m", "8", f"http://{host}:{port}/", *arguments], 12)


def http2(suite: Suite, it: Guarded, where: str, family: int) -> None:
    label = f"{where} v{family}"
    prior = "--http2-prior-knowledge"
    with suite.case(f"{label}: HTTP/2 with prior knowledge, a listed authority"):
        result = curl(it, where, family, NGINX_PORT, prior, "-H", "Host: localhost", "-w", "%{http_version}")
        expect_equal(result.out.strip(), "h2c\n2", result.describe())
    with suite.case(f"{label}: HTTP/2 with prior knowledge, another authority"):
        since = it.firewall.mark()
        result = curl(it, where, family, NGINX_PORT, prior, "-H", "Host: evil.test")
        expect("h2c" not in result.out and result.within(3), result.describe())
        it.firewall.wait_event(since, verdict="deny", reason="guard_host", dport=NGINX_PORT)
    with suite.case(f"{label}: HTTP/2 with prior knowledge, another origin"):
        since = it.firewall.mark()
        result = curl(it, where, family, NGINX_PORT, prior, "-H", "Host: localhost", "-H", "Origin: https://evil.test")
        expect("h2c" not in result.out and result.within(3), result.describe())
        it.firewall.wait_event(since, verdict="deny", reason="guard_origin", dport=NGINX_PORT)


def origins_of_connections(suite: Suite, it: Guarded) -> None:
    for family in (4, 6):
        with suite.case(f"v{family}: by the loopback where only that is listed"):
            it.forget()
            expect_served(it, it.raw("local", family, request("localhost", line="GET /mark"), FAR), b"/mark", FAR)
        for port, what in ((FAR, "an interface"), (LISTED, "a source")):
            with suite.case(f"v{family}: {what} that is not listed is reset at its first packet"):
                it.forget()
                since = it.firewall.mark()
                reply = it.raw("remote", family, request("localhost", line="GET /mark"), port)
                expect(not reply["connected"] and reply["error"] == "ECONNREFUSED", str(reply))
                expect_equal(it.served(port), b"", "what the server read")
                it.firewall.wait_event(since, verdict="deny", reason="guard_source", dport=port)
        with suite.case(f"v{family}: a listed source"):
            it.forget()
            expect_served(it, it.raw("local", family, request("localhost", line="GET /mark"), LISTED), b"/mark", LISTED)
        with suite.case(f"v{family}: a port without a guard is nobody's business"):
            it.forget()
            for where in ("local", "remote"):
                expect_served(it, it.raw(where, family, request("evil.test", line="GET /mark"), FREE), b"/mark", FREE)
    with suite.case("the refusals are counted by reason"):
        text = it.firewall.status("--json").out
        expect("guard_host" in text and "guard_source" in text, text[-1500:])


def reuse(suite: Suite, it: Guarded) -> None:
    with suite.case("one client port, again and again"):
        for round_number in range(4):
            reply = it.raw("local", 4, request("localhost"), source_port=42_000)
            expect_equal(answers(reply), 1, f"round {round_number}: {reply}")
    with suite.case("one client port behind a refusal"):
        it.raw("local", 4, request("evil.test"), source_port=42_001)
        reply = it.raw("local", 4, request("localhost"), source_port=42_001)
        expect_equal(answers(reply), 1, str(reply))


def without_the_program(suite: Suite, it: Guarded) -> None:
    it.firewall.kill()
    for family in (4, 6):
        for where in ("local", "remote"):
            with suite.case(f"{where} v{family}: killed, the guarded port is closed"):
                it.forget()
                reply = it.raw(where, family, request("localhost", line="GET /mark"), connect=1.0)
                expect(not reply["connected"], str(reply))
                expect_equal(it.served(), b"", "what the server read")
            with suite.case(f"{where} v{family}: killed, a port without a guard is open"):
                it.forget()
                expect_served(it, it.raw(where, family, request("localhost", line="GET /mark"), FREE), b"/mark", FREE)
        with suite.case(f"v{family}: killed, who is listed by address gets through"):
            it.forget()
            expect_served(it, it.raw("local", family, request("localhost", line="GET /mark"), LISTED), b"/mark", LISTED)
        with suite.case(f"v{family}: killed, who is not listed by address does not"):
            reply = it.raw("remote", family, request("localhost"), LISTED, connect=1.0)
            expect(not reply["connected"], str(reply))
        with suite.case(f"v{family}: killed, an interface alone lists nobody by address"):
            reply = it.raw("local", family, request("localhost"), FAR, connect=1.0)
            expect(not reply["connected"], str(reply))
    with suite.case("started again, it judges"):
        it.firewall.start()
        it.forget()
        expect_served(it, it.raw("local", 4, request("localhost", line="GET /mark")), b"/mark")
        since = it.firewall.mark()
        expect_refused(it, it.raw("local", 4, HIDDEN), b"evil", since, "guard_host")


def gateway(suite: Suite) -> None:
    """The forward hook alone: what workloads and the gateway's own processes ask a port of the gateway."""
    with Testbed("gateway") as bed, Servers(bed) as servers:
        with Sallyport(bed, policy_text(bed, GUARDS, on_exit="closed")) as firewall:
            suite.on_failure = firewall.log
            it = Guarded(bed, servers, firewall)
            it.start_servers()
            for where in ("inside", "local"):
                for family in (4, 6):
                    label = f"gateway: {where} v{family}"
                    with suite.case(f"{label}: a listed host"):
                        it.forget()
                        expect_served(it, it.raw(where, family, request("localhost", line="GET /mark")), b"/mark")
                    with suite.case(f"{label}: a rebound name"):
                        it.forget()
                        since = firewall.mark()
                        expect_refused(it, it.raw(where, family, HIDDEN), b"/mark", since, "guard_host")
                    with suite.case(f"{label}: a WebSocket"):
                        upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\n"
                        reply = it.raw(where, family, request("localhost", upgrade, "GET /ws"), then=[b"ping".hex()])
                        expect(b"ping" in bytes.fromhex(reply["received"]), str(reply))
            with suite.case("gateway: an interface that is not listed"):
                since = firewall.mark()
                reply = it.raw("inside", 4, request("localhost"), FAR)
                expect(not reply["connected"] and reply["error"] == "ECONNREFUSED", str(reply))
                firewall.wait_event(since, verdict="deny", reason="guard_source", dport=FAR)
            firewall.kill()
            for where in ("inside", "local"):
                with suite.case(f"gateway: {where}: killed, the guarded port is closed"):
                    reply = it.raw(where, 4, request("localhost"), connect=1.0)
                    expect(not reply["connected"], str(reply))
            suite.on_failure = None


def observing(suite: Suite) -> None:
    with Testbed("host") as bed, Servers(bed) as servers:
        with Sallyport(bed, policy_text(bed, GUARDS, mode="observe", on_exit="closed")) as firewall:
            it = Guarded(bed, servers, firewall)
            it.start_servers()
            with suite.case("an observer tells, and lets it pass"):
                since = firewall.mark()
                expect_served(it, it.raw("local", 4, HIDDEN), b"/mark")
                firewall.wait_event(since, verdict="deny", reason="guard_host")
            with suite.case("an observer that is killed leaves the port open"):
                firewall.kill()
                it.forget()
                expect_served(it, it.raw("remote", 4, HIDDEN), b"/mark")


def body(suite: Suite) -> None:
    with Testbed("host") as bed, Servers(bed) as servers:
        with Sallyport(bed, policy_text(bed, GUARDS, on_exit="closed")) as firewall:
            suite.on_failure = firewall.log
            it = Guarded(bed, servers, firewall)
            it.start_servers()
            it.start_nginx()
            for where in ("local", "remote"):
                for family in (4, 6):
                    requests(suite, it, where, family)
                    words(suite, it, where, family)
                    connections(suite, it, where, family)
                    http2(suite, it, where, family)
            origins_of_connections(suite, it)
            reuse(suite, it)
            without_the_program(suite, it)
            suite.on_failure = None
    gateway(suite)
    observing(suite)


if __name__ == "__main__":
    skip_unless_possible(binary(), ("curl", "nginx"))
    Suite("guards", 460).main(body)
