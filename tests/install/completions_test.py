#!/usr/bin/env python3
"""completions_test.py SOURCE BUILD: the completions work in real shells, for every command and option that there is."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

BUILD = Path(sys.argv.pop())
SOURCE = Path(sys.argv.pop())
FOLDER = BUILD / "share/completions"
PROGRAM = json.loads((BUILD / "share/commands.json").read_text())["program"]

BASH = """
source {folder}/sallyport.bash
COMP_WORDS=({words})
COMP_CWORD=$(({count} - 1))
_sallyport
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


def nodes(command: dict, path: tuple[str, ...] = ()):
    yield path, command
    for inner in command["commands"]:
        yield from nodes(inner, (*path, inner["name"]))


def long_options(command: dict) -> set[str]:
    return {"--" + name for option in command["options"] for name in option["long"]}


def ask_bash(*words: str, cwd: Path | None = None) -> set[str]:
    quoted = " ".join(f"'{word}'" for word in ("sallyport", *words))
    script = BASH.format(folder=FOLDER, words=quoted, count=len(words) + 1)
    result = subprocess.run(["bash", "--norc", "-c", script], capture_output=True, text=True, timeout=30, cwd=cwd)
    assert not result.stderr, result.stderr
    return set(result.stdout.split())


def ask_fish(line: str) -> set[str]:
    script = f"source {FOLDER}/sallyport.fish; complete -C '{line}'"
    result = subprocess.run(["fish", "--no-config", "-c", script], capture_output=True, text=True, timeout=60)
    assert not result.stderr, result.stderr
    return {each.split("\t")[0] for each in result.stdout.splitlines()}


class Completions(unittest.TestCase):
    def test_bash_knows_every_command_and_option(self) -> None:
        for path, command in nodes(PROGRAM):
            with self.subTest(path):
                if command["commands"]:
                    self.assertEqual(ask_bash(*path, ""), {inner["name"] for inner in command["commands"]})
                self.assertEqual({word for word in ask_bash(*path, "--") if word != "--"}, long_options(command))

    def test_bash_completes_the_beginning_of_a_word(self) -> None:
        self.assertIn("replay", ask_bash("rep"))
        self.assertNotIn("run", ask_bash("rep"))
        self.assertEqual(ask_bash("run", "--pol"), {"--policy"})
        self.assertEqual(ask_bash("rules", "pr"), {"print"})

    def test_bash_completes_files_where_files_are_meant(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            for name in ("policy.toml", "day.pcap"):
                (Path(folder) / name).touch()
            self.assertEqual(ask_bash("run", "--policy", "pol", cwd=Path(folder)), {"policy.toml"})
            self.assertEqual(ask_bash("replay", "--json", "da", cwd=Path(folder)), {"day.pcap"})
            self.assertEqual(ask_bash("check", "", cwd=Path(folder)), {"policy.toml", "day.pcap"})
            self.assertEqual(ask_bash("run", "--queues", "", cwd=Path(folder)), set())

    def test_bash_completes_the_command_behind_the_separator(self) -> None:
        self.assertIn("bash", ask_bash("run", "--policy", "p.toml", "--", "bas"))

    @unittest.skipUnless(shutil.which("fish"), "fish is not installed")
    def test_fish_knows_every_command_and_option(self) -> None:
        for path, command in nodes(PROGRAM):
            with self.subTest(path):
                line = " ".join(["sallyport", *path])
                if command["commands"]:
                    self.assertEqual(ask_fish(line + " "), {inner["name"] for inner in command["commands"]})
                self.assertEqual({each for each in ask_fish(line + " --") if each.startswith("--")}, long_options(command))

    @unittest.skipUnless(shutil.which("zsh"), "zsh is not installed")
    def test_zsh_takes_the_file_and_it_names_every_option(self) -> None:
        text = (FOLDER / "_sallyport").read_text()
        subprocess.run(["zsh", "-n", str(FOLDER / "_sallyport")], check=True, timeout=30)
        for path, command in nodes(PROGRAM):
            function = text.split("_".join(["_sallyport", *path]) + "() {")[1].split("\n}\n")[0]
            for option in long_options(command):
                self.assertIn(f"{option}[", function, path)

    @unittest.skipUnless(shutil.which("zsh"), "zsh is not installed")
    def test_zsh_completes_at_a_terminal(self) -> None:
        script = f"""
zmodload zsh/zpty; zpty z zsh -f -i
zpty -w z 'PS1= ; fpath=({FOLDER} $fpath); autoload -U compinit; compinit -u -D; bindkey "^I" complete-word; zstyle ":completion:*" verbose no'
zpty -w z $'sallyport rules pr\\t--pol\\t X'
sleep 2; zpty -r z out '*policy*X*' ; print -r -- $out
"""
        result = subprocess.run(["zsh", "-f", "-c", script], capture_output=True, text=True, timeout=60)
        shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\x08", "", result.stdout)
        self.assertRegex(shown, r"sallyport rules print +--policy")


unittest.main()
