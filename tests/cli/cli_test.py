#!/usr/bin/env python3
"""cli_test.py PROGRAM: wrong use is answered in one line and with exit code 2, help on standard output and with 0.

Nothing here starts the service or touches a rule.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import unittest
from pathlib import Path

PROGRAM = sys.argv.pop(1)
CASE = Path(__file__).resolve().parents[2] / "pcaps" / "tls-allowed"
COMMANDS = [[], ["run"], ["status"], ["rules"], ["rules", "print"], ["rules", "apply"], ["rules", "remove"], ["check"], ["replay"], ["explain"], ["learn"], ["audit"], ["doctor"],
            ["reload"], ["watch"], ["flows"], ["allow"], ["deny"], ["revoke"], ["grants"], ["bypass"], ["metrics"]]
USAGE = {
    "": "sallyport: A subcommand is required (see sallyport --help)",
    "rnu": "sallyport: unknown command \"rnu\"; did you mean \"run\"? (see sallyport --help)",
    "--bogus": "sallyport: unknown option \"--bogus\" (see sallyport --help)",
    "run --bogus": "sallyport run: unknown option \"--bogus\" (see sallyport run --help)",
    "run policy.toml": "sallyport run: The following argument was not expected: policy.toml (see sallyport run --help)",
    "run --policy": "sallyport run: --policy: 1 required FILE missing (see sallyport run --help)",
    "run --queues 0": "sallyport run: --queues: Value 0 not in range 1 to 64 (see sallyport run --help)",
    "rules": "sallyport rules: A subcommand is required (see sallyport rules --help)",
    "rules list": "sallyport rules: unknown command \"list\" (see sallyport rules --help)",
    "rules print --bogus": "sallyport rules print: unknown option \"--bogus\" (see sallyport rules print --help)",
    "check": "sallyport check: FILE is required (see sallyport check --help)",
    "replay": "sallyport replay: CAPTURE is required (see sallyport replay --help)",
    "replay -j 0 x": "sallyport replay: --jobs: Value 0 not in range 1 to 1024 (see sallyport replay --help)",
    "run --policy /none/p.toml": "/none/p.toml: cannot be read: No such file or directory",
    "run --": "sallyport run: there is no command behind -- (see sallyport run --help)",
    "rules print --policy /none/p.toml": "/none/p.toml: cannot be read: No such file or directory",
    "replay --policy /none/p.toml x": "/none/p.toml: cannot be read: No such file or directory",
    "replay --expect /none/e.jsonl x": "sallyport replay: cannot read /none/e.jsonl: No such file or directory (see sallyport replay --help)",
    "replay --compare /none/a.toml /none/b.toml /dev/null": "/none/a.toml: cannot be read: No such file or directory",
    "replay --compare a.toml": "sallyport replay: --compare: 2 required OLD NEW missing (see sallyport replay --help)",
    "explain": "sallyport explain: a name, an address, a capture, --tuple, --event or --events is needed (see sallyport explain --help)",
    "explain a..b": "sallyport explain: a..b: no host name, address, capture or event id (see sallyport explain --help)",
    "explain a.test --scope nobody": "sallyport explain: --scope: the policy has no scope nobody (see sallyport explain --help)",
    "explain a.test --protocol telepathy": "sallyport explain: --protocol: \"telepathy\": expected \"tls\", \"quic\", \"dtls\", \"http\", \"http2\", \"ssh\" or \"dns\" (docs/policy.md lists them all) (see sallyport explain --help)",
    "explain a.test --path /x": "sallyport explain: --method, --path and --websocket: only with --protocol http (see sallyport explain --help)",
    "explain --tuple nonsense": "sallyport explain: --tuple: expected \"tcp|udp SOURCE:PORT DESTINATION:PORT\" (see sallyport explain --help)",
    "explain a.test --flow 1": "sallyport explain: --flow and --all are for captures (see sallyport explain --help)",
    "explain --policy /none/p.toml a.test": "/none/p.toml: cannot be read: No such file or directory",
    "check ''": "sallyport check: FILE: a file name is empty (see sallyport check --help)",
    "run --observe=no": "sallyport run: observe was given a disallowed flag override (see sallyport run --help)",
    "learn": "sallyport learn: captures or --from-events are needed (see sallyport learn --help)",
    "learn --diff x.pcap": "sallyport learn: --policy and --diff go together (see sallyport learn --help)",
    "learn --fold-at 1 x": "sallyport learn: --fold-at: Value 1 not in range 2 to 1000000 (see sallyport learn --help)",
    "learn --scope a.b x": "sallyport learn: --scope: a scope's name has letters, digits, - and _, at most 64 (see sallyport learn --help)",
    "audit": "sallyport audit: --policy is needed, or --write (see sallyport audit --help)",
    "audit --write --json": "sallyport audit: --write and --json exclude each other (see sallyport audit --help)",
    "audit --policy /none/p.toml": "/none/p.toml: cannot be read: No such file or directory",
    "doctor --policy /none/p.toml": "/none/p.toml: cannot be read: No such file or directory",
    "doctor now": "sallyport doctor: The following argument was not expected: now (see sallyport doctor --help)",
    "allow": "sallyport allow: NAME is required (see sallyport allow --help)",
    "allow a.example --for soon": "sallyport allow: --for: expected a time of at most 366 days, such as 90s, 10m, 8h or 7d (see sallyport allow --help)",
    "deny a.example b.example": "sallyport deny: The following argument was not expected: b.example (see sallyport deny --help)",
    "revoke": "sallyport revoke: expected a grant's number, its NAME, or --all (see sallyport revoke --help)",
    "revoke 3 --all": "sallyport revoke: expected a grant's number, its NAME, or --all (see sallyport revoke --help)",
    "bypass --scope agent": "sallyport bypass: --for is required (see sallyport bypass --help)",
    "bypass --for 5m": "sallyport bypass: expected --scope SCOPE, or --all for every flow (see sallyport bypass --help)",
    "bypass --for 2d --all": "sallyport bypass: --for: expected a time of at most 24 hours, such as 5m (see sallyport bypass --help)",
    "bypass --end --all": "sallyport bypass: --end stands alone (see sallyport bypass --help)",
    "metrics now": "sallyport metrics: The following argument was not expected: now (see sallyport metrics --help)",
    "frob --help": "sallyport: unknown command \"frob\" (see sallyport --help)",
    "help frob": "sallyport: unknown command \"frob\" (see sallyport --help)",
    "status --jsno": "sallyport status: unknown option \"--jsno\"; did you mean \"--json\"? (see sallyport status --help)",
    "allow --bogus": "sallyport allow: unknown option \"--bogus\" (see sallyport allow --help)",
    "explain a.test --protocol tsl": "sallyport explain: --protocol: \"tsl\": expected \"tls\", \"quic\", \"dtls\", \"http\", \"http2\", \"ssh\" or \"dns\" (docs/policy.md lists them all); did you mean \"tls\"? (see sallyport explain --help)",
    "explain a.test:443": "sallyport explain: a.test:443: expected the host name alone; the port goes into --port (see sallyport explain --help)",
    "explain 10.0.0.1:443": "sallyport explain: 10.0.0.1:443: expected the address alone; the port goes into --port (see sallyport explain --help)",
    "rules frob --help": "sallyport rules: unknown command \"frob\" (see sallyport rules --help)",
    "explain --tuple 'tcp 10.0.0.1:1 10.0.0.2:2' --port 3": "sallyport explain: --port says nothing beside --tuple (see sallyport explain --help)",
    "explain --tuple 'tcp 10.0.0.1:1 10.0.0.2:2' --transport udp": "sallyport explain: --transport says nothing beside --tuple (see sallyport explain --help)",
    "explain --tuple 'tcp 10.0.0.1:1 10.0.0.2:2' --address 10.0.0.3": "sallyport explain: --address says nothing beside --tuple (see sallyport explain --help)",
    "explain --tuple 'udp 10.0.0.1:1 10.0.0.2:2' --protocol ssh": "sallyport explain: --protocol: ssh does not run on udp (see sallyport explain --help)",
    "explain --tuple 'tcp 10.0.0.1:0 10.0.0.2:2'": "sallyport explain: --tuple: expected \"tcp|udp SOURCE:PORT DESTINATION:PORT\" (see sallyport explain --help)",
    "explain --tuple 'tcp 10.0.0.1:1 [::1]:2'": "sallyport explain: --tuple: expected \"tcp|udp SOURCE:PORT DESTINATION:PORT\" (see sallyport explain --help)",
    "explain --tuple ''": "sallyport explain: --tuple: it is empty (see sallyport explain --help)",
    "explain x.pcap --port 443": "sallyport explain: --port says nothing beside a capture (see sallyport explain --help)",
    "explain x.pcap --user root": "sallyport explain: --user says nothing beside a capture (see sallyport explain --help)",
    "explain x.pcap --control /x": "sallyport explain: --control says nothing beside a capture (see sallyport explain --help)",
    "explain x.pcap --flow 0": "sallyport explain: --flow: Value 0 not in range 1 to 281474976710656 (see sallyport explain --help)",
    "explain x.pcap --flow 1 --all": "sallyport explain: --flow and --all exclude each other (see sallyport explain --help)",
    "explain /none/x.pcap": "sallyport explain: cannot read /none/x.pcap: No such file or directory (see sallyport explain --help)",
    "explain --events /none/e.jsonl": "sallyport explain: cannot read /none/e.jsonl: No such file or directory (see sallyport explain --help)",
    "explain --events e.jsonl --scope agent": "sallyport explain: --scope says nothing beside --events (see sallyport explain --help)",
    "explain --event abcdef1-1 --method GET": "sallyport explain: --method says nothing beside an event (see sallyport explain --help)",
    "explain a.test --protocol ssh --transport udp": "sallyport explain: --protocol: ssh does not run on udp (see sallyport explain --help)",
    "explain a.test --protocol tcp --transport udp": "sallyport explain: --protocol: tcp does not run on udp (see sallyport explain --help)",
    "explain a.test --protocol icmp --port 7": "sallyport explain: --port: icmp has no ports (see sallyport explain --help)",
    "explain a.test --port 0": "sallyport explain: --port: Value 0 not in range 1 to 65535 (see sallyport explain --help)",
    "explain 192.0.2.1 --address 192.0.2.2": "sallyport explain: --address: 192.0.2.1 is an address itself (see sallyport explain --help)",
    "explain a.test --protocol http --path x": "sallyport explain: --path: it begins with / (see sallyport explain --help)",
    "explain a.test --protocol http --method 'G T'": "sallyport explain: --method: G T is no HTTP method (see sallyport explain --help)",
    "explain a.test b.test": "sallyport explain: The following argument was not expected: b.test (see sallyport explain --help)",
    "replay --html r.html --frames x": "sallyport replay: --frames and --html exclude each other: a page has no frames (see sallyport replay --help)",
    "replay --html r.html --json x": "sallyport replay: --json and --html exclude each other, but with --compare (see sallyport replay --help)",
    "replay --html r.html --expect e x": "sallyport replay: --expect and --html exclude each other (see sallyport replay --help)",
    "replay --compare a b --frames x": "sallyport replay: --frames and --compare exclude each other: flows are compared (see sallyport replay --help)",
    "replay --expect e --json x": "sallyport replay: --expect prints differences alone, without --json (see sallyport replay --help)",
    "replay /none/x.pcap": "sallyport replay: cannot read /none/x.pcap: No such file or directory (see sallyport replay --help)",
    "learn --fold-at 4 x": "sallyport learn: --fold-at is for --fold (see sallyport learn --help)",
    "learn --denied x": "sallyport learn: --denied is for --from-events; of captures everything is learned (see sallyport learn --help)",
    "learn --no-verify --from-events e": "sallyport learn: --no-verify is for captures; events cannot be replayed (see sallyport learn --help)",
    "learn -j 2 --from-events e": "sallyport learn: --jobs is for captures (see sallyport learn --help)",
    "learn --from-events - --from-events -": "sallyport learn: --from-events -: there is one standard input (see sallyport learn --help)",
    "learn --from-events /none/e": "sallyport learn: cannot read /none/e: No such file or directory (see sallyport learn --help)",
    "learn --from-events /": "sallyport learn: cannot read /: it is a folder (see sallyport learn --help)",
    "learn /none/x.pcap": "sallyport learn: cannot read /none/x.pcap: No such file or directory (see sallyport learn --help)",
    "run --json --quiet": "sallyport run: --json and --quiet exclude each other (see sallyport run --help)",
    "run --control ''": "sallyport run: --control: it is empty (see sallyport run --help)",
    "status --control ''": "sallyport status: --control: it is empty (see sallyport status --help)",
    "status --json now": "sallyport status: The following argument was not expected: now (see sallyport status --help)",
    "flows --limit 0": "sallyport flows: --limit: Value 0 not in range 1 to 100000 (see sallyport flows --help)",
    "watch": "sallyport watch: it needs a terminal; --plain prints a line a second (see sallyport watch --help)",
    "allow ''": "sallyport allow: NAME: it is empty (see sallyport allow --help)",
    "allow a.example --protocol foo": "sallyport allow: --protocol: \"foo\": expected \"tls\", \"quic\", \"http\", \"ssh\", \"dns\", \"tcp\" or \"udp\" (docs/policy.md lists them all) (see sallyport allow --help)",
    "allow a.example --port 99999": "sallyport allow: --port: \"99999\": expected a port from 1 to 65535, a range \"first-last\", or \"any\" (see sallyport allow --help)",
    "allow a.example --port 1-": "sallyport allow: --port: \"1-\": expected a port from 1 to 65535, a range \"first-last\", or \"any\" (see sallyport allow --help)",
    "deny a..b": "sallyport deny: NAME: \"a..b\": not a host name: labels of letters, digits, \"-\" and \"_\", joined by single dots (see sallyport deny --help)",
    "allow a.example --for 0s": "sallyport allow: --for: expected a time of at most 366 days, such as 90s, 10m, 8h or 7d (see sallyport allow --help)",
    "bypass --for 0s --all": "sallyport bypass: --for: expected a time of at most 24 hours, such as 5m (see sallyport bypass --help)",
    "explain --tuple 'tcp 10.0.0.1:1 10.0.0.2:2' a..b": "sallyport explain: a..b: no host name, which is what --tuple takes beside it (see sallyport explain --help)",
    "explain --tuple 'tcp 10.0.0.1:1 10.0.0.2:2' 10.0.0.2": "sallyport explain: 10.0.0.2: no host name, which is what --tuple takes beside it (see sallyport explain --help)",
    "explain --tuple 'tcp 10.0.0.1:1 10.0.0.2:2' x.pcap": "sallyport explain: --tuple says nothing beside a capture (see sallyport explain --help)",
    "explain https://a.test/": "sallyport explain: https://a.test/: a URL; expected the host name alone (see sallyport explain --help)",
    "explain 10.0.0.0/8": "sallyport explain: 10.0.0.0/8: a prefix; expected one of its addresses (see sallyport explain --help)",
    "explain 2001:db8::1/64": "sallyport explain: 2001:db8::1/64: a prefix; expected one of its addresses (see sallyport explain --help)",
    "learn --output /none/new.toml x": "sallyport learn: --output: there is no such folder (see sallyport learn --help)",
    "learn --scope none x": "sallyport learn: --scope: none stands for flows in no scope (see sallyport learn --help)",
    "learn --output /dev/null x": "sallyport learn: --output: it is there already, and is left alone (see sallyport learn --help)",
    f"status --control /{'x' * 107}": "sallyport status: --control: the path is too long for a socket (see sallyport status --help)",
    f"run --control /{'x' * 107}": "sallyport run: --control: the path is too long for a socket (see sallyport run --help)",
    "check /none/p.toml": "/none/p.toml: cannot be read: No such file or directory",
}


MAY_BE_REPEATED = {("allow", "--protocol"), ("allow", "--port"), ("deny", "--protocol"), ("deny", "--port"), ("replay", "--resolver"), ("learn", "--from-events")}


def ask(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL)


class CommandLine(unittest.TestCase):
    def test_wrong_use_is_one_line_and_exit_code_2(self) -> None:
        for arguments, line in USAGE.items():
            with self.subTest(arguments):
                result = ask(shlex.split(arguments))
                self.assertEqual((result.returncode, result.stdout, result.stderr), (2, "", line + "\n"))

    def test_control_characters_of_an_argument_stay_off_the_terminal(self) -> None:
        result = ask(["run", "--x\x1b[31m\ny"])
        self.assertEqual(result.returncode, 2)
        self.assertEqual(result.stderr.count("\n"), 1)
        self.assertNotIn("\x1b", result.stderr)

    def test_every_command_has_help(self) -> None:
        for command in COMMANDS:
            with self.subTest(command):
                result = ask([*command, "--help"])
                self.assertEqual((result.returncode, result.stderr), (0, ""))
                self.assertIn(" ".join(["Usage: sallyport", *command]), result.stdout)
                self.assertNotIn("TEXT", result.stdout)  # Placeholders say what they stand for.

    def test_help_is_a_command_too(self) -> None:
        for command in COMMANDS:
            with self.subTest(command):
                self.assertEqual(ask(["help", *command]).stdout, ask([*command, "--help"]).stdout)

    def test_a_name_may_be_written_in_its_own_letters(self) -> None:
        result = ask(["explain", "--policy", str(CASE / "policy.toml"), "BÜCHER.example"])
        self.assertEqual((result.returncode, result.stderr), (1, ""))
        self.assertIn("xn--bcher-kva.example", result.stdout)

    def test_every_option_wants_its_value_once_and_not_an_empty_one(self) -> None:
        seen = 0
        for command in COMMANDS:
            for option, value in re.findall(r"^  (?:-\w, *)?(--[a-z-]+)(?: ([A-Z][A-Z|]*(?: [A-Z]+)*))?", ask([*command, "--help"]).stdout, re.M):
                if not value:
                    continue
                seen += 1
                count = 2 if option == "--compare" else 1
                cases = [[option], [option, *[""] * count]]
                if (command[0], option) not in MAY_BE_REPEATED:
                    cases.append([option, *["1m"] * count, option, *["1m"] * count])
                for case in cases:
                    with self.subTest(command=command, case=case):
                        result = ask([*command, *case])
                        self.assertEqual((result.returncode, result.stdout, result.stderr.count("\n")), (2, "", 1), result.stderr)
                        self.assertIn(f"(see sallyport {' '.join(command)} --help)", result.stderr)
        self.assertGreater(seen, 50)

    def test_learn_tells_a_scope_that_the_running_policy_lacks(self) -> None:
        policy, capture = CASE / "policy.toml", CASE / "input.pcap"
        result = ask(["learn", "--policy", str(policy), "--diff", "--scope", "agent", str(capture)])
        self.assertEqual((result.returncode, result.stdout, result.stderr), (2, "", f"{policy}: there is no scope agent to learn for\n"))

    def test_a_service_that_does_not_run_is_exit_code_3(self) -> None:
        result = ask(["status", "--control", "/none/control.sock"])
        self.assertEqual(result.returncode, 3)
        self.assertEqual(result.stderr, "sallyport: not running: /none/control.sock: No such file or directory\n")


unittest.main()
