#!/usr/bin/env python3
"""What the operator sees: `sallyport flows`, `status` and `watch`, with real traffic and a terminal made by tmux."""

import json
import re
import socket

from support import Suite, Testbed, binary, expect, expect_equal, skip_unless_possible
from support.clients import Clients
from support.daemon import Sallyport, allow
from support.proc import wait_until
from support.terminal import Screen
from support.world import world

RULES = allow("allowed.test", "tls, http") + allow("allowed.test", "dns")


def ask(firewall: Sallyport, request: dict) -> dict:
    with socket.socket(socket.AF_UNIX) as control:
        control.settimeout(5)
        control.connect(str(firewall.control))
        control.sendall(json.dumps(request).encode() + b"\n")
        return json.loads(control.makefile().readline())


def flows(firewall: Sallyport, *arguments: str) -> list[dict]:
    result = firewall.command("flows", "--control", str(firewall.control), "--json", *arguments)
    expect_equal(result.code, 0, result.describe())
    return [json.loads(line) for line in result.out.splitlines()]


def hostile_flow(bed: Testbed, clients: Clients) -> None:
    """A DNS question whose name has bytes that a terminal obeys."""
    name = b"\x1b[2J\x1b]0;owned\x07"
    query = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00" + bytes([len(name)]) + name + b"\x04evil\x04test\x00\x00\x01\x00\x01"
    code = f"import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.sendto({query!r}, ('{bed.server_address(4)}', 53))"
    bed.run("client", ["/usr/bin/python3", "-c", code])


def lists(suite: Suite, bed: Testbed, clients: Clients, firewall: Sallyport) -> None:
    with suite.case("flows --json tells what was allowed and denied, by whom and why"):
        expect_equal(clients.curl("https://allowed.test/", 4).out.strip(), "vhost allowed.test", "the allowed one")
        clients.curl("https://denied.test/", 4)
        expect(wait_until(lambda: {"allow", "deny"} <= {row["verdict"] for row in flows(firewall, "--ended")}, 5.0), "both are told")
        rows = {row["name"]: row for row in flows(firewall, "--ended")}
        denied = rows["denied.test"]
        expect_equal((denied["verdict"], denied["reason"], denied["rule"], denied["protocol"], denied["dport"]),
                     ("deny", "name_not_allowed", "default", "tls", 443), str(denied))
        expect_equal((rows["allowed.test"]["verdict"], rows["allowed.test"]["reason"]), ("allow", "rule_allows"), str(rows["allowed.test"]))
    with suite.case("flows --verdict, --name and --limit"):
        expect_equal({row["name"] for row in flows(firewall, "--ended", "--verdict", "deny")}, {"denied.test"}, "denied")
        expect_equal({row["name"] for row in flows(firewall, "--ended", "--name", "ALLOWED.*")}, {"allowed.test"}, "by name")
        expect_equal(len(flows(firewall, "--ended", "--limit", "1")), 1, "limit")
    with suite.case("flows for people is a table, and says so where there is nothing"):
        table = firewall.command("flows", "--control", str(firewall.control), "--ended").out.splitlines()
        expect_equal(table[0].split(), ["TIME", "WHO", "PROTO", "NAME", "TO", "VERDICT", "REASON", "RULE"], str(table))
        expect(any("denied.test" in line and "deny" in line for line in table), str(table))
        expect_equal(firewall.command("flows", "--control", str(firewall.control), "--name", "nobody.*").out, "no such flow\n", "nothing")
    with suite.case("an event is found by its id, another is not"):
        row = flows(firewall, "--ended", "--verdict", "deny")[0]
        answer = ask(firewall, {"command": "event", "id": row["id"]})
        expect_equal((answer["ok"], answer["event"]["name"], answer["event"]["id"]), (True, "denied.test", row["id"]), str(answer))
        expect("error" in ask(firewall, {"command": "event", "id": "none"}), "no such event")
    with suite.case("status shows what was denied most, for people and for scripts"):
        text = firewall.status().out
        expect(re.search(r"^top denied\s+\d+\s+tls\s+denied\.test:443", text, re.M), text)
        top = json.loads(firewall.status("--json").out)["flow_book"]["top_denied"]
        expect_equal((top[0]["name"], top[0]["count"] >= 1), ("denied.test", True), str(top))
    with suite.case("exit codes: 2 wrong use, 3 nobody there; watch without a terminal is 2"):
        expect_equal(firewall.command("flows", "--verdict", "maybe").code, 2, "verdict")
        expect_equal(firewall.command("flows", "--control", "/nowhere/control.sock").code, 3, "flows")
        expect_equal(firewall.command("watch", "--plain", "--control", "/nowhere/control.sock").code, 3, "watch")
        result = firewall.command("watch", "--control", str(firewall.control))
        expect_equal((result.code, result.err.count("\n")), (2, 1), result.describe())


def plain(suite: Suite, bed: Testbed, firewall: Sallyport) -> None:
    with suite.case("watch --plain prints a line a second and ends by SIGINT with 0"):
        process = bed.spawn("firewall", "plain", [binary(), "watch", "--plain", "--control", str(firewall.control)])
        expect(wait_until(lambda: process.out().count("\n") >= 3, 8.0), process.err())
        expect("enforcing" in process.out() and "denied" in process.out(), process.out())
        process.signal(2)
        expect_equal(process.wait(5.0), 0, "exit code")


def view(suite: Suite, bed: Testbed, clients: Clients, firewall: Sallyport) -> None:
    command = f"exec 3>&1; {binary()} watch --control {firewall.control}; echo ended $?"
    with Screen(bed) as screen:
        with suite.case("watch shows flows as they come, and who was denied most"):
            screen.run(command)
            screen.wait(r"Sallyport\s+enforcing")
            clients.curl("https://denied.test/", 4)
            screen.wait(r"tls\s+denied\.test\s.*deny")
            screen.wait(r"denied most[\s\S]*denied\.test\s+name_not_allowed")
        with suite.case("Enter shows the rule that would allow it; c copies it"):
            screen.keys("/")
            screen.keys("-l", "denied.test")
            screen.keys("Enter", "j", "Enter")
            screen.wait(r'to = \["denied\.test"\]')
            screen.keys("c")
            screen.wait("copied the rule")
            expect(wait_until(lambda: 'to = ["denied.test"]' in screen.tmux("show-buffer", check=False), 3.0), "the clipboard (OSC 52)")
            screen.keys("Escape", "Escape")
        with suite.case("a name with escape sequences reaches the screen as text alone"):
            hostile_flow(bed, clients)
            text = screen.wait(r"evil\.test")
            expect("Sallyport" in text, f"the screen was cleared:\n{text}")
            expect("owned" not in screen.tmux("display-message", "-p", "#{pane_title}"), "the terminal's title was set")
            raw = screen.text("-e")
            expect("\x1b[2J" not in raw and "\x1b]0" not in raw and "\x07" not in raw, repr(raw))
        with suite.case("a small terminal, a tiny one, and back"):
            for width, height, pattern in ((80, 24, "denied most"), (40, 10, "a allow"), (30, 8, "too small"), (120, 30, "denied most")):
                screen.resize(width, height)
                screen.wait(pattern)
        with suite.case("a and nothing selected: nothing happens"):
            screen.keys("Escape", "Escape", "Escape", "a")
            screen.wait("select a row first")
        grants = "allow" in ask(firewall, {"command": "help"}).get("commands", {}) or "allow" in json.dumps(ask(firewall, {"command": "help"}))
        with suite.case("a lets the next connection to the selected name pass" if grants else "a: the service says that it has no grants"):
            screen.keys("/")
            screen.keys("-l", "denied.test")
            screen.keys("Enter", "j", "a")
            if grants:
                screen.wait("allowed: tls denied.test 443")
                answer = clients.curl("https://denied.test/", 4)
                expect_equal(answer.out.strip(), "vhost denied.test", answer.describe())
                screen.wait("grant: allow denied.test")
            else:
                screen.wait("unknown command")
            screen.keys("Escape", "Escape")
        with suite.case("the service ends: that is said; it comes back: the view goes on"):
            firewall.stop()
            screen.wait("no service")
            firewall.start()
            screen.wait(r"Sallyport\s+enforcing", 10.0)
        with suite.case("q gives the terminal back and prints what was copied"):
            screen.keys("q")
            text = screen.wait(r"ended 0")
            expect('to = ["denied.test"]' in text, text)
        with suite.case("Ctrl-C gives the terminal back, too"):
            screen.run("clear")
            screen.run(command)
            screen.wait(r"Sallyport\s+enforcing")
            screen.keys("C-c")
            screen.wait(r"ended 0|ended 130")
            screen.run("stty -a")
            expect(re.search(r"[^-]echo\b", screen.wait("echo")), screen.text())
        with suite.case("NO_COLOR: no colour; TERM=dumb: one line and exit code 2"):
            screen.run("clear; NO_COLOR=1 " + command.removeprefix("exec 3>&1; "))
            screen.wait(r"Sallyport\s+enforcing")
            expect(not re.search(r"\x1b\[[0-9;]*3[1-7]m", screen.text("-e")), repr(screen.text("-e")))
            screen.keys("q")
            screen.wait("ended 0")
            screen.run("clear; TERM=dumb " + command.removeprefix("exec 3>&1; "))
            screen.wait(r"--plain[\s\S]*ended 2")


def body(suite: Suite) -> None:
    with world(suite, "host", RULES, "web", "dns", capture=False) as it:
        lists(suite, it.bed, it.clients, it.firewall)
        plain(suite, it.bed, it.firewall)
        view(suite, it.bed, it.clients, it.firewall)


if __name__ == "__main__":
    skip_unless_possible(binary(), ("curl", "nginx", "tmux"))
    Suite("watch", 150).main(body)
