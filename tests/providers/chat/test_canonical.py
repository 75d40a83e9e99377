"""How a request is read for all dialects: older forms folded, tools, choice, format and what is lost."""

from typing import Any

import pytest

from providers.chat.canonical import (
    Format,
    Prompt,
    ToolChoice,
    called_tools,
    left_out,
    limit,
    linked_urls,
    number,
    read,
    stops,
)
from providers.chat.parts import Text
from providers.chat.turns import IdRule
from providers.errors import ErrorKind, ProviderError
from tests.providers.chat.talking import asked, asking

LOOK = {"name": "look", "parameters": {"type": "object", "properties": {"at": {"type": "string"}}}}
TOOL = {"type": "function", "function": LOOK}


def prompt_of(**fields: Any) -> Prompt:
    return read(asking(**fields), IdRule())


def test_leading_system_texts_are_lifted_and_later_ones_stay() -> None:
    roles = ["system", "developer", "user", "system"]
    prompt = read(asked({"messages": [{"role": role, "content": role} for role in roles]}), IdRule())
    assert prompt.system == [Text("system"), Text("developer")]
    assert [turn.role for turn in prompt.turns] == ["user", "system"]


def test_the_older_names_mean_the_newer_ones() -> None:
    old = prompt_of(functions=[LOOK], function_call={"name": "look"}, max_tokens=5, user="u")
    choice = {"type": "function", "function": {"name": "look"}}
    new = prompt_of(tools=[TOOL], tool_choice=choice, max_completion_tokens=5, safety_identifier="u")
    assert (old.tools, old.choice) == (new.tools, new.choice)
    assert {**old.params} == {**new.params}


def test_the_newer_name_wins_when_both_are_given() -> None:
    assert prompt_of(max_tokens=5, max_completion_tokens=6).params["max_completion_tokens"] == 6


def test_nulls_are_as_if_not_given() -> None:
    prompt = prompt_of(tools=None, temperature=None, response_format=None, tool_choice=None)
    assert "temperature" not in prompt.params
    assert prompt.format == Format()


@pytest.mark.parametrize(
    ("choice", "mode", "names"),
    [
        ("none", "none", ["look", "run"]),
        ("required", "required", ["look", "run"]),
        ({"type": "function", "function": {"name": "run"}}, "named", ["look", "run"]),
        ({"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [TOOL]}}, "auto", ["look"]),
    ],
)
def test_tool_choice_is_read(choice: object, mode: str, names: list[str]) -> None:
    run = {"type": "function", "function": {"name": "run"}}
    prompt = prompt_of(tools=[TOOL, run], tool_choice=choice)
    assert prompt.choice is not None
    assert prompt.choice.mode == mode
    assert [tool.name for tool in prompt.tools] == names


def test_a_choice_without_tools_is_no_choice() -> None:
    assert prompt_of(tool_choice="auto", parallel_tool_calls=False) == prompt_of()


def test_custom_tools_become_functions_of_one_text() -> None:
    choice = {"type": "custom", "custom": {"name": "shell"}}
    prompt = prompt_of(tools=[{"type": "custom", "custom": {"name": "shell"}}], tool_choice=choice)
    assert prompt.choice == ToolChoice(mode="named", name="shell")
    assert (prompt.tools[0].custom, list(prompt.tools[0].schema["properties"])) == (True, ["input"])


def test_what_is_lost_is_named_once_unless_it_is_bookkeeping_or_asks_for_nothing() -> None:
    fields = {"seed": 1, "store": True, "n": 1, "presence_penalty": 0.0, "logit_bias": {}, "temperature": 1}
    messages = [
        {"role": "user", "content": "x", "name": "ann"},
        {"role": "tool", "tool_call_id": "?", "content": ""},
    ]
    prompt = read(asked({"messages": messages, **fields}), IdRule())
    assert left_out(prompt, {"temperature"}) == ["messages[].name", "messages[1]", "seed"]


@pytest.mark.parametrize(("field", "value"), [("n", 2), ("logprobs", True), ("web_search_options", {})])
def test_a_lost_meaning_is_refused(field: str, value: object) -> None:
    with pytest.raises(ProviderError) as caught:
        left_out(prompt_of(**{field: value}), ())
    assert (caught.value.kind, caught.value.param) == (ErrorKind.UNSUPPORTED, field)
    assert left_out(prompt_of(**{field: value}), {field}) == []


def test_links_are_found_where_they_may_stand() -> None:
    picture = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    call = {"id": "a", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    messages = [
        {"role": "user", "content": ["see https://example.com/text", picture]},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "a", "content": [picture]},
    ]
    assert linked_urls(asked({"messages": messages})) == ["https://example.com/a.png"]
    assert linked_urls(asking("no link")) == []


def test_called_tools_are_the_first_calls_of_each() -> None:
    calls = [{"id": one, "type": "function", "function": {"name": "look", "arguments": "{}"}} for one in "ab"]
    prompt = read(asked({"messages": [{"role": "assistant", "tool_calls": calls}]}), IdRule())
    assert [call.id for call in called_tools(prompt)] == ["a"]


def test_plain_values_are_read() -> None:
    assert stops({"stop": "END"}) == stops({"stop": ["END"]}) == ["END"]
    assert (stops({}), limit({}), number({}, "seed")) == ([], None, None)
    assert limit({"max_completion_tokens": 5.0}) == 5


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tools": {}}, "tools"),
        ({"tools": [5]}, "tools[0]"),
        ({"tools": [{"type": "function"}]}, "tools[0].function.name"),
        (
            {"tools": [{"type": "function", "function": {"name": "a", "parameters": 5}}]},
            "tools[0].function.parameters",
        ),
        ({"tools": [TOOL], "tool_choice": "maybe"}, "tool_choice"),
        ({"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "no"}}}, "tool_choice"),
        ({"tool_choice": {"type": "allowed_tools"}}, "tool_choice.allowed_tools.tools"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
    ],
)
def test_a_wrong_field_is_named(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(ProviderError) as caught:
        prompt_of(**fields)
    assert (caught.value.kind, caught.value.param) == (ErrorKind.INVALID_REQUEST, param)


@pytest.mark.parametrize(("name", "value"), [("stop", 5), ("stop", [5]), ("max_completion_tokens", 0.5)])
def test_a_wrong_value_is_named(name: str, value: object) -> None:
    with pytest.raises(ProviderError, match=name):
        {"stop": stops, "max_completion_tokens": limit}[name]({name: value})
    with pytest.raises(ProviderError, match="True is not a number"):
        number({"temperature": True}, "temperature")


def test_an_unknown_kind_of_tool_makes_another_target_answer() -> None:
    with pytest.raises(ProviderError) as caught:
        prompt_of(tools=[{"type": "computer"}])
    assert (caught.value.kind, caught.value.param) == (ErrorKind.UNSUPPORTED, "tools[0].type")
