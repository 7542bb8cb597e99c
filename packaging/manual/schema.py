"""The policy's JSON schema (draft 7, which taplo reads), from the keys' types as policy_keys has them for people."""

from __future__ import annotations

import re
import tomllib

from policy_page import PolicyPage, Row

INTEGERS = {"integer": {}, "number": {}, "code": {}, "port": {"minimum": 1, "maximum": 65_535}, "protocol number": {"minimum": 0, "maximum": 255}}
SCALARS = {
    "true": {"const": True},
    "false": {"const": False},
    "date and time with offset": {"type": "string", "format": "date-time"},
    "table": {"type": "object"},
    "table of tables": {"type": "object"},
}


def alternative(word: str, page: PolicyPage) -> dict:
    """alternative returns the schema of one word of a type: "drop" in quotes, integer, protocol, interface name."""
    word = re.sub(r"^an? ", "", word.strip())
    if quoted := re.fullmatch(r'"([^"]*)"', word):
        # "compose:PROJECT/SERVICE" stands for many.
        return {"type": "string"} if re.search(r"[A-Z:]", quoted[1]) else {"const": quoted[1]}
    if word in INTEGERS:
        return {"type": "integer", **INTEGERS[word]}
    if word == "protocol":
        return {"enum": page.protocols}
    return SCALARS.get(word, {"type": "string"})


def merged(options: list[dict]) -> dict:
    """merged makes one schema of several: constants become an enumeration, and one that accepts any string swallows them."""
    unique = [option for index, option in enumerate(options) if option not in options[:index]]
    if {"const": True} in unique and {"const": False} in unique:
        unique = [{"type": "boolean"}, *(each for each in unique if not isinstance(each.get("const"), bool))]
    constants = [each["const"] for each in unique if "const" in each]
    rest = [each for each in unique if "const" not in each]
    if {"type": "string"} in rest:
        # An editor can still offer the words.
        rest = [{"type": "string", **({"examples": constants} if constants else {})} if each == {"type": "string"} else each for each in rest]
    elif constants:
        rest.insert(0, {"enum": constants})
    return rest[0] if len(rest) == 1 else {"anyOf": rest}


def words(text: str) -> list[str]:
    return [word for word in re.split(r", or |, | or ", text) if word]


def value(kind: str, page: PolicyPage) -> dict:
    """value returns the schema of a type such as `port, range, "any", or list of ports and ranges`."""
    single, listed, what = re.match(r"(.*?)(?:,? or )?((?:a )?list of (.*))?$", kind).groups()
    if listed and not single:
        return {"type": "array", "items": {"type": "object"} if what == "tables" else value(re.sub(r"s$", "", what), page)}
    # An expression is told with its prefix: "re:" and a regular expression.
    single = single.replace('"re:" and a regular expression', "expression")
    options = [alternative(word, page) for word in words(single)]
    if not listed:
        return merged(options)
    items = merged(options[:2] if what == "the first two" else options)
    return {"anyOf": [merged(options), {"type": "array", "items": items}]}


def default_of(text: str):
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return None


def described(key: dict, page: PolicyPage) -> dict:
    path = f"{key['table']}.{key['key']}".lstrip(".")
    row = page.rows.get(path, Row("", ""))
    text = f"{key['type'][:1].upper()}{key['type'][1:]}"
    if key["default"] not in ("-", "required"):
        text += f"; default: {key['default']}"
    if row.limit:
        text += f"; {row.limit.replace('`', '')}"
    schema = {"description": text + (f". Example: {row.example}" if row.example else ""), **value(key["type"], page)}
    default = default_of(key["default"])
    if default is not None and key["default"] != "-":
        schema["default"] = default
    return schema


def with_table(schema, inner: dict):
    """with_table puts the keys of a table where the schema says that one may stand."""
    if isinstance(schema, list):
        return [with_table(each, inner) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("type") == "object" and "properties" not in schema:
        return schema | inner
    return {key: with_table(value, inner) if key in ("anyOf", "items") else value for key, value in schema.items()}


def table(name: str, keys: list[dict], page: PolicyPage) -> dict:
    """table returns the object schema of one table; "scopes" has tables of any name, "scopes.NAME" the keys of each."""
    mine = [key for key in keys if key["table"] == name]
    properties = {}
    for key in mine:
        path = f"{name}.{key['key']}".lstrip(".")
        schema = described(key, page)
        if any(each["table"] == f"{path}.NAME" for each in keys):
            schema["additionalProperties"] = table(f"{path}.NAME", keys, page)
        elif any(each["table"] == path for each in keys):
            schema = with_table(schema, table(path, keys, page))
        properties[key["key"]] = schema
    return {"type": "object", "properties": properties, "required": [key["key"] for key in mine if key["default"] == "required"],
            "additionalProperties": False}


def make(keys: list[dict], page: PolicyPage) -> dict:
    return {"$schema": "http://json-schema.org/draft-07/schema#", "title": "Sallyport policy",
            "description": "What may leave a host, by name. See sallyport.toml(5).", **table("", keys, page)}
