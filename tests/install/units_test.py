#!/usr/bin/env python3
"""units_test.py SOURCE BUILD: systemd takes the units, and they permit what the program takes for itself."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

BUILD = Path(sys.argv.pop())
SOURCE = Path(sys.argv.pop())
UNITS = SOURCE / "packaging/systemd"
SERVICE = (UNITS / "sallyport.service").read_text()

if not shutil.which("systemd-analyze"):
    print("SKIPPED: systemd-analyze is not installed")
    sys.exit(77)


def analyze(*words: str) -> str:
    result = subprocess.run(["systemd-analyze", *words], capture_output=True, text=True, timeout=60)
    return result.stdout + result.stderr


def setting(name: str) -> list[str]:
    return [word for line in re.findall(rf"(?m)^{name}=(.*)$", SERVICE) for word in line.split()]


def expanded(words: list[str]) -> set[str]:
    """expanded returns the system calls of a filter's words, groups of groups too."""
    calls: set[str] = set()
    for word in words:
        if not word.startswith("@"):
            calls.add(word)
            continue
        lines = analyze("syscall-filter", word).splitlines()[1:]
        calls |= expanded([line.strip() for line in lines if line.strip() and not line.strip().startswith("#")])
    return calls


def permitted_by_unit() -> set[str]:
    calls: set[str] = set()
    for line in re.findall(r"(?m)^SystemCallFilter=(.*)$", SERVICE):
        if line.startswith("~"):
            calls -= expanded(line[1:].split())
        else:
            calls |= expanded(line.split())
    return calls


class Units(unittest.TestCase):
    def test_systemd_has_nothing_to_say(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            program = Path(folder) / "sallyport"
            program.write_text("#!/bin/sh\n")
            program.chmod(0o755)
            for name in ("sallyport.service", "sallyport-rules.service"):
                # The program and its pages are not installed here.
                text = (UNITS / name).read_text().replace("/usr/sbin/sallyport", str(program))
                (Path(folder) / name).write_text(re.sub(r"(?m)^Documentation=.*\n", "", text))
            said = analyze("verify", "--man=no", f"{folder}/sallyport.service", f"{folder}/sallyport-rules.service")
        about_us = [line for line in said.splitlines() if "sallyport" in line]
        self.assertEqual(about_us, [])

    def test_the_unit_permits_every_system_call_of_the_program(self) -> None:
        source = (SOURCE / "src/daemon/seccomp.cc").read_text()
        own = set(re.findall(r'"([a-z_0-9]+)"', re.search(r"kAllowed\[\] = \{(.*?)\n\};", source, re.S)[1]))
        self.assertGreater(len(own), 150)
        permitted = permitted_by_unit()
        known = expanded(["@known"])
        missing = {call for call in own & known if call not in permitted}
        self.assertEqual(missing, set())
        # And those that it needs before its own filter is there.
        self.assertLessEqual({"seccomp", "capset", "capget", "prctl", "setns", "socket", "mmap", "clone"}, permitted)

    def test_the_unit_permits_every_capability_of_the_program(self) -> None:
        source = re.search(r"needed_capabilities\(.*?\n\}", (SOURCE / "src/daemon/privileges.cc").read_text(), re.S)[0]
        self.assertEqual(set(setting("CapabilityBoundingSet")), set(re.findall(r"CAP_[A-Z_]+", source)))

    def test_the_documented_figure_is_what_systemd_says(self) -> None:
        page = (SOURCE / "docs/install.md").read_text()
        said = analyze("security", "--offline=true", str(UNITS / "sallyport.service"))
        figure = re.search(r"Overall exposure level for sallyport.service: ([\d.]+)", said)[1]
        self.assertIn(f"Overall exposure level for sallyport.service: {figure} ", page)


unittest.main()
