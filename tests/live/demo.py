#!/usr/bin/env python3
"""demo.py: shows on real connections what Sallyport allows and refuses, and what the client and the operator see.

Everything happens in two network namespaces of its own, with real servers in one and real clients in the other.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import textwrap
import time

from support import Sallyport, Servers, Testbed, binary, policy_text, skip_unless_possible
from support.clients import Clients, http3_worked
from support.daemon import allow
from support.proc import Result, wait_until

COLOUR = sys.stdout.isatty() and "NO_COLOR" not in os.environ
PAUSE = float(os.environ.get("DEMO_PAUSE") or (2 if sys.stdout.isatty() else 0))
RULES = allow("allowed.test", "tls, quic") + "\n" + allow("allowed.test", "http", "80, 8081") + "\n" + allow("10.91.9.3", "ssh", "22") + "\n" + \
    allow("allowed.test", "dns")


def styled(code: str, text: str) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if COLOUR else text


def heading(text: str) -> None:
    print(f"\n{styled('1', text)}", flush=True)


def say(text: str) -> None:
    print(textwrap.fill(text, 96), flush=True)


def told(result: Result, wanted: tuple[str, ...]) -> list[str]:
    """told returns the lines of a client's output that a person would look at."""
    lines = [line.strip() for line in (result.out + "\n" + result.err).splitlines() if line.strip()]
    picked = [line for line in lines if any(word in line for word in wanted)] if wanted else lines
    if not picked:
        picked = ["(nothing came back; the client gave up)"]
    return picked[:3]


def not_refused(result: Result) -> bool:
    """curl ends well with any response: a 403 of ours is the refusal."""
    return result.code == 0 and '"status":403' not in result.out


def resolved(result: Result) -> bool:
    return "status: NOERROR" in result.out


class Show:
    def __init__(self, firewall: Sallyport):
        self.firewall = firewall
        self.wrong = 0

    def step(self, command: str, action, reached: bool, wanted: tuple[str, ...] = (), works=None) -> None:
        before = self.firewall.process.out()
        started = time.monotonic()
        result = action()
        seconds = time.monotonic() - started
        print(f"\n  {styled('36', '$ ' + command)}")
        for line in told(result, wanted):
            print(textwrap.indent(textwrap.fill(re.sub(r"^I\d+ 0x\w+ ", "", line), 106), "    "))  # Without ngtcp2's clock and connection.
        print(f"    {styled('2', f'exit code {result.code}, {seconds:.2f} s')}")
        wait_until(lambda: len(self.firewall.process.out()) > len(before), 2.0)
        time.sleep(0.1)
        for line in self.firewall.process.out()[len(before):].strip().splitlines()[:3]:
            print(f"    {styled('33', 'sallyport:')} {line}")
        did = works(result) if works else result.code == 0
        if did != reached:
            self.wrong += 1
            print(f"    {styled('31', 'this is not what the policy says: ' + result.describe()[:300])}")
        sys.stdout.flush()
        time.sleep(PAUSE)


def play(show: Show, bed, servers, clients: Clients) -> None:
    heading("TLS: the server name in the ClientHello decides")
    show.step("curl https://allowed.test/", lambda: clients.curl("https://allowed.test/", 4), True)
    show.step("curl https://denied.test/", lambda: clients.curl("https://denied.test/", 4), False)
    print()
    say("The same server, the same address, another name: the first bytes never left, and the client was told at once, in its own protocol.")
    heading("QUIC: the same name, decrypted from the Initial packet")
    show.step("gtlsclient allowed.test 443 https://allowed.test/", lambda: clients.http3("allowed.test", 4), True, ("body 3 bytes",), http3_worked)
    show.step("gtlsclient denied.test 443 https://denied.test/", lambda: clients.http3("denied.test", 4, seconds=2), False, ("reason=[sallyport",), http3_worked)
    heading("HTTP: the Host of every request, on any port")
    show.step("curl http://allowed.test:8081/", lambda: clients.curl("http://allowed.test:8081/", 6), True)
    show.step("curl http://denied.test/", lambda: clients.curl("http://denied.test/", 4), False, (), not_refused)
    show.step("curl http://allowed.test/ --next -H 'Host: denied.test' http://allowed.test/   # one connection",
              lambda: clients.curl("http://allowed.test/", 4, "--next", "-sS", "-m", "5", "-H", "Host: denied.test", "http://allowed.test/"), False, (), not_refused)
    heading("SSH: by address")
    one, two = bed.server_address(4, 1), bed.server_address(4, 2)
    show.step(f"ssh {one} echo reached", lambda: clients.ssh(one), True, ("reached",))
    show.step(f"ssh {two} echo reached", lambda: clients.ssh(two), False)
    heading("DNS: the name that is asked for, over UDP and TCP")
    answer = ("status:", "EDE:", "10.91.9.2\n", "IN\tA\t10")
    show.step("dig allowed.test", lambda: clients.dig("allowed.test", 4), True, answer, resolved)
    show.step("dig secret-data.denied.test", lambda: clients.dig("secret-data.denied.test", 4), False, answer, resolved)
    show.step("dig +tcp secret-data.denied.test", lambda: clients.dig("secret-data.denied.test", 4, "+tcp"), False, answer, resolved)


def main() -> int:
    skip_unless_possible(binary(), ("nginx", "dnsmasq", "sshd", "gtlsserver", "gtlsclient", "curl", "dig", "ssh"))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    started = time.monotonic()
    say("Two network namespaces, joined by a virtual cable. One holds real servers (nginx, OpenSSH, dnsmasq, ngtcp2); the other holds "
        "the clients, and Sallyport with this policy. Everything that it does not name is denied:")
    print(textwrap.indent(RULES.replace("[[rules]]\n", "[[rules]]  ").replace("]\n", "]  "), "    "))
    with Testbed("host") as bed, Servers(bed) as servers:
        servers.start_web()
        servers.start_ssh()
        servers.start_dns()
        servers.start_quic((443,))
        with Sallyport(bed, policy_text(bed, RULES), json_lines=False) as firewall:
            show = Show(firewall)
            play(show, bed, servers, Clients(bed, servers))
            heading("What the service says of itself: sallyport status")
            print(textwrap.indent(firewall.status().out.rstrip(), "    "))
            firewall.stop(signal.SIGINT)
    heading(f"Done in {time.monotonic() - started:.0f} s. The namespaces, the servers and every rule are gone.")
    return 1 if show.wrong else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
