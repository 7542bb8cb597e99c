#!/usr/bin/env python3
"""consistency_test.py SOURCE BUILD: the program's help, its man pages, README, docs and the policy's keys say the same.

Commands and options are taken from the program's --help here, and not from what the man pages are made with.
"""

from __future__ import annotations

import functools
import json
import re
import subprocess
import sys
import unittest
from pathlib import Path

BUILD = Path(sys.argv.pop())
SOURCE = Path(sys.argv.pop())
PROGRAM = BUILD / "sallyport"
PAGES = [SOURCE / "README.md", *sorted((SOURCE / "docs").glob("*.md"))]
KEYS = json.loads((BUILD / "share/commands.json").read_text())["keys"]


@functools.cache
def help_of(path: tuple[str, ...]) -> str:
    result = subprocess.run([str(PROGRAM), *path, "--help"], capture_output=True, text=True, timeout=30, check=True)
    return result.stdout


def part(path: tuple[str, ...], title: str) -> list[str]:
    """part returns the first words of the lines below "Options:" or "Subcommands:"."""
    found = re.search(rf"(?m)^{title}:\n((?:  .*\n)+)", help_of(path))
    return [line.split("  ")[1].strip() for line in found[1].splitlines() if line[2] != " "] if found else []


@functools.cache
def subcommands(path: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(line.split()[0] for line in part(path, "Subcommands"))


@functools.cache
def options(path: tuple[str, ...]) -> frozenset[str]:
    """options returns "-j" and "--jobs"; the words of all groups of options."""
    text = help_of(path).split("\nSubcommands:")[0]
    return frozenset(name for line in re.findall(r"(?m)^  (-[-\w,]+)", text) for name in line.split(","))


def commands(path: tuple[str, ...] = ()):
    yield path
    for name in subcommands(path):
        yield from commands((*path, name))


def problems_of(line: str) -> list[str]:
    """problems_of returns what a command line of ours has that the program does not know."""
    path: tuple[str, ...] = ()
    for word in line.split():
        word = word.strip("`,.;:()'\"")
        if word in ("--", "|", "#", "&&", ">", "<", "&") or word.startswith(("#", "|", "2>", ">")):
            break
        if word.startswith("-") and len(word) > 1:
            name = word.split("=")[0].split("[")[0]
            if name not in options(path):
                return [f"{' '.join(('sallyport', *path))} has no option {name}"]
        elif subcommands(path) and not path and word not in subcommands(path):
            return [] if not re.fullmatch(r"[a-z]+", word) else [f"sallyport has no command {word}"]
        elif word in subcommands(path):
            path = (*path, word)
    return []


def mentioned(text: str):
    """mentioned yields the command lines of a page: those in fenced blocks and those in `code`."""
    fences = re.findall(r"(?ms)^```(?:sh|console|)\n(.*?)^```", text)
    lines = [line for block in fences for line in block.splitlines()]
    lines += re.findall(r"`([^`\n]+)`", re.sub(r"(?ms)^```.*?^```", "", text))
    for line in lines:
        line = re.sub(r"\s{2,}#.*|\s#\s.*", "", line)
        # "sallyport: ..." is what it prints.
        if found := re.match(r"^(?:\$ )?(?:sudo )?(?:ip netns exec \S+ )?(?:\S*/)?sallyport (?!\S*:)(.+)", line.strip()):
            yield found[1]


def section_of(page: str, path: tuple[str, ...]) -> str:
    title = " ".join(path).replace("-", "\\-")
    found = re.search(rf"(?ms)^\.SS {re.escape(title)}\n(.*?)(?=^\.S[SH] )", page)
    return found[1].replace("\\-", "-") if found else ""


def object_in(schema: dict) -> dict:
    """object_in returns the part of a schema that is about a table."""
    if "properties" in schema or "additionalProperties" in schema:
        return schema
    parts = [*schema.get("anyOf", []), *([schema["items"]] if "items" in schema else [])]
    return next((found for part in parts if (found := object_in(part))), {})


class Consistency(unittest.TestCase):
    def test_documented_command_lines_exist(self) -> None:
        seen = 0
        for page in [*PAGES, SOURCE / "packaging/debian/policy.toml"]:
            text = page.read_text()
            if page.suffix == ".toml":
                text = "```\n" + re.sub(r"(?m)^# +", "", text) + "```\n"
            for line in mentioned(text):
                seen += 1
                with self.subTest(f"{page.name}: sallyport {line}"):
                    self.assertEqual(problems_of(line), [])
        self.assertGreater(seen, 30)

    def test_examples_of_the_help_exist(self) -> None:
        seen = 0
        for path in commands():
            for line in re.findall(r"(?m)^  (?:sudo )?sallyport (\S.*?)(?:   .*)?$", help_of(path)):
                seen += 1
                with self.subTest(line):
                    self.assertEqual(problems_of(line), [])
        self.assertGreater(seen, 15)

    def test_the_check_finds_what_is_wrong(self) -> None:
        self.assertEqual(problems_of("run --polcy x"), ["sallyport run has no option --polcy"])
        self.assertEqual(problems_of("rnu"), ["sallyport has no command rnu"])
        self.assertEqual(problems_of("rules print --json"), ["sallyport rules print has no option --json"])
        self.assertEqual(problems_of("run --policy p.toml -- curl --anything"), [])
        self.assertEqual(list(mentioned("`sallyport run --x`\n```\n$ sudo build/sallyport check a   # why\n```\n")), ["check a", "run --x"])

    def test_every_command_and_option_is_in_the_manual(self) -> None:
        page = (BUILD / "share/man/sallyport.1").read_text()
        for path in commands():
            section = section_of(page, path) if path else page.replace("\\-", "-")
            with self.subTest(path):
                self.assertNotEqual(section, "")
                for option in options(path) - ({"-h", "--help"} if path else set()):
                    self.assertGreaterEqual(section.count(f"\\fB{option}\\fR"), 1, option)

    def test_every_key_is_in_reference_manual_and_schema(self) -> None:
        reference = (SOURCE / "docs/policy.md").read_text()
        manual = (BUILD / "share/man/sallyport.toml.5").read_text().replace("\\-", "-")
        schema = json.loads((BUILD / "share/policy.schema.json").read_text())
        self.assertGreater(len(KEYS), 70)
        for key in KEYS:
            name = f"{key['table']}.{key['key']}".lstrip(".")
            with self.subTest(name):
                self.assertGreaterEqual(reference.count(f"| `{name}` |"), 1)
                self.assertGreaterEqual(manual.count(f".TP\n\\fB{name}\\fR\n"), 1)
                inside = schema
                for step in key["table"].split(".") if key["table"] else []:
                    inside = inside["additionalProperties"] if step == "NAME" else object_in(inside["properties"][step])
                self.assertIn(key["key"], inside["properties"])

    def test_every_reason_is_explained(self) -> None:
        reasons = re.findall(r'(?m)^\s*\{"([a-z_]+)",', (SOURCE / "include/sallyport/core/reason.h").read_text())
        self.assertGreater(len(reasons), 30)
        page = (SOURCE / "docs/decisions.md").read_text()
        for reason in reasons:
            self.assertEqual(page.count(f"| `{reason}` |"), 1, reason)

    def test_documented_tools_exist(self) -> None:
        for page in PAGES:
            for tool, rest in re.findall(r"(?:^|[\s`])(?:sudo )?tools/([a-z-]+)(?![.\w])([^`\n#|]*)", page.read_text()):
                with self.subTest(f"{page.name}: tools/{tool}{rest}"):
                    script = SOURCE / "tools" / tool
                    self.assertTrue(script.exists())
                    if script.is_file() and tool != "run":
                        for option in re.findall(r"(?<![\w-])--[a-z-]+", rest.split(" -- ")[0]):
                            self.assertIn(option, script.read_text())


unittest.main()
