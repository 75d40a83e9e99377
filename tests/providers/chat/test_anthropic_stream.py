"""Streams and answers of Anthropic that the recorded fixtures do not show."""

import contextlib
import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletionChunk

from providers.chat import anthropic
from providers.errors import ErrorKind, ProviderError
from providers.sse import Event, Splitter
from providers.types import ChatRequest, Chunk, HttpResponse
from tests.providers.chat.anthropic_cases import HAIKU, PLAIN, body_for, target
from tests.providers.chat.talking import FIXTURES, asking, broken, fixture, told

START = {"type": "message_start", "message": {"id": "msg_1", "model": "claude", "usage": {"input_tokens": 5}}}
STOP = {"type": "message_stop"}
FORMAT = {
    "type": "json_schema",
    "json_schema": {"name": "n", "schema": {"type": "object", "properties": {"a": {"type": "integer"}}}},
}
CITED = {"type": "web_search_result_location", "url": "https://example.com", "title": "T", "cited_text": "x"}


def block(number: int, start: dict[str, Any], *deltas: dict[str, Any]) -> list[dict[str, Any]]:
    """The events of one content block."""
    return [
        {"type": "content_block_start", "index": number, "content_block": start},
        *({"type": "content_block_delta", "index": number, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": number},
    ]


def thought(number: int, text: str, signature: str) -> list[dict[str, Any]]:
    return block(
        number,
        {"type": "thinking", "thinking": "", "signature": ""},
        {"type": "thinking_delta", "thinking": text},
        {"type": "signature_delta", "signature": signature},
    )


def finish(reason: str = "end_turn") -> dict[str, Any]:
    return {"type": "message_delta", "delta": {"stop_reason": reason}, "usage": {"output_tokens": 7}}


def read(
    events: Sequence[dict[str, Any]],
    request: ChatRequest | None = None,
    rules: dict[str, Any] = HAIKU,
) -> list[Chunk]:
    reader = anthropic.chat_stream(request or asking(stream=True), target(rules))
    chunks = [
        chunk for event in events for chunk in reader.feed(Event(event["type"], json.dumps(event).encode()))
    ]
    return [*chunks, *reader.end()]


def story(*args: Any) -> list[tuple[str, Any]]:
    return told(chunk.data for chunk in read(*args))


def unary(
    content: list[dict[str, Any]], request: ChatRequest, rules: dict[str, Any] = HAIKU
) -> dict[str, Any]:
    """The only choice of a whole answer."""
    message = {"id": "msg_1", "model": "claude", "content": content, "stop_reason": "tool_use", "usage": {}}
    response = HttpResponse(status=200, headers={}, body=json.dumps(message).encode())
    body = json.loads(anthropic.chat_response(request, target(rules), response).body)
    choice: dict[str, Any] = body["choices"][0]
    return choice


def test_the_answer_of_a_stand_in_tool_is_the_content() -> None:
    request = asking(stream=True, response_format=FORMAT)
    used = {"type": "tool_use", "id": "t", "name": "json_response", "input": {}}
    pieces = ({"type": "input_json_delta", "partial_json": piece} for piece in ('{"a"', ":1}"))
    events = [START, *block(0, used, *pieces), finish("tool_use"), STOP]
    assert story(events, request, PLAIN)[1:] == [("content", '{"a":1}'), ("finish", "stop")]
    assert story(events, request, HAIKU)[-1] == ("finish", "tool_calls")
    whole = unary([{**used, "input": {"a": 1}}], request, PLAIN)
    assert (whole["message"]["content"], whole["finish_reason"]) == ('{"a":1}', "stop")


def test_a_whole_input_in_the_start_of_a_call_is_not_lost() -> None:
    used = {"type": "tool_use", "id": "t", "name": "look", "input": {"a": 1}}
    assert ("arguments 0", '{"a":1}') in story([START, *block(3, used), finish("tool_use"), STOP])
    piece = {"type": "input_json_delta", "partial_json": '{"a":2}'}
    assert ("arguments 0", '{"a":2}') in story([START, *block(3, used, piece), finish("tool_use"), STOP])


def test_searches_at_the_provider_are_not_calls_and_its_sources_are_annotations() -> None:
    searched = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}
    found = {"type": "web_search_tool_result", "tool_use_id": "s", "content": []}
    events = [
        START,
        *block(0, searched, {"type": "input_json_delta", "partial_json": '{"query":"x"}'}),
        *block(1, found),
        *block(2, {"type": "text", "text": "So: "}, {"type": "text_delta", "text": "x"}),
        *block(
            3,
            {"type": "text", "text": ""},
            {"type": "text_delta", "text": "yes"},
            {"type": "citations_delta", "citation": CITED},
            {"type": "citations_delta", "citation": {"type": "char_location"}},
        ),
        finish(),
        STOP,
    ]
    steps = story(events)
    assert [kind for kind, _ in steps] == ["role", "content", "annotations", "finish"]
    cited = {"start_index": 5, "end_index": 8, "title": "T", "url": "https://example.com"}
    assert steps[2][1] == [[{"type": "url_citation", "url_citation": cited}]]
    text = {"type": "text", "text": "yes", "citations": [CITED, {"type": "char_location"}]}
    whole = unary([searched, found, {"type": "text", "text": "So: x", "citations": None}, text], asking())
    assert whole["message"]["annotations"] == [{"type": "url_citation", "url_citation": cited}]
    assert whole["finish_reason"] == "stop"


def test_thinking_that_was_streamed_can_be_given_back_unchanged() -> None:
    events = [
        START,
        *thought(0, "First.", "s1"),
        *block(1, {"type": "redacted_thinking", "data": "sealed"}),
        *thought(2, "Second.", "s2"),
        *block(3, {"type": "text", "text": "Done."}),
        finish(),
        STOP,
    ]
    steps = story(events)
    message = {
        "role": "assistant",
        "content": "Done.",
        "reasoning_content": "".join(value for kind, value in steps if kind == "reasoning_content"),
        "reasoning_details": [
            one
            for kind, value in steps
            if kind == "reasoning_details"
            for details in value
            for one in details
        ],
    }
    replayed = body_for({"role": "user", "content": "x"}, message, {"role": "user", "content": "y"})
    assert replayed["messages"][1]["content"] == [
        {"type": "thinking", "thinking": "First.", "signature": "s1"},
        {"type": "redacted_thinking", "data": "sealed"},
        {"type": "thinking", "thinking": "Second.", "signature": "s2"},
        {"type": "text", "text": "Done."},
    ]


def test_thinking_of_a_whole_answer_can_be_given_back_unchanged() -> None:
    blocks = [
        {"type": "thinking", "thinking": "First.", "signature": "s1"},
        {"type": "redacted_thinking", "data": "sealed"},
        {"type": "thinking", "thinking": "", "signature": "s2"},
        {"type": "text", "text": "Done."},
    ]
    message = unary(blocks, asking())["message"]
    replayed = body_for({"role": "user", "content": "x"}, message, {"role": "user", "content": "y"})
    assert replayed["messages"][1]["content"] == blocks


def test_the_official_stream_reader_takes_thinking_tools_and_sources() -> None:
    used = {"type": "tool_use", "id": "t", "name": "look", "input": {}}
    sources = ({"type": "citations_delta", "citation": CITED} for _ in range(2))
    events = [
        START,
        *thought(0, "First.", "s1"),
        *thought(1, "Second.", "s2"),
        *block(2, {"type": "text", "text": "So"}, *sources),
        *block(
            3,
            used,
            {"type": "input_json_delta", "partial_json": '{"a":'},
            {"type": "input_json_delta", "partial_json": "1}"},
        ),
        *block(4, {**used, "id": "u"}),
        finish("tool_use"),
        STOP,
    ]
    state = ChatCompletionStreamState()
    for chunk in read(events):
        if chunk.data:
            state.handle_chunk(ChatCompletionChunk.model_validate_json(chunk.data))
    message = state.get_final_completion().choices[0].message
    assert [call.function.arguments for call in message.tool_calls or ()] == ['{"a":1}', "{}"]
    assert message.content == "So"
    extra = message.model_extra or {}
    assert [one["signature"] for one in extra["reasoning_details"]] == ["s1", "s2"]


def test_the_last_count_of_tokens_is_the_one_that_counts() -> None:
    corrected = {**finish(), "usage": {"input_tokens": 9, "cache_read_input_tokens": 2, "output_tokens": 7}}
    early = {"type": "message_delta", "delta": {"stop_reason": None}, "usage": {"output_tokens": 3}}
    usage = [chunk.usage for chunk in read([START, early, corrected, STOP]) if chunk.usage]
    assert [(one.input, one.output, one.cached) for one in usage] == [(11, 7, 2)]


def test_a_finished_answer_whose_last_event_is_missing_still_tells_its_usage() -> None:
    chunks = read([START, finish()])
    assert (chunks[-2].finish_reason, chunks[-1].usage is not None) == ("stop", True)


def test_repeated_events_are_told_once() -> None:
    kinds = [kind for kind, _ in story([START, START, finish(), finish(), STOP, STOP])]
    assert kinds == ["role", "finish"]


def test_events_invented_tomorrow_are_passed_over() -> None:
    later = {"type": "content_block_delta", "index": 0, "delta": {"type": "smell_delta", "smell": "rose"}}
    odd = [*block(0, {"type": "hologram", "data": {}}), later, {"type": "confetti"}]
    assert [kind for kind, _ in story([START, {"type": "ping"}, *odd, finish("exhausted"), STOP])] == [
        "role",
        "finish",
    ]


@pytest.mark.parametrize(
    "events",
    [
        [finish()],
        [START, {"type": "content_block_delta", "index": 0}],
        [START, {"type": "content_block_start", "index": 0, "content_block": {"type": "tool_use"}}],
        [{"type": "message_start", "message": None}],
    ],
)
def test_events_that_make_no_sense_are_a_fault_of_the_provider(events: list[dict[str, Any]]) -> None:
    with pytest.raises(ProviderError) as caught:
        read(events)
    assert caught.value.kind is ErrorKind.PROTOCOL


@settings(deadline=None)
@given(data=st.data(), name=st.sampled_from(["tools", "reasoning", "refusal"]))
def test_nonsense_anywhere_in_a_stream_is_passed_over_or_a_fault_of_the_provider(
    data: st.DataObject, name: str
) -> None:
    raw = (FIXTURES / f"anthropic/{name}.stream.sse").read_bytes()
    events = [json.loads(event.data) for event in Splitter().feed(raw)]
    place = data.draw(st.integers(0, len(events) - 1))
    events[place] = data.draw(broken(events[place]))
    reader = anthropic.chat_stream(asking(stream=True), target())
    try:
        chunks = [chunk for event in events for chunk in reader.feed(Event("", json.dumps(event).encode()))]
        assert all(json.loads(chunk.data or b"{}") is not None for chunk in [*chunks, *reader.end()])
    except ProviderError:
        pass


@settings(deadline=None)
@given(data=st.data(), name=st.sampled_from(["tools", "chat.cached", "refusal"]))
def test_nonsense_anywhere_in_an_answer_is_passed_over_or_a_fault_of_the_provider(
    data: st.DataObject, name: str
) -> None:
    body = json.dumps(data.draw(broken(fixture(f"anthropic/{name}.response.json")))).encode()
    with contextlib.suppress(ProviderError):
        anthropic.chat_response(asking(), target(), HttpResponse(status=200, headers={}, body=body))


def test_a_line_that_is_no_json_is_a_fault_of_the_provider() -> None:
    with pytest.raises(ProviderError) as caught:
        anthropic.chat_stream(asking(stream=True), target()).feed(Event("message_start", b'{"type":'))
    assert caught.value.kind is ErrorKind.PROTOCOL
