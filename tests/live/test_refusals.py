#!/usr/bin/env python3
"""What a refused client is told: each real client, what it prints, its exit code, how soon it knows; what the server sees of it.

--write-docs FILE puts the table between the marks of FILE (docs/refusals.md); without it the table is printed.
--only WORDS runs the cases with one of the words in their group, client or task; --refuse MODE one of speak, reset, drop.
"""

import argparse
import os
import re
import time
from pathlib import Path

from support import Suite, binary, expect, skip_unless_possible
from support.capture import read_pcap, Capture
from support.daemon import Sallyport, allow, policy_text
from support.proc import PATIENCE, Result, must, wait_until
from support.refusal_cases import CASES, DNS, H2C, HOST_KEYS, ICMP, NOBODYS, OPAQUE, PROXY, SOCKS, STRICT, STUN, TCP, UDP, WORDED, WORDING, Case, Place, bound_of
from support.refusal_table import Row, table, write
from support.servers import NAMES, SSH_PORT, Servers
from support.services import Services
from support.testbed import ETC_NETNS, Testbed
from support.proxies import start_http_proxy
from support.upgrade_servers import PORTS, UpgradeServers

TRIES = 3  # The best counts: other work on the machine must not fail a test of time.
LINGERS = 1.0  # Seconds until the server has no connection left.
# Ports where a flow may turn out to be what the first rule allows, so that its first bytes are read.
WATCHED = ", ".join(str(port) for port in sorted({80, 443, SSH_PORT, H2C, OPAQUE, STUN, 1883, 5672, 6379,
                                                  *(PORTS[word] for word in ("smtp", "imap", "pop3", "ftp", "postgresql", "mysql"))}))
TLS_FIRST = ("smtp", "imap", "pop3", "ftp", "postgresql", "mysql")
DROPPED = ("curl https://denied.test/", "dig lookup.test")


def rules(bed: Testbed) -> str:
    first, second = ([bed.server_address(family, index) for family in (4, 6)] for index in (0, 1))
    text = allow("allowed.test", "tls, http, quic", WATCHED) + allow(", ".join(first), "http, socks", f"{PROXY}, {SOCKS}", "proxy = true\n")
    for word in TLS_FIRST:
        text += allow(", ".join(second), word, str(PORTS[word]), 'starttls = "require"\n')
    text += allow(", ".join(first), "ssh", str(HOST_KEYS), f'host_keys = ["SHA256:{"A" * 42}E"]\n')
    return text + allow("bound.test", "ssh", str(STRICT), 'bind = "strict"\n')


def policy(bed: Testbed, refuse: str, wording: str = "") -> str:
    dns = f'[dns]\nresolvers = ["{bed.server_address(4)}", "{bed.server_address(6)}"]\nprivate = [".test"]\nmiss_wait = "200ms"\n'
    text = policy_text(bed, rules(bed), extra=dns + wording)
    return text.replace('bind = "any"\n', f'bind = "any"\nrefuse = "{refuse}"\n', 1)


class Bench:
    """Bench is one layout with all servers; it runs a client and looks at what it did."""

    def __init__(self, bed: Testbed, servers: Servers):
        self.bed, self.servers = bed, servers
        self.start_servers()
        self.capture = Capture(bed)
        self.position = 0
        self.launch = min(bed.run("client", ["env", "true"]).seconds for _ in range(5))
        self.home = bed.scratch / "home"
        self.home.mkdir()
        (bed.scratch / "200kB").write_bytes(b"x" * 200_000)
        key = f"openssl x509 -in {servers.cert} -pubkey -noout | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | openssl base64"
        self.key_hash = must(["sh", "-c", key]).out.strip()

    def start_servers(self) -> None:
        servers, bed = self.servers, self.bed
        for start in (servers.start_web, servers.start_h2c, servers.start_dns, servers.start_ssh):
            start()
        servers.start_quic((443,))
        for port in (HOST_KEYS, STRICT):
            servers.start_another_ssh(port)
        for port in (OPAQUE, NOBODYS):
            servers.start_sink(port)
        services, upgrades = Services(servers), UpgradeServers(servers)
        for start in (services.start_redis, services.start_mosquitto, services.start_amqp, upgrades.smtp, upgrades.mail, upgrades.ftp, upgrades.postgresql, upgrades.mysql):
            start()
        start_http_proxy(bed, servers)
        bed.spawn("server", "microsocks", ["microsocks", "-i", "::", "-p", str(SOCKS)])
        bed.wait_listening("server", "tcp", SOCKS)
        addresses = [word for family in (4, 6) for word in ("-L", bed.server_address(family))]
        bed.spawn("server", "turnserver", ["turnserver", "-n", "-p", str(STUN), *addresses, "-S", "--no-cli", "--no-tls", "--no-dtls", "--log-file", "stdout",
                                           "--pidfile", f"{bed.scratch}/turn.pid", "--userdb", f"{bed.scratch}/turn.db"])
        bed.wait_listening("server", "udp", STUN)

    def set_family(self, family: int) -> None:
        self.family = family
        self.bed.set_hosts(NAMES, (family,))
        folder = ETC_NETNS / self.bed.client
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "resolv.conf").write_text(f"nameserver {self.bed.server_address(family)}\n")
        self.place = Place(family, self.bed.server_address(family), self.bed.server_address(family, 1), self.servers.ca, self.bed.scratch, self.ssh, self.key_hash)

    def ssh(self, host: str, command: str, port: int = SSH_PORT) -> list[str]:
        """ssh says what it says by default."""
        return [word.replace("LogLevel=ERROR", "LogLevel=INFO") for word in self.servers.ssh_command(host, command, port)]

    def client(self, case: Case) -> Result:
        ssh = " ".join(f"'{word}'" if " " in word else word for word in self.ssh("x", "x")[:-2])
        env = {"HOME": str(self.home), "LC_ALL": "C.UTF-8", "GIT_SSL_CAINFO": str(self.servers.ca), "GIT_SSH_COMMAND": ssh, "GIT_TERMINAL_PROMPT": "0",
               "NODE_EXTRA_CA_CERTS": str(self.servers.ca), **case.env}
        return self.bed.run("client", ["env", *(f"{key}={value}" for key, value in env.items()), *case.command(self.place)], 20.0, stdin=case.stdin)

    def arrived(self, case: Case) -> list:
        """arrived returns the packets with payload that the client sent to the case's port since the last call."""
        self.bed.settle()
        self.capture.flush()
        packets = read_pcap(self.capture.path)
        since, self.position = self.position, len(packets)
        return [p for p in packets[since:] if p.protocol == case.transport and p.dport == case.port and p.payload]

    def connections(self, case: Case) -> set[str]:
        """connections returns the clients that the server still has on the case's port; one that waits for stray segments is over."""
        lines = self.bed.run("server", ["ss", "-Htan", "state", "connected", "exclude", "time-wait", f"( sport = :{case.port} )"]).out.splitlines()
        return {" ".join(line.split()[0:1] + line.split()[3:]) for line in lines}


def told(result: Result) -> str:
    return f"exit code {result.code} after {result.seconds:.2f} s\n{result.out[-900:]}\n{result.err[-900:]}".strip()


def line_of(result: Result, pattern: str) -> str | None:
    lines = [line for text in (result.out, result.err) for line in text.splitlines() if line.strip()]
    if not pattern:
        return lines[0] if lines else ""
    return next((line for line in lines if re.search(pattern, line)), None)


def patience() -> float:
    """patience is by how much a machine with more to do than it has processors for may be slower."""
    return min(max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1)), 8.0)


def measure(bench: Bench, firewall: Sallyport, case: Case) -> tuple[Result, float]:
    """measure returns what the client did and how long it took: less what starting any program takes, or, where starting it takes longer than
    being refused (on an emulated machine: each), from the refusal on."""
    since = firewall.mark()
    result = bench.client(case)
    ended = time.time()
    if case.transport == ICMP or not (case.starts or PATIENCE > 1):
        return result, result.seconds - bench.launch
    proto = {TCP: "tcp", UDP: "udp"}[case.transport]
    return result, ended - firewall.wait_event(since, verdict="deny", dport=case.port, proto=proto)["time"]


def one(bench: Bench, firewall: Sallyport, case: Case, refuse: str, rows: list[Row]) -> None:
    """one adds the row of a case, and raises if it is not as it should be."""
    shown, bound, before = case.speak if refuse == "speak" else case.reset, bound_of(case, refuse), bench.connections(case)
    result, seconds = measure(bench, firewall, case)
    late = bound * PATIENCE * PATIENCE  # On an emulated machine the client's end alone takes that long.
    for _ in range(TRIES - 1):
        if seconds < late or result.timed_out:
            break
        result, seconds = min((result, seconds), measure(bench, firewall, case), key=lambda pair: pair[1])
    codes = shown.code if isinstance(shown.code, tuple) else (shown.code,)
    line = line_of(result, shown.line)
    rows.append(Row(case, result.code, line or "", seconds, bound))
    leaked = bench.arrived(case) if case.silent else []
    if case.secret is not None:
        leaked = [p for p in leaked if case.secret in p.payload]
    lasts = not wait_until(lambda: bench.connections(case) <= before, LINGERS)
    expect(line is not None, f"nothing like {shown.line}\n{told(result)}")
    expect(result.code in codes, f"exit code {result.code}, not {codes}\n{told(result)}")
    expect(not leaked, "payload of a refused client at the server:\n" + "\n".join(str(p) for p in leaked[:3]))
    expect(not lasts, f"the server's connection is still there: {bench.connections(case) - before}")
    late *= patience()
    expect(seconds < late, f"{seconds * 1000:.0f} ms, not {late * 1000:.0f}\n{told(result)}")
    expect(refuse != "speak" or not case.room or "sallyport: " in line, f"no reason in {line!r}")


def chosen_cases(suite: Suite, words: list[str]) -> list[Case]:
    """chosen_cases returns the cases with one of `words`, or all; an emulated machine gives Chromium minutes, in which it gives up by itself."""
    chosen = [case for case in CASES if not words or any(word.lower() in f"{case.group} {case.client} {case.what}".lower() for word in words)]
    if PATIENCE > 1:
        for case in chosen:
            if case.client == "Chromium":
                suite.leave_out(f"{case.group}, {case.client}, {case.what}", "an emulated machine is too slow for it")
        chosen = [case for case in chosen if case.client != "Chromium"]
    return chosen


def control(suite: Suite, bench: Bench, cases: list[Case]) -> None:
    """Without the program each client says something to its server, and the capture has it."""
    bench.set_family(4)
    for case in cases:
        if case.silent and case.port not in (0, DNS):
            with suite.case(f"control: {case.group}, {case.client}, {case.what}: its bytes arrive"):
                bench.client(case)
                found = bench.arrived(case)
                expect(any((case.secret or b"") in p.payload for p in found), "nothing arrived")


def refused(suite: Suite, bench: Bench, refuse: str, family: int, cases: list[Case], wording: str = "") -> list[Row]:
    rows, label = [], f"{bench.bed.mode} v{family} {refuse}{', other words' if wording else ''}"
    bench.set_family(family)
    with Sallyport(bench.bed, policy(bench.bed, refuse, wording), name="policy") as firewall:
        suite.on_failure = firewall.log
        for case in cases:
            with suite.case(f"{label}: {case.group}, {case.client}, {case.what}"):
                one(bench, firewall, case, refuse, rows)
        suite.on_failure = None
    return rows


def dropped(suite: Suite, bench: Bench) -> list[Row]:
    rows = []
    bench.set_family(4)
    with Sallyport(bench.bed, policy(bench.bed, "drop"), name="policy") as firewall:
        suite.on_failure = firewall.log
        for case in (case for case in CASES if case.what in DROPPED):
            with suite.case(f"host v4 drop: {case.group}, {case.client}, {case.what}: hears nothing"):
                result = bench.client(case)
                line = line_of(result, "curl: .*|timed out|no servers") or ""
                rows.append(Row(case, result.code, line, result.seconds - bench.launch, float("inf")))
                expect(result.seconds > 3.5 and result.code != 0, told(result))
                expect(not bench.arrived(case), "payload of a refused client at the server")
        suite.on_failure = None
    return rows


def body(suite: Suite, options: argparse.Namespace) -> None:
    chosen = chosen_cases(suite, options.only)
    core = [case for case in chosen if case.core]
    titled: dict[str, list[Row]] = {}
    modes = [options.refuse] if options.refuse else ["speak", "reset", "drop"]
    with Testbed("host") as bed, Servers(bed) as servers:
        bench = Bench(bed, servers)
        control(suite, bench, core)
        for refuse in modes:
            known = chosen if refuse == "speak" or options.write_docs or options.refuse else core
            titled[f'`refuse = "{refuse}"`'] = dropped(suite, bench) if refuse == "drop" else refused(suite, bench, refuse, 4, known)
        if "speak" in modes and not options.only:
            worded = [case for case in WORDED if case.client in {known.client for known in chosen}]
            keys = ", ".join(f"`{line}`" for line in WORDING.splitlines()[1:])
            titled[f'`refuse = "speak"` with {keys}'] = refused(suite, bench, "speak", 4, worded, WORDING)
        if options.write_docs and not suite.failed:
            write(options.write_docs, titled)
        if "speak" in modes:
            refused(suite, bench, "speak", 6, core)
    with Testbed("gateway") as bed, Servers(bed) as servers:
        bench = Bench(bed, servers)
        for refuse, family in (("speak", 4), ("speak", 6), ("reset", 6)):
            if refuse in modes:
                refused(suite, bench, refuse, family, core)
    for title, rows in titled.items():
        print(f"\n### {title}\n\n{table(rows)}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--write-docs", type=Path)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--refuse", choices=("speak", "reset", "drop"))
    options = parser.parse_args()
    if options.write_docs and (options.only or options.refuse):
        parser.error("the table is written whole")
    return options


if __name__ == "__main__":
    OPTIONS = arguments()
    skip_unless_possible(binary(), ("curl", "wget", "node", "git", "gnutls-cli", "chromium", "gtlsclient", "dig", "ssh", "nc", "lftp", "ftp", "swaks", "psql", "mariadb",
                                    "redis-cli", "mosquitto_pub", "turnutils_stunclient", "ping", "ss", "nginx", "dnsmasq", "sshd", "vsftpd", "dovecot", "mariadbd",
                                    "redis-server", "mosquitto", "tinyproxy", "microsocks", "turnserver"))
    Suite("refusals", 1500 if OPTIONS.write_docs else 800).main(lambda suite: body(suite, OPTIONS))
