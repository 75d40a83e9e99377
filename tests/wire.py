"""Checks JSON against the official SDKs' types, closed: a key the type does not list is an error.

The types themselves let unknown and misspelt keys pass (TypedDicts are open, the models allow extras), so
they are turned into JSON Schema first and every object that lists its properties is closed.
"""

import functools
import warnings
from collections.abc import Collection
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from pydantic import TypeAdapter

OUR_EXTENSIONS = frozenset(("reasoning_content", "reasoning_details", "extra_content", "fairlead"))
"""Names we add to OpenAI's own chunks, messages and deltas on purpose."""

_OPEN = ("InputSchemaTyped",)
"""Objects whose SDK type says that more keys belong there: JSON Schemas of a tool's input."""


def check(kind: Any, value: object, *, allow: Collection[str] = ()) -> None:
    """Fail with every departure of `value` from the SDK type `kind`; the keys in `allow` may be anywhere."""
    found = [
        best_match([error]) or error for error in closed_schema(kind, frozenset(allow)).iter_errors(value)
    ]
    lines = [f"{'/'.join(map(str, error.absolute_path)) or '.'}: {error.message[:300]}" for error in found]
    assert not lines, "\n".join(lines)


@functools.cache
def closed_schema(kind: Any, allow: frozenset[str] = frozenset()) -> Draft202012Validator:
    """The closed schema of an SDK type, ready to validate."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # defaults that JSON Schema cannot say
        schema = TypeAdapter(kind).json_schema(mode="validation", by_alias=True)
    return Draft202012Validator(_closed(schema, allow))


def _closed(node: Any, allow: frozenset[str]) -> Any:
    if isinstance(node, list):
        return [_closed(one, allow) for one in node]
    if not isinstance(node, dict):
        return node
    closed = {key: _closed(value, allow) for key, value in node.items()}
    if _lists_its_keys(closed):
        closed["additionalProperties"] = False
        closed["properties"] = {**dict.fromkeys(allow, True), **closed["properties"]}
    if "discriminator" in closed and "oneOf" in closed:
        closed["anyOf"] = closed.pop("oneOf")  # several members may match; one is enough
    return closed


def _lists_its_keys(node: dict[str, Any]) -> bool:
    closes = node.get("type") == "object" and isinstance(node.get("properties"), dict)
    return (
        closes and node.get("title") not in _OPEN and not isinstance(node.get("additionalProperties"), dict)
    )
