"""Reads docs/policy.md: the rows of its keys, its table of protocols, its text as blocks."""

from __future__ import annotations

import re
from dataclasses import dataclass, field


@dataclass
class Row:
    limit: str
    example: str


@dataclass
class Block:
    kind: str  # "heading", "text", "item", "code" or "table".
    text: str = ""
    level: int = 0
    mark: str = ""
    rows: list[list[str]] = field(default_factory=list)



class PolicyPage:
    def __init__(self, text: str):
        self.text = text
        self.rows: dict[str, Row] = {}
        self.protocols: list[str] = []
        in_protocols = False
        for line in text.splitlines():
            if line.startswith("#"):
                in_protocols = "Protocols and ports" in line
            if not line.startswith("| `"):
                continue
            row = [cell.strip() for cell in line.strip()[1:-1].split("|")]
            if len(row) == 5:
                self.rows[row[0].strip("`")] = Row(row[3], row[4].strip("`"))
            elif in_protocols:
                self.protocols += re.findall(r"`([^`]+)`", row[0])

    def blocks(self) -> list[Block]:
        """blocks returns the page behind its title, paragraph by paragraph."""
        found: list[Block] = []
        lines = iter(self.text.splitlines()[1:])
        open_block: Block | None = None
        for line in lines:
            if line.startswith("```"):
                code = []
                for inner in lines:
                    if inner.startswith("```"):
                        break
                    code.append(inner)
                found.append(Block("code", "\n".join(code)))
                open_block = None
            elif heading := re.match(r"(#+) (.*)", line):
                found.append(Block("heading", heading[2], level=len(heading[1])))
                open_block = None
            elif line.startswith("|"):
                if open_block is None or open_block.kind != "table":
                    open_block = Block("table")
                    found.append(open_block)
                if not re.match(r"\|[-| ]+\|$", line):
                    open_block.rows.append([cell.strip() for cell in line.strip()[1:-1].split("|")])
            elif item := re.match(r"(- |\d+\. )(.*)", line):
                open_block = Block("item", item[2], mark=item[1].strip())
                found.append(open_block)
            elif not line.strip():
                open_block = None
            elif open_block is not None and open_block.kind in ("text", "item"):
                open_block.text += " " + line.strip()
            else:
                open_block = Block("text", line.strip())
                found.append(open_block)
        return found
