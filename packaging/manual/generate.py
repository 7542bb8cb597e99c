#!/usr/bin/env python3
"""generate.py COMMANDS_JSON SOURCE OUTPUT VERSION DATE: man pages, completions and the policy's schema.

COMMANDS_JSON is what sallyport_describe printed: the program's own commands and policy keys. What the keys mean is read
from docs/policy.md. Nothing here knows a command, an option or a key by name.
"""

from __future__ import annotations

import json
import sys
from datetime import datetime
from pathlib import Path

import completions
import man_pages
import schema
from policy_page import PolicyPage


def main() -> int:
    described, source, output, version, date = sys.argv[1:]
    date = datetime.strptime(date, "%d %b %Y").date().isoformat()
    description = json.loads(Path(described).read_text())
    page = PolicyPage((Path(source) / "docs/policy.md").read_text())
    output = Path(output)
    manual = Path(__file__).resolve().parent
    files = {
        "man/sallyport.1": man_pages.program(description["program"], (manual / "sallyport.1.in").read_text(), version, date),
        "man/sallyport.toml.5": man_pages.policy(description["keys"], page, (manual / "sallyport.toml.5.in").read_text(), version, date),
        "policy.schema.json": json.dumps(schema.make(description["keys"], page), indent=1, ensure_ascii=False) + "\n",
        "completions/sallyport.bash": completions.bash(description["program"]),
        "completions/_sallyport": completions.zsh(description["program"]),
        "completions/sallyport.fish": completions.fish(description["program"]),
    }
    for name, text in files.items():
        (output / name).parent.mkdir(parents=True, exist_ok=True)
        (output / name).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
