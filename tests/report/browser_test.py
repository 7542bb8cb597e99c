#!/usr/bin/env python3
"""browser_test.py PROGRAM CAPTURES: a report opens in headless Chromium from a file, without a network and without an error.

--picture FILE also writes a screenshot.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

POLICY = """version = 1

[defaults]
bind = "any"

[[rules]]
name = "what is allowed"
to = ["allowed.test", "*.allowed.test"%s]
ports = "any"
"""


def chromium(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", f"--user-data-dir={folder}/profile", "--enable-logging=stderr",
         "--proxy-server=127.0.0.1:9", "--disable-background-networking", "--virtual-time-budget=5000", *arguments],
        capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program")
    parser.add_argument("captures", nargs="+")
    parser.add_argument("--picture")
    options = parser.parse_args()
    if shutil.which("chromium") is None:
        print("SKIPPED: no chromium")
        return 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "old.toml").write_text(POLICY % "")
        (folder / "new.toml").write_text(POLICY % ', "denied.test"')
        page = folder / "report.html"
        captures = [Path(capture).resolve() for capture in options.captures]
        result = subprocess.run([Path(options.program).resolve(), "replay", "--html", page, "--compare", "old.toml", "new.toml", *captures],
                                capture_output=True, text=True, cwd=folder)
        changed = sum(int(count) for count in re.findall(r"^newly \w+: (\d+)", result.stdout, re.M))
        assert result.returncode == (1 if changed else 0), (result.returncode, result.stdout, result.stderr)
        rows = subprocess.run([options.program, "replay", "--json", "--policy", folder / "new.toml", *options.captures], capture_output=True, text=True).stdout.count("\n")
        shown = chromium(folder, "--dump-dom", page.as_uri())
        complaints = [line for line in shown.stderr.splitlines() if "CONSOLE" in line]
        assert not complaints, complaints
        count = re.search(r'data-rows="(\d+)"', shown.stdout)
        assert count and int(count[1]) == min(rows, 500), (count and count[1], rows)
        assert re.search(r'<tr tabindex="0"', shown.stdout)
        if options.picture:
            taken = chromium(folder, f"--screenshot={Path(options.picture).resolve()}", "--window-size=1280,1500", page.as_uri())
            assert Path(options.picture).exists(), taken.stderr
    return 0


if __name__ == "__main__":
    sys.exit(main())
