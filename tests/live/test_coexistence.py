#!/usr/bin/env python3
"""Beside the rules of others in one host: nftables, iptables-nft, iptables-legacy, Tailscale, kube-proxy, wg-quick. Their rulesets
are set up as those tools make them; test_coexistence_tools.py runs ufw and firewalld themselves."""

import shutil
import sys

from support import Servers, Suite, Testbed, binary, expect, expect_equal, policy_text, skip_unless_possible
from support.beside import KUBE_PROXY, NFTABLES_CONF, TAILSCALE, TAILSCALE_AGAIN, WG_QUICK, Beside, load, shell
from support.clients import Clients
from support.daemon import allow, rulesets
from support.displaced import expect_judged

RULES = allow("allowed.test", "tls", "443")
SITE = ["iptables -N SITE", "iptables -A SITE -p tcp --dport 25 -j DROP", "iptables -A OUTPUT -j SITE", "iptables -P FORWARD DROP",
        "iptables -t nat -A POSTROUTING -s 172.30.0.0/16 -j MASQUERADE", "ip6tables -A OUTPUT -p tcp --dport 25 -j DROP"]


def body(suite: Suite) -> None:
    chosen = sys.argv[1:]  # Names of tests; none: all.
    for test in (nftables, iptables, legacy, tailscale, kube_proxy, wg_quick):
        if chosen and test.__name__ not in chosen:
            continue
        if test is legacy and not shutil.which("iptables-legacy"):
            print("SKIPPED: no iptables-legacy here, so its part is left out")
            continue
        with Testbed("host") as bed, Servers(bed) as servers:
            servers.start_web()
            test(suite, bed, Clients(bed, servers))


def nftables(suite: Suite, bed, clients: Clients) -> None:
    conf = bed.scratch / "nftables.conf"
    conf.write_text(NFTABLES_CONF)
    shell(bed, f"nft -f {conf}")
    Beside(suite, bed, clients, "nftables").run(policy_text(bed, RULES), [
        ("`nft -f nftables.conf`, which flushes the ruleset, as its service's restart does", [f"nft -f {conf}"]),
        ("`nft flush ruleset` and the file again", ["nft flush ruleset", f"nft -f {conf}"]),
    ])


def iptables(suite: Suite, bed, clients: Clients) -> None:
    shell(bed, *SITE)
    text = bed.scratch / "rules.v4"
    text.write_text(bed.run("firewall", ["iptables-save"]).out)
    Beside(suite, bed, clients, "iptables-nft").run(policy_text(bed, RULES), [
        ("`iptables-restore rules.v4`, as netfilter-persistent does", [f"iptables-restore {text}"]),
        ("`iptables -F` and its rules again", ["iptables -F", "iptables -A SITE -p tcp --dport 25 -j DROP", "iptables -A OUTPUT -j SITE"]),
    ])


def legacy(suite: Suite, bed, clients: Clients) -> None:
    shell(bed, *[line.replace("tables ", "tables-legacy ") for line in SITE])
    text = bed.scratch / "rules.v4"
    text.write_text(bed.run("firewall", ["iptables-legacy-save"]).out)
    Beside(suite, bed, clients, "iptables-legacy alone", ("iptables-legacy", "ip6tables-legacy")).run(policy_text(bed, RULES), [
        ("`iptables-legacy-restore rules.v4`", [f"iptables-legacy-restore {text}"]),
    ])
    with suite.case("iptables-legacy alone: nothing of ours goes to iptables-nft"):
        expect_equal([line for line in rulesets(bed)["nft"].splitlines() if "SALLYPORT" in line], [], "nft")


def tailscale(suite: Suite, bed, clients: Clients) -> None:
    load(bed, TAILSCALE)
    Beside(suite, bed, clients, "Tailscale").run(policy_text(bed, RULES), [("its jump inserted first again", TAILSCALE_AGAIN)])


def kube_proxy(suite: Suite, bed, clients: Clients) -> None:
    load(bed, KUBE_PROXY.replace("{backend}", bed.server_address(4)))

    def judged() -> None:
        expect_judged(clients)
        for name, code in (("allowed.test", 0), ("denied.test", None)):
            result = clients.curl(f"https://{name}/", 4, "--resolve", f"{name}:443:10.96.0.10", timeout=2.0)
            expect(result.code == 0 if code == 0 else result.code != 0, f"by the service's address: {result.describe()}")

    again = KUBE_PROXY.replace("{backend}", bed.server_address(4)).split("-A PREROUTING")[0] + "COMMIT\n"

    def sync() -> None:  # What a sync of kube-proxy does: its chains anew, its jumps as they are.
        text = KUBE_PROXY.replace("{backend}", bed.server_address(4))
        load(bed, "\n".join(line for line in text.splitlines() if not line.startswith(("-A PREROUTING", "-A OUTPUT", "-A POSTROUTING", "-A INPUT", "-A FORWARD"))) + "\n")

    expect("KUBE-SERVICES" in again, "the ruleset")
    Beside(suite, bed, clients, "kube-proxy").run(policy_text(bed, RULES), [("a sync of its chains", sync)], judged=judged)


def wg_quick(suite: Suite, bed, clients: Clients) -> None:
    load(bed, WG_QUICK)
    load(bed, WG_QUICK.replace("10.8.0.2", "fd08::2"), "ip6tables")
    shell(bed, "ip rule add not fwmark 51820 table 51820 priority 32764", "ip rule add table main suppress_prefixlength 0 priority 32763")
    beside = Beside(suite, bed, clients, "wg-quick")
    remove = WG_QUICK.replace("-I ", "-D ")
    beside.run(policy_text(bed, RULES), [("`wg-quick down` and `up`", lambda: (load(bed, remove), load(bed, WG_QUICK)))])


if __name__ == "__main__":
    skip_unless_possible(binary(), ("curl", "nginx", "nft"))
    Suite("coexistence", 170).main(body)
