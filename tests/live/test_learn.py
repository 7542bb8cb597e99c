#!/usr/bin/env python3
"""Learn from a live service: what an observing one wrote to its event file, then the same traffic under what was learned from it."""

import json
import re

from support import Suite, binary, expect, expect_equal, skip_unless_possible
from support.clients import Clients, http3_worked
from support.daemon import Sallyport, policy_text
from support.proc import wait_until
from support.servers import ODD_TLS_PORT, Servers
from support.testbed import Testbed

# As an operator begins: nothing is allowed yet, and the answers for names of this network are to be believed.
TRUST = '[dns]\nprivate = [".test"]\n'


def settings(bed, mode: str, events) -> str:
    """settings returns the policy without rules: names count at their own addresses alone."""
    extra = TRUST.replace("[dns]\n", f'[dns]\nresolvers = ["{bed.server_address(4)}", "{bed.server_address(6)}"]\nrebinding = "refuse"\n')
    return policy_text(bed, "", mode=mode, bind="strict", extra=extra + f'[events]\noutput = ["stdout", "file:{events}"]\nfold = "0s"\n')


class Traffic:
    """What the clients do. No name is in a hosts file: each is looked up, as anywhere."""

    def __init__(self, bed, servers):
        self.bed, self.servers, self.clients = bed, servers, Clients(bed, servers)

    def page(self, url: str, family: int):
        return self.clients.curl(url, family)

    def each(self, family: int) -> None:
        for url in ("https://allowed.test/", f"https://www.allowed.test:{ODD_TLS_PORT}/", "http://other.test/"):
            result = self.page(url, family)
            expect_equal(result.code, 0, result.describe())
        result = self.clients.dig("only.looked-up.test", family, "+short")
        expect_equal(result.out.strip(), self.bed.server_address(4), result.describe())
        result = self.bed.run("client", ["ssh", f"-{family}", *self.servers.ssh_command("second.test", "echo reached")[1:]], 15)
        expect_equal(result.out.strip(), "reached", result.describe())

    def quic(self) -> None:
        result = self.bed.run("client", ["gtlsclient", "--exit-on-all-streams-close", "--timeout=3s", "--no-quic-dump", "--handshake-timeout=3s",
                                         "allowed.test", "443", "https://allowed.test/"], 12)
        expect(http3_worked(result), result.describe())


def rows(path) -> list[dict]:
    lines = path.read_text().split("\n")[:-1] if path.exists() else []
    return [row for row in map(json.loads, lines) if row.get("event", "flow") == "flow"]


def told(firewall: Sallyport, path) -> None:
    """told waits until the event file has all flows that standard output has."""
    def settled() -> bool:
        flows = [event for event in firewall.events() if event.get("event", "flow") == "flow"]
        return bool(flows) and len(rows(path)) >= len(flows)
    firewall.bed.settle(1.0)
    expect(wait_until(settled, 5.0), f"{len(rows(path))} lines in the file\n{firewall.log()}")


def learn(bed, *arguments: str):
    return bed.run("client", [binary(), "learn", *arguments], 60)


def with_sections(bed, learned: str, events) -> str:
    """with_sections puts what was learned beside what it does not say: where the rules go, what is believed, and that it is enforced."""
    own = settings(bed, "enforce", events)
    if re.search(r"^\[dns\]$", learned, re.M):
        own = re.sub(r"^\[dns\]\n(?:\w.*\n)*", "", own, flags=re.M)
    return own + learned.replace("version = 1\n", "", 1)


def under(suite: Suite, label: str, traffic: Traffic, policy: str, name: str) -> None:
    """under runs the traffic under a policy, enforced: nothing of it is denied, and what was not seen is."""
    bed = traffic.bed
    with Sallyport(bed, policy, name=name) as firewall:
        suite.on_failure = firewall.log
        with suite.case(f"{label}: the same traffic is denied nothing"):
            for family in (4, 6):
                traffic.each(family)
            traffic.quic()
            bed.settle(1.0)
            denied = [event for event in firewall.events() if event.get("verdict") == "deny"]
            expect(not denied, f"{denied[:4]}\n{policy}")
            expect(len([event for event in firewall.events() if event.get("verdict") == "allow"]) >= 8, firewall.log())
        with suite.case(f"{label}: a name that was not seen, and a port and a protocol that were not, are denied"):
            for family in (4, 6):
                for url in ("https://denied.test/", "https://other.test/", "http://allowed.test/", f"https://allowed.test:{ODD_TLS_PORT}/"):
                    result = traffic.page(url, family)
                    expect("sallyport: " in result.out + result.err or result.code != 0, f"{url}: {result.describe()}")
            denied = [event for event in firewall.events() if event.get("verdict") == "deny"]
            expect({"denied.test", "other.test", "allowed.test"} <= {event.get("name") for event in denied}, f"{denied}")
        suite.on_failure = None


def body(suite: Suite) -> None:
    with Testbed("host") as bed, Servers(bed) as servers:
        servers.start_web()
        servers.start_ssh()
        servers.start_dns()
        servers.start_quic()
        bed.set_hosts({})
        traffic = Traffic(bed, servers)
        seen, later = bed.scratch / "seen.jsonl", bed.scratch / "later.jsonl"
        observing = settings(bed, "observe", seen)
        with suite.case("an observing service writes down what its clients do"):
            with Sallyport(bed, observing) as firewall:
                for family in (4, 6):
                    traffic.each(family)
                traffic.quic()
                told(firewall, seen)
            names = {row.get("name") for row in rows(seen)}
            expect({"allowed.test", "www.allowed.test", "other.test", "second.test", "only.looked-up.test"} <= names, f"{names}")
        learned = learn(bed, "--from-events", str(seen))
        with suite.case("learn --from-events learns all of it"):
            expect_equal(learned.code, 0, learned.describe())
            expect("bind" not in learned.out, "what the service bound is strict\n" + learned.out)
            expect(f"ports = [{ODD_TLS_PORT}]" in learned.out and '"second.test"' in learned.out, learned.out)
        under(suite, "learned", traffic, with_sections(bed, learned.out, later), "learned")

        running = bed.scratch / "observing.toml"
        running.write_text(observing)
        lacks = learn(bed, "--from-events", str(seen), "--policy", str(running), "--diff")
        with suite.case("--diff: what the running policy lacks is all of it"):
            expect_equal(lacks.code, 1, lacks.describe())
            expect("[dns]" not in lacks.out and '"second.test"' in lacks.out, lacks.out)
        complete = settings(bed, "enforce", later) + lacks.out
        under(suite, "what --diff said, added", traffic, complete, "complete")
        running.write_text(complete)
        with suite.case("--diff: with that nothing is missing, for the service's own new events either"):
            for events in (seen, later):
                again = learn(bed, "--from-events", str(events), "--policy", str(running), "--diff")
                expect_equal(again.code, 0, f"{events.name}: {again.describe()}")


if __name__ == "__main__":
    skip_unless_possible(binary(), ("curl", "nginx", "dig", "dnsmasq", "sshd", "ssh", "gtlsclient", "gtlsserver"))
    Suite("learn", 150).main(body)
