#!/usr/bin/env python3
"""manual_test.py SOURCE BUILD: the man pages are set without a warning, and say what they should."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import unittest
from pathlib import Path

BUILD = Path(sys.argv.pop())
SOURCE = Path(sys.argv.pop())
PAGES = [BUILD / "share/man/sallyport.1", BUILD / "share/man/sallyport.toml.5"]


def plain(page: Path) -> str:
    text = subprocess.run(["groff", "-man", "-Tutf8", "-P-cbou", str(page)], capture_output=True, text=True, check=True).stdout
    return re.sub(r"‐\n\s+", "", text)


@unittest.skipUnless(shutil.which("groff"), "groff is not installed")
class Manual(unittest.TestCase):
    def test_groff_has_nothing_to_say(self) -> None:
        for page in PAGES:
            result = subprocess.run(["groff", "-man", "-ww", "-rCHECKSTYLE=0", "-Tutf8", "-z", str(page)], capture_output=True, text=True,
                                    env={**os.environ, "LC_ALL": "C.UTF-8"})
            self.assertEqual((result.returncode, result.stderr), (0, ""))

    @unittest.skipUnless(shutil.which("mandoc"), "mandoc is not installed")
    def test_mandoc_has_nothing_to_say(self) -> None:
        result = subprocess.run(["mandoc", "-Tlint", "-Wwarning", *map(str, PAGES)], capture_output=True, text=True)
        self.assertEqual(result.stdout + result.stderr, "")

    def test_the_sections_are_there(self) -> None:
        text = plain(PAGES[0])
        for title in ("NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "COMMANDS", "EXIT STATUS", "ENVIRONMENT", "FILES", "EXAMPLES", "SEE ALSO"):
            self.assertRegex(text, rf"(?m)^{title}$")

    def test_the_version_is_the_programs(self) -> None:
        version = subprocess.run([str(BUILD / "sallyport"), "--version"], capture_output=True, text=True, check=True).stdout.strip()
        for page in PAGES:
            self.assertIn(version, page.read_text().splitlines()[0])

    def test_no_placeholder_and_no_markup_is_left(self) -> None:
        for page in PAGES:
            text = page.read_text()
            self.assertNotRegex(text, r"@[A-Z]+@")
            self.assertNotRegex(plain(page), r"(?m)\]\(|\*\*\w|^\s*```")

    def test_every_command_has_its_examples(self) -> None:
        text = plain(PAGES[0])
        for command in json.loads((BUILD / "share/commands.json").read_text())["program"]["commands"]:
            for line in command["footer"].splitlines():
                if line.startswith("  "):
                    self.assertIn(line.strip()[:60], text)


unittest.main()
