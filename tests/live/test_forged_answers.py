#!/usr/bin/env python3
"""A workload that may send raw frames (CAP_NET_RAW) forges its resolver's answers, and the beginning of flows from outside."""

import ipaddress
import json
import signal
import struct
import sys
import threading
from contextlib import contextmanager

from support import Suite, binary, expect, expect_equal, skip_unless_possible
from support.capture import Capture
from support.clients import Clients
from support.daemon import Sallyport, allow, policy_text
from support.proc import must, run
from support.refused import expect_printed
from support.servers import Servers
from support.testbed import UNPRIVILEGED_UID, Testbed, address
from support.world import TCP, UDP, World

FORGER = __file__.replace("test_forged_answers", "support/forger")
ONLY_RAW = ["setpriv", f"--reuid={UNPRIVILEGED_UID}", f"--regid={UNPRIVILEGED_UID}", "--clear-groups", "--inh-caps=-all,+net_raw",
            "--ambient-caps=-all,+net_raw", "--bounding-set=-all,+net_raw", "--"]
RESOLVER, ATTACKER = 0, 3  # Indices of the server's addresses.
BRIDGE_LINK = 7
PORT = 40_053
RULES = allow("*.wild.test", "tls", "443")
EXTRA = '[dns]\nresolvers = ["{}", "{}"]\nprivate = [".test"]\nwildcard_budget = 10000\n'
RESOLVERS = [address(family, 9, 2) for family in (4, 6)]


class Cage:
    """A gateway with a workload on a link of its own and two more on a bridge, whose frames iptables sees."""

    def __init__(self, bed: Testbed):
        self.bed = bed
        self.neighbours = []
        router = ["ip", "-n", bed.firewall]
        must([*router, "link", "add", "br0", "type", "bridge"])
        must([*router, "link", "set", "br0", "up"])
        run(["modprobe", "-q", "br_netfilter"])  # Where it is part of the kernel there is none.
        for name in ("iptables", "ip6tables"):
            must(["ip", "netns", "exec", bed.firewall, "sysctl", "-q", f"net.bridge.bridge-nf-call-{name}=1"])
        for family, size in ((4, 24), (6, 64)):
            must([*router, "addr", "add", f"{address(family, BRIDGE_LINK, 254)}/{size}", "dev", "br0", *(["nodad"] if family == 6 else [])])
        for host, letter in ((1, "v"), (2, "w")):
            node = bed.client[:-1] + letter
            bed.nodes.append(node)
            must(["ip", "netns", "add", node])
            must(["ip", "netns", "exec", node, "sysctl", "-q", "net.ipv6.conf.default.accept_dad=0", "net.ipv6.conf.all.accept_dad=0"])
            must(["ip", "link", "add", "east", "netns", node, "type", "veth", "peer", "name", f"port{host}", "netns", bed.firewall])
            must([*router, "link", "set", f"port{host}", "master", "br0", "up"])
            must(["ip", "-n", node, "link", "set", "east", "up"])
            for family, size in ((4, 24), (6, 64)):
                more = ["nodad"] if family == 6 else []
                must(["ip", "-n", node, "addr", "add", f"{address(family, BRIDGE_LINK, host)}/{size}", "dev", "east", *more])
                must(["ip", "-n", node, f"-{family}", "route", "add", "default", "via", address(family, BRIDGE_LINK, 254)])
            self.neighbours.append(node)

    def mac(self, node: str, device: str = "east") -> str:
        return json.loads(self.bed.run(node, ["ip", "-j", "link", "show", device]).out)[0]["address"]

    def forge(self, node: str, source: list, target: list, *, to_mac: str = "", background: bool = False, **request):
        """forge runs the forger in `node`; its frames go to the gateway unless `to_mac` is another."""
        device = "west" if node == self.bed.client else "br0"
        request = {"interface": "east", "own_mac": self.mac(node), "to_mac": to_mac or self.mac(self.bed.firewall, device),
                   "source": source, "target": target, **request}
        command = [*ONLY_RAW, sys.executable, "-B", FORGER]
        if background:
            text = json.dumps(request)
            return self.bed.spawn(node, "forger", ["sh", "-c", f"printf '%s\\n' '{text}' | exec {' '.join(command)}"])
        result = self.bed.run(node, command, 15, stdin=json.dumps(request).encode() + b"\n")
        expect_equal(result.code, 0, result.describe())
        return [bytes.fromhex(answer) for answer in json.loads(result.out)["answers"]]


def query(number: int, name: str, family: int) -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack("!HHHHHH", number, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", 1 if family == 4 else 28, 1)


def packed(family: int, index: int) -> bytes:
    return ipaddress.ip_address(address(family, 9, 2 + index)).packed


def answer(question: bytes, family: int, index: int = ATTACKER) -> bytes:
    """answer says that the name is at the server's address of that index."""
    data, kind = packed(family, index), 1 if family == 4 else 28
    return question[:2] + struct.pack("!HHHHH", 0x8180, 1, 1, 0, 0) + question[12:] + struct.pack("!HHHIH", 0xC00C, kind, 1, 600, len(data)) + data


def refuses(it: World, name: str, family: int, where: str = "client") -> None:
    """The name is not bound to the attacker's address: not one byte of a hello for it arrives there."""
    target = it.bed.server_address(family, ATTACKER)
    mark = it.mark()
    result = it.bed.run(where, ["curl", "-skS", f"-{family}", "-m", "5", "--resolve", f"{name}:443:{f'[{target}]' if family == 6 else target}",
                                f"https://{name}/"], 9)
    expect_printed(result, f"Failed to connect to {name} port 443")  # At the SYN: no name has this address.
    it.expect_nothing_arrived(mark, TCP, 443)
    it.expect_event(mark, verdict="deny", reason="address_not_bound", dport=443)


@contextmanager
def silent(it: World, seconds: float = 0.0):
    """The resolver answers nothing inside the block, or for so long."""
    it.servers.dns.signal(signal.SIGSTOP)
    timer = threading.Timer(seconds or 30.0, it.servers.dns.signal, (signal.SIGCONT,))
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        it.servers.dns.signal(signal.SIGCONT)


def answers_of_one(suite: Suite, it: World, cage: Cage, label: str, family: int) -> None:
    source, own = [it.bed.server_address(family, RESOLVER), 53], it.bed.client_address(family)
    with suite.case(f"{label}: an answer from the workload's own link binds nothing, the resolver being silent"):
        name = f"alone{family}.wild.test"
        question = query(4711, name, family)
        with silent(it):
            cage.forge(it.bed.client, source, [own, PORT + family], ask=question.hex(), payload=answer(question, family).hex(), seconds=0.5)
            refuses(it, name, family)
    with suite.case(f"{label}: nor does it when it comes before the true answer, which still comes"):
        for turn in range(5):
            name = f"race{turn}v{family}.wild.test"
            question = query(turn, name, family)
            with silent(it, 0.3):
                got = cage.forge(it.bed.client, source, [own, PORT + 100 + 2 * turn + family // 6], ask=question.hex(),
                                 payload=answer(question, family).hex(), seconds=0.6)
            addresses = {text[-(4 if family == 4 else 16):] for text in got}
            expect_equal(addresses, {packed(family, RESOLVER)}, "addresses in the answers that came")
        refuses(it, name, family)


def answers_of_two(suite: Suite, it: World, cage: Cage, label: str, family: int) -> None:
    first, second = cage.neighbours
    source = [it.bed.server_address(family, RESOLVER), 53]
    neighbour = [address(family, BRIDGE_LINK, 1), PORT + 50 + family]
    for number, (what, asks, target, to_mac) in enumerate((
            ("another inside interface", it.bed.client, [it.bed.client_address(family), PORT + 20 + family], ""),
            ("another port of the bridge, straight to the client", first, neighbour, cage.mac(first)))):
        with suite.case(f"{label}: an answer from {what}, by an accomplice that knows the question"):
            name = f"two{number}v{family}.wild.test"
            question = query(815, name, family)
            mark = it.mark()
            with silent(it):
                asker = cage.forge(asks, source, target, background=True, ask=question.hex(), payload="", seconds=0.0)
                it.expect_event(mark, verdict="allow", name=name, dport=53)
                cage.forge(second, source, target, to_mac=to_mac, payload=answer(question, family).hex(), seconds=0.3)
                expect_equal(asker.wait(5), 0, asker.err())
                refuses(it, name, family, asks)


def beginnings(suite: Suite, it: World, cage: Cage, label: str, family: int) -> None:
    first, second = cage.neighbours
    outside = [it.bed.server_address(family, ATTACKER), 5555]
    for what, forges, opens, own, to_mac in (
            ("its own link", it.bed.client, it.bed.client, it.bed.client_address(family), ""),
            ("a neighbour's port of the bridge", second, first, address(family, BRIDGE_LINK, 1), cage.mac(first))):
        with suite.case(f"{label}: a flow that seems to begin outside, by a frame from {what}, opens no way out"):
            mark = it.mark()
            target = [own, PORT + 30 + family]
            cage.forge(forges, outside, target, to_mac=to_mac, payload=b"open".hex(), seconds=0.1)
            cage.forge(opens, outside, target, payload="", seconds=0.0, then=b"secret".hex())
            it.expect_nothing_arrived(mark, UDP, 5555)


def what_must_work(suite: Suite, it: World, cage: Cage, label: str, family: int) -> None:
    first, second = cage.neighbours
    with suite.case(f"{label}: names, and connections to them"):
        for where in ("client", first):
            name = f"works{family}.wild.test"  # Asked anew each time, so that its answer is seen.
            dig = it.bed.run(where, ["dig", "+short", "+time=2", "+tries=1", f"@{it.bed.server_address(family)}", name, "A" if family == 4 else "AAAA"])
            expect_equal(dig.out.strip(), it.bed.server_address(family), dig.describe())
            target = dig.out.strip()
            result = it.bed.run(where, ["curl", "-skS", f"-{family}", "-m", "5", "--resolve",
                                        f"{name}:443:{f'[{target}]' if family == 6 else target}", f"https://{name}/"], 9)
            expect_equal(result.out.strip(), f"vhost {name}", result.describe())
    with suite.case(f"{label}: two workloads of one bridge talk to each other"):
        sink = "import socket; s = socket.create_server(('::', 9000), family=socket.AF_INET6, dualstack_ipv6=True)\nwhile True: s.accept()[0].sendall(b'here')"
        server = it.bed.spawn(second, "neighbour", [sys.executable, "-c", sink])
        it.bed.wait_listening(second, "tcp", 9000)
        got = it.bed.run(first, [sys.executable, "-c", f"import socket; print(socket.create_connection(('{address(family, BRIDGE_LINK, 2)}', 9000), 3).recv(9))"])
        server.stop()
        expect_equal(got.out.strip(), "b'here'", got.describe())


def answers_bound(it: World) -> int:
    return json.loads(it.firewall.status("--json").out)["bindings"]["answers"]


def observing(suite: Suite, it: World, cage: Cage, family: int) -> None:
    with suite.case(f"observing v{family}: an answer from the workload's own link reaches it, and binds nothing"):
        question = query(4711, f"seen{family}.wild.test", family)
        before = answers_bound(it)
        with silent(it):
            source, target = [it.bed.server_address(family, RESOLVER), 53], [it.bed.client_address(family), PORT + 70 + family]
            got = cage.forge(it.bed.client, source, target, ask=question.hex(), payload=answer(question, family).hex(), seconds=0.3)
            expect(got, "observing stops nothing")
            expect_equal(answers_bound(it), before, "bindings from answers")


def on_the_host(suite: Suite, bed: Testbed, servers: Servers, capture: Capture) -> None:
    """What the threat model says of raw sockets on the inspected host itself."""
    extra = EXTRA.replace('resolvers = [', 'resolvers = ["127.0.0.53", ').format(*RESOLVERS)
    with Sallyport(bed, policy_text(bed, RULES, extra=extra, bind="strict")) as firewall:
        it = World(bed, servers, Clients(bed, servers), capture, firewall)
        for number, (what, family, source, own) in enumerate((("the resolver's address", 4, RESOLVERS[0], bed.client_address(4)),
                                                              ("the resolver's address", 6, RESOLVERS[1], bed.client_address(6)),
                                                              ("the stub's address", 4, "127.0.0.53", "127.0.0.1"))):
            works = source.startswith("127.")
            with suite.case(f"host v{family}: a raw socket on the host {'forges' if works else 'cannot forge'} answers of {what} over the loopback, as documented"):
                name = f"lo{number}.wild.test"
                question = query(4711, name, family)
                request = {"interface": "lo", "source": [source, 53], "target": [own, PORT + 80 + number], "ask": question.hex(),
                           "payload": answer(question, family).hex(), "seconds": 0.3}
                before = answers_bound(it)
                with silent(it):
                    result = bed.run("client", [*ONLY_RAW, sys.executable, "-B", FORGER], 15, stdin=json.dumps(request).encode() + b"\n")
                    expect(result.code == 0 if works else "Operation not permitted" in result.err, result.describe())
                    expect_equal(answers_bound(it), before + works, "bindings from answers")


        for family in (4, 6):
            with suite.case(f"host v{family}: a raw socket on the host cannot begin a flow from outside over the loopback"):
                mark = it.mark()
                outside, own = [bed.server_address(family, ATTACKER), 5555], [bed.client_address(family), PORT + 90 + family]
                request = {"interface": "lo", "source": outside, "target": own, "payload": b"open".hex(), "then": b"secret".hex(), "seconds": 0.1}
                result = bed.run("client", [*ONLY_RAW, sys.executable, "-B", FORGER], 15, stdin=json.dumps(request).encode() + b"\n")
                expect("Operation not permitted" in result.err, result.describe())
                expect(not [p for p in capture.packets(mark[0]) if p.dport == 5555 and p.payload == b"secret"], "it left")


@contextmanager
def caged(suite: Suite, bed: Testbed, servers: Servers, capture: Capture, inside: str, *arguments: str):
    policy = policy_text(bed, RULES, extra=EXTRA.format(*RESOLVERS), bind="strict", on_exit="open").replace(f'["{bed.inside_interface}"]', inside)
    with Sallyport(bed, policy, *arguments) as firewall:
        suite.on_failure = firewall.log
        yield World(bed, servers, Clients(bed, servers), capture, firewall)
        suite.on_failure = None


def body(suite: Suite) -> None:
    with Testbed("gateway") as bed, Servers(bed) as servers:
        cage = Cage(bed)
        servers.start_web()
        servers.start_dns()
        servers.dns = bed.processes[-1]
        capture = Capture(bed)
        with caged(suite, bed, servers, capture, '["west", "br0"]') as it:
            for family in (4, 6):
                label = f"enforcing v{family}"
                what_must_work(suite, it, cage, label, family)
                answers_of_one(suite, it, cage, label, family)
                answers_of_two(suite, it, cage, label, family)
                beginnings(suite, it, cage, label, family)
                what_must_work(suite, it, cage, f"{label}, afterwards", family)
        with caged(suite, bed, servers, capture, '["west", "br0", "east"]') as it:
            for family in (4, 6):
                what_must_work(suite, it, cage, f"resolver behind an inside interface v{family}", family)
        with caged(suite, bed, servers, capture, '["west", "br0"]', "--observe") as it:
            for family in (4, 6):
                observing(suite, it, cage, family)
    with Testbed("host") as bed, Servers(bed) as servers:
        servers.start_web()
        servers.start_dns()
        servers.dns = bed.processes[-1]
        on_the_host(suite, bed, servers, Capture(bed))


if __name__ == "__main__":
    skip_unless_possible(binary(), ("curl", "nginx", "dnsmasq", "dig", "setpriv"))
    Suite("forged_answers", 200).main(body)
