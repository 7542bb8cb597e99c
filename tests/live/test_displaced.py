#!/usr/bin/env python3
"""Rules that others flush, delete, change or stand in front of are put back within a second, and it is said."""

import shutil
import signal
import time

from support import Sallyport, Servers, Suite, Testbed, binary, expect, expect_equal, policy_text, skip_unless_possible
from support.clients import Clients
from support.daemon import LEGACY, allow, rulesets
from support.displaced import expect_judged, foreign, in_place, kinds, ours, saved, until_back
from support.proc import PATIENCE, wait_until

RULES = allow("allowed.test", "tls", "443")
TOOLS = ("iptables", "ip6tables")
# Each: what somebody does, and what must be found.
DISPLACEMENTS = [
    ("filter flushed", "iptables -F", {"table_flushed"}),
    ("every ruleset flushed, as `systemctl restart nftables` does", "nft flush ruleset", {"table_flushed"}),
    ("the jump deleted", "iptables -D OUTPUT 1", {"jump_missing"}),
    ("the IPv6 jump deleted", "ip6tables -D INPUT 1", {"jump_missing"}),
    ("a rule before the jump", "iptables -I OUTPUT 1 -p tcp --dport 1 -j ACCEPT", {"jump_moved"}),
    ("the jump a second time", "iptables -A OUTPUT -j SALLYPORT-OUT", {"jump_changed"}),
    ("a jump from another chain", "iptables -A FORWARD -j SALLYPORT-DENY", {"jump_added"}),
    ("a chain of ours emptied", "iptables -F SALLYPORT-EVAL", {"chain_changed"}),
    ("one rule of ours deleted", "iptables -t mangle -D SALLYPORT-GUARD 1", {"chain_changed"}),
    ("a rule of ours in another place", "iptables -I SALLYPORT-OUT 1 -j RETURN", {"chain_changed"}),
]
# A client that opens a connection, says one line, waits for a file to be gone, and says another.
WINDOW = """import os, socket, sys, time
address, port, gate = sys.argv[1], int(sys.argv[2]), sys.argv[3]
s = socket.create_connection((address, port), timeout=5)
s.sendall(b"in the window\\n")
print("sent", flush=True)
while os.path.exists(gate): time.sleep(0.02)
try:
    s.sendall(b"behind it\\n"); time.sleep(0.3); s.sendall(b"and more\\n"); s.settimeout(3); print("read", s.recv(10))
except OSError as error:
    print("cut:", error)
"""
SINK = """import socket, sys
s = socket.create_server(("::", int(sys.argv[1])), family=socket.AF_INET6, dualstack_ipv6=True)
while True:
    c, _ = s.accept(); c.settimeout(6)
    try:
        while data := c.recv(100): print(data, flush=True)
    except OSError as error: print("ended", error, flush=True)
"""


def body(suite: Suite) -> None:
    if LEGACY:
        print("SKIPPED: no iptables-nft here, so all but the half for iptables-legacy is left out")
    else:
        notified(suite)
    if shutil.which("iptables-legacy"):
        legacy(suite)
    else:
        print("SKIPPED: no iptables-legacy here, so the half for it is left out")


def notified(suite: Suite) -> None:
    """With iptables-nft the kernel says that rules change."""
    with Testbed("host") as bed, Servers(bed) as servers:
        servers.start_web()
        clients = Clients(bed, servers)
        bed.run("firewall", ["sh", "-c", "iptables -A OUTPUT -p tcp --dport 25 -j DROP; nft add table inet site"])
        with Sallyport(bed, policy_text(bed, RULES)) as firewall:
            suite.on_failure = firewall.log
            wanted = {tool: ours(saved(bed, tool)) for tool in TOOLS}
            expect_judged(clients)
            for what, command, found in DISPLACEMENTS:
                displaced(suite, bed, clients, firewall, wanted, (what, command, found))
            left_alone(suite, bed, firewall)
            window(suite, bed, firewall, wanted)
        again_and_again(suite, bed)
        on_purpose(suite, bed)


def displaced(suite: Suite, bed, clients: Clients, firewall: Sallyport, wanted: dict, case: tuple) -> None:
    what, command, found = case
    time.sleep(0.8)  # As many as came at once would be put back once a second.
    with suite.case(f"{what}: put back within a second, with an event"):
        since = firewall.mark()
        started = time.monotonic()
        expect_equal(bed.run("firewall", command.split()).code, 0, command)
        after = foreign(bed)
        event = until_back(bed, firewall, wanted, since, started, 1.0)
        print(f"     {what}: back after {event['seen_after'] * 1000:.0f} ms of the command, {event['after_ms']} ms of its notice")
        expect(found & kinds(event), str(event))
        expect(event["by"]["process"] in ("iptables", "ip6tables", "nft"), str(event))
        expect("rules displaced by" in firewall.process.err(), "nothing on standard error")
        if "flush" not in command:
            expect_equal(foreign(bed), after, "foreign rules behind the repair")
        if command.startswith("nft"):
            expect_judged(clients)


def left_alone(suite: Suite, bed, firewall: Sallyport) -> None:
    with suite.case("what others change beside our rules is no displacement"):
        time.sleep(1.5)
        since, before = firewall.mark(), firewall.process.err()
        for command in ("iptables -A OUTPUT -p tcp --dport 26 -j DROP", "nft add table inet other", "nft add rule ip filter OUTPUT counter",
                        "iptables -t nat -A POSTROUTING -s 172.30.0.0/16 -j MASQUERADE", "ip6tables -N SITE", "iptables -D OUTPUT -p tcp --dport 26 -j DROP"):
            expect_equal(bed.run("firewall", command.split()).code, 0, command)
        time.sleep(1.0)
        expect_equal([event for event in firewall.events()[since:] if event["event"] == "rules_displaced"], [], "events")
        expect_equal(firewall.process.err(), before, "standard error")
        expect('"in_place":true' in firewall.status("--json").out.replace(" ", ""), firewall.status("--json").out)


def window(suite: Suite, bed, firewall: Sallyport, wanted: dict) -> None:
    with suite.case("a connection that began while the rules were away is judged once they are back, and cut"):
        sink = bed.spawn("server", "sink", ["/usr/bin/python3", "-c", SINK, "7777"])
        bed.wait_listening("server", "tcp", 7777)
        gate = bed.scratch / "gate"
        gate.touch()
        firewall.process.signal(signal.SIGSTOP)
        try:
            bed.run("firewall", ["nft", "flush", "ruleset"])
            client = bed.spawn("client", "window", ["/usr/bin/python3", "-c", WINDOW, bed.server_address(4), "7777", str(gate)])
            expect(wait_until(lambda: "sent" in client.out(), 5.0), client.err())
        finally:
            firewall.process.signal(signal.SIGCONT)
        expect(wait_until(lambda: in_place(bed, wanted), 3.0), "not put back")
        gate.unlink()
        client.wait(8.0)
        expect("cut:" in client.out(), client.out())
        expect("in the window" in sink.out() and "behind it" not in sink.out(), sink.out())


def again_and_again(suite: Suite, bed) -> None:
    with suite.case("somebody who displaces them again and again: bounded, said once, and still put back"):
        with Sallyport(bed, policy_text(bed, RULES)) as firewall:
            wanted = {tool: ours(saved(bed, tool)) for tool in TOOLS}
            begun = time.monotonic()
            said = False  # Where a repair takes a second, a fight takes longer to tell.
            while time.monotonic() - begun < 10.0 * PATIENCE or not said:
                expect(time.monotonic() - begun < 30.0 * PATIENCE, firewall.process.err())
                bed.run("firewall", ["iptables", "-D", "OUTPUT", "-j", "SALLYPORT-OUT"])
                time.sleep(0.05)
                said = "again and again" in firewall.process.err()
            took = time.monotonic() - begun
            repairs = [event for event in firewall.events() if event["event"] == "rules_displaced"]
            expect(8 <= len(repairs) <= 1.3 * took, f"{len(repairs)} repairs in {took:.0f} s")
            expect_equal(firewall.process.err().count("again and again"), 1, firewall.process.err())
            expect(repairs[-1]["next_after_ms"] >= 2000, str(repairs[-1]))
            expect(wait_until(lambda: in_place(bed, wanted), 12.0), "not put back at the end")


def on_purpose(suite: Suite, bed) -> None:
    with suite.case("`rules remove` is meant: a service that runs leaves them away, until its next start"):
        with Sallyport(bed, policy_text(bed, RULES)) as firewall:
            expect_equal(firewall.remove_rules().code, 0, "exit code")
            time.sleep(1.0)
            expect("SALLYPORT" not in rulesets(bed)["iptables-save"], "they are back")
            expect(wait_until(lambda: "rules remove" in firewall.process.err(), 2.0), firewall.process.err())
            expect('"removed":true' in firewall.status("--json").out.replace(" ", ""), firewall.status("--json").out)
        with Sallyport(bed, policy_text(bed, RULES)) as firewall:
            wanted = {tool: ours(saved(bed, tool)) for tool in TOOLS}
            since, started = firewall.mark(), time.monotonic()
            bed.run("firewall", ["iptables", "-F"])
            until_back(bed, firewall, wanted, since, started)


def legacy(suite: Suite) -> None:
    tools = ("iptables-legacy", "ip6tables-legacy")
    with Testbed("host") as bed, Servers(bed) as servers:
        servers.start_web()
        bed.run("firewall", ["sh", "-c", "iptables-legacy -A OUTPUT -p tcp --dport 25 -j DROP; ip6tables-legacy -A INPUT -p tcp --dport 25 -j DROP"])
        with Sallyport(bed, policy_text(bed, RULES)) as firewall:
            suite.on_failure = firewall.log
            with suite.case("iptables-legacy: its rules are ours to stand beside, and flushed ones are put back without notifications"):
                wanted = {tool: ours(saved(bed, tool)) for tool in tools}
                expect(all(wanted.values()), "not the legacy back end")
                expect_judged(Clients(bed, servers))
                for command in ("iptables-legacy -F", "ip6tables-legacy -t mangle -F", "iptables-legacy -D OUTPUT 1"):
                    since, started = firewall.mark(), time.monotonic()
                    expect_equal(bed.run("firewall", command.split()).code, 0, command)
                    event = until_back(bed, firewall, wanted, since, started, 2.0)
                    print(f"     {command}: back after {event['seen_after'] * 1000:.0f} ms")
                expect_judged(Clients(bed, servers))
        suite.on_failure = None
        locked(suite, bed, tools)


def locked(suite: Suite, bed: Testbed, tools: tuple[str, str]) -> None:
    lock = bed.scratch / "xtables.lock"
    lock.write_text("")
    # The machine's own lock stays free for others.
    before = f"touch /run/xtables.lock && mount --bind {lock} /run/xtables.lock"
    with Sallyport(bed, policy_text(bed, RULES), before=before) as firewall, \
            suite.case("iptables-legacy: who holds the lock makes a reload fail and say so; what is flushed meanwhile comes back"):
        wanted = {tool: ours(saved(bed, tool)) for tool in tools}
        holder = bed.spawn("firewall", "holder", ["flock", str(lock), "sleep", "60"])
        expect(wait_until(lambda: bed.run("firewall", ["flock", "-n", str(lock), "true"]).code != 0, 5.0), holder.err())
        former = firewall.policy_path.read_text()
        firewall.policy_path.write_text(former + allow("192.0.2.1", "icmp"))
        started = time.monotonic()
        result = firewall.command("reload", "--control", str(firewall.control), timeout=60.0)
        print(f"     {result.err.strip()}: {time.monotonic() - started:.1f} s")
        expect_equal(result.code, 1, result.describe())
        expect("xtables lock" in result.err, result.describe())
        expect(time.monotonic() - started < 14.0 * PATIENCE, "it waits for longer than it may")
        expect_equal({tool: ours(saved(bed, tool)) for tool in tools}, wanted, "the rules of the policy that was in force")
        expect_equal(bed.run("firewall", ["iptables-legacy", "-F"]).code, 0, "flush")
        time.sleep(1.0)
        holder.stop(1.0)
        expect(wait_until(lambda: {tool: ours(saved(bed, tool)) for tool in tools} == wanted, 15.0), firewall.log())
        result = firewall.command("reload", "--control", str(firewall.control), timeout=60.0)
        expect_equal(result.code, 0, result.describe())


if __name__ == "__main__":
    skip_unless_possible(binary(), ("curl", "nginx", "nft"))
    Suite("displaced", 170).main(body)
