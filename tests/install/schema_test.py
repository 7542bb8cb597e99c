#!/usr/bin/env python3
"""schema_test.py SOURCE BUILD: the policy's schema takes every policy that the program takes, and refuses what is misspelt."""

from __future__ import annotations

import copy
import datetime
import json
import re
import sys
import tomllib
import unittest
from pathlib import Path

try:
    import jsonschema
except ImportError:
    print("SKIPPED: python3-jsonschema is not installed")
    sys.exit(77)

BUILD = Path(sys.argv.pop())
SOURCE = Path(sys.argv.pop())
SCHEMA = json.loads((BUILD / "share/policy.schema.json").read_text())
CHECK = jsonschema.Draft7Validator(SCHEMA)
POLICIES = sorted([*SOURCE.glob("pcaps/*/policy.toml"), *SOURCE.glob("src/policy/presets/*.toml"), SOURCE / "src/policy/embedded.toml",
                   SOURCE / "packaging/debian/policy.toml"])


def as_json(value):
    """as_json is what an editor makes of TOML: dates become strings."""
    return json.loads(json.dumps(value, default=lambda moment: moment.isoformat()))


def errors(policy: dict) -> list[str]:
    return [f"{'.'.join(map(str, error.path))}: {error.message}" for error in CHECK.iter_errors(as_json(policy))]


def object_in(schema: dict) -> dict:
    """object_in returns the part of a schema that is about a table."""
    if "properties" in schema or "additionalProperties" in schema:
        return schema
    parts = [*schema.get("anyOf", []), *([schema["items"]] if "items" in schema else [])]
    return next((found for part in parts if (found := object_in(part))), {})


def keys_of(table: list[str]) -> dict:
    schema = SCHEMA
    for step in table:
        schema = schema["additionalProperties"] if step == "NAME" else object_in(schema["properties"][step])
    return schema["properties"]


class Schema(unittest.TestCase):
    def test_is_a_schema(self) -> None:
        jsonschema.Draft7Validator.check_schema(SCHEMA)

    def test_every_policy_passes(self) -> None:
        self.assertGreater(len(POLICIES), 100)
        for path in POLICIES:
            with self.subTest(path.relative_to(SOURCE)):
                self.assertEqual(errors(tomllib.loads(path.read_text())), [])

    def test_every_example_of_the_reference_passes(self) -> None:
        examples = re.findall(r"```toml\n(version.*?)```", (SOURCE / "docs/policy.md").read_text(), re.S)
        self.assertGreater(len(examples), 3)
        for text in examples:
            self.assertEqual(errors(tomllib.loads(text)), [], text)

    def test_the_example_of_every_key_passes(self) -> None:
        rows = [line.split("|") for line in (SOURCE / "docs/policy.md").read_text().splitlines() if re.match(r"\| `[\w.]+` \|", line) and line.count("|") == 6]
        self.assertGreater(len(rows), 70)
        for row in rows:
            *table, key = row[1].strip().strip("`").split(".")
            example = row[5].strip().strip("`")
            if example.startswith("["):
                continue  # A table's own line.
            with self.subTest(row[1].strip()):
                (shown, value), = as_json(tomllib.loads(example)).items()
                # The key of an inner table is shown with what is around it.
                while shown != key:
                    key = table.pop()
                schema = keys_of(table)[key]
                self.assertEqual([error.message for error in jsonschema.Draft7Validator(schema).iter_errors(value)], [], example)

    def test_unknown_keys_fail_in_every_table(self) -> None:
        whole = {"version": 1, "scopes": {"a": {"users": ["root"]}}, "rules": [{"to": ["a.example"]}], "guards": [{"unix_socket": "/run/a"}],
                 "listeners": {"allow": ["*:22"]}}
        tables = [name for name, schema in SCHEMA["properties"].items() if "properties" in schema]
        for name in tables:
            whole.setdefault(name, {})
        self.assertEqual(errors({"version": 1, **{key: whole[key] for key in ("scopes", "rules", "guards", "listeners")}}), [])
        for path in [[], *([name] for name in tables), ["scopes", "a"], ["rules", 0], ["guards", 0]]:
            broken = copy.deepcopy(whole)
            table = broken
            for step in path:
                table = table[step]
            table["protocolls"] = ["tls"]
            with self.subTest(path):
                self.assertIn("protocolls", "".join(errors(broken)))

    def test_wrong_values_fail(self) -> None:
        rule = {"to": ["a.example"]}
        for broken in ({}, {"version": "1"}, {"version": 1, "defaults": {"action": "permit"}}, {"version": 1, "rules": [{}]},
                       {"version": 1, "rules": [rule | {"protocols": ["https"]}]}, {"version": 1, "rules": [rule | {"expires": 5}]},
                       {"version": 1, "rules": [rule | {"proxy": "yes"}]}, {"version": 1, "rules": [rule | {"ports": [99_999]}]}, {"version": 1, "rules": [rule | {"ports": 0}]},
                       {"version": 1, "rules": [rule | {"protocols": ["ip-proto"], "ip_protos": [256]}]}, {"version": 1, "rules": rule}, {"version": 1, "deploy": {"hooks": "input"}}):
            with self.subTest(broken):
                self.assertNotEqual(errors(broken), [])

    def test_dates_are_dates(self) -> None:
        expires = datetime.datetime(2027, 1, 1, tzinfo=datetime.timezone.utc)
        self.assertEqual(errors({"version": 1, "rules": [{"to": "any", "expires": expires}]}), [])

    def test_the_packaged_policy_names_the_schema(self) -> None:
        first = (SOURCE / "packaging/debian/policy.toml").read_text().splitlines()[0]
        self.assertEqual(first, "#:schema /usr/share/sallyport/policy.schema.json")


unittest.main()
