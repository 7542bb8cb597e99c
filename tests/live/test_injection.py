#!/usr/bin/env python3
"""Packets of the program's own: what bears their mark goes nowhere but where a refusal may go, and leaves no trace in
connection tracking that could let anything else out. The packets are made by hand, as the program makes them."""

import json
import sys
from pathlib import Path

from support import Sallyport, Servers, Suite, Testbed, binary, expect, expect_equal, policy_text, skip_unless_possible
from support.capture import ACK, FIN, RST, SYN, Capture
from support.clients import Clients
from support.daemon import allow
from support.proc import wait_until
from support.testbed import UNPRIVILEGED_UID
from support.world import World

CRAFTED = Path(__file__).parent / "support" / "crafted.py"
TRACKED, UNTRACKED = 0x1D000000, 0x1F000000
ALL_MARKS = [TRACKED, UNTRACKED, 0xA0000000, *range(0x20000000, 0x40000000, 0x01000000)]  # And "pass", and "allow" of any generation.
PSH = 0x08
RAW_WORKLOAD = ["setpriv", f"--reuid={UNPRIVILEGED_UID}", f"--regid={UNPRIVILEGED_UID}", "--clear-groups", "--inh-caps=+net_raw",
                "--ambient-caps=+net_raw", "--"]
OPEN_PORT, DENIED_PORT = 9001, 9000

# Says what it gets on one connection or from one server; `first` and `then` are sent before and after.
CLIENT = """import json, os, socket, sys, time
kind, address, port, first, then = json.loads(sys.argv[1])
own = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, getattr(socket, kind))
own.settimeout(0.2)
own.connect((address, port))
print(json.dumps(own.getsockname()[:2]), flush=True)
def send(text):
    try: own.send(text.encode())
    except OSError: pass
if first: send(first)
got, end = b"", time.monotonic() + 4 * float(os.environ.get("SALLYPORT_PATIENCE", "1"))
while time.monotonic() < end:
    try: more = own.recv(4096)
    except OSError: continue
    got += more
    if kind == "SOCK_DGRAM" or not more: break
print(json.dumps([got.decode(), bool(got) and kind == "SOCK_STREAM" and not more]), flush=True)
if then: send(then)
time.sleep(1)
"""


def body(suite: Suite) -> None:
    rules = allow("10.91.9.2, fd91:0:0:9::2", "tls", str(OPEN_PORT))
    for mode, masquerade in (("host", False), ("gateway", False), ("gateway", True)):
        with Testbed(mode) as bed, Servers(bed) as servers:
            servers.start_sink(DENIED_PORT)
            servers.start_sink(OPEN_PORT)
            capture = Capture(bed)
            if masquerade:
                for tool in ("iptables", "ip6tables"):
                    command = [tool, "-t", "nat", "-A", "POSTROUTING", "-o", "east", "-j", "MASQUERADE"]
                    expect_equal(bed.run("firewall", command).code, 0, " ".join(command))
            label = f"{mode}{' behind a masquerade' if masquerade else ''}"
            if mode == "host":
                without_rules(suite, bed, capture, label)
            policy = policy_text(bed, rules).replace("[defaults]\n", '[defaults]\nrefuse = "drop"\n')
            with Sallyport(bed, policy) as firewall:
                suite.on_failure = firewall.log
                it = World(bed, servers, Clients(bed, servers), capture, firewall)
                for family in (4, 6):
                    nothing_leaves(suite, it, f"{label} v{family}", family)
                    datagrams(suite, it, f"{label} v{family}", family)
                    connections(suite, it, f"{label} v{family}", family, masquerade)
                    a_silenced_client_closes(suite, it, f"{label} v{family}", family)
                    translated(suite, it, f"{label} v{family}", family, masquerade)
            suite.on_failure = None


def send(bed, packets: list, workload: bool = False) -> list:
    """send returns the error of each packet, "" for those that the kernel took."""
    command = [*(RAW_WORKLOAD if workload else []), "/usr/bin/python3", str(CRAFTED)]
    result = bed.run("firewall", command, stdin=json.dumps(packets).encode() + b"\n")
    expect_equal(result.code, 0, result.describe())
    return json.loads(result.out)


def to_the_server(bed, family: int, marks: list) -> list:
    """to_the_server returns packets with a payload, of every kind, from the firewall's own address."""
    own = bed.client_address(family) if bed.mode == "host" else bed.server_address(family).rsplit("." if family == 4 else ":", 1)[0] + \
        (".1" if family == 4 else ":1")
    packets = []
    for mark in marks:
        ends = {"mark": mark, "source": [own, 7777], "target": [bed.server_address(family, 1), DENIED_PORT], "payload": b"leak".hex()}
        packets.append(ends)
        packets += [{**ends, "flags": flags, "seq": 1000} for flags in (SYN, RST, RST | ACK, ACK | PSH, FIN | ACK)]
    return packets


def seen(capture: Capture, mark: int, port: int) -> list:
    return [p for p in capture.packets(mark) if p.dport == port]


def without_rules(suite: Suite, bed, capture: Capture, label: str) -> None:
    for family in (4, 6):
        with suite.case(f"{label} v{family}: without the program all of it arrives"):
            mark = capture.mark()
            packets = to_the_server(bed, family, [TRACKED, UNTRACKED])
            expect_equal(send(bed, packets, workload=True), [""] * len(packets), "errors")
            arrived = [p for p in seen(capture, mark, DENIED_PORT) if p.payload == b"leak"]
            expect_equal(len(arrived), len(packets), "packets at the server")


def nothing_leaves(suite: Suite, it: World, label: str, family: int) -> None:
    if it.bed.mode == "gateway":  # Its own packets are not judged with the forward hook alone; marked as ours they still may not go.
        with suite.case(f"{label}: what root marks as ours does not leave"):
            mark = it.mark()
            errors = send(it.bed, to_the_server(it.bed, family, [TRACKED, UNTRACKED]))
            expect_equal(set(errors), {"EPERM"}, "errors")
            expect_equal(seen(it.capture, mark[0], DENIED_PORT), [], "at the server")
        return
    with suite.case(f"{label}: no mark lets a workload with CAP_NET_RAW send anything"):
        mark = it.mark()
        send(it.bed, to_the_server(it.bed, family, ALL_MARKS), workload=True)
        expect_equal([str(p) for p in seen(it.capture, mark[0], DENIED_PORT)], [], "at the server")
    with suite.case(f"{label}: nor what root marks as ours"):
        mark = it.mark()
        errors = send(it.bed, to_the_server(it.bed, family, [TRACKED, UNTRACKED]))
        expect_equal(set(errors), {"EPERM"}, "errors")
        expect_equal([str(p) for p in seen(it.capture, mark[0], DENIED_PORT)], [], "at the server")


def tracked(bed, port: int) -> list:
    """tracked returns the entries of connection tracking with this port in either direction."""
    lines = []
    for family in ("ipv4", "ipv6"):
        lines += bed.run("firewall", ["conntrack", "-L", "-f", family]).out.splitlines()
    return [line for line in lines if f"port={port} " in line]


def start_client(it: World, name: str, *request) -> tuple:
    client = it.bed.spawn("client", name, ["/usr/bin/python3", "-c", CLIENT, json.dumps(request)])
    expect(wait_until(lambda: "\n" in client.out(), 5.0), f"{client.out()} {client.err()}")
    return client, json.loads(client.out().splitlines()[0])


def outcome(client) -> list:
    expect(wait_until(lambda: client.out().count("\n") == 2, 6.0), f"{client.out()} {client.err()}")
    return json.loads(client.out().splitlines()[1])


def datagrams(suite: Suite, it: World, label: str, family: int) -> None:
    server = [it.bed.server_address(family, 1), DENIED_PORT]
    with suite.case(f"{label}: an answer to a refused datagram arrives, and is no flow: the next datagram does not pass as its reply"):
        mark = it.mark()
        client, own = start_client(it, "asker", "SOCK_DGRAM", *server, "before", "after")
        answer = {"source": server, "target": own, "payload": b"refused".hex()}
        it.expect_event(mark, verdict="deny", sport=own[1])
        expect_equal(send(it.bed, [{**answer, "mark": TRACKED}]), ["EPERM"], "tracked, it would make an entry")
        if it.bed.mode == "host":  # A gateway's own processes are not judged with the forward hook alone.
            expect_equal(send(it.bed, [{**answer, "mark": UNTRACKED}], workload=True), ["EPERM"], "from a workload")
        expect_equal(send(it.bed, [{**answer, "mark": UNTRACKED}]), [""], "untracked")
        expect_equal(tracked(it.bed, own[1]), [], "entries of connection tracking")
        expect_equal(outcome(client)[0], "refused", "what the client read")
        expect(wait_until(lambda: len([e for e in it.firewall.events()[mark[1]:] if e.get("sport") == own[1]]) > 1
                          or not client.running(), 3.0), "the client goes on")
        expect_equal([str(p) for p in seen(it.capture, mark[0], DENIED_PORT)], [], "at the server")
    with suite.case(f"{label}: nor an answer to what connection tracking never saw"):
        own = it.bed.client_address(family)
        answer = {"source": server, "target": [own, 5999], "payload": b"refused".hex(), "mark": UNTRACKED}
        expect_equal(send(it.bed, [answer]), [""], "untracked")
        expect_equal(tracked(it.bed, 5999), [], "entries of connection tracking")


def connections(suite: Suite, it: World, label: str, family: int, masquerade: bool) -> None:
    server = [it.bed.server_address(family), OPEN_PORT]
    with suite.case(f"{label}: a client reads what is injected into its connection, the server gets a bare reset and nothing else"):
        mark = it.mark()
        client, own = start_client(it, "reader", "SOCK_STREAM", *server, "", "")
        # The numbers of both sides are in the handshake, as the server saw it.
        handshake = [p for p in it.capture.packets(mark[0]) if p.flags & SYN]
        (ours,), (theirs,) = ([p for p in handshake if bool(p.flags & ACK) is reply] for reply in (False, True))
        answer = {"source": server, "target": own, "flags": PSH | ACK | FIN, "seq": theirs.seq + 1, "ack": ours.seq + 1,
                  "payload": b"refused".hex()}
        reset = {"source": own, "target": server, "flags": RST, "seq": ours.seq + 1, "mark": TRACKED}
        for wrong in ({**reset, "payload": b"leak".hex()}, {**reset, "flags": RST | FIN}, {**reset, "flags": ACK},
                      {**answer, "target": [own[0], own[1] ^ 1], "mark": TRACKED}):
            expect_equal(send(it.bed, [wrong]), ["EPERM"], str(wrong))
        expect_equal(tracked(it.bed, own[1] ^ 1), [], "entries of what was no reply")
        expect_equal(send(it.bed, [{**answer, "mark": TRACKED}]), ["EPERM" if masquerade else ""], "the answer, tracked")
        if masquerade:
            expect_equal(send(it.bed, [{**answer, "mark": UNTRACKED}]), [""], "the answer, untracked")
        expect_equal(send(it.bed, [reset]), [""], "the reset")
        expect_equal(outcome(client), ["refused", True], "what the client read, and the end")
        expect_equal(len([line for line in tracked(it.bed, own[1])]), 1, "entries of the connection")
        arrived = seen(it.capture, mark[0], OPEN_PORT)
        resets = [p for p in arrived if p.flags & RST and p.src == ours.src and p.sport == ours.sport]
        expect(len(resets) >= 1 and not any(p.payload for p in arrived), f"at the server: {[str(p) for p in arrived]}")


def translated(suite: Suite, it: World, label: str, family: int, masquerade: bool) -> None:
    """The client asks one address and is sent to another: what is inspected has the second."""
    asked, server = it.bed.server_address(family, 2), [it.bed.server_address(family), OPEN_PORT]
    rule = ["-t", "nat", "-A", "OUTPUT" if it.bed.mode == "host" else "PREROUTING", "-d", asked, "-p", "tcp", "-j", "DNAT", "--to-destination", server[0]]
    expect_equal(it.bed.run("firewall", ["iptables" if family == 4 else "ip6tables", *rule]).code, 0, " ".join(rule))
    with suite.case(f"{label}: with the server's address translated the client {'is not told' if masquerade else 'reads the answer all the same'}"):
        mark = it.mark()
        client, own = start_client(it, "translated", "SOCK_STREAM", asked, OPEN_PORT, "", "")
        handshake = [p for p in it.capture.packets(mark[0]) if p.flags & SYN]
        (ours,), (theirs,) = ([p for p in handshake if bool(p.flags & ACK) is reply] for reply in (False, True))
        answer = {"source": server, "target": own, "flags": PSH | ACK | FIN, "seq": theirs.seq + 1, "ack": ours.seq + 1,
                  "payload": b"refused".hex(), "mark": TRACKED}
        reset = {"source": own, "target": server, "flags": RST, "seq": ours.seq + 1, "mark": TRACKED}
        expect_equal(send(it.bed, [reset]), ["EPERM"], "the reset: no original direction has this address")
        expect_equal(send(it.bed, [answer]), ["EPERM" if masquerade else ""], "the answer")
        expect_equal(outcome(client), ["", False] if masquerade else ["refused", True], "what the client read, and the end")


def a_silenced_client_closes(suite: Suite, it: World, label: str, family: int) -> None:
    with suite.case(f"{label}: a client whose flow was silenced closes, gets a reset, and does not linger"):
        mark = it.mark()
        client, own = start_client(it, "closer", "SOCK_STREAM", it.bed.server_address(family), OPEN_PORT, "this is no hello", "")
        it.expect_event(mark, verdict="deny", sport=own[1])
        client.stop()
        gone = lambda: f":{own[1]} " not in it.bed.run("client", ["ss", "-Htan"]).out
        expect(wait_until(gone, 3.0), it.bed.run("client", ["ss", "-tan"]).out)
        after = [p for p in seen(it.capture, mark[0], OPEN_PORT) if p.sport == own[1] and (p.payload or p.flags & (FIN | RST))]
        expect_equal([(p.payload, p.flags) for p in after], [(b"", RST)], "at the server: a bare reset of ours, once")


if __name__ == "__main__":
    skip_unless_possible(binary(), ("conntrack", "setpriv", "ss"))
    Suite("injection", 180).main(body)
