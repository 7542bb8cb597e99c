#!/usr/bin/env python3
"""Resolvers between the program and the network: dnsmasq and systemd-resolved on the host, a container engine's
127.0.0.11, and a gateway's own dnsmasq. docs/dns.md says what is seen where; this suite is where it is seen."""

import atexit
import ipaddress
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

from support import Suite, binary, expect, expect_equal, skip_unless_possible
from support.capture import Capture
from support.clients import Clients
from support.daemon import Sallyport, policy_text, rulesets
from support.proc import Process, wait_until
from support.refused import expect_dig_refused, expect_not_resolved, expect_printed, expect_printed_alert
from support.servers import Servers
from support.testbed import ETC_NETNS, UNPRIVILEGED_UID, Testbed, address
from support.world import TCP, World

# Indices of the server's addresses: the resolver upstream, the address of every name, and one that no name has.
UPSTREAM, NAMED, UNBOUND = 0, 1, 2

# Exact names are looked up by the program itself. What binds by an answer that was seen shows with names below a wildcard.
RULES = """
[[rules]]
to = ["web.test", "*.wild.test"]
protocols = ["tls"]
"""
# What tools/test unpacks beside the program; the package is not installed, since it takes over /etc/resolv.conf.
UNPACKED = Path(binary()).parent / "resolved"
RESOLVED = next((str(path) for path in (UNPACKED / "lib/systemd/systemd-resolved", Path("/lib/systemd/systemd-resolved"))
                 if os.access(path, os.X_OK)), None)
EMBEDDED_DNS = Path(__file__).with_name("support") / "embedded_dns.py"
EMBEDDED_PORT = 41011
SYSTEMD_FOLDER = Path("/run/systemd/resolve")


def name_bytes(name: str) -> bytes:
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


class Setup(World):
    """A world whose client resolves through a stub; names come from DNS alone."""

    upstream: Process
    stub: Process | None = None

    def status(self) -> dict:
        return json.loads(self.firewall.status("--json").out)

    def page(self, name: str, family: int = 4, *arguments: str):
        return self.clients.curl(f"https://{name}/", family, "-k", *arguments)

    def expect_page(self, name: str, families: tuple[int, ...] = (4, 6)) -> None:
        for family in families:
            result = self.page(name, family)
            expect_equal(result.out.strip(), f"vhost {name}", result.describe())

    def questions_upstream(self, mark: tuple[int, int], name: str) -> int:
        """questions_upstream counts what reached the upstream resolver with this name since the mark."""
        wanted = name_bytes(name)
        return sum(1 for p in self.capture.packets(mark[0]) if p.dport == 53 and wanted in p.payload.lower())


def dnsmasq(bed: Testbed, where: str, name: str, *arguments: str) -> Process:
    return bed.spawn(where, name, ["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--user=root",
                                   "--pid-file=", "--log-facility=-", "--bind-interfaces", *arguments])


def start_upstream(bed: Testbed) -> Process:
    """start_upstream starts the resolver of the network: each name below .test has one address in each family."""
    addresses = [f"--address=/test/{bed.server_address(family, NAMED)}" for family in (4, 6)]
    process = dnsmasq(bed, "server", "upstream", "--local-ttl=300", f"--listen-address={bed.server_address(4, UPSTREAM)}",
                      f"--listen-address={bed.server_address(6, UPSTREAM)}", *addresses)
    bed.wait_listening("server", "udp", 53)
    bed.wait_listening("server", "tcp", 53)
    return process


def forwarder(bed: Testbed, where: str, listen: str, *more: str) -> Process:
    """forwarder starts a dnsmasq with a cache that asks the upstream resolver."""
    process = dnsmasq(bed, where, "stub", f"--listen-address={listen}", f"--server={bed.server_address(4, UPSTREAM)}", *more)
    bed.wait_listening(where, "udp", 53)
    bed.wait_listening(where, "tcp", 53)
    return process


def resolv_conf(node: str, *lines: str) -> None:
    (ETC_NETNS / node / "resolv.conf").write_text("\n".join((*lines, "options timeout:2 attempts:1")) + "\n")


def policy(bed: Testbed, resolvers: list[str], hooks: str | None = None, more: str = "") -> str:
    words = ", ".join(f'"{word}"' for word in resolvers)
    text = policy_text(bed, RULES, extra=f'[dns]\nresolvers = [{words}]\nprivate = [".test"]\n{more}', bind="strict", on_exit="closed")
    return text.replace('hooks = ["forward"]', f"hooks = {hooks}") if hooks else text


def fresh(it: Setup) -> None:
    """fresh restarts the program without what it knew: what binds now came from an answer that was seen."""
    it.firewall.stop()
    (it.bed.scratch / "control.bindings.json").unlink(missing_ok=True)
    it.firewall.start()


# --- What holds behind every stub whose questions are judged -----------------------------------------


def names_work(suite: Suite, it: Setup, label: str, first: str) -> None:
    with suite.case(f"{label}: an exact name, over IPv4 and IPv6"):
        it.expect_page("web.test")
    with suite.case(f"{label}: a name that only the answer binds, at its first lookup"):
        mark = it.mark()
        it.expect_page(first)
        expect(it.questions_upstream(mark, first) > 0, "the stub did not ask")
    with suite.case(f"{label}: and again"):
        it.expect_page(first)


def others_do_not(suite: Suite, it: Setup, label: str, where_seen: str, server: str) -> None:
    with suite.case(f"{label}: a name that no rule has is refused {where_seen}, and nobody upstream is asked for it"):
        mark = it.mark()
        expect_not_resolved(it.page("unlisted.test"))
        event = it.expect_event(mark, verdict="deny", reason="name_not_allowed", dport=53, name="unlisted.test")
        expect_equal(event["dst"], server, "the server that was asked")
        expect_equal(it.questions_upstream(mark, "unlisted.test"), 0, "questions upstream")
    with suite.case(f"{label}: an allowed name at an unbound address is refused without a byte"):
        unbound_is_refused(it)


def unbound_is_refused(it: Setup) -> None:
    for family in (4, 6):
        mark = it.mark()
        target = it.bed.server_address(family, UNBOUND)
        result = it.page("web.test", family, "--resolve", f"web.test:443:{f'[{target}]' if family == 6 else target}")
        expect_printed(result, "Failed to connect to web.test port 443")  # At its SYN: no name may have this address.
        it.expect_event(mark, verdict="deny", reason="address_not_bound", dport=443)
        it.expect_nothing_arrived(mark, TCP, 443)


def cached_answers_bind(suite: Suite, it: Setup, label: str, name: str) -> None:
    with suite.case(f"{label}: an answer from the stub's cache binds, with the network's resolver silent and nothing remembered"):
        it.expect_page(name)
        it.upstream.signal(signal.SIGSTOP)
        try:
            fresh(it)
            mark = it.mark()
            it.expect_page(name)
            expect_equal(it.questions_upstream(mark, name), 0, "questions upstream")
        finally:
            it.upstream.signal(signal.SIGCONT)


# --- A stub on this host ------------------------------------------------------------------------------


def setup(suite: Suite, bed: Testbed, servers: Servers, capture: Capture, firewall: Sallyport, upstream: Process) -> Setup:
    suite.on_failure = firewall.log
    it = Setup(bed, servers, Clients(bed, servers), capture, firewall)
    it.upstream = upstream
    return it


def host_dnsmasq(suite: Suite) -> None:
    """dnsmasq on 127.0.0.1. Nothing tells the program whom it forwards to but the policy."""
    with Testbed("host") as bed, Servers(bed) as servers:
        servers.start_web()
        capture, upstream = Capture(bed), start_upstream(bed)
        resolv_conf(bed.client, "nameserver 127.0.0.1")
        stub = forwarder(bed, "client", "127.0.0.1")
        network = bed.server_address(4, UPSTREAM)
        for resolvers in (["system", network], ["127.0.0.1", network]):
            label = f"dnsmasq on 127.0.0.1, resolvers {resolvers}"
            stub.signal(signal.SIGHUP)  # Empties the cache.
            with Sallyport(bed, policy(bed, resolvers)) as firewall:
                it = setup(suite, bed, servers, capture, firewall, upstream)
                names_work(suite, it, label, "first.wild.test")
                others_do_not(suite, it, label, "at the stub", "127.0.0.1")
                cached_answers_bind(suite, it, label, "second.wild.test")
                with suite.case(f"{label}: no other server may be asked"):
                    mark = it.mark()
                    expect_dig_refused(bed.run("client", ["dig", "+tries=1", "+time=1", f"@{bed.server_address(4, UNBOUND)}", "web.test"], 8))
                    it.expect_event(mark, verdict="deny", reason="resolver_not_trusted", dport=53)
                suite.on_failure = None
        stub.signal(signal.SIGHUP)
        with Sallyport(bed, policy(bed, ["system"])) as firewall:
            label = 'dnsmasq on 127.0.0.1, resolvers ["system"] alone'
            it = setup(suite, bed, servers, capture, firewall, upstream)
            with suite.case(f"{label}: the start says what is missing, and nothing is asked upstream"):
                mark = it.mark()
                expect_not_resolved(it.page("third.wild.test"))
                it.expect_event(mark, verdict="deny", reason="resolver_not_trusted", dport=53, dst=network)
                expect_equal(it.questions_upstream(mark, "third.wild.test"), 0, "questions upstream")
                expect("127.0.0.1" in firewall.process.err() and "[dns] resolvers" in firewall.process.err(), firewall.process.err())
            suite.on_failure = None
        with Sallyport(bed, policy(bed, [network])) as firewall:
            label = "dnsmasq on 127.0.0.1, resolvers without it"
            it = setup(suite, bed, servers, capture, firewall, upstream)
            with suite.case(f"{label}: the stub may not be asked, and the start says so"):
                mark = it.mark()
                expect_not_resolved(it.page("web.test"))
                expect("127.0.0.1, which is not in [dns] resolvers" in firewall.process.err(), firewall.process.err())
                it.expect_event(mark, verdict="deny", reason="resolver_not_trusted", dport=53, dst="127.0.0.1")
            suite.on_failure = None


def own_view_of_run() -> None:
    """own_view_of_run gives this script and what it starts a /run/systemd/resolve of its own: systemd-resolved writes there,
    and the program reads there, and neither may meet the machine's own."""
    if os.environ.get("SALLYPORT_OWN_MOUNTS") != str(os.getpid()):  # The same process, behind unshare's exec.
        if not SYSTEMD_FOLDER.exists():
            SYSTEMD_FOLDER.mkdir(parents=True)
            os.environ["SALLYPORT_MADE_FOLDER"] = str(os.getpid())
        os.environ["SALLYPORT_OWN_MOUNTS"] = str(os.getpid())
        os.execvp("unshare", ["unshare", "--mount", "--propagation", "slave", sys.executable, "-B", *sys.argv])
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"mode=755,uid={UNPRIVILEGED_UID},gid={UNPRIVILEGED_UID}", "tmpfs", str(SYSTEMD_FOLDER)],
                   check=True)
    atexit.register(leave_run)


def leave_run() -> None:
    subprocess.run(["umount", "--lazy", str(SYSTEMD_FOLDER)], check=False)
    if os.environ.get("SALLYPORT_MADE_FOLDER") == str(os.getpid()):
        try:
            SYSTEMD_FOLDER.rmdir()
        except OSError:
            pass


def start_resolved(bed: Testbed) -> Process:
    """start_resolved runs systemd-resolved without systemd and D-Bus: as a user of no privileges but for low ports."""
    folder = ETC_NETNS / bed.client / "systemd"
    folder.mkdir()
    (folder / "resolved.conf").write_text(f"[Resolve]\nDNS={bed.server_address(4, UPSTREAM)}\nFallbackDNS=\nDomains=~.\nLLMNR=no\n"
                                          "MulticastDNS=no\nDNSSEC=no\nCache=yes\n")
    capabilities = "+net_bind_service,+net_raw,+setpcap"
    process = bed.spawn("client", "resolved", ["setpriv", f"--reuid={UNPRIVILEGED_UID}", f"--regid={UNPRIVILEGED_UID}", "--clear-groups",
                                               f"--inh-caps={capabilities}", f"--ambient-caps={capabilities}", RESOLVED],
                        env={**os.environ, "LD_LIBRARY_PATH": ":".join(map(str, UNPACKED.glob("usr/lib/*/systemd")))})
    bed.wait_listening("client", "udp", 53)
    expect(wait_until((SYSTEMD_FOLDER / "resolv.conf").exists, 5.0), process.err())
    return process


def ask_over_socket(name: str) -> list:
    """ask_over_socket resolves as nss-resolve does: over systemd-resolved's own socket, without DNS."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(5.0)
        connection.connect(str(SYSTEMD_FOLDER / "io.systemd.Resolve"))
        call = {"method": "io.systemd.Resolve.ResolveHostname", "parameters": {"name": name, "family": socket.AF_INET, "flags": 0}}
        connection.sendall(json.dumps(call).encode() + b"\0")
        reply = b""
        while not reply.endswith(b"\0"):
            piece = connection.recv(65536)
            expect(piece, "the socket was closed")
            reply += piece
    return [".".join(map(str, a["address"])) for a in json.loads(reply[:-1])["parameters"].get("addresses", [])]


def host_resolved(suite: Suite) -> None:
    """systemd-resolved on 127.0.0.53, with "system" alone: its file tells the servers that it asks."""
    label = "systemd-resolved on 127.0.0.53"
    with Testbed("host") as bed, Servers(bed) as servers:
        servers.start_web()
        capture, upstream = Capture(bed), start_upstream(bed)
        resolv_conf(bed.client, "nameserver 127.0.0.53", "options edns0 trust-ad", "search .")
        start_resolved(bed)
        with Sallyport(bed, policy(bed, ["system"])) as firewall:
            it = setup(suite, bed, servers, capture, firewall, upstream)
            with suite.case(f"{label}: the stub and what it asks are trusted"):
                expect_equal(it.status()["resolver"]["trusted"], ["127.0.0.53", bed.server_address(4, UPSTREAM)], "trusted")
            names_work(suite, it, label, "first.wild.test")
            others_do_not(suite, it, label, "at the stub", "127.0.0.53")
            cached_answers_bind(suite, it, label, "second.wild.test")
            with suite.case(f"{label}: a program that asks over its socket: the stub's own question binds"):
                expect_equal(ask_over_socket("third.wild.test"), [bed.server_address(4, NAMED)], "the answer")
                result = it.page("third.wild.test", 4, "--resolve", f"third.wild.test:443:{bed.server_address(4, NAMED)}")
                expect_equal(result.out.strip(), "vhost third.wild.test", result.describe())
            suite.on_failure = None


# --- A container engine's 127.0.0.11 --------------------------------------------------------------------


def start_embedded(bed: Testbed, asks_from: str, upstream: str) -> Process:
    """start_embedded gives the client the resolver of a container: port 53 of 127.0.0.11 is led to another port by nat rules."""
    for transport in ("udp", "tcp"):
        for rule in (["OUTPUT", "-d", "127.0.0.11", "-p", transport, "--dport", "53", "-j", "DNAT", "--to-destination",
                      f"127.0.0.11:{EMBEDDED_PORT}"],
                     ["POSTROUTING", "-s", "127.0.0.11", "-p", transport, "--sport", str(EMBEDDED_PORT), "-j", "SNAT", "--to-source", ":53"]):
            result = bed.run("client", ["iptables", "-t", "nat", "-A", *rule])
            expect_equal(result.code, 0, result.describe())
    resolv_conf(bed.client, "nameserver 127.0.0.11", "options ndots:0")
    process = bed.spawn("client", "embedded", [sys.executable, "-B", str(EMBEDDED_DNS), str(EMBEDDED_PORT), upstream,
                                               f"/run/netns/{asks_from}"])
    bed.wait_listening("client", "udp", EMBEDDED_PORT)
    bed.wait_listening("client", "tcp", EMBEDDED_PORT)
    return process


def masquerade(bed: Testbed) -> None:
    result = bed.run("firewall", ["iptables", "-t", "nat", "-A", "POSTROUTING", "-s", f"{bed.client_address(4)}/24", "!", "-o",
                                  bed.inside_interface, "-j", "MASQUERADE"])
    expect_equal(result.code, 0, result.describe())


def container_asks(suite: Suite) -> None:
    """The engine asks from the container's namespace, as it does for a resolver on the network."""
    label = "127.0.0.11 that asks from the container's namespace"
    with Testbed("gateway") as bed, Servers(bed) as servers:
        servers.start_web()
        capture, upstream = Capture(bed), start_upstream(bed)
        masquerade(bed)
        network = bed.server_address(4, UPSTREAM)
        start_embedded(bed, bed.client, network)
        resolv_conf(bed.firewall, f"nameserver {network}")
        with Sallyport(bed, policy(bed, ["system"])) as firewall:
            it = setup(suite, bed, servers, capture, firewall, upstream)
            names_work(suite, it, label, "first.wild.test")
            others_do_not(suite, it, label, "where it leaves the container", network)
            suite.on_failure = None


def host_asks(suite: Suite) -> None:
    """The engine asks from the host's namespace, as it does for a resolver on the host's loopback."""
    with Testbed("gateway") as bed, Servers(bed) as servers:
        servers.start_web()
        capture, upstream = Capture(bed), start_upstream(bed)
        masquerade(bed)
        network = bed.server_address(4, UPSTREAM)
        resolv_conf(bed.firewall, "nameserver 127.0.0.1")
        stub = forwarder(bed, "firewall", "127.0.0.1")
        start_embedded(bed, bed.firewall, "127.0.0.1")
        label = "127.0.0.11 that asks from the host's namespace"
        with Sallyport(bed, policy(bed, ["system", network], hooks='["output", "forward"]')) as firewall:
            it = setup(suite, bed, servers, capture, firewall, upstream)
            names_work(suite, it, f"{label}, both hooks", "first.wild.test")
            others_do_not(suite, it, f"{label}, both hooks", "at the host's stub", "127.0.0.1")
            cached_answers_bind(suite, it, f"{label}, both hooks", "second.wild.test")
            suite.on_failure = None
        stub.signal(signal.SIGHUP)
        with Sallyport(bed, policy(bed, ["system", network])) as firewall:
            it = setup(suite, bed, servers, capture, firewall, upstream)
            with suite.case(f"{label}, forward hook alone: exact names work by own lookups"):
                it.expect_page("web.test")
            with suite.case(f"{label}, forward hook alone: a name below a wildcard is not bound, since no answer was seen"):
                mark = it.mark()
                expect_printed_alert(it.page("third.wild.test"))
                it.expect_event(mark, verdict="deny", reason="address_not_bound", dport=443)
            with suite.case(f"{label}, forward hook alone: any name can be asked"):
                mark = it.mark()
                bed.run("client", ["dig", "+tries=1", "+time=2", "+short", "unlisted.test"], 8)
                expect(it.questions_upstream(mark, "unlisted.test") > 0, "nobody was asked")
            suite.on_failure = None


# --- A gateway's own stub --------------------------------------------------------------------------------


def gateway_dnsmasq(suite: Suite) -> None:
    """The workload asks an address of the gateway: INPUT, not FORWARD."""
    with Testbed("gateway") as bed, Servers(bed) as servers:
        servers.start_web()
        capture, upstream = Capture(bed), start_upstream(bed)
        network = bed.server_address(4, UPSTREAM)
        own = {family: str(ipaddress.ip_address(address(family, bed.links[0], 254))) for family in (4, 6)}
        stub = forwarder(bed, "firewall", own[4], f"--listen-address={own[6]}")
        resolv_conf(bed.client, f"nameserver {own[4]}")
        resolv_conf(bed.firewall, f"nameserver {network}")
        for hooks in ('["forward"]', '["output", "forward"]'):
            label = f"the gateway's own dnsmasq, hooks {hooks}"
            stub.signal(signal.SIGHUP)
            before = rulesets(bed)
            with Sallyport(bed, policy(bed, ["system"], hooks)) as firewall:
                it = setup(suite, bed, servers, capture, firewall, upstream)
                with suite.case(f"{label}: the gateway's addresses there are trusted"):
                    trusted = it.status()["resolver"]["trusted"]
                    expect(trusted[0] == network and set(own.values()) <= set(trusted), str(trusted))
                names_work(suite, it, label, "first.wild.test")
                others_do_not(suite, it, label, "at the gateway", own[4])
                cached_answers_bind(suite, it, label, "second.wild.test")
                for family in (4, 6):
                    for more in ((), ("+tcp",)):
                        gateway_is_asked(suite, it, f"{label}, v{family}{' tcp' if more else ''}", own[family], more)
                suite.on_failure = None
            with suite.case(f"{label}: the rules leave nothing behind"):
                expect_equal(rulesets(bed), before, "rulesets")


        gateway_scope(suite, bed, servers, capture, upstream, own[4], stub)


def gateway_scope(suite: Suite, bed: Testbed, servers: Servers, capture: Capture, upstream: Process, own: str, stub: Process) -> None:
    """A scope with resolvers of its own believes these alone."""
    for listed in (own, bed.server_address(4, UPSTREAM)):
        scope = f'[scopes.workload]\nsources = ["{bed.client_address(4)}"]\nresolvers = ["{listed}"]\n'
        stub.signal(signal.SIGHUP)
        with Sallyport(bed, policy(bed, ["system"], more=scope)) as firewall:
            it = setup(suite, bed, servers, capture, firewall, upstream)
            label = f"the gateway's own dnsmasq, the workload's scope trusts {listed}"
            if listed == own:
                with suite.case(f"{label}: its names work, and bind for it"):
                    it.expect_page("first.wild.test", (4,))
            else:
                with suite.case(f"{label}: the gateway may not be asked"):
                    mark = it.mark()
                    expect_not_resolved(it.page("first.wild.test"))
                    it.expect_event(mark, verdict="deny", reason="resolver_not_trusted", dport=53, dst=own)
            suite.on_failure = None


def gateway_is_asked(suite: Suite, it: Setup, label: str, server: str, more: tuple[str, ...]) -> None:
    def dig(name: str, *how: str):
        return it.bed.run("client", ["dig", "+tries=1", "+time=2", *how, *more, f"@{server}", name], 8)

    with suite.case(f"{label}: an allowed name is answered, another one is not"):
        result = dig("dug.wild.test", "+short")
        expect_equal(result.out.strip(), it.bed.server_address(4, NAMED), result.describe())
        mark = it.mark()
        expect_dig_refused(dig("unlisted.test"), "unlisted.test is not allowed" if more else "")
        it.expect_event(mark, verdict="deny", reason="name_not_allowed", dport=53, name="unlisted.test", dst=server)
        expect_equal(it.questions_upstream(mark, "unlisted.test"), 0, "questions upstream")


PARTS = {"dnsmasq": host_dnsmasq, "resolved": host_resolved, "container": container_asks, "engine": host_asks, "gateway": gateway_dnsmasq}


def body(suite: Suite) -> None:
    for name in sys.argv[1:] or PARTS:
        if name == "resolved" and RESOLVED is None:
            print("SKIPPED part: systemd-resolved is not here (tools/test unpacks it)", flush=True)
            continue
        PARTS[name](suite)


if __name__ == "__main__":
    skip_unless_possible(binary(), ("dnsmasq", "dig", "curl", "nginx", "setpriv", "unshare"))
    own_view_of_run()
    Suite("stubs", 220).main(body)
