"""The table of docs/refusals.md: what clients showed of a refusal, in words that do not change from run to run."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

from .refusal_cases import Case

BEGIN, END = "<!-- table: live.refusals writes it -->", "<!-- end of the table -->"
LINE_MAX = 190
# What differs from run to run.
SCRUBBED = ((r"\bid: \d+", "id: N"), (r"^I\d{8} 0x\w+ ", ""),
            (r"^\[\d+:\d+:[^\]]*\] ", ""), (r"\x1b\[[0-9;]*m", ""), (r"\b[0-9A-F]{12,16}:error", "error"), (r"\b\d+(\.\d+)? ?(ms|s|seconds|milliseconds)\b", "N ms"), (r"0x[0-9a-f]{8,}", "0x..."),
            (r"/tmp/sallyport-live-[\w-]+/", ""), (r"\b(local|source|from) port \d+", r"\1 port N"), (r"object at 0x...", "object at 0x"),
            (r"\b(\d{4}-\d\d-\d\d|\d\d:\d\d:\d\d(\.\d+)?)\s*", ""), (r"\s+", " "))


@dataclass
class Row:
    case: Case
    code: int | None
    line: str
    seconds: float
    bound: float  # What is promised; infinite if nothing is.


def scrub(line: str) -> str:
    for pattern, text in SCRUBBED:
        line = re.sub(pattern, text, line)
    return line.strip()


def time_text(row: Row) -> str:
    """time_text returns what is promised if it was kept: a measured time would be another in each run."""
    if row.seconds >= row.bound or row.bound == float("inf"):
        return f"{round(row.seconds)} s" if row.seconds >= 1 else f"{math.ceil(row.seconds * 10) * 100} ms"
    return f"< {row.bound:g} s" if row.bound >= 1 else f"< {row.bound * 1000:.0f} ms"


def cell(text: str) -> str:
    """cell returns the text as code that no table can take for its own."""
    text = scrub(text)
    if len(text) > LINE_MAX:
        text = text[:LINE_MAX].rstrip() + " ..."
    return "`" + text.replace("`", "'").replace("|", "\\|") + "`" if text else "nothing"


def table(rows: list[Row]) -> str:
    lines = ["| | Client | Asked to | Prints | Exit code | Time |", "|---|---|---|---|---|---|"]
    group = ""
    for row in rows:
        head, group = ("" if row.case.group == group else row.case.group), row.case.group
        mark = " *" if row.case.starts else ""
        code = "still running" if row.code is None else str(row.code)
        lines.append(f"| {head} | {row.case.client} | {cell(row.case.what)} | {cell(row.line)} | {code} | {time_text(row)}{mark} |")
    return "\n".join(lines)


def write(path: Path, titled: dict[str, list[Row]]) -> None:
    """write puts the tables between the two marks of the file."""
    text = path.read_text()
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise RuntimeError(f"{path}: the marks of the table are not there once each")
    head, rest = text.split(BEGIN)
    body = "\n\n".join(f"### {title}\n\n{table(rows)}" for title, rows in titled.items())
    path.write_text(f"{head}{BEGIN}\n\n{body}\n\n{END}{rest.split(END)[1]}")
