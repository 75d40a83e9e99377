"""Which schemas can be enforced, what moves into words, and what a tool's plain schema must look like."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from providers.chat.schemas import (
    MAX_OPTIONAL,
    MAX_STRICT,
    MAX_UNIONS,
    enforceable,
    enforceable_together,
    plain,
)

NUMBER = {"type": "number"}


def test_limits_move_into_the_description() -> None:
    schema = {"type": "string", "description": "A name.", "minLength": 2, "pattern": "^[a-z]+$"}
    assert enforceable(schema) == {
        "type": "string",
        "pattern": "^[a-z]+$",
        "description": "A name. (minLength: 2)",
    }


@pytest.mark.parametrize(
    ("schema", "kept"),
    [
        ({"type": "string", "format": "email"}, True),
        ({"type": "string", "format": "phone"}, False),
        ({"type": "string", "pattern": "(?=a)b"}, False),
        ({"type": "array", "items": NUMBER, "minItems": 1}, True),
        ({"type": "array", "items": NUMBER, "minItems": 2}, False),
    ],
)
def test_what_the_api_enforces_stays(schema: dict[str, Any], kept: bool) -> None:
    found = enforceable(schema)
    assert found is not None
    assert (found == schema) == kept
    assert ("description" in found) != kept


def test_objects_are_closed_at_every_depth() -> None:
    inner = {"type": "object", "properties": {"x": NUMBER}}
    schema = {
        "type": "object",
        "properties": {"a": {"type": "array", "items": inner}, "b": {"oneOf": [inner, {"type": "null"}]}},
        "$defs": {"d": inner},
        "$schema": "https://json-schema.org/draft/2020-12/schema",
    }
    closed = enforceable(schema)
    assert closed is not None
    assert str(closed).count("'additionalProperties': False") == 4
    assert "oneOf" not in str(closed)
    assert "$schema" not in closed


def test_only_definitions_may_stand_beside_a_reference() -> None:
    schema = {"$ref": "#/$defs/a", "description": "lost", "$defs": {"a": {"type": "string"}}}
    assert enforceable(schema) == {"$ref": "#/$defs/a", "$defs": {"a": {"type": "string"}}}


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "additionalProperties": NUMBER},
        {"type": "object", "additionalProperties": {}},
        {"type": "object", "properties": {"anything": {}}},
        {"type": "object", "properties": {"self": {"$ref": "#"}}},
        {"$ref": "https://example.com/schema"},
        {
            "$ref": "#/$defs/tree",
            "$defs": {"tree": {"type": "array", "items": {"$ref": "#/$defs/tree"}}},
        },
        {
            "$ref": "#/$defs/a",
            "$defs": {"a": {"anyOf": [{"$ref": "#/$defs/b"}]}, "b": {"anyOf": [{"$ref": "#/$defs/a"}]}},
        },
    ],
)
def test_a_schema_that_would_change_its_meaning_is_not_enforced(schema: dict[str, Any]) -> None:
    assert enforceable(schema) is None


def test_enforcement_stops_at_the_limits_and_goes_on_below_them() -> None:
    small = {"type": "object", "properties": {"x": NUMBER}, "required": ["x"]}
    loose = {"type": "object", "properties": {str(name): NUMBER for name in range(MAX_OPTIONAL)}}
    unions = {
        "type": "object",
        "properties": {str(name): {"type": ["string", "null"]} for name in range(MAX_UNIONS)},
    }
    found = enforceable_together([loose, unions, small, None])
    assert [one is not None for one in found] == [True, False, True, False]
    assert sum(one is not None for one in enforceable_together([small] * (MAX_STRICT + 1))) == MAX_STRICT


@settings(deadline=None)
@given(
    st.sampled_from(["anyOf", "oneOf", "allOf"]),
    st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=3, unique=True),
)
def test_a_plain_schema_has_no_union_at_the_top_and_refuses_nothing_more(
    union: str, names: list[str]
) -> None:
    branches = [{"type": "object", "properties": {name: NUMBER}, "required": [name]} for name in names]
    flat = plain({union: branches})
    assert flat["type"] == "object"
    assert union not in flat
    everything = dict.fromkeys(names, 1)
    assert Draft202012Validator(flat).is_valid(everything)
    assert Draft202012Validator(flat).is_valid({names[0]: 1}) == (union != "allOf" or len(names) == 1)
