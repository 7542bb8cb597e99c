#!/usr/bin/env python3
"""A browser that could encrypt its hello shows its name, since the answer that it gets has no keys."""

import tempfile

from support import Suite, binary, expect, skip_unless_possible
from support.capture import Capture
from support.daemon import Sallyport, allow, policy_text
from support.servers import Servers
from support.testbed import ETC_NETNS, Testbed

# An ECHConfigList (RFC 9849 §4) that a client takes: X25519, HKDF-SHA256, AES-128-GCM, public name public.test.
PUBLIC_NAME = b"public.test"


def ech_config_list() -> bytes:
    def vector(data: bytes, width: int) -> bytes:
        return len(data).to_bytes(width, "big") + data
    key = vector(bytes([9]) + bytes(31), 2)
    contents = b"\x07" + b"\0\x20" + key + vector(b"\0\1\0\1", 2) + b"\x40" + vector(PUBLIC_NAME, 1) + b"\0\0"
    return vector(b"\xfe\x0d" + vector(contents, 2), 2)


def https_record() -> str:
    def param(number: int, value: bytes) -> bytes:
        return number.to_bytes(2, "big") + len(value).to_bytes(2, "big") + value
    return (b"\0\1\0" + param(1, b"\x08http/1.1") + param(5, ech_config_list())).hex()


def visit(bed: Testbed, url: str) -> str:
    """visit returns what the browser printed of the page."""
    with tempfile.TemporaryDirectory() as profile:
        return bed.run("client", ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync",
                                  "--disable-background-networking", "--disable-component-update", "--disable-quic",
                                  "--ignore-certificate-errors", "--enable-features=AsyncDns,EncryptedClientHello",
                                  f"--user-data-dir={profile}", "--timeout=8000", "--dump-dom", url], 40.0).out


def body(suite: Suite) -> None:
    with Testbed("gateway") as bed, Servers(bed) as servers:
        servers.start_web()
        servers.start_dns(f"--dns-rr=ech.test,65,{https_record()}")
        (ETC_NETNS / bed.client).mkdir(parents=True, exist_ok=True)
        (ETC_NETNS / bed.client / "resolv.conf").write_text(f"nameserver {bed.server_address(4)}\n")
        capture = Capture(bed)
        with suite.case("control: without the program the browser shows the public name of the keys"):
            mark = capture.mark()
            visit(bed, "https://ech.test/")
            streams = b"".join(capture.streams(mark, 443))
            expect(PUBLIC_NAME in streams, "the browser does not use the keys")  # The server lacks them; it then goes without.
        rules = allow("ech.test", "tls", "443")
        dns = f'[dns]\nresolvers = ["{bed.server_address(4)}"]\nprivate = [".test"]\n'
        with Sallyport(bed, policy_text(bed, rules, extra=dns, bind="strict")) as firewall:
            with suite.case("with the program its name is in the clear, bound, and allowed"):
                mark, events = capture.mark(), firewall.mark()
                page = visit(bed, "https://ech.test/")
                expect("vhost ech.test" in page, page)
                streams = b"".join(capture.streams(mark, 443))
                expect(b"ech.test" in streams and PUBLIC_NAME not in streams, "the name is not in the clear")
                firewall.wait_event(events, name="ech.test", verdict="allow", protocol="tls")


if __name__ == "__main__":
    skip_unless_possible(binary(), ("chromium", "nginx", "dnsmasq"))
    Suite("chromium", 150).main(body)
