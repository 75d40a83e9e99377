"""What a conversation becomes for Anthropic: order, roles, media, cache marks."""

import base64
import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.errors import ErrorKind
from tests.providers.chat.anthropic_cases import PLAIN, SONNET, body_for, refused, tool
from tests.providers.chat.talking import HISTORIES, asked

PIXEL = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"\0" * 40).decode()


@settings(deadline=None)
@given(history=HISTORIES, rules=st.sampled_from([PLAIN, SONNET, {"system_role_in_messages": True}]))
def test_any_history_is_fit_to_send(history: list[dict[str, Any]], rules: dict[str, Any]) -> None:
    messages = body_for(*history, rules=rules)["messages"]
    assert messages[0]["role"] == "user"
    assert all(one["role"] != other["role"] for one, other in pairwise(messages))
    for one, other in pairwise([*messages, {"role": "user", "content": ""}]):
        calls = ids_of(one, "tool_use", "id")
        assert ids_of(other, "tool_result", "tool_use_id")[: len(calls)] == calls
        assert [block["type"] for block in other["content"][: len(calls)]] == ["tool_result"] * len(calls)


def ids_of(message: dict[str, Any], kind: str, field: str) -> list[str]:
    blocks = message["content"] if isinstance(message["content"], list) else []
    return [block[field] for block in blocks if block["type"] == kind]


def test_results_come_first_and_a_lost_one_is_made_up() -> None:
    calls = [
        {"id": name, "type": "function", "function": {"name": "look", "arguments": "{}"}}
        for name in ("a", "b")
    ]
    body = body_for(
        {"role": "user", "content": "Look."},
        {"role": "assistant", "tool_calls": calls},
        {"role": "user", "content": "And now?"},
        {"role": "tool", "tool_call_id": "b", "content": "[tool error] no"},
        tools=[tool()],
    )
    assert body["messages"][2]["content"] == [
        {"type": "tool_result", "tool_use_id": "a", "content": "[interrupted]", "is_error": True},
        {"type": "tool_result", "tool_use_id": "b", "content": "no", "is_error": True},
        {"type": "text", "text": "And now?"},
    ]


@pytest.mark.parametrize(
    ("rules", "role", "text"),
    [
        (PLAIN, "user", "<system>Now French.</system>"),
        ({"system_role_in_messages": True}, "system", "Now French."),
    ],
)
def test_a_later_system_message_keeps_its_place(rules: dict[str, Any], role: str, text: str) -> None:
    body = body_for(
        {"role": "assistant", "content": "Hello."},
        {"role": "developer", "content": "Now French."},
        rules=rules,
    )
    assert [message["role"] for message in body["messages"]] == ["user", "assistant", role]
    assert body["messages"][-1]["content"] == text


@pytest.mark.parametrize(
    ("rules", "last"), [(PLAIN, ("assistant", "Once upon")), (SONNET, ("user", "Continue."))]
)
def test_a_started_answer_is_continued_where_that_is_allowed(
    rules: dict[str, Any], last: tuple[str, str]
) -> None:
    body = body_for(
        {"role": "user", "content": "Tell."}, {"role": "assistant", "content": "Once upon "}, rules=rules
    )
    assert (body["messages"][-1]["role"], body["messages"][-1]["content"]) == last


def test_foreign_and_unsigned_reasoning_is_not_replayed() -> None:
    details = [
        {"type": "reasoning.encrypted", "format": "openai-responses-v1", "data": "x"},
        {"type": "reasoning.text", "format": "anthropic-claude-v1", "text": "unsigned"},
        {"type": "reasoning.encrypted", "format": "anthropic-claude-v1", "data": "sealed"},
    ]
    body = body_for(
        {"role": "user", "content": "Tell."},
        {"role": "assistant", "content": "So.", "reasoning_details": details},
        {"role": "user", "content": "More."},
    )
    assert body["messages"][1]["content"][0] == {"type": "redacted_thinking", "data": "sealed"}
    assert len(body["messages"][1]["content"]) == 2


def test_a_picture_is_sent_as_what_it_is_not_as_what_it_claims() -> None:
    part = {"type": "image_url", "image_url": f"data:image/jpeg;base64,{PIXEL}"}
    source = body_for({"role": "user", "content": [part]})["messages"][0]["content"][0]["source"]
    assert source["media_type"] == "image/png"


def test_a_text_file_is_sent_as_a_text_document() -> None:
    data = base64.b64encode("né".encode()).decode()
    part = {"type": "file", "file": {"filename": "a.txt", "file_data": f"data:text/plain;base64,{data}"}}
    block = body_for({"role": "user", "content": [part]})["messages"][0]["content"][0]
    assert block["source"] == {"type": "text", "media_type": "text/plain", "data": "né"}


def test_pictures_may_stand_in_tool_results() -> None:
    call = {"id": "a", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    part = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    body = body_for(
        {"role": "user", "content": "Look."},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "a", "content": [part]},
        tools=[tool()],
    )
    assert body["messages"][2]["content"][0]["content"][0]["type"] == "image"


@pytest.mark.parametrize(
    "part",
    [
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
        {"type": "video_url", "video_url": {"url": "https://example.com/a.mp4"}},
        {"type": "file", "file": {"file_id": "file-1"}},
        {"type": "image_url", "image_url": {"url": "data:image/bmp;base64,Qk0AAAAA"}},
        {"type": "hologram"},
    ],
)
def test_what_cannot_be_shown_makes_another_target_answer(part: dict[str, Any]) -> None:
    failure = refused(
        asked({"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}, part]}]})
    )
    assert failure.kind is ErrorKind.UNSUPPORTED
    assert str(failure.param).startswith("messages[0].content[1].")


def test_only_the_last_four_cache_marks_are_sent() -> None:
    mark = {"cache_control": {"type": "ephemeral"}}
    parts = [{"type": "text", "text": str(number), **mark} for number in range(6)]
    body = body_for(
        {"role": "system", "content": [{"type": "text", "text": "s", **mark}]},
        {"role": "user", "content": parts},
    )
    assert [("cache_control" in block) for block in body["messages"][0]["content"]] == [False] * 2 + [
        True
    ] * 4
    assert "cache_control" not in json.dumps(body["system"])
    automatic = body_for({"role": "user", "content": parts}, **mark)
    assert json.dumps(automatic["messages"]).count("cache_control") == 3, "the automatic mark counts too"
