"""What tools, tool choice and answer formats become for Anthropic."""

from typing import Any

import pytest

from tests.providers.chat.anthropic_cases import PLAIN, SONNET, body_for, body_of, tool

SCHEMA = {"type": "object", "properties": {"age": {"type": "integer", "minimum": 0}}, "required": ["age"]}
FORMAT = {"type": "json_schema", "json_schema": {"name": "person", "schema": SCHEMA}}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"tool_choice": "none"}, {"type": "none"}),
        ({"tool_choice": "required"}, {"type": "any"}),
        ({"parallel_tool_calls": False}, {"type": "auto", "disable_parallel_tool_use": True}),
        ({"parallel_tool_calls": True}, None),
        ({"tool_choice": "none", "parallel_tool_calls": False}, {"type": "none"}),
        ({}, None),
    ],
)
def test_tool_choice(fields: dict[str, Any], expected: dict[str, Any] | None) -> None:
    assert body_of(tools=[tool()], **fields).get("tool_choice") == expected


def test_only_allowed_tools_are_offered() -> None:
    allowed = {"mode": "required", "tools": [{"type": "function", "function": {"name": "b"}}]}
    choice = {"type": "allowed_tools", "allowed_tools": allowed}
    body = body_of(tools=[tool("a"), tool("b")], tool_choice=choice)
    assert [one["name"] for one in body["tools"]] == ["b"]
    assert body["tool_choice"] == {"type": "any"}


@pytest.mark.parametrize(
    ("rules", "fields"), [({"no_forced_tool_choice": True}, {}), (PLAIN, {"reasoning_effort": "low"})]
)
def test_a_tool_that_may_not_be_forced_is_asked_for(rules: dict[str, Any], fields: dict[str, Any]) -> None:
    choice = {"type": "function", "function": {"name": "look"}}
    body = body_of(rules, tools=[tool()], tool_choice=choice, parallel_tool_calls=False, **fields)
    assert body["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}
    assert "'look'" in body["system"]


def test_a_forced_tool_and_shown_thinking_do_not_meet() -> None:
    assert "thinking" in body_of(SONNET, tools=[tool()])
    assert "thinking" not in body_of(SONNET, tools=[tool()], tool_choice="required")


def test_a_tool_without_parameters_takes_none() -> None:
    assert body_of(tools=[tool()])["tools"][0]["input_schema"] == {"type": "object", "properties": {}}


def test_a_custom_tool_is_offered_as_a_function_of_one_text() -> None:
    grammar = {"type": "grammar", "grammar": {"syntax": "regex", "definition": "[a-z]+"}}
    custom = {"type": "custom", "custom": {"name": "shell", "description": "Runs.", "format": grammar}}
    offered = body_of(tools=[custom])["tools"][0]
    assert offered["input_schema"]["required"] == ["input"]
    assert "[a-z]+" in offered["description"]


def test_tools_of_the_history_stay_known_when_none_are_offered() -> None:
    call = {"id": "a", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    body = body_for({"role": "user", "content": "x"}, {"role": "assistant", "tool_calls": [call]})
    assert [one["name"] for one in body["tools"]] == ["look"]
    assert body["tool_choice"] == {"type": "none"}


def test_a_schema_is_enforced_where_the_model_can() -> None:
    schema = body_of(response_format=FORMAT)["output_config"]["format"]["schema"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["age"] == {"type": "integer", "description": "(minimum: 0)"}


@pytest.mark.parametrize(
    ("fields", "choice"),
    [
        ({}, {"type": "tool", "name": "json_response", "disable_parallel_tool_use": True}),
        ({"tools": [tool()]}, {"type": "any", "disable_parallel_tool_use": True}),
        (
            {"tools": [tool()], "tool_choice": "none"},
            {"type": "tool", "name": "json_response", "disable_parallel_tool_use": True},
        ),
        ({"tools": [tool()], "tool_choice": "required"}, {"type": "any"}),
    ],
)
def test_elsewhere_a_tool_stands_in_for_the_schema(fields: dict[str, Any], choice: dict[str, Any]) -> None:
    body = body_of(PLAIN, response_format=FORMAT, **fields)
    assert body["tool_choice"] == choice
    offered = [one["name"] for one in body["tools"]]
    assert ("json_response" in offered) == (fields.get("tool_choice") != "required")


def test_a_schema_that_cannot_be_enforced_is_not_forced_on_a_thinking_model() -> None:
    schema = {"type": "object", "additionalProperties": {"type": "string"}}
    open_map = {"type": "json_schema", "json_schema": {"name": "map", "schema": schema}}
    forced = body_of(SONNET, response_format=open_map)
    assert (forced["tool_choice"]["name"], forced.get("thinking")) == ("json_response", None)
    told = body_of(SONNET, response_format=open_map, reasoning_effort="low")
    assert ("JSON Schema" in told["system"], "tools" in told) == (True, False)


def test_json_is_asked_for_in_words_where_nothing_enforces_it() -> None:
    assert "JSON object" in body_of(response_format={"type": "json_object"})["system"]
    body = body_of({"no_forced_tool_choice": True}, response_format=FORMAT)
    assert '"minimum":0' in body["system"]
    assert "tools" not in body


def test_web_search_is_anthropics_own_tool() -> None:
    place = {"type": "approximate", "approximate": {"city": "Paris"}}
    offered = body_of(web_search_options={"user_location": place})["tools"]
    assert offered[0]["type"] == "web_search_20250305"
    assert offered[0]["user_location"] == {"type": "approximate", "city": "Paris"}
