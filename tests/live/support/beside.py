"""Rulesets of other tools, as those tools make them, and what must be true of each: ours judge, theirs stay byte by byte."""

from __future__ import annotations

import re
import time

from .clients import Clients
from .daemon import Sallyport, rulesets
from .displaced import expect_judged, foreign, in_place, ours, saved
from .proc import wait_until
from .suite import Suite, expect, expect_equal

# A distribution's /etc/nftables.conf: `systemctl reload nftables` feeds it to `nft -f`.
NFTABLES_CONF = """flush ruleset
table inet filter {
  set admins {
    type ipv4_addr
    flags interval
    elements = { 10.91.0.0/16 }
  }
  chain input {
    type filter hook input priority 0; policy drop;
    ct state established,related accept
    iif lo accept
    ip saddr @admins accept
    meta l4proto { icmp, ipv6-icmp } accept
  }
  chain forward {
    type filter hook forward priority 0; policy drop;
  }
  chain output {
    type filter hook output priority 0; policy accept;
    tcp dport 25 counter drop
  }
  chain early {
    type filter hook output priority -300; policy accept;
    ip daddr 203.0.113.9 drop
  }
}
table ip site_nat {
  chain post {
    type nat hook postrouting priority 100; policy accept;
    ip saddr 172.30.0.0/16 masquerade
  }
}
"""
# tailscaled, netfilter mode on: its chains, and the jumps that it inserts first. Marks 0x40000 and 0x80000 of 0xff0000.
TAILSCALE = """*filter
:ts-input - [0:0]
:ts-forward - [0:0]
-A ts-input -s 100.101.102.103/32 -i lo -j ACCEPT
-A ts-input -s 100.115.92.0/23 ! -i tailscale0 -j RETURN
-A ts-input -s 100.64.0.0/10 ! -i tailscale0 -j DROP
-A ts-input -i tailscale0 -j ACCEPT
-A ts-input -p udp -m udp --dport 41641 -j ACCEPT
-A ts-forward -i tailscale0 -j MARK --set-xmark 0x40000/0xff0000
-A ts-forward -m mark --mark 0x40000/0xff0000 -j ACCEPT
-A ts-forward -s 100.64.0.0/10 -o tailscale0 -j DROP
-A ts-forward -o tailscale0 -j ACCEPT
-I INPUT 1 -j ts-input
-I FORWARD 1 -j ts-forward
COMMIT
*nat
:ts-postrouting - [0:0]
-A ts-postrouting -m mark --mark 0x40000/0xff0000 -j MASQUERADE
-I POSTROUTING 1 -j ts-postrouting
COMMIT
"""
TAILSCALE_AGAIN = ["iptables -D INPUT -j ts-input", "iptables -I INPUT 1 -j ts-input"]
# kube-proxy in iptables mode, with one service; marks 0x4000 (to be masqueraded) and 0x8000 (to be dropped).
KUBE_PROXY = """*nat
:KUBE-SERVICES - [0:0]
:KUBE-NODEPORTS - [0:0]
:KUBE-POSTROUTING - [0:0]
:KUBE-MARK-MASQ - [0:0]
:KUBE-SVC-TCOU7JCQXEZGVUNU - [0:0]
:KUBE-SEP-6E7XQMQ4RAYOWTTM - [0:0]
-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A OUTPUT -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING
-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000
-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
-A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0
-A KUBE-POSTROUTING -m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE --random-fully
-A KUBE-SERVICES -d 10.96.0.10/32 -p tcp -m comment --comment "default/web cluster IP" -m tcp --dport 443 -j KUBE-SVC-TCOU7JCQXEZGVUNU
-A KUBE-SERVICES -m comment --comment "kubernetes service nodeports" -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS
-A KUBE-SVC-TCOU7JCQXEZGVUNU ! -s 10.244.0.0/16 -d 10.96.0.10/32 -p tcp -m tcp --dport 443 -j KUBE-MARK-MASQ
-A KUBE-SVC-TCOU7JCQXEZGVUNU -j KUBE-SEP-6E7XQMQ4RAYOWTTM
-A KUBE-SEP-6E7XQMQ4RAYOWTTM -s {backend}/32 -j KUBE-MARK-MASQ
-A KUBE-SEP-6E7XQMQ4RAYOWTTM -p tcp -m tcp -j DNAT --to-destination {backend}:443
COMMIT
*filter
:KUBE-FIREWALL - [0:0]
:KUBE-FORWARD - [0:0]
:KUBE-PROXY-FIREWALL - [0:0]
-A INPUT -j KUBE-FIREWALL
-A OUTPUT -j KUBE-FIREWALL
-A FORWARD -m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD
-A FORWARD -m conntrack --ctstate NEW -j KUBE-PROXY-FIREWALL
-A KUBE-FIREWALL -m mark --mark 0x8000/0x8000 -j DROP
-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP
-A KUBE-FORWARD -m mark --mark 0x4000/0x4000 -j ACCEPT
-A KUBE-FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
COMMIT
*mangle
:KUBE-KUBELET-CANARY - [0:0]
COMMIT
"""
# wg-quick with AllowedIPs = 0.0.0.0/0: the marks without a mask, inserted first.
WG_QUICK = """*raw
-I PREROUTING ! -i wg0 -d 10.8.0.2 -m addrtype ! --src-type LOCAL -j DROP -m comment --comment "wg-quick(8) rule for wg0"
COMMIT
*mangle
-I POSTROUTING -m mark --mark 51820 -p udp -j CONNMARK --save-mark -m comment --comment "wg-quick(8) rule for wg0"
-I PREROUTING -p udp -j CONNMARK --restore-mark -m comment --comment "wg-quick(8) rule for wg0"
COMMIT
"""


def load(bed, text: str, tool: str = "iptables") -> None:
    result = bed.run("firewall", [f"{tool}-restore", "--noflush"], stdin=text.encode())
    expect_equal(result.code, 0, result.describe())


def shell(bed, *commands: str, where: str = "firewall") -> None:
    for command in commands:
        result = bed.run(where, ["sh", "-c", command])
        expect_equal(result.code, 0, result.describe())


def native(bed) -> str:
    """native returns the tables of nftables proper, without those of iptables."""
    text = rulesets(bed)["nft"]
    kept, keep = [], False
    for line in text.splitlines():
        if line.startswith("table "):
            words = line.split()
            keep = not (words[1] in ("ip", "ip6") and words[2] in ("filter", "mangle", "nat", "raw", "security"))
        if keep:
            kept.append(line)
    return "\n".join(kept)


class Beside:
    """One tool's ruleset stands in the firewall's namespace; ours comes, works, is displaced, comes back, and goes."""

    def __init__(self, suite: Suite, bed, clients: Clients, label: str, tools: tuple[str, ...] = ("iptables", "ip6tables")):
        self.suite, self.bed, self.clients, self.label, self.tools = suite, bed, clients, label, tools

    def theirs(self) -> str:
        return foreign(self.bed, self.tools) + "\n" + native(self.bed)

    def run(self, policy: str, disturbances: list[tuple[str, object]], families: tuple[int, ...] = (4, 6), judged=None) -> None:
        """run: each disturbance is its name and a function (or commands) of what the other tool does while ours runs."""
        bed, judged = self.bed, judged or (lambda: expect_judged(self.clients, families))
        before = rulesets(bed) if self.tools[0] == "iptables" else {tool: saved(bed, tool) for tool in self.tools}
        theirs = set(self.theirs().splitlines())
        with Sallyport(bed, policy) as firewall:
            self.suite.on_failure = firewall.log
            with self.suite.case(f"{self.label}: what is allowed passes, what is not is refused, their rules are untouched"):
                judged()
                lost = [line for line in theirs - set(self.theirs().splitlines()) if not line.endswith(" [0:0]")]
                expect_equal(lost, [], "their lines that are gone")
            wanted = {tool: ours(saved(bed, tool)) for tool in self.tools}
            for name, action in disturbances:
                self.disturb(firewall, wanted, name, action, judged)
            expect_equal(firewall.stop(), 0, "exit code")
        with self.suite.case(f"{self.label}: afterwards their rules are what they were, byte for byte"):
            after = rulesets(bed) if self.tools[0] == "iptables" else {tool: saved(bed, tool) for tool in self.tools}
            if not disturbances:
                expect_equal(after, before, "rulesets")
            expect("SALLYPORT" not in "".join(after.values()), "rules of ours are left")
            # A table that iptables-legacy has used stays, empty.
            more = [line for line in set(self.theirs().splitlines()) - theirs if "legacy" not in line or not re.search(r"\*|ACCEPT \[", line)]
            expect_equal(more, [], "lines that they did not have")
            expect_equal(theirs - set(self.theirs().splitlines()), set(), "lines that are gone")

    def disturb(self, firewall: Sallyport, wanted: dict, name: str, action, judged) -> None:
        with self.suite.case(f"{self.label}: {name}: ours are back, theirs are as they made them"):
            time.sleep(1.2)
            since = firewall.mark()
            started = time.monotonic()
            if callable(action):
                action()
            else:
                shell(self.bed, *action)
            done = time.monotonic()
            expect(wait_until(lambda: in_place(self.bed, wanted), 8.0, 0.02), f"not put back\n{saved(self.bed)[-1500:]}")
            print(f"     {name}: took {done - started:.2f} s; in place {max(0.0, time.monotonic() - done) * 1000:.0f} ms after its end")
            made = self.theirs()
            displaced = lambda: [event for event in firewall.events()[since:] if event["event"] == "rules_displaced"]  # noqa: B023, E731
            # A repair that a tool's next step undoes is told as failed, and the next one as done, behind the rules.
            wait_until(lambda: not displaced() or displaced()[-1]["repaired"], 4.0)
            events = displaced()
            for event in events:
                expect(event["repaired"] or events[-1]["repaired"], str(event))
            judged()
            expect_equal(self.theirs(), made, "their rules behind the repair")
            self.last_events = events
