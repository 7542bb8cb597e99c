"""What docs/events.schema.json says of the lines that the program writes."""

from __future__ import annotations

import json
from pathlib import Path

from .suite import expect

SCHEMA = json.loads((Path(__file__).resolve().parents[3] / "docs" / "events.schema.json").read_text())["$defs"]


def check_schema(row: dict) -> None:
    """check_schema compares a line with what docs/events.schema.json says of its kind."""
    schema = SCHEMA[row["event"]]
    types = {"string": str, "integer": int, "number": (int, float), "array": list, "null": type(None), "boolean": bool, "object": dict}
    for key, value in row.items():
        expect(key in schema["properties"], f"{key} is not in the schema: {row}")
        rule = schema["properties"][key]
        if "type" in rule:
            wanted = rule["type"] if isinstance(rule["type"], list) else [rule["type"]]
            expect(isinstance(value, tuple(t for name in wanted for t in (types[name] if isinstance(types[name], tuple) else (types[name],)))), f"{key}: {value!r}")
        expect("enum" not in rule or value in rule["enum"], f"{key}: {value!r}")
    expect(not set(schema["required"]) - row.keys(), f"missing: {set(schema['required']) - row.keys()}")
