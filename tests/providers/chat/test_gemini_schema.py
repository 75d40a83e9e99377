"""JSON Schema for old Gemini models, which know the OpenAPI subset only."""

from typing import Any

import pytest
from google.genai import types
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from providers.chat.gemini_schema import full_schema, openapi_schema
from providers.errors import ErrorKind, ProviderError

FANNING_OUT: dict[str, Any] = {
    str(level): {"anyOf": [{"$ref": f"#/$defs/{level + 1}"}] * 2} for level in range(40)
} | {"40": {"type": "string"}}


def nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(levels):
        schema = {"items": schema}
    return schema


def converted(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema in the subset, after Google's own type, which refuses unknown names, accepted it."""
    found = openapi_schema(schema, "p")
    TypeAdapter(types.Schema).validate_python(found)
    return found


@pytest.mark.parametrize(
    ("schema", "wanted"),
    [
        ({"type": "string", "minLength": 1, "title": "T"}, {"type": "STRING", "minLength": 1}),
        ({"type": "string", "format": "uuid"}, {"type": "STRING"}),
        ({"type": "string", "format": "date-time"}, {"type": "STRING", "format": "date-time"}),
        ({"type": ["integer", "null"]}, {"type": "INTEGER", "nullable": True}),
        ({"type": ["integer", "string"]}, {"anyOf": [{"type": "INTEGER"}, {"type": "STRING"}]}),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, {"type": "STRING", "nullable": True}),
        (
            {"oneOf": [{"type": "string"}, {"type": "number"}]},
            {"anyOf": [{"type": "STRING"}, {"type": "NUMBER"}]},
        ),
        ({"const": "a"}, {"type": "STRING", "enum": ["a"]}),
        ({"enum": ["a", None]}, {"type": "STRING", "enum": ["a"], "nullable": True}),
        ({"type": "integer", "enum": [1, 2]}, {"type": "INTEGER", "description": "One of: 1, 2."}),
        ({"type": "number", "exclusiveMinimum": 0, "maximum": 9}, {"type": "NUMBER", "maximum": 9}),
        ({"type": "array", "items": {"type": "string"}}, {"type": "ARRAY", "items": {"type": "STRING"}}),
        (
            {"type": "array", "prefixItems": [{"type": "string"}, {"type": "number"}]},
            {
                "type": "ARRAY",
                "items": {"anyOf": [{"type": "STRING"}, {"type": "NUMBER"}]},
                "minItems": 2,
                "maxItems": 2,
            },
        ),
        (
            {
                "allOf": [
                    {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]},
                    {"properties": {"b": {"$ref": "#/$defs/B"}}, "required": ["b"]},
                ],
                "$defs": {"B": {"type": "boolean"}},
            },
            {
                "type": "OBJECT",
                "properties": {"a": {"type": "STRING"}, "b": {"type": "BOOLEAN"}},
                "propertyOrdering": ["a", "b"],
                "required": ["a", "b"],
            },
        ),
    ],
)
def test_each_keyword_finds_its_place(schema: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert converted(schema) == wanted


def test_a_reference_is_put_in_place_with_what_stands_beside_it() -> None:
    schema = {
        "type": "object",
        "properties": {"x": {"$ref": "#/$defs/a~1b", "description": "here"}},
        "$defs": {"a/b": {"type": "string"}},
    }
    assert converted(schema)["properties"]["x"] == {"type": "STRING", "description": "here"}


@pytest.mark.parametrize(
    "schema",
    [
        {"$defs": {"n": {"properties": {"next": {"$ref": "#/$defs/n"}}}}, "$ref": "#/$defs/n"},
        {"properties": {"self": {"$ref": "#"}}},
        {"$ref": "#/$defs/gone"},
        {"$ref": "https://example.com/schema"},
        {"$ref": "#/$defs/0", "$defs": FANNING_OUT},
        nested(2000),
    ],
)
def test_a_schema_that_cannot_be_written_out_is_left_to_other_targets(schema: dict[str, Any]) -> None:
    with pytest.raises(ProviderError) as caught:
        openapi_schema(schema, "tools.x")
    assert (caught.value.kind, caught.value.param) == (ErrorKind.UNSUPPORTED, "tools.x")


def test_new_models_get_the_schema_as_it_is() -> None:
    schema = {"type": "object", "additionalProperties": False, "$defs": {}}
    assert full_schema({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}) == schema


LEAVES = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["string", "integer", "number", "boolean", ["string", "null"]]),
        "description": st.text(max_size=5),
        "enum": st.lists(st.text(max_size=3), min_size=1, max_size=3),
        "const": st.none() | st.integers() | st.text(max_size=3),
        "pattern": st.just("^a"),
        "if": st.just({"type": "string"}),
    },
)
SCHEMAS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.fixed_dictionaries(
            {"type": st.just("object"), "properties": st.dictionaries(st.text(max_size=3), inner, max_size=3)}
        ),
        st.fixed_dictionaries({"type": st.just("array"), "items": inner}),
        st.fixed_dictionaries({"anyOf": st.lists(inner, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"allOf": st.lists(inner, min_size=1, max_size=3)}),
    ),
    max_leaves=8,
)


@given(SCHEMAS)
def test_whatever_comes_out_is_in_the_subset(schema: dict[str, Any]) -> None:
    converted(schema)
