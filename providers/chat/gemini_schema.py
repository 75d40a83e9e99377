"""JSON Schema for Gemini: nearly as it stands for newer models, as the OpenAPI subset for older ones."""

from collections.abc import Mapping
from typing import Any

from providers.chat.parts import unsupported
from providers.types import Json

MOST_NODES = 5000
"""References that fan out make a short schema endless; no real one comes near this."""

_KEPT = frozenset(
    (
        "description",
        "pattern",
        "nullable",
        "minimum",
        "maximum",
        "minItems",
        "maxItems",
        "minLength",
        "maxLength",
        "minProperties",
        "maxProperties",
        "required",
    )
)
"""Keywords that mean the same in the subset."""

_FORMATS = frozenset(("date-time", "float", "double", "int32", "int64"))
"""The formats it knows; it refuses others."""


def full_schema(schema: Json) -> dict[str, Any]:
    """The schema for `parametersJsonSchema` and `responseJsonSchema`, which take JSON Schema."""
    return {name: value for name, value in schema.items() if name != "$schema"}


def openapi_schema(schema: Json, param: str) -> dict[str, Any]:
    """The schema in the OpenAPI subset of `parameters` and `responseSchema` (CHAT_WIRE 2.12, 2026-11-20).

    References are put in place; what the subset cannot say is left out, which only makes the schema wider.
    Raises UNSUPPORTED for a schema that contains itself or grows past MOST_NODES when written out; `param` is
    the schema's place in the request.
    """
    try:
        return _Subset(schema, param).convert(schema, ())
    except RecursionError:
        raise unsupported(param, "the schema is nested too deeply.") from None


class _Subset:
    """Converts one schema; `seen` are the references on the way to the place being converted."""

    def __init__(self, root: Json, param: str) -> None:
        self._root = root
        self._param = param
        self._nodes = 0

    def convert(self, schema: object, seen: tuple[str, ...]) -> dict[str, Any]:
        if not isinstance(schema, Mapping):
            return {}
        self._nodes += 1
        if self._nodes > MOST_NODES:
            raise unsupported(self._param, f"the schema has more than {MOST_NODES} parts when written out.")
        if isinstance(schema.get("$ref"), str):
            return self._referred(schema, schema["$ref"], seen)
        schema = self._joined(schema, seen)
        found = {name: value for name, value in schema.items() if name in _KEPT}
        if schema.get("format") in _FORMATS:
            found["format"] = schema["format"]
        found |= _type(schema)
        found |= self._choices(schema, found, seen)
        found |= _enum(schema, found)
        found |= self._properties(schema, seen)
        return found | self._items(schema, seen)

    def _referred(self, schema: Json, place: str, seen: tuple[str, ...]) -> dict[str, Any]:
        if place in seen:
            raise unsupported(self._param, f"{place!r} contains itself, which this model cannot be told.")
        node: object = self._root
        for step in place.removeprefix("#").strip("/").split("/") if place != "#" else ():
            key = step.replace("~1", "/").replace("~0", "~")
            node = node.get(key) if isinstance(node, Mapping) else None
        if not place.startswith("#") or not isinstance(node, Mapping):
            raise unsupported(self._param, f"the reference {place!r} leads nowhere inside the schema.")
        beside = {name: value for name, value in schema.items() if name != "$ref"}
        return self.convert({**node, **beside}, (*seen, place))

    def _joined(self, schema: Json, seen: tuple[str, ...]) -> dict[str, Any]:
        """The schema with the members of its `allOf` merged in."""
        joined = {name: value for name, value in schema.items() if name != "allOf"}
        members = schema.get("allOf")
        for member in members if isinstance(members, list) else ():
            part = self._resolved(member, seen)
            for name, value in part.items():
                old = joined.get(name)
                if isinstance(old, Mapping) and isinstance(value, Mapping):
                    joined[name] = {**old, **value}
                elif isinstance(old, list) and isinstance(value, list) and name == "required":
                    joined[name] = list(dict.fromkeys((*old, *value)))
                else:
                    joined.setdefault(name, value)
        return joined

    def _resolved(self, member: object, seen: tuple[str, ...]) -> Json:
        if not isinstance(member, Mapping):
            return {}
        if isinstance(member.get("$ref"), str) or "allOf" in member:
            return self.convert(member, seen)
        return member

    def _choices(self, schema: Json, found: Json, seen: tuple[str, ...]) -> dict[str, Any]:
        """`anyOf` and `oneOf` without null, which is `nullable`; a single choice is the schema itself."""
        listed = schema.get("anyOf") or schema.get("oneOf")
        types = schema.get("type")
        if not listed and isinstance(types, list) and len(_not_null(types)) > 1:
            listed = [{"type": name} for name in types]
        if not isinstance(listed, list):
            return {}
        real = [one for one in listed if not (isinstance(one, Mapping) and one.get("type") == "null")]
        nullable = {"nullable": True} if len(real) < len(listed) else {}
        choices = [self.convert(one, seen) for one in real]
        if len(choices) == 1:
            return {**choices[0], **found, **nullable}
        return {"anyOf": choices, **nullable} if choices else nullable

    def _properties(self, schema: Json, seen: tuple[str, ...]) -> dict[str, Any]:
        properties = schema.get("properties")
        if not isinstance(properties, Mapping) or not properties:
            return {}
        converted = {name: self.convert(value, seen) for name, value in properties.items()}
        return {"properties": converted, "propertyOrdering": schema.get("propertyOrdering", list(properties))}

    def _items(self, schema: Json, seen: tuple[str, ...]) -> dict[str, Any]:
        places = schema.get("prefixItems")
        if isinstance(places, list) and places:
            choices = [self.convert(place, seen) for place in places]
            same = all(choice == choices[0] for choice in choices)
            items = choices[0] if same else {"anyOf": choices}
            return {"items": items, "minItems": len(places), "maxItems": len(places)}
        return {"items": self.convert(schema["items"], seen)} if "items" in schema else {}


def _not_null(types: list[Any]) -> list[Any]:
    return [name for name in types if name != "null"]


def _type(schema: Json) -> dict[str, Any]:
    """`type` in capitals; one of a list with null becomes nullable, one of several is left to `anyOf`."""
    types = schema.get("type")
    if isinstance(types, str):
        return {"type": types.upper()}
    if not isinstance(types, list):
        return {}
    real = _not_null(types)
    nullable = {"nullable": True} if len(real) < len(types) else {}
    return {"type": str(real[0]).upper(), **nullable} if len(real) == 1 else nullable


def _enum(schema: Json, found: Json) -> dict[str, Any]:
    """`enum` and `const` of strings; other values can only be told in words."""
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    if not isinstance(values, list):
        return {}
    real = [value for value in values if value is not None]
    nullable = {"nullable": True} if len(real) < len(values) else {}
    if not real:
        return nullable
    if all(isinstance(value, str) for value in real):
        return {"type": "STRING", "enum": real, **nullable}
    about = f"{found.get('description', '')} One of: {', '.join(map(str, real))}.".strip()
    return {"description": about, **nullable}
