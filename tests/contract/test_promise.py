"""The checker of all contract tests itself: it refuses each way in which an answer could break a client."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.contract.promise import check_completion, check_error, check_stream
from tests.upstreams import events, fixture

CHAT = [event for event in events("openai/chat.stream.sse") if b'"choices":[],' not in event]
TOOLS = [event for event in events("openai/tools.stream.sse") if b'"choices":[],' not in event]
USAGE = next(event for event in events("openai/chat.stream.sse") if b'"choices":[],' in event)
ERROR = b'data: {"error":{"message":"m","type":"server_error","param":null,"code":"c"}}\n\n'


def swapped(stream: list[bytes], at: int, old: bytes, new: bytes) -> list[bytes]:
    """The stream with another word in one event."""
    assert old in stream[at]
    return [*stream[:at], stream[at].replace(old, new), *stream[at + 1 :]]


def test_what_is_right_passes() -> None:
    check_stream(b"".join(CHAT), include_usage=False)
    check_stream(b"".join(TOOLS), include_usage=False)
    check_stream(b"".join([*CHAT[:-1], USAGE, CHAT[-1]]), include_usage=True)
    check_stream(b"".join([*CHAT[:2], ERROR]), include_usage=True)
    check_completion(fixture("openai/tools.response.json"))


BROKEN = {
    "no role": swapped(CHAT, 0, b'"role":"assistant",', b""),
    "two roles": [CHAT[0], *CHAT],
    "no finish": [*CHAT[:-2], CHAT[-1]],
    "two finishes": [*CHAT[:-1], *CHAT[-2:]],
    "text behind the finish": [*CHAT[:-1], CHAT[1], CHAT[-1]],
    "no end": CHAT[:-1],
    "an error behind a finish": [*CHAT[:-1], ERROR],
    "an end behind an error": [*CHAT[:2], ERROR, CHAT[-1]],
    "usage that nobody asked for": [*CHAT[:-1], USAGE, CHAT[-1]],
    "a field that OpenAI does not know": swapped(CHAT, 1, b'"content"', b'"text":"x","content"'),
    "a finish that OpenAI does not know": swapped(CHAT, -2, b'"stop"', b'"end"'),
    "another id": swapped(CHAT, 1, b"FIX0001", b"FIX0002"),
    "a gap in the calls": [event.replace(b'"index":1,', b'"index":2,') for event in TOOLS],
    "two calls in one": [event.replace(b'"index":1,', b'"index":0,') for event in TOOLS],
    "a finish that hides the calls": swapped(TOOLS, -2, b'"tool_calls"', b'"stop"'),
    "calls that were none": swapped(CHAT, -2, b'"stop"', b'"tool_calls"'),
    "half a line": [*CHAT[:-1], CHAT[-1].rstrip()],
    "an event name": [b"event: message\n" + CHAT[0], *CHAT[1:]],
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_stream_is_refused(name: str) -> None:
    with pytest.raises((AssertionError, KeyError)):
        check_stream(b"".join(BROKEN[name]), include_usage=False)


def test_usage_that_was_asked_for_must_come_and_add_up() -> None:
    for stream in (CHAT, [*CHAT[:-1], USAGE.replace(b'"total_tokens":25', b'"total_tokens":26'), CHAT[-1]]):
        with pytest.raises(AssertionError):
            check_stream(b"".join(stream), include_usage=True)


SPOILED: dict[str, Callable[[Any], Any]] = {
    "no refusal": lambda body: body["choices"][0]["message"].pop("refusal"),
    "a sum that is none": lambda body: body["usage"].update(total_tokens=1),
    "a finish that hides the calls": lambda body: body["choices"][0].update(finish_reason="stop"),
    "arguments that are no JSON": lambda body: body["choices"][0]["message"]["tool_calls"][0][
        "function"
    ].update(arguments=""),
    "two calls of one id": lambda body: body["choices"][0]["message"]["tool_calls"][0].update(id="call_B2"),
    "a strange index": lambda body: body["choices"][0].update(index=1),
    "a strange field": lambda body: body.update(provider="x"),
}


@pytest.mark.parametrize("name", SPOILED)
def test_a_spoiled_answer_is_refused(name: str) -> None:
    body = fixture("openai/tools.response.json")
    SPOILED[name](body)
    with pytest.raises((AssertionError, json.JSONDecodeError)):
        check_completion(body)


def test_an_error_has_all_its_keys() -> None:
    whole = json.loads(ERROR.removeprefix(b"data: "))
    check_error(whole)
    for key in whole["error"]:
        with pytest.raises((AssertionError, KeyError)):
            check_error({"error": {name: value for name, value in whole["error"].items() if name != key}})
