#!/usr/bin/env python3
"""What the operator sees: `sallyport flows`, `status` and `watch`, with real traffic and a terminal made by tmux."""

import json
import re
import socket
import threading
import time
from pathlib import Path

from support import Suite, Testbed, binary, expect, expect_equal, skip_unless_possible
from support.clients import Clients
from support.daemon import Sallyport, allow
from support.proc import wait_until
from support.terminal import Screen
from support.world import World, world

RULES = allow("allowed.test", "tls, http")


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


class LyingService:
    """LyingService answers on a control socket with texts that a terminal would obey: as if nothing before had escaped them."""

    HOSTILE = "\x1b[2J\x1b]0;owned\x07\x1b]52;c;ZXZpbA==\x07\x9b31m\r\n.evil.test"

    def __init__(self, path: Path):
        self.path = path
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(str(path))
        self.server.listen(8)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            client, _ = self.server.accept()
            threading.Thread(target=self._answer, args=(client,), daemon=True).start()

    def _answer(self, client: socket.socket) -> None:
        with client:
            request = json.loads(client.makefile().readline())
            if request["command"] != "watch":
                client.sendall(json.dumps({"error": self.HOSTILE}).encode() + b"\n")
                return
            client.sendall(b'{"ok":true}\n')
            row = {"number": 1, "id": self.HOSTILE, "state": "live", "opened": 1.0, "time": 1.0, "proto": "tcp", "protocol": "tls", "src": "192.0.2.1",
                   "sport": 1, "dst": "192.0.2.2", "dport": 443, "user": self.HOSTILE, "scopes": [self.HOSTILE], "name": self.HOSTILE,
                   "verdict": "deny", "reason": self.HOSTILE, "rule": self.HOSTILE}
            frame = {"mode": self.HOSTILE, "policy": self.HOSTILE, "time": 1.0, "flows": [row], "top_denied": [dict(row, count=3)]}
            try:
                for number in range(100):
                    client.sendall(json.dumps(dict(frame, frame=number)).encode() + b"\n")
                    time.sleep(0.2)
            except OSError:
                pass


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


def ends(suite: Suite, it: World) -> None:
    """The kernel alone sees what an allowed connection does; the service asks it every ten seconds."""
    def ports() -> list[int]:
        return [row["sport"] for row in flows(it.firewall, "--verdict", "allow", "--name", "allowed.test")]

    with suite.case("a connection that is over leaves the list, one that goes on stays"):
        expect_equal(it.clients.curl("https://allowed.test/", 4).out.strip(), "vhost allowed.test", "one that ends")
        connect = f"openssl s_client -quiet -connect allowed.test:443 -servername allowed.test -CAfile {it.servers.ca}"
        idle = it.bed.spawn("client", "idle", ["sh", "-c", f"sleep 600 | {connect}"])
        expect(wait_until(lambda: len(ports()) >= 2, 5.0), "both are known")
        expect(wait_until(lambda: len(ports()) == 1, 25.0), str(ports()))
        sockets = it.bed.run("client", ["ss", "-Htn", "state", "established", "dport", "=", ":443"]).out
        expect(f":{ports()[0]} " in sockets and idle.running(), f"{ports()} {sockets}")
        idle.stop()
        expect(wait_until(lambda: not ports(), 25.0), str(ports()))


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
        with suite.case("a small terminal, a tiny one, and back"):
            for width, height, pattern in ((80, 24, "denied most"), (40, 10, "a allow"), (30, 8, "too small"), (120, 30, "denied most")):
                screen.resize(width, height)
                screen.wait(pattern)
        with suite.case("a and nothing selected: nothing happens"):
            screen.keys("Escape", "Escape", "Escape", "a")
            screen.wait("select a row first")
        probe = ask(firewall, {"command": "allow", "name": "probe.test", "for": "1s"})
        with suite.case("a lets the next connection to the selected name pass" if "error" not in probe else "a: the service's refusal is shown"):
            screen.keys("/")
            screen.keys("-l", "denied.test")
            screen.keys("Enter", "j", "a")
            if "error" in probe:
                screen.wait(re.escape(probe["error"][:60]))
            else:
                screen.wait("allowed: tls denied.test 443")
                answer = clients.curl("https://denied.test/", 4)
                expect_equal(answer.out.strip(), "vhost denied.test", answer.describe())
                screen.wait("grants?: allow denied.test")
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


def lies(suite: Suite, bed: Testbed) -> None:
    with suite.case("texts with escape sequences reach the terminal as text alone, whoever sends them"), Screen(bed) as screen:
        path = bed.scratch / "liar.sock"
        LyingService(path)
        screen.run(f"{binary()} watch --control {path}; echo ended $?")
        for keys in ((), ("j", "Enter"), ("Escape", "a"), ("c",), ("Tab", "j", "Enter")):
            screen.keys(*keys)
            text = screen.wait(r"evil\.test")
            expect("Sallyport" in text, f"the screen was cleared:\n{text}")
        expect("owned" not in screen.tmux("display-message", "-p", "#{pane_title}"), "the terminal's title was set")
        expect("evil" not in screen.tmux("show-buffer", check=False), "the clipboard was set")
        screen.keys("q")
        screen.wait("ended 0")


def body(suite: Suite) -> None:
    with world(suite, "host", RULES, "web", "dns", capture=False) as it:
        lists(suite, it.bed, it.clients, it.firewall)
        ends(suite, it)
        plain(suite, it.bed, it.firewall)
        view(suite, it.bed, it.clients, it.firewall)
        lies(suite, it.bed)


if __name__ == "__main__":
    skip_unless_possible(binary(), ("curl", "nginx", "tmux"))
    Suite("watch", 150).main(body)
