#!/usr/bin/env python3
"""`sallyport doctor` on hosts that are well and on hosts that are not: it finds what was planted, and changes nothing."""

import json
import shutil
import signal

from support import Sallyport, Suite, Testbed, binary, expect, expect_equal, policy_text, skip_unless_possible
from support.beside import KUBE_PROXY, TAILSCALE, WG_QUICK, load, shell
from support.daemon import allow, rulesets
from support.proc import wait_until

# Binds a queue as any program does (NFQNL_MSG_CONFIG with NFQNL_CFG_CMD_BIND), and holds it.
HOLDER = """import socket, struct, sys, time
s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)
s.bind((0, 0))
command = struct.pack("=HHBBH", 8, 1, 1, 0, 0)
body = struct.pack("=BBH", 0, 0, socket.htons(int(sys.argv[1]))) + command
s.send(struct.pack("=IHHII", 16 + len(body), 3 << 8 | 2, 5, 1, 0) + body)
print("answer", struct.unpack_from("=i", s.recv(4096), 16)[0], flush=True)
time.sleep(60)
"""

BOTH = bool(shutil.which("iptables-nft") and shutil.which("iptables-legacy"))
BACK_END = "iptables-nft" if shutil.which("iptables-nft") else "iptables-legacy"


class Doctor:
    def __init__(self, bed):
        self.bed = bed
        self.policy = bed.scratch / "policy.toml"
        self.policy.write_text(policy_text(bed, allow("allowed.test", "tls", "443"), queues=1))

    def __call__(self, code: int = 0, **how) -> list[dict]:
        before = rulesets(self.bed)
        result = self.bed.run("firewall", [binary(), "doctor", "--json", "--policy", str(self.policy)], 60, **how)
        expect_equal(result.code, code, result.describe())
        expect_equal(rulesets(self.bed), before, "rules after it")
        report = json.loads(result.out)
        order = ("ok", "note", "warn", "fail")
        expect_equal(report["worst"], order[max(order.index(row["level"]) for row in report["findings"])], "worst")
        return report["findings"]


def expect_found(findings: list[dict], level: str, check: str, words: str) -> None:
    expect(any((row["level"], row["check"]) == (level, check) and words in row["text"] for row in findings), f"{level} {check} {words}: {findings}")


def body(suite: Suite) -> None:
    with Testbed("host") as bed:
        doctor = Doctor(bed)
        with suite.case("a host that is well: a packet went round, nothing fails, exit code 0"):
            findings = doctor()
            expect_found(findings, "ok", "nfqueue", "a queue was bound")
            expect_found(findings, "ok", "rules", f"{BACK_END}: the policy's rules were applied in a namespace of their own, and a packet went round")
            expect_found(findings, "ok", "iptables", f"chosen: {BACK_END}")
            expect_found(findings, "ok", "conntrack", "connection tracking can be read")
            expect_found(findings, "ok", "marks", "nobody's rules")
            expect_found(findings, "ok", "service", "nothing listens")
            expect("SALLYPORT" not in rulesets(bed)["iptables-save"], "it left rules")
        with suite.case("the table for people has the same lines, and what to change"):
            result = bed.run("firewall", [binary(), "doctor", "--policy", str(doctor.policy)], 60)
            expect(result.code == 0 and "OK    kernel" in result.out and "-> sysctl" in result.out and "\x1b" not in result.out, result.describe())
        with suite.case("without root it says what it could not ask"):
            findings = doctor(uid=65534)
            expect_found(findings, "note", "root", "not root")
        with suite.case("it sees the service, its rules and its queue"):
            with Sallyport(bed, doctor.policy.read_text()) as firewall:
                findings = doctor()
                expect_found(findings, "ok", "service", "it runs")
                expect_found(findings, "ok", "jumps", "our rules are in place, first in")
                expect_found(findings, "ok", "queues", "queue 0 is held by sallyport")
                firewall.process.signal(signal.SIGKILL)
                firewall.process.wait(5)
                shell(bed, "iptables -I OUTPUT -p tcp --dport 9 -j ACCEPT")
                expect_found(doctor(), "warn", "jumps", "our jump in filter OUTPUT stands behind: OUTPUT -p tcp")
        with suite.case("another program has the queue that the service needs: exit code 1, and its name"):
            holder = bed.spawn("firewall", "holder", ["/usr/bin/python3", "-c", HOLDER, "0"])
            expect(wait_until(lambda: holder.out() == "answer 0\n", 5.0), holder.out() + holder.err())
            expect_found(doctor(1), "fail", "queues", "queue 0 is held by python3")
            holder.stop()
        tools(suite, bed, doctor)
    if not shutil.which("iptables-nft"):
        return
    with Testbed("host") as bed:
        doctor = Doctor(bed)
        with suite.case("native rules in a table of iptables: exit code 1"):
            shell(bed, "iptables -A OUTPUT -p tcp --dport 25 -j DROP", "nft add rule ip filter OUTPUT ct state new counter")
            expect_found(doctor(1), "fail", "iptables", "native nftables rules")


def tools(suite: Suite, bed, doctor: Doctor) -> None:
    with suite.case("others' rules: tools by name, marks that matter and marks that do not, both back ends"):
        load(bed, TAILSCALE)
        load(bed, KUBE_PROXY.replace("{backend}", bed.server_address(4)))
        expect_found(doctor(), "ok", "marks", "nobody's rules")
        load(bed, WG_QUICK)
        shell(bed, "iptables -A INPUT -p udp --dport 9 -j NFQUEUE --queue-num 77")
        if BOTH:
            shell(bed, "iptables-legacy -A OUTPUT -p tcp --dport 25 -j DROP")
        findings = doctor()
        expect_found(findings, "ok", "others", "seen: Tailscale, kube-proxy, wg-quick")
        expect_found(findings, "warn", "marks", "copies our verdict from the ct mark")
        expect_found(findings, "warn", "marks", "overwrites our verdict in the ct mark")
        expect_found(findings, "warn", "queues", "--queue-num 77")
        if BOTH:
            expect_found(findings, "warn", "iptables", "both have rules")
            expect_found(findings, "ok", "rules", "iptables-legacy: the policy's rules were applied")


if __name__ == "__main__":
    skip_unless_possible(binary(), ("nft",))
    Suite("doctor", 150).main(body)
