#!/usr/bin/env python3
"""Proxies: what an allowed proxy is asked for is judged like a connection to that, and what the tunnel carries, too."""

import time
from urllib.parse import urlsplit

from support import Suite, binary, expect, expect_equal, skip_unless_possible
from support.daemon import allow
from support.hello import client_hello
from support.proc import Result
from support.proxies import HTTP_PROXY_PORT, SOCKS5_PASSWORD_PORT, SOCKS5_PORT, SOCKS_PORT, SSH_SOCKS_PORT, start_http_proxy, start_socks
from support.refused import WITH_STATUS, expect_printed, expect_printed_alert, expect_printed_forbidden, received
from support.world import World, world

PROXY_PORTS = f"{HTTP_PROXY_PORT}, {SOCKS5_PORT}, {SOCKS5_PASSWORD_PORT}, {SOCKS_PORT}, {SSH_SOCKS_PORT}"
PROXY, BY_ADDRESS, OTHER = 0, 2, 1  # Indices of the server's addresses.


def rules(proxies: list[str], addresses: list[str]) -> str:
    return (allow(", ".join(proxies), "http, socks", PROXY_PORTS, "proxy = true\n")
            + allow("allowed.test, other.test", "tls, http, ssh")
            + allow(", ".join(addresses), "http"))


def body(suite: Suite) -> None:
    for mode in ("host", "gateway"):
        proxies = ["10.91.9.2", "fd91:0:0:9::2"]
        addresses = ["10.91.9.4", "fd91:0:0:9::4"]
        with world(suite, mode, rules(proxies, addresses), "web", "ssh", bind="strict") as it:
            start_http_proxy(it.bed, it.servers)
            start_socks(it.bed, it.servers)
            for family in (4, 6):
                label = f"{mode} v{family}"
                for way, arguments in ways(it, family):
                    https(suite, it, f"{label} {way}", family, arguments)
                    plain(suite, it, f"{label} {way}", family, arguments)
                inside(suite, it, label, family)
                ssh(suite, it, label, family)
                by_address(suite, it, label, family)
        with world(suite, mode, allow(", ".join(proxies), "http, socks", PROXY_PORTS, "proxy = true\n"), "web", bind="strict") as it:
            start_http_proxy(it.bed, it.servers)
            for family in (4, 6):
                with suite.case(f"{mode} v{family}: a rule for the proxy alone allows nothing inside, not even the proxy"):
                    proxy = ("-x", f"http://{bracketed(it, family)}:{HTTP_PROXY_PORT}")
                    expect_denied(it, family, "https://allowed.test/", proxy, "allowed.test")
                    mark = it.mark()
                    result = it.clients.curl(f"http://{bracketed(it, family)}:{HTTP_PROXY_PORT}/stolen", family, "-p", *proxy)
                    expect(result.code != 0, result.describe())
                    it.expect_event(mark, verdict="deny", reason="address_not_allowed",
                                    proxy_target=f"{bracketed(it, family)}:{HTTP_PROXY_PORT}")
                    it.expect_never(mark, b"CONNECT")


def bracketed(it: World, family: int) -> str:
    address = it.bed.server_address(family, PROXY)
    return f"[{address}]" if family == 6 else address


def ways(it: World, family: int):
    host = bracketed(it, family)
    yield "HTTP", ("-x", f"http://{host}:{HTTP_PROXY_PORT}")
    yield "SOCKS 5", ("-x", f"socks5h://{host}:{SOCKS5_PORT}")
    if it.bed.mode == "gateway":  # The hook differs, not what is read.
        return
    yield "SOCKS 5 with a password", ("-x", f"socks5h://user:secret@{host}:{SOCKS5_PASSWORD_PORT}")
    yield "Dante's SOCKS 5", ("-x", f"socks5h://{host}:{SOCKS_PORT}")
    yield "OpenSSH's SOCKS 4a", ("-x", f"socks4a://{host}:{SSH_SOCKS_PORT}")


# What curl prints when a proxy refuses a tunnel: the number of the answer is in it, RFC 1928 §6, SOCKS 4.
NO_TUNNEL = {"http": "CONNECT tunnel failed, response 403", "socks5h": "(2)", "socks5": "(2)",
             "socks4a": "(91), request rejected or failed", "socks4": "(91), request rejected or failed"}


def expect_denied(it: World, family: int, url: str, arguments: tuple[str, ...], name: str, reason: str = "name_not_allowed") -> None:
    """curl is told by what it takes for the proxy, or in place of the server of a plaintext request."""
    mark = it.mark()
    kind = arguments[1].partition(":")[0]
    result = it.clients.curl(url, family, *arguments, *WITH_STATUS)
    if kind == "http" and url.startswith("http:"):
        expect_printed_forbidden(result, name, reason)
    else:
        expect_printed(result, NO_TUNNEL[kind])
    event = it.expect_event(mark, name=name, verdict="deny")
    expect_equal(event["reason"], reason, str(event))
    expect_equal(event["proxy_target"], f"{name}:{urlsplit(url).port or {'https': 443, 'http': 80}[urlsplit(url).scheme]}", str(event))
    it.expect_never(mark, name.encode())


def https(suite: Suite, it: World, label: str, family: int, arguments: tuple[str, ...]) -> None:
    with suite.case(f"{label}: curl reaches an allowed name over TLS"):
        mark = it.mark()
        result = it.clients.curl("https://allowed.test/", family, *arguments)
        expect_equal(result.out.strip(), "vhost allowed.test", result.describe())
        event = it.expect_event(mark, name="allowed.test", verdict="allow", proto="tcp")
        expect_equal(event["proxy_target"], "allowed.test:443", str(event))
    with suite.case(f"{label}: the proxy is not asked for a denied name"):
        expect_denied(it, family, "https://denied.test/", arguments, "denied.test")


def plain(suite: Suite, it: World, label: str, family: int, arguments: tuple[str, ...]) -> None:
    with suite.case(f"{label}: plaintext HTTP to allowed names, and to a denied one"):
        result = it.clients.curl("http://allowed.test/", family, "http://other.test/", *arguments)
        expect_equal(result.out.split(), ["vhost", "allowed.test", "vhost", "other.test"], result.describe())
        expect_denied(it, family, "http://denied.test/", arguments, "denied.test")
    with suite.case(f"{label}: a port that no rule has"):
        expect_denied(it, family, "https://allowed.test:4711/", arguments, "allowed.test")


def inside(suite: Suite, it: World, label: str, family: int) -> None:
    proxy = f"{bracketed(it, family)}:{HTTP_PROXY_PORT}"
    request = b"GET / HTTP/1.0\r\nHost: allowed.test\r\n\r\n"

    def s_client(name: str) -> Result:
        return it.bed.run("client", ["openssl", "s_client", "-proxy", proxy, "-connect", "allowed.test:443", "-servername", name, "-CAfile",
                                     str(it.servers.ca), "-quiet"], 8, stdin=request)
    with suite.case(f"{label}: openssl through a tunnel to an allowed name"):
        result = s_client("allowed.test")
        expect("vhost allowed.test" in result.out, result.describe())
    for name, reason in (("denied.test", "name_differs"), ("blocked.test", "name_differs")):
        with suite.case(f"{label}: a hello for {name} inside a tunnel to an allowed name does not reach the proxy"):
            mark = it.mark()
            expect_printed_alert(s_client(name))
            event = it.expect_event(mark, verdict="deny", name=name)
            expect_equal(event["reason"], reason, str(event))
            it.expect_never(mark, name.encode())
    with suite.case(f"{label}: Host inside a tunnel is another name: it does not reach the proxy"):
        mark = it.mark()
        result = it.clients.curl("http://allowed.test/", family, "-p", "-x", f"http://{proxy}")
        expect_equal(result.out.strip(), "vhost allowed.test", result.describe())
        result = it.clients.curl("http://allowed.test/", family, "-p", "-x", f"http://{proxy}", "-H", "Host: denied.test", *WITH_STATUS)
        expect_printed_forbidden(result, "denied.test", "name_differs")
        it.expect_event(mark, verdict="deny", name="denied.test", reason="name_differs")
        it.expect_never(mark, b"denied.test")
    with suite.case(f"{label}: a CONNECT with a hello behind it in one packet is refused at once"):
        mark = it.mark()
        line = b"CONNECT allowed.test:443 HTTP/1.1\r\nHost: allowed.test:443\r\n\r\n"
        began = time.monotonic()
        it.clients.raw(it.bed.server_address(family), HTTP_PROXY_PORT, line + client_hello("allowed.test"))
        it.expect_event(mark, verdict="deny", reason="ambiguous", proxy_target="allowed.test:443")
        expect(time.monotonic() - began < 3, "it was not refused at once")
        it.expect_never(mark, b"CONNECT")
    with suite.case(f"{label}: a metadata address is named as that"):
        mark = it.mark()
        target = "169.254.169.254:80" if family == 4 else "[fd00:ec2::254]:80"
        it.clients.raw(it.bed.server_address(family), HTTP_PROXY_PORT, f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
        it.expect_event(mark, verdict="deny", reason="metadata_address", proxy_target=target)
        it.expect_never(mark, b"CONNECT")
    with suite.case(f"{label}: bytes of no protocol inside a tunnel do not reach the proxy"):
        mark = it.mark()
        line = b"CONNECT allowed.test:443 HTTP/1.1\r\nHost: allowed.test:443\r\n\r\n"
        answer = it.clients.raw(it.bed.server_address(family), HTTP_PROXY_PORT, line, then=[(b"my secret is 42, and no protocol" * 4).hex()], to_end=True)
        expect(b" 200 " in received(answer) and b"sallyport" not in received(answer), str(answer))
        expect_equal(answer["error"], "ECONNRESET", str(answer))
        it.expect_event(mark, verdict="deny")
        it.expect_never(mark, b"secret")


def ssh(suite: Suite, it: World, label: str, family: int) -> None:
    for kind, port in (("connect", HTTP_PROXY_PORT), ("5", SOCKS5_PORT)):
        proxy = f"{bracketed(it, family)}:{port}"
        command = f"ProxyCommand=nc -X {kind} -x {proxy} %h %p"
        with suite.case(f"{label}: ssh through nc -X {kind} to an allowed name; the server greets first"):
            mark = it.mark()
            result = it.bed.run("client", it.servers.ssh_command("allowed.test", "echo reached", more=(command,)), 12)
            expect_equal(result.out.strip(), "reached", result.describe())
            expect_equal(it.expect_event(mark, name="allowed.test", verdict="allow")["verdict"], "allow", "the event")
        with suite.case(f"{label}: ssh through nc -X {kind} to a denied name"):
            mark = it.mark()
            result = it.bed.run("client", it.servers.ssh_command("denied.test", "echo reached", more=(command,)), 12)
            expect_printed(result, "403" if kind == "connect" else "SOCKSv5 error: Connection not allowed by ruleset")
            it.expect_event(mark, name="denied.test", verdict="deny")
            it.expect_never(mark, b"denied.test")


def by_address(suite: Suite, it: World, label: str, family: int) -> None:
    host = bracketed(it, family)
    proxies = [f"http://{host}:{HTTP_PROXY_PORT}", f"socks5://{host}:{SOCKS5_PORT}"] + ([f"socks4://{host}:{SOCKS_PORT}"] if family == 4 else [])
    for proxy in proxies:
        with suite.case(f"{label}: an address, through {proxy.split(':')[0]}"):
            allowed, other = (it.bed.server_address(family, index) for index in (BY_ADDRESS, OTHER))
            url = "http://[{}]/" if family == 6 else "http://{}/"
            result = it.clients.curl(url.format(allowed), family, "-p", "-x", proxy)
            expect(result.out.startswith("vhost"), result.describe())
            mark = it.mark()
            result = it.clients.curl(url.format(other) + "stolen", family, "-p", "-x", proxy)
            expect_printed(result, NO_TUNNEL[proxy.partition(":")[0]])
            event = it.expect_event(mark, verdict="deny")
            expect(event["reason"] in ("address_not_allowed", "address_not_bound"), str(event))
            expect_equal(event["proxy_target"], f"[{other}]:80" if family == 6 else f"{other}:80", str(event))
            it.expect_never(mark, b"stolen")


if __name__ == "__main__":
    skip_unless_possible(binary(), ("curl", "nginx", "sshd", "ssh", "nc", "tinyproxy", "microsocks", "danted"))
    Suite("proxies", 260).main(body)
