#!/usr/bin/env python3
"""Timed grants and break-glass: what is granted passes at once, and its end cuts what it let in; restarts; who is logged."""

import json
import time

from support import Suite, expect, expect_equal, skip_unless_possible
from support.daemon import binary
from support.proc import PATIENCE, wait_until
from support.testbed import UNPRIVILEGED_UID
from support.world import World, world

BULK = 400 << 20
RULES = """
[[rules]]
to = ["allowed.test"]
action = "allow"
"""
SCOPES = f"""
[scopes.agent]
users = [{UNPRIVILEGED_UID}]
"""


def ask(it: World, command: str, *arguments: str):
    return it.firewall.command(command, "--control", str(it.firewall.control), *arguments)


def change(it: World, command: str, *arguments: str) -> dict:
    result = ask(it, command, "--json", *arguments)
    expect_equal(result.code, 0, result.describe())
    return json.loads(result.out)


def passes(it: World, url: str, uid: int | None = None) -> bool:
    return it.clients.curl(url, 4, timeout=2.0, uid=uid).code == 0


def body(suite: Suite) -> None:
    with world(suite, "host", RULES, "web", bulk_bytes=BULK, extra=SCOPES) as it:
        allow(suite, it)
        deny(suite, it)
        expiry(suite, it)
        rule_expiry(suite, it)
        expiry_while_down(suite, it)
        restart(suite, it)
        bypass(suite, it)
        wrong(suite, it)


def allow(suite: Suite, it: World) -> None:
    with suite.case("a grant lets a name pass at once, and a revocation ends that; both say who"):
        expect(not passes(it, "https://denied.test/"), "passed before it was granted")
        mark = it.firewall.mark()
        result = ask(it, "allow", "denied.test", "--for", "10m")
        expect(result.code == 0 and result.out.startswith("grant 1: allow denied.test, 10m left, by uid 0"), result.describe())
        expect(passes(it, "https://denied.test/"), "does not pass although it is granted")
        flow = it.firewall.wait_event(mark, event="flow", verdict="allow", name="denied.test")
        expect_equal(flow["rule"], "grant:1", str(flow))
        event = it.firewall.wait_event(mark, event="control", command="allow")
        expect(event["uid"] == 0 and event["pid"] > 1 and event["process"] == "sallyport" and event["done"], str(event))
        it.firewall.wait_event(mark, event="grant", state="begin", grant=1)
        expect("denied.test" in it.firewall.status().out, it.firewall.status().out)
        expect_equal(ask(it, "revoke", "DENIED.test.").code, 0, "revoke, spelt as names may be")
        expect(not passes(it, "https://denied.test/"), "passes although it was revoked")
        it.firewall.wait_event(mark, event="grant", state="end", how="revoked")
    with suite.case("a grant for a scope is for that scope"):
        change(it, "allow", "denied.test", "--scope", "agent")
        expect(passes(it, "https://denied.test/", UNPRIVILEGED_UID), "the scope's flow does not pass")
        expect(not passes(it, "https://denied.test/"), "passes in no scope")
        change(it, "revoke", "--all")


def deny(suite: Suite, it: World) -> None:
    with suite.case("a deny grant wins over the file's rule until it is revoked"):
        expect(passes(it, "https://allowed.test/"), "allowed.test")
        change(it, "deny", "allowed.test")
        expect(not passes(it, "https://allowed.test/"), "passes although it is denied")
        change(it, "revoke", "allowed.test")
        expect(passes(it, "https://allowed.test/"), "denied although it was revoked")


def bulk(it: World, name: str, path: str):
    client = it.bed.spawn("client", path, ["curl", "-sS", "-4", "--cacert", str(it.servers.ca), "-m", "60", "--limit-rate", "8M", "-o", "/dev/null",
                                           f"https://{name}/bulk"])
    time.sleep(1.0)
    expect(client.running(), client.err())
    return client


def expiry(suite: Suite, it: World) -> None:
    with suite.case("at its end a grant's download is cut, and another goes on"):
        change(it, "allow", "denied.test", "--for", "4s")
        mark = it.firewall.mark()
        began = time.monotonic()
        granted = bulk(it, "denied.test", "granted")
        other = bulk(it, "allowed.test", "other")
        expect(wait_until(lambda: not granted.running(), 8.0, 0.02), "the download goes on")
        took = time.monotonic() - began
        expect(2.5 < took < 5.5, f"it ended after {took:.2f} s")
        it.firewall.wait_event(mark, event="grant", state="end", how="time")
        expect(other.running(), f"the other was cut, too: {other.err()}")
        expect(not passes(it, "https://denied.test/"), "passes although its time is over")
        other.stop()


def rule_expiry(suite: Suite, it: World) -> None:
    with suite.case("at the end of a rule of the file, too, its download is cut, and another goes on"):
        whole = it.firewall.policy_path.read_text()
        end = time.time() + 4
        moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(end))
        it.firewall.policy_path.write_text(whole + f'\n[[rules]]\nto = ["denied.test"]\nexpires = {moment}\n')
        expect_equal(ask(it, "reload").code, 0, "reload")
        mark = it.firewall.mark()
        lost = bulk(it, "denied.test", "until")
        other = bulk(it, "allowed.test", "beside")
        expect(wait_until(lambda: not lost.running(), 8.0, 0.02), "the download goes on")
        ended = time.time() - int(end)
        # The client sleeps for up to a second to keep to its rate; so when it was cut is asked by itself.
        late = it.firewall.wait_event(mark, event="flow", verdict="deny", reason="revoked", name="denied.test")["time"] - int(end)
        expect(-0.1 < late < 0.6 * PATIENCE, f"it was cut {late:.2f} s behind the rule")
        expect(ended < late + 1.0 + 0.4 * PATIENCE, f"it ended {ended:.2f} s behind the rule")
        event = it.firewall.wait_event(mark, event="reload", why="a rule has expired")
        expect_equal(event["cut"], 1, str(event))
        expect(other.running(), f"the other was cut, too: {other.err()}")
        expect(not passes(it, "https://denied.test/"), "passes although its rule has expired")
        other.stop()
        it.firewall.policy_path.write_text(whole)
        expect_equal(ask(it, "reload").code, 0, "reload")


def expiry_while_down(suite: Suite, it: World) -> None:
    with suite.case("a rule of the file that expires while the service is down: its download is cut at the next start"):
        whole = it.firewall.policy_path.read_text()
        end = int(time.time()) + 4
        moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(end))
        it.firewall.policy_path.write_text(whole + f'\n[[rules]]\nto = ["denied.test"]\nexpires = {moment}\n')
        expect_equal(ask(it, "reload").code, 0, "reload")
        lost = bulk(it, "denied.test", "down")
        it.firewall.kill()
        time.sleep(max(0.0, end + 0.3 - time.time()))
        expect(lost.running(), "it ended before the start")
        it.firewall.start()
        expect(wait_until(lambda: not lost.running(), 3.0), f"the download goes on\n{it.firewall.log()}")
        expect("older than this service are cut" in it.firewall.process.err(), it.firewall.process.err())
        it.firewall.policy_path.write_text(whole)
        expect_equal(ask(it, "reload").code, 0, "reload")


def restart(suite: Suite, it: World) -> None:
    with suite.case("a restart keeps grants, but not those that ended meanwhile"):
        change(it, "allow", "denied.test", "--for", "10m")
        change(it, "allow", "blocked.test", "--for", "1s")
        mode = (it.firewall.control.parent / "control.grants.json").stat().st_mode & 0o777
        expect_equal(mode, 0o600, "mode of the file")
        it.firewall.stop()
        time.sleep(1.1)
        it.firewall.start()
        expect(passes(it, "https://denied.test/"), "the grant is lost")
        expect(not passes(it, "https://blocked.test/"), "the grant that ended is in force")
        listing = json.loads(ask(it, "grants", "--json").out)
        expect_equal([each["name"] for each in listing["grants"]], ["denied.test"], "listing")
        change(it, "revoke", "--all")
    with suite.case("a policy file that is broken meanwhile keeps no grant waiting"):
        whole = it.firewall.policy_path.read_text()
        it.firewall.policy_path.write_text(whole + "\nbroken")
        change(it, "allow", "denied.test")
        expect(passes(it, "https://denied.test/") and passes(it, "https://allowed.test/"), "not in force")
        it.firewall.policy_path.write_text(whole)
        change(it, "revoke", "--all")


def bypass(suite: Suite, it: World) -> None:
    with suite.case("break-glass lets one scope's flows pass, and is logged at both ends"):
        mark = it.firewall.mark()
        result = ask(it, "bypass", "--for", "5m", "--scope", "agent")
        expect_equal(result.code, 0, result.describe())
        expect(passes(it, "https://denied.test/", UNPRIVILEGED_UID), "the scope's flow does not pass")
        expect(not passes(it, "https://denied.test/"), "passes in no scope")
        flow = it.firewall.wait_event(mark, event="flow", verdict="allow", reason="bypass")
        expect_equal(flow["uid"], UNPRIVILEGED_UID, str(flow))
        client = it.bed.spawn("client", "bypassed", ["setpriv", f"--reuid={UNPRIVILEGED_UID}", "--clear-groups", "curl", "-sS", "-4", "--cacert", str(it.servers.ca),
                                                     "-m", "60", "--limit-rate", "8M", "-o", "/dev/null", "https://denied.test/bulk"])
        time.sleep(0.5)
        expect(client.running(), client.err())
        began = it.firewall.wait_event(mark, event="bypass", state="begin")
        expect(began["by"]["uid"] == 0 and "BYPASS" in ask(it, "grants").out, str(began))
        expect_equal(ask(it, "bypass", "--end").code, 0, "end")
        it.firewall.wait_event(mark, event="bypass", state="end")
        expect(wait_until(lambda: not client.running(), 3.0), "what the bypass let in goes on")
        expect(not passes(it, "https://denied.test/", UNPRIVILEGED_UID), "passes although the bypass has ended")


def wrong(suite: Suite, it: World) -> None:
    with suite.case("wrong use is one line and changes nothing"):
        for arguments, code in ((("allow", "*.*.test"), 2), (("allow", "denied.test", "--protocol", "tsl"), 2), (("allow", "denied.test", "--scope", "agnet"), 1),
                                (("allow", "denied.test", "--for", "soon"), 2), (("bypass", "--scope", "agent"), 2), (("bypass", "--for", "5m"), 2),
                                (("bypass", "--for", "2d", "--all"), 2), (("revoke",), 2), (("revoke", "99"), 1)):
            result = ask(it, *arguments)
            expect(result.code == code and result.err.count("\n") == 1, f"{arguments}: {result.describe()}")
        expect_equal(json.loads(ask(it, "grants", "--json").out)["grants"], [], "grants")
        result = it.firewall.command("allow", "denied.test", "--control", "/none/control.sock")
        expect_equal(result.code, 3, result.describe())


if __name__ == "__main__":
    skip_unless_possible(binary(), ("curl", "nginx", "setpriv"))
    Suite("grants").main(body)
