#!/usr/bin/env python3
"""Port drift: what listens, compared with [listeners], by `sallyport audit` and by the running service."""

import json
import time
from pathlib import Path

from support import Suite, Testbed, binary, expect, expect_equal, policy_text, skip_unless_possible
from support.daemon import Sallyport
from support.proc import Process, wait_until

PLANT = Path(__file__).resolve().parent / "support" / "planted.py"
OTHER_UID = 4711
# Nine sockets here, a tenth in the server's namespace.
PLANTED = ("tcp,127.0.0.1,8001", "tcp,0.0.0.0,8002", "tcp,::,8003,only", "tcp,::,8004", "udp,127.0.0.1,8005", "udp,::1,8006", "udp,::,8007",
           "tcp,::1,8009")
OTHERS = ("tcp,127.0.0.1,8008",)
CHILD = ("tcp,0.0.0.0,8010",)
ALLOW = ("127.0.0.1:8001/tcp@gateway", "127.0.0.1:8002/tcp", "[::]:8003/tcp", "0.0.0.0:8004", "[::1]:8006/udp", "*:8007/udp@gateway",
         "127.0.0.1:8008/tcp@gateway", "127.0.0.1:8011/tcp", "*:9000-9100/tcp")
FINDINGS = {("wider", "tcp", "0.0.0.0", 8002, "127.0.0.1:8002/tcp"), ("wider", "tcp", "::", 8004, "0.0.0.0:8004"),
            ("unexpected", "udp", "127.0.0.1", 8005, None), ("unexpected", "tcp", "::1", 8009, None),
            ("other_process", "tcp", "127.0.0.1", 8008, "127.0.0.1:8008/tcp@gateway"), ("missing", None, None, None, "127.0.0.1:8011/tcp")}


def listeners(entries, more: str = "") -> str:
    return "[listeners]\nallow = [" + ", ".join(json.dumps(entry) for entry in entries) + f"]\n{more}"


def plant(bed: Testbed, where: str, name: str, *specs: str, uid: int | None = None) -> Process:
    # Debian's own Python: another user may not read every installation.
    process = bed.spawn(where, name, ["/usr/bin/python3", str(bed.scratch / "planted.py"), "--name", name, *specs], uid=uid)
    if not wait_until(lambda: "planted" in process.out() or not process.running(), 10.0) or not process.running():
        raise RuntimeError(f"not planted: {process.err()}")
    return process


def audit(bed: Testbed, policy: str, *arguments: str, uid: int | None = None):
    path = bed.scratch / "audit.toml"
    path.write_text(policy)
    path.chmod(0o644)
    return bed.run("client", [binary(), "audit", "--policy", str(path), *arguments], uid=uid)


def rows(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def told(findings: list[dict]) -> set:
    return {(row["kind"], row.get("proto"), row.get("address"), row.get("port"), row.get("declared")) for row in findings}


def one_look(suite: Suite, bed: Testbed, here: Process, others: Process, child: Process) -> None:
    policy = "version = 1\n" + listeners(ALLOW)
    with suite.case("ten planted sockets: exactly the planted differences, exit code 1"):
        result = audit(bed, policy, "--json")
        expect_equal(result.code, 1, result.describe())
        expect_equal(told(rows(result.out)), FINDINGS, "findings")
        expect_equal(len(rows(result.out)), len(FINDINGS), "each once")
    with suite.case("each finding has process, pid, user and whether it is dual-stack"):
        by_port = {row.get("port"): row for row in rows(audit(bed, policy, "--json").out)}
        expect_equal((by_port[8002]["process"], by_port[8002]["pid"], by_port[8002]["uid"]), ("gateway", here.pid, 0), "8002")
        expect_equal((by_port[8008]["process"], by_port[8008]["pid"], by_port[8008]["uid"]), ("stranger", others.pid, OTHER_UID), "8008")
        expect_equal((by_port[8004]["dual_stack"], by_port[8002]["dual_stack"]), (True, False), "dual-stack")
        table = audit(bed, policy).out.splitlines()
        expect(table[0].split() == ["FINDING", "PROTO", "SOCKET", "PROCESS", "PID", "USER", "UNIT", "DECLARED"], str(table))
        expect(any(line.split()[:4] == ["wider", "tcp", "*:8004", "gateway"] for line in table), str(table))
    with suite.case("with --netns the tenth, in another network namespace, by that namespace's name"):
        # Other namespaces of this machine are none of ours.
        found = [row for row in rows(audit(bed, policy, "--json", "--netns").out) if row.get("netns") in (None, bed.server)]
        expect_equal(told(found), FINDINGS | {("unexpected", "tcp", "0.0.0.0", 8010, None)}, "findings")
        tenth = next(row for row in found if row.get("port") == 8010)
        expect_equal((tenth["netns"], tenth["pid"], tenth["process"]), (bed.server, child.pid, "boxed"), str(tenth))
        named = "version = 1\n" + listeners([*ALLOW, f"*:8010/tcp@boxed in {bed.server}"])
        expect(8010 not in {row.get("port") for row in rows(audit(bed, named, "--json", "--netns").out)}, "declared there")
    with suite.case("without root a declared process that is not seen is not believed"):
        result = audit(bed, policy, "--json", uid=65534)
        expect_equal(result.code, 1, result.describe())
        expect("not root" in result.err, result.err)
        expect({8001, 8007, 8008} <= {row.get("port") for row in rows(result.out) if row["kind"] == "other_process"}, result.out)
    with suite.case("what is declared in full is no finding: exit code 0"):
        whole = [*ALLOW[:6], "*:8002", "*:8004", "127.0.0.1:8005-8005/udp", "[::1]:8009", "127.0.0.1:8008@stranger"]
        result = audit(bed, "version = 1\n" + listeners(whole))
        expect_equal((result.code, result.out), (0, "as declared: 9 listening sockets\n"), result.describe())
    with suite.case("a policy without [listeners], and none at all: exit code 2"):
        expect_equal(audit(bed, "version = 1\n").code, 2, "no table")
        expect_equal(bed.run("client", [binary(), "audit"]).code, 2, "no policy")


def write(suite: Suite, bed: Testbed) -> None:
    with suite.case("--write prints what listens; audited again it has no finding, and one socket more is one"):
        result = bed.run("client", [binary(), "audit", "--write"])
        expect_equal(result.code, 0, result.describe())
        policy = "version = 1\n" + result.out
        expect('"*:8004/tcp@gateway"' in result.out and "# stranger, pid " in result.out, result.out)
        again = audit(bed, policy)
        expect_equal((again.code, again.out), (0, "as declared: 9 listening sockets\n"), again.describe() + result.out)
        more = plant(bed, "client", "gateway", "tcp,127.0.0.1,8012")
        found = rows(audit(bed, policy, "--json").out)
        more.stop()
        expect_equal(told(found), {("unexpected", "tcp", "127.0.0.1", 8012, None)}, "findings")


def running(suite: Suite, bed: Testbed) -> None:
    extra = listeners([*ALLOW, f"*:1-65535 in {bed.server}"], 'interval = "1s"\n')
    with Sallyport(bed, policy_text(bed, "", extra=extra)) as firewall:
        suite.on_failure = firewall.log

        def findings() -> dict:
            return json.loads(firewall.status("--json").out)["listeners"]

        def drift(port: int, state: str) -> list[dict]:
            return [event for event in firewall.events() if event.get("event") == "port_drift" and event.get("port") == port and event["state"] == state]

        with suite.case("the service tells what differs at its start, once"):
            expect(wait_until(lambda: sum(findings()["findings"].values()) == len(FINDINGS), 10.0), str(findings()))
            looks = findings()["looks"]
            wait_until(lambda: findings()["looks"] >= looks + 2, 6.0)
            events = [event for event in firewall.events() if event.get("event") == "port_drift"]
            expect_equal(told(events), FINDINGS, "events")
            expect_equal(len(events), len(FINDINGS), "each once")
        with suite.case("a new listener is an event and a figure of status, and its end is"):
            begun = findings()["begun"]
            started = time.monotonic()
            new = plant(bed, "client", "intruder", "tcp,0.0.0.0,8020")
            event = firewall.wait_event(0, 10.0, event="port_drift", port=8020)
            expect(time.monotonic() - started < 5, "within the interval")
            expect_equal((event["state"], event["kind"], event["process"], event["pid"]), ("begin", "unexpected", "intruder", new.pid), str(event))
            expect_equal((findings()["begun"], findings()["findings"]["unexpected"]), (begun + 1, 3), str(findings()))
            text = firewall.status().out
            expect("listeners  10 sockets" in text and "3 unexpected" in text, text)
            new.stop()
            firewall.wait_event(0, 10.0, event="port_drift", port=8020, state="end")
            expect_equal((len(drift(8020, "begin")), len(drift(8020, "end"))), (1, 1), "events")
            expect_equal(findings()["findings"]["unexpected"], 2, str(findings()))
        with suite.case("a datagram socket that is gone at once is no event"):
            for port in range(8030, 8036):
                plant(bed, "client", "resolver", f"udp,0.0.0.0,{port}").stop()
            time.sleep(2.5)
            expect_equal([port for port in range(8030, 8036) if drift(port, "begin")], [], "events")
        suite.on_failure = None
    with Sallyport(bed, policy_text(bed, ""), name="undeclared") as firewall:
        with suite.case("without [listeners] nothing is watched"):
            expect("listeners" not in json.loads(firewall.status("--json").out), "status")


def body(suite: Suite) -> None:
    with Testbed("host") as bed:
        (bed.scratch / "planted.py").write_text(PLANT.read_text())
        here = plant(bed, "client", "gateway", *PLANTED)
        others = plant(bed, "client", "stranger", *OTHERS, uid=OTHER_UID)
        child = plant(bed, "server", "boxed", *CHILD)
        one_look(suite, bed, here, others, child)
        write(suite, bed)
        running(suite, bed)


if __name__ == "__main__":
    skip_unless_possible(binary(), ("setpriv",))
    Suite("audit", 150).main(body)
