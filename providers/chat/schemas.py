"""JSON Schemas in the forms Anthropic takes: enforced (a subset) for strict tools and output, else plain.

Facts: CHAT_WIRE 2.12, 2026-11-20. What the subset lacks but only narrows a value (limits, patterns with
look-around) moves into the description, where the model still reads it. What would change the meaning when
lost (open maps, recursion) makes a schema unfit: then it is not enforced, rather than enforced wrongly.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from providers.types import Json, encode

MAX_STRICT = 20
MAX_OPTIONAL = 24
MAX_UNIONS = 16
"""Limits over all enforced tool schemas of one request: their number, optional properties, unions."""

_ENFORCED = frozenset(
    ("type", "enum", "const", "required", "title", "description", "default", "$ref", "additionalProperties")
)
_FORMATS = frozenset(
    ("date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid")
)
_MAPS = ("properties", "$defs", "definitions")
_LISTS = ("anyOf", "oneOf", "allOf")
_ABOUT_THE_TEXT = ("$schema", "$id", "$comment")
_BESIDE_REF = ("$ref", "$defs", "definitions")
_TYPED_BY = frozenset(("type", "enum", "const", "$ref", *_LISTS))
_LOCAL_REF = re.compile(r"#/(?:\$defs|definitions)/([^/]+)")
_LOOK_AROUND = re.compile(r"\(\?<?[=!]")


def enforceable(schema: Json) -> dict[str, Any] | None:
    """The schema in the enforced subset, None when it does not fit there without changing its meaning."""
    fits = not _recursive(schema) and all(map(_is_typed_and_closed, _nodes(schema)))
    return _closed(schema) if fits else None


def enforceable_together(schemas: Sequence[Json | None]) -> list[dict[str, Any] | None]:
    """For each schema that shall be enforced (None: shall not) the enforced form while the limits last."""
    found: list[dict[str, Any] | None] = []
    tools = optional = unions = 0
    for schema in schemas:
        closed = None if schema is None else enforceable(schema)
        if closed is not None:
            tools, optional, unions = tools + 1, optional + _optional(closed), unions + _unions(closed)
            if tools > MAX_STRICT or optional > MAX_OPTIONAL or unions > MAX_UNIONS:
                tools, optional, unions = tools - 1, optional - _optional(closed), unions - _unions(closed)
                closed = None
        found.append(closed)
    return found


def plain(schema: Json) -> dict[str, Any]:
    """The schema as a tool's arguments need it: of type object, without a union at the top.

    The properties of a union's branches are put together; only an `allOf` still requires them.
    """
    flat = {name: value for name, value in schema.items() if name not in _LISTS}
    unions = [(name, schema[name]) for name in _LISTS if isinstance(schema.get(name), list)]
    branches = [(name, one) for name, union in unions for one in union if isinstance(one, dict)]
    if branches:
        flat["properties"] = dict(_properties(schema))
        flat["required"] = sorted(_required(schema))
    for name, branch in branches:
        flat["properties"].update(_properties(branch))
        flat["required"] += sorted(_required(branch)) if name == "allOf" else ()
    flat["type"] = "object"
    return flat


def _closed(schema: Json) -> dict[str, Any]:
    """One node and those below it, in the subset. A reference may stand beside definitions only."""
    if "$ref" in schema:
        schema = {name: value for name, value in schema.items() if name in _BESIDE_REF}
    closed: dict[str, Any] = {}
    moved: dict[str, Any] = {}
    for name, value in schema.items():
        if name in _MAPS and isinstance(value, dict):
            closed[name] = {key: _closed_or_same(one) for key, one in value.items()}
        elif name in _LISTS and isinstance(value, list):
            closed["allOf" if name == "allOf" else "anyOf"] = [_closed_or_same(one) for one in value]
        elif name == "items":
            closed[name] = _closed_or_same(value)
        elif name in _ENFORCED or _is_enforced(name, value):
            closed[name] = value
        elif name not in _ABOUT_THE_TEXT:
            moved[name] = value
    if closed.get("type") == "object" or "properties" in closed:
        closed["additionalProperties"] = False
    if moved:
        limits = ", ".join(f"{name}: {encode(value).decode()}" for name, value in moved.items())
        closed["description"] = f"{closed.get('description', '')} ({limits})".strip()
    return closed


def _is_typed_and_closed(node: Json) -> bool:
    return not _TYPED_BY.isdisjoint(node) and node.get("additionalProperties") in (None, False)


def _is_enforced(name: str, value: object) -> bool:
    if name == "minItems":
        return value in (0, 1)
    if name == "format":
        return value in _FORMATS
    return name == "pattern" and isinstance(value, str) and not _LOOK_AROUND.search(value)


def _closed_or_same(node: object) -> object:
    return _closed(node) if isinstance(node, dict) else node


def _nodes(schema: object) -> Iterator[dict[str, Any]]:
    """The schema and every schema in it."""
    if not isinstance(schema, dict):
        return
    yield schema
    below = [schema.get("items")]
    for name in _MAPS:
        below += schema[name].values() if isinstance(schema.get(name), dict) else ()
    for name in _LISTS:
        below += schema[name] if isinstance(schema.get(name), list) else ()
    for node in below:
        yield from _nodes(node)


def _recursive(schema: Json) -> bool:
    """Whether a definition needs itself, or a reference leads out of the definitions."""
    needs: dict[str, set[str]] = {}
    for name in ("$defs", "definitions"):
        nodes = schema.get(name)
        needs |= {key: _references(node) for key, node in nodes.items()} if isinstance(nodes, dict) else {}
    if not _references(schema) <= needs.keys():
        return True
    while resolved := [key for key, wanted in needs.items() if not wanted & needs.keys()]:
        for key in resolved:
            del needs[key]
    return bool(needs)


def _references(schema: object) -> set[str]:
    """Names of the definitions used; a reference that is none of those stands for itself."""
    found = (str(node["$ref"]) for node in _nodes(schema) if "$ref" in node)
    return {local.group(1) if (local := _LOCAL_REF.fullmatch(ref)) else ref for ref in found}


def _optional(schema: Json) -> int:
    return sum(len(_properties(node).keys() - _required(node)) for node in _nodes(schema))


def _properties(node: Json) -> Json:
    properties = node.get("properties")
    return properties if isinstance(properties, dict) else {}


def _required(node: Json) -> set[str]:
    required = node.get("required")
    return {name for name in required if isinstance(name, str)} if isinstance(required, list) else set()


def _unions(schema: Json) -> int:
    return sum(1 for node in _nodes(schema) if "anyOf" in node or isinstance(node.get("type"), list))
