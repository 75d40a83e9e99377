"""Made up values satisfy the schemas that they were made for."""

import time
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.instances import instance

WEATHER = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "unit": {"enum": ["celsius", "kelvin"]},
        "days": {"type": "integer"},
    },
    "required": ["city", "unit"],
    "additionalProperties": False,
}

NUMBERS = st.builds(
    lambda kind, low, span, exclusive: {
        "type": kind,
        ("exclusiveMinimum" if exclusive else "minimum"): low,
        ("exclusiveMaximum" if exclusive else "maximum"): low + span,
    },
    st.sampled_from(["integer", "number"]),
    st.integers(-1000, 1000),
    st.integers(2, 50),
    st.booleans(),
)
LEAVES = NUMBERS | st.sampled_from(
    [
        *({"type": name} for name in ("string", "boolean", "null", "integer", "number", "object", "array")),
        {"type": "string", "minLength": 12},
        {"type": "string", "maxLength": 2},
        {"type": ["null", "string"]},
        {"enum": [None, 3]},
        {"const": {"a": 1}},
        {"type": "integer", "multipleOf": 7, "minimum": 8},
        {},
    ]
)
SCHEMAS = st.recursive(
    LEAVES,
    lambda inner: (
        st.dictionaries(st.sampled_from("abc"), inner, max_size=3).map(
            lambda found: {"type": "object", "properties": found, "required": sorted(found)}
        )
        | st.builds(
            lambda item, least: {"type": "array", "items": item, "minItems": least}, inner, st.integers(0, 3)
        )
        | st.lists(inner, min_size=1, max_size=3).map(lambda found: {"anyOf": found})
    ),
    max_leaves=8,
)


@given(SCHEMAS)
def test_an_instance_satisfies_its_schema(schema: dict[str, Any]) -> None:
    jsonschema.validate(instance(schema), schema)


def test_only_what_is_required_is_there() -> None:
    assert instance(WEATHER) == {"city": "demo", "unit": "celsius"}


def test_references_and_parts_are_followed() -> None:
    schema = {
        "$defs": {
            "Named": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
        },
        "allOf": [{"$ref": "#/$defs/Named"}, {"required": ["at"]}],
        "properties": {"at": {"type": "string", "format": "date"}},
    }
    assert instance(schema) == {"name": "demo", "at": "2026-01-01"}


@pytest.mark.parametrize("width", [1, 4])
def test_a_schema_that_refers_to_itself_ends(width: int) -> None:
    names = [f"p{at}" for at in range(width)]
    node = {"type": "object", "properties": {name: {"$ref": "#"} for name in names}, "required": names}
    begun = time.process_time()
    assert isinstance(instance(node), dict)
    assert time.process_time() - begun < 5


@pytest.mark.parametrize(
    "schema", [None, True, "text", [], {"$ref": "#/nowhere"}, {"$ref": "https://x.example"}]
)
def test_what_is_no_schema_gives_some_value(schema: Any) -> None:
    instance(schema)
