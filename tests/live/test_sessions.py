#!/usr/bin/env python3
"""Sessions that other hosts opened to this one go on: across the ways in which the service starts, and a reload."""

from __future__ import annotations

import time

from support import Suite, binary, expect, expect_equal, skip_unless_possible
from support.daemon import Sallyport, allow, policy_text
from support.proc import wait_until
from support.servers import Servers
from support.testbed import Testbed
from test_existing import OPEN, SESSION, VISITOR, Asker, reload_with, track

RULES = allow("allowed.test", "tls", "443")


def policy(bed, existing: str = "judge", rules: str = RULES) -> str:
    return policy_text(bed, rules, on_exit="closed").replace("[defaults]\n", f'[defaults]\nexisting = "{existing}"\n')


class Session:
    """This host's end speaks first, when `tracked` is there; the visitor types when `go` is."""

    def __init__(self, bed, address: str):
        self.tracked, self.go = bed.scratch / "tracked", bed.scratch / "go"
        self.host = bed.spawn("client", "session", ["/usr/bin/python3", "-c", SESSION, address, str(self.tracked)])
        bed.wait_listening("client", "tcp", 2222)
        self.peer = bed.spawn("server", "visitor", ["/usr/bin/python3", "-c", VISITOR, address, str(self.go)])
        expect(wait_until(lambda: "connected" in self.peer.out(), 5.0), self.peer.err())
        time.sleep(0.3)

    def expect_lives(self, firewall) -> None:
        self.tracked.write_text("")
        expect(wait_until(lambda: "first" in self.peer.out(), 5.0), "dead: " + self.peer.err()[-300:] + firewall.log()[-700:])
        self.go.write_text("")
        expect(wait_until(lambda: self.peer.out().count("answer to key") == 3, 6.0), "dead later: " + self.peer.err()[-300:] + firewall.log()[-700:])


def packaged(suite: Suite, family: int, existing: str, tracked: bool, *arguments: str) -> None:
    """sallyport.service wants sallyport-rules.service: its first start finds rules."""
    before = "tracked before" if tracked else "not tracked before"
    with suite.case(f"host v{family}: `rules apply`, then the first run: {' '.join((existing, *arguments))}, {before}"), Testbed("host") as bed:
        if tracked:
            track(bed)
        firewall = Sallyport(bed, policy(bed, existing), *arguments)
        session = Session(bed, bed.client_address(family))
        expect_equal(firewall.command("rules", "apply", "--policy", str(firewall.policy_path)).code, 0, "apply")
        with firewall:
            session.expect_lives(firewall)


def packaged_allow(suite: Suite) -> None:
    with suite.case("host: `rules apply`, then the first run: allow, a connection of this host's own"), Testbed("host") as bed, Servers(bed) as servers:
        servers.start_web()
        track(bed)
        asker = Asker(bed, servers, OPEN, "denied.test")
        firewall = Sallyport(bed, policy(bed, "allow"))
        expect_equal(firewall.command("rules", "apply", "--policy", str(firewall.policy_path)).code, 0, "apply")
        with firewall:
            asker.expect_answers(2, firewall)


def observed_first(suite: Suite, how: str) -> None:
    with suite.case(f"host v4: observing, {how}, enforcing"), Testbed("host") as bed:
        enforcing = policy(bed)
        with Sallyport(bed, enforcing.replace('mode = "enforce"', 'mode = "observe"')) as firewall:
            session = Session(bed, bed.client_address(4))
            if how == "kill -9":
                firewall.kill()
            else:
                firewall.stop()
            firewall.policy_path.write_text(enforcing)
            firewall.start()
            session.expect_lives(firewall)


def no_file(suite: Suite, family: int) -> None:
    with suite.case(f"host v{family}: kill -9, and no file of what came in"), Testbed("host") as bed:
        session = Session(bed, bed.client_address(family))
        with Sallyport(bed, policy(bed)) as firewall:
            firewall.kill()
            firewall.control.with_suffix(".incoming.json").unlink()
            firewall.start()
            session.expect_lives(firewall)


def gateway_reload(suite: Suite, family: int) -> None:
    with suite.case(f"gateway v{family}: a session straight to the workload, existing = 'allow', a reload without a rule by name at its port"), Testbed("gateway") as bed:
        for tool in ("iptables", "ip6tables"):
            bed.run("firewall", [tool, "-A", "FORWARD", "-m", "conntrack", "--ctstate", "INVALID"])
        session = Session(bed, bed.client_address(family))
        with Sallyport(bed, policy(bed, "allow", RULES + allow("other.test", "tls", "2222"))) as firewall:
            reload_with(firewall, RULES)
            session.expect_lives(firewall)


def body(suite: Suite) -> None:
    for family in (4, 6):
        for existing in ("judge", "kill"):
            for tracked in (True, False):
                packaged(suite, family, existing, tracked)
        packaged(suite, family, "judge", False, "--no-rules")
        no_file(suite, family)
        gateway_reload(suite, family)
    packaged_allow(suite)
    for how in ("a stop", "kill -9"):
        observed_first(suite, how)


if __name__ == "__main__":
    skip_unless_possible(binary(), ("conntrack", "nginx"))
    Suite("sessions", 180).main(body)
