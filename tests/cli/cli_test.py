#!/usr/bin/env python3
"""cli_test.py PROGRAM: wrong use is answered in one line and with exit code 2, help on standard output and with 0.

Nothing here starts the service or touches a rule.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
import unittest

PROGRAM = sys.argv.pop(1)
COMMANDS = [[], ["run"], ["status"], ["rules"], ["rules", "print"], ["rules", "apply"], ["rules", "remove"], ["check"], ["replay"], ["explain"], ["learn"], ["audit"], ["doctor"],
            ["allow"], ["deny"], ["revoke"], ["grants"], ["bypass"], ["metrics"]]
USAGE = {
    "": "sallyport: A subcommand is required (see sallyport --help)",
    "rnu": "sallyport: unknown command (see sallyport --help)",
    "--bogus": "sallyport: unknown option (see sallyport --help)",
    "run --bogus": "sallyport run: The following argument was not expected: --bogus (see sallyport run --help)",
    "run policy.toml": "sallyport run: The following argument was not expected: policy.toml (see sallyport run --help)",
    "run --policy": "sallyport run: --policy: 1 required FILE missing (see sallyport run --help)",
    "run --queues 0": "sallyport run: --queues: Value 0 not in range 1 to 64 (see sallyport run --help)",
    "rules": "sallyport rules: A subcommand is required (see sallyport rules --help)",
    "rules list": "sallyport rules: unknown command (see sallyport rules --help)",
    "rules print --bogus": "sallyport rules print: The following argument was not expected: --bogus (see sallyport rules print --help)",
    "check": "sallyport check: FILE is required (see sallyport check --help)",
    "replay": "sallyport replay: CAPTURE is required (see sallyport replay --help)",
    "replay -j 0 x": "sallyport replay: --jobs: Value 0 not in range 1 to 1024 (see sallyport replay --help)",
    "run --policy /none/p.toml": "/none/p.toml: cannot be read: No such file or directory",
    "run --": "sallyport run: there is no command behind -- (see sallyport run --help)",
    "rules print --policy /none/p.toml": "/none/p.toml: cannot be read: No such file or directory",
    "replay --policy /none/p.toml x": "/none/p.toml: cannot be read: No such file or directory",
    "replay --expect /none/e.jsonl x": "sallyport replay: cannot read /none/e.jsonl",
    "replay --compare /none/a.toml /none/b.toml /dev/null": "/none/a.toml: cannot be read: No such file or directory",
    "replay --compare a.toml": "sallyport replay: --compare: 2 required OLD NEW missing (see sallyport replay --help)",
    "explain": "sallyport explain: a name, an address, a capture, --tuple, --event or --events is needed (see sallyport explain --help)",
    "explain a..b": "sallyport explain: a..b: no host name, address, capture or event id (see sallyport explain --help)",
    "explain a.test --scope nobody": "sallyport explain: --scope: the policy has no scope nobody (see sallyport explain --help)",
    "explain a.test --protocol telepathy": "sallyport explain: --protocol: telepathy is no protocol (see sallyport explain --help)",
    "explain a.test --path /x": "sallyport explain: --method, --path and --websocket: only with --protocol http (see sallyport explain --help)",
    "explain --tuple nonsense": "sallyport explain: --tuple: expected \"tcp|udp SOURCE:PORT DESTINATION:PORT\" (see sallyport explain --help)",
    "explain a.test --flow 1": "sallyport explain: --flow and --all are for captures (see sallyport explain --help)",
    "explain --policy /none/p.toml a.test": "/none/p.toml: cannot be read: No such file or directory",
    "check ''": "sallyport check: FILE: a file name is empty (see sallyport check --help)",
    "run --observe=no": "sallyport run: observe was given a disallowed flag override (see sallyport run --help)",
    "learn": "sallyport learn: captures or --from-events are needed (see sallyport learn --help)",
    "learn --diff x.pcap": "sallyport learn: --policy and --diff go together (see sallyport learn --help)",
    "learn --fold-at 1 x": "sallyport learn: --fold-at: Value 1 not in range 2 to 1000000 (see sallyport learn --help)",
    "learn --scope a.b x": "sallyport learn: --scope: a scope's name has letters, digits, - and _ (see sallyport learn --help)",
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
    "check /none/p.toml": "/none/p.toml: cannot be read: No such file or directory",
}


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

    def test_a_service_that_does_not_run_is_exit_code_3(self) -> None:
        result = ask(["status", "--control", "/none/control.sock"])
        self.assertEqual(result.returncode, 3)
        self.assertEqual(result.stderr, "sallyport: not running: /none/control.sock: No such file or directory\n")


unittest.main()
