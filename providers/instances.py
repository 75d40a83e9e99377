"""Builds a small value that satisfies a JSON schema, for answers that are made up. Not a validator."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from providers.types import Json

_MOST = 500
"""Steps through a schema, its values and their parts: past that null is the answer."""

_DEEPEST = 30

_BY_FORMAT: Mapping[str, str] = {
    "date": "2026-01-01",
    "date-time": "2026-01-01T00:00:00Z",
    "time": "00:00:00Z",
    "duration": "PT1S",
    "email": "demo@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


def instance(schema: Any) -> Any:
    """A value for `schema`: only what it requires, the first of every choice, numbers as near to 0 as can be.

    Local references are followed, patterns are not. What no value is found for is null.
    """
    return _Builder(schema).build(schema, 0)


class _Builder:
    """Builds one instance; `_left` bounds the work that a schema which refers to itself may cause."""

    def __init__(self, root: Any) -> None:
        self._root = root
        self._left = _MOST

    def build(self, schema: Any, depth: int) -> Any:
        flat = self._flat(schema, depth)
        for name in ("const", "default"):
            if name in flat:
                return flat[name]
        if flat.get("enum"):
            return flat["enum"][0]
        kind = _type(flat)
        if kind == "object":
            properties = flat.get("properties", {})
            return {
                name: self.build(properties.get(name, {}), depth + 1) for name in flat.get("required", ())
            }
        if kind == "array":
            items = [*flat.get("prefixItems", ())]
            items += [flat.get("items", {})] * min(flat.get("minItems", 0) - len(items), _MOST)
            return [self.build(item, depth + 1) for item in items]
        return _SIMPLE[kind](flat) if kind in _SIMPLE else None

    def _flat(self, schema: Any, depth: int) -> dict[str, Any]:
        """The schema with its reference, its `allOf` and its first alternative folded in."""
        self._left -= 1
        if self._left < 0 or depth > _DEEPEST:
            return {"type": "null"}
        if not isinstance(schema, Mapping):
            return {}
        flat = dict(schema)
        parts = [self._resolve(flat.pop("$ref"))] if "$ref" in flat else []
        parts += flat.pop("allOf", [])
        parts += [choices[0] for name in ("anyOf", "oneOf") if (choices := flat.pop(name, None))]
        for part in parts:
            other = self._flat(part, depth + 1)
            properties = {**other.get("properties", {}), **flat.get("properties", {})}
            required = [*other.get("required", ()), *flat.get("required", ())]
            flat = {**other, **flat, "properties": properties, "required": required}
        return flat

    def _resolve(self, reference: str) -> Any:
        """What a local reference (`#/$defs/Name`) points to; {} for anything else."""
        place = self._root
        for step in reference.removeprefix("#").split("/")[1:]:
            name = step.replace("~1", "/").replace("~0", "~")
            place = place.get(name, {}) if isinstance(place, Mapping) else {}
        return place


def _type(schema: Json) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        return next((name for name in kind if name != "null"), "null")
    if kind is None:
        kind = "object" if schema.get("properties") else "array" if "items" in schema else "string"
    return str(kind)


def _string(schema: Json) -> str:
    text = _BY_FORMAT.get(schema.get("format", ""), "demo")
    least = min(schema.get("minLength", 0), 10_000)
    return text.ljust(least, "o")[: max(least, schema.get("maxLength", least + len(text)))]


def _number(schema: Json) -> float:
    whole = _type(schema) == "integer"
    step = schema.get("multipleOf") or (1 if whole else 0)
    gap = step or 1e-6
    low = max(schema.get("minimum", -math.inf), schema.get("exclusiveMinimum", -math.inf) + gap)
    high = min(schema.get("maximum", math.inf), schema.get("exclusiveMaximum", math.inf) - gap)
    value = min(max(0, low), high)
    if step:
        value = (math.floor if value < 0 else math.ceil)(value / step) * step
    return int(value) if whole else value


_SIMPLE: Mapping[str, Callable[[Json], Any]] = {
    "string": _string,
    "integer": _number,
    "number": _number,
    "boolean": lambda _: True,
}
