"""How a history is made fit for providers: every call answered, ids acceptable and unique, roles in order."""

import re
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.chat.parts import Text
from providers.chat.turns import (
    INTERRUPTED,
    IdRule,
    ToolCall,
    Turn,
    arguments_object,
    merge_neighbours,
    read_turns,
)
from providers.errors import ErrorKind, ProviderError
from tests.providers.chat.talking import HISTORIES, called

RULE = IdRule(allowed="a-zA-Z0-9_-", longest=20)


def turns_of(*messages: dict[str, Any]) -> list[Turn]:
    return read_turns(list(messages), RULE, {})[0]


@settings(deadline=None)
@given(messages=HISTORIES)
def test_every_call_is_answered_right_behind_it_whatever_the_history(messages: list[dict[str, Any]]) -> None:
    turns, _ = read_turns(messages, RULE, {})
    behind = [*turns, Turn(role="user")][1:]
    for turn, following in zip(turns, behind, strict=True):
        if turn.calls:
            assert following.role == "tool"
            assert [call.id for call in turn.calls] == [result.id for result in following.results]
        else:
            assert following.role != "tool"


@settings(deadline=None)
@given(messages=HISTORIES)
def test_ids_fit_the_provider_and_are_never_used_twice(messages: list[dict[str, Any]]) -> None:
    turns, _ = read_turns(messages, RULE, {})
    ids = [call.id for turn in turns for call in turn.calls]
    assert len(ids) == len(set(ids))
    assert all(re.fullmatch(r"[a-zA-Z0-9_-]{1,20}", one) for one in ids)


@settings(deadline=None)
@given(messages=HISTORIES)
def test_every_result_is_used_or_reported(messages: list[dict[str, Any]]) -> None:
    turns, lost = read_turns(messages, RULE, {})
    results = [result for turn in turns for result in turn.results]
    real = [result for result in results if not any(_is_made_up(part) for part in result.parts)]
    assert len(real) + len(lost) == sum(message["role"] == "tool" for message in messages)


@settings(deadline=None)
@given(messages=HISTORIES)
def test_merged_roles_alternate_and_lose_nothing(messages: list[dict[str, Any]]) -> None:
    drafts = [{"role": turn.role, "content": [turn]} for turn in read_turns(messages, RULE, {})[0]]
    merged = merge_neighbours(drafts, "content")
    assert all(one["role"] != other["role"] for one, other in pairwise(merged))
    assert [part for one in merged for part in one["content"]] == [
        part for one in drafts for part in one["content"]
    ]


@settings(deadline=None)
@given(wanted=st.text(min_size=1), other=st.text(min_size=1))
def test_different_ids_stay_different(wanted: str, other: str) -> None:
    assert (RULE.fit(wanted) == RULE.fit(other)) == (wanted == other)


def test_an_acceptable_id_is_not_touched() -> None:
    assert turns_of(called("toolu_01A"))[0].calls[0].id == "toolu_01A"


def test_a_result_may_come_after_another_user_message() -> None:
    turns = turns_of(
        called("a"),
        {"role": "user", "content": "wait"},
        {"role": "tool", "tool_call_id": "a", "content": "ok"},
    )
    assert [turn.role for turn in turns] == ["assistant", "tool", "user"]
    assert turns[1].results[0].parts == [Text("ok")]


def test_an_interrupted_call_is_marked_as_failed() -> None:
    result = turns_of(called("a"), {"role": "user", "content": "stop"})[1].results[0]
    assert (result.parts, result.error) == ((Text(INTERRUPTED),), True)


def test_ids_that_start_again_in_every_answer_are_kept_apart() -> None:
    answer = {"role": "tool", "tool_call_id": "call_0", "content": "ok"}
    turns = turns_of(called("call_0"), answer, called("call_0"), answer)
    assert turns[0].calls[0].id != turns[2].calls[0].id
    assert turns[3].results[0].id == turns[2].calls[0].id


def test_functions_of_the_older_api_are_calls() -> None:
    turns = turns_of(
        {"role": "assistant", "function_call": {"name": "look", "arguments": '{"a":1}'}},
        {"role": "function", "name": "look", "content": "ok"},
    )
    assert turns[0].calls[0].name == "look"
    assert turns[1].results[0].parts == [Text("ok")]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [('{"a": 1}', {"a": 1}), ("", {}), ("  ", {}), ("[1]", {"_raw": "[1]"}), ('{"a"', {"_raw": '{"a"'})],
)
def test_arguments_are_always_an_object(arguments: str, expected: dict[str, Any]) -> None:
    assert arguments_object(ToolCall(id="a", name="look", arguments=arguments)) == expected


def test_arguments_given_as_an_object_are_taken() -> None:
    call = {"id": "a", "function": {"name": "look", "arguments": {"a": 1}}}
    assert turns_of({"role": "assistant", "tool_calls": [call]})[0].calls[0].arguments == '{"a":1}'


def test_a_custom_call_is_a_call_with_one_text() -> None:
    call = {"id": "a", "type": "custom", "custom": {"name": "shell", "input": "ls"}}
    found = turns_of({"role": "assistant", "tool_calls": [call]})[0].calls[0]
    assert (found.name, found.arguments) == ("shell", '{"input":"ls"}')


def test_reasoning_gets_back_the_text_that_the_stream_sent_once() -> None:
    details = [
        {"type": "reasoning.text", "signature": "s1", "index": 0},
        {"type": "reasoning.text", "signature": "s2", "index": 1, "text": "second"},
    ]
    turn = turns_of(
        {
            "role": "assistant",
            "content": "x",
            "reasoning_content": "first second",
            "reasoning_details": details,
        }
    )[0]
    assert [detail["text"] for detail in turn.reasoning] == ["first ", "second"]


@pytest.mark.parametrize(
    ("messages", "param"),
    [
        (None, "messages"),
        ([], "messages"),
        (["hi"], "messages[0]"),
        ([{"role": "user", "content": "x"}, {"role": "wizard"}], "messages[1].role"),
        ([{"role": "user", "content": 5}], "messages[0].content"),
        ([{"role": "user", "content": [5]}], "messages[0].content[0]"),
        ([{"role": "user", "content": [{"type": "text"}]}], "messages[0].content[0].text"),
        ([{"role": "assistant", "tool_calls": {}}], "messages[0].tool_calls"),
        ([{"role": "assistant", "tool_calls": [{}]}], "messages[0].tool_calls[0].function.name"),
    ],
)
def test_a_wrong_message_is_named(messages: object, param: str) -> None:
    with pytest.raises(ProviderError, match=re.escape(param)) as caught:
        read_turns(messages, RULE, {})
    assert (caught.value.kind, caught.value.param) == (ErrorKind.INVALID_REQUEST, param)


def _is_made_up(part: object) -> bool:
    return isinstance(part, Text) and part.text == INTERRUPTED
