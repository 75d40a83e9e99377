"""The anthropic dialect against its recorded fixtures: requests, answers, streams, errors."""

import json
from typing import Any

import pytest
from anthropic.types.message_create_params import (
    MessageCreateParamsNonStreaming,
    MessageCreateParamsStreaming,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion

from providers.chat import anthropic
from providers.errors import ErrorKind, ProviderError
from providers.types import HttpResponse
from tests.providers.chat.anthropic_cases import HAIKU, SONNET, target
from tests.providers.chat.talking import (
    CREATED,
    FIXTURES,
    asked,
    asking,
    events_of,
    fixture,
    numbers,
    read_stream,
    told,
    valid,
)
from tests.wire import OUR_EXTENSIONS, check

CACHED = {
    "messages": [
        {
            "role": "system",
            "content": [
                {
                    "type": "text",
                    "text": "Long shared preamble…",
                    "prompt_cache_breakpoint": {"mode": "explicit", "ttl": "12h"},
                }
            ],
        },
        {
            "role": "user",
            "content": [{"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}}],
        },
    ],
    "max_completion_tokens": 64,
}
REPLAYED = {
    "messages": [
        {"role": "user", "content": "Weather and local time in Paris?"},
        {
            "role": "assistant",
            "content": None,
            "reasoning_content": "Need two tools.",
            "reasoning_details": [
                {
                    "type": "reasoning.text",
                    "index": 0,
                    "format": "anthropic-claude-v1",
                    "signature": "EqoBCkgIARABGAIiQFIXTURE==",
                }
            ],
            "tool_calls": [
                {
                    "id": "toolu_01A",
                    "type": "function",
                    "function": {"name": "get_weather", "arguments": '{"city":"Paris","unit":"celsius"}'},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "toolu_01A", "content": "12"},
    ],
    "tools": fixture("canonical/tools.request.json")["tools"],
    "max_completion_tokens": 2048,
}


@pytest.mark.parametrize(
    ("canonical", "wire", "rules", "model"),
    [
        ("chat", "chat", HAIKU, "claude-haiku-4-5"),
        ("tools", "tools", HAIKU, "claude-haiku-4-5"),
        ("tool_forced", "tool_forced", HAIKU, "claude-haiku-4-5"),
        ("tool_result", "tool_result", HAIKU, "claude-haiku-4-5"),
        ("json_schema", "json_schema", HAIKU, "claude-haiku-4-5"),
        ("image_base64", "image_base64", HAIKU, "claude-haiku-4-5"),
        ("image_url", "image_url", HAIKU, "claude-haiku-4-5"),
        ("file_pdf", "file_pdf", HAIKU, "claude-haiku-4-5"),
        ("reasoning", "reasoning", SONNET, "claude-sonnet-5-5"),
        ("reasoning", "reasoning_budget", HAIKU, "claude-haiku-4-5"),
        (CACHED, "cache_control", HAIKU, "claude-haiku-4-5"),
        (REPLAYED, "reasoning_replay", SONNET, "claude-sonnet-5-5"),
    ],
)
def test_a_request_becomes_exactly_the_recorded_one(
    canonical: str | dict[str, Any], wire: str, rules: dict[str, Any], model: str
) -> None:
    body = fixture(f"canonical/{canonical}.request.json") if isinstance(canonical, str) else canonical
    sent = anthropic.chat_request(asked(body), target(rules, model))
    decoded = json.loads(sent.body)
    assert decoded == fixture(f"anthropic/{wire}.request.json")
    check(MessageCreateParamsStreaming if decoded.get("stream") else MessageCreateParamsNonStreaming, decoded)
    assert (sent.method, sent.url) == ("POST", "https://api.anthropic.com/v1/messages")
    assert sent.headers == {
        "x-api-key": "key-1",
        "anthropic-version": "2026-10-21",
        "content-type": "application/json",
    }


@pytest.mark.parametrize("name", ["chat", "chat.cached", "tools", "refusal"])
def test_an_answer_becomes_exactly_the_recorded_completion(name: str) -> None:
    got = anthropic.chat_response(asking(), target(), answer(f"anthropic/{name}.response.json"))
    body = json.loads(got.body)
    expected = fixture(f"anthropic/{name}.expected.json")
    check(ChatCompletion, body, allow=OUR_EXTENSIONS)
    assert numbers(body.pop("usage")) == numbers(expected.pop("usage"))
    assert body == expected
    assert (got.id, got.model) == (body["id"], body["model"])
    assert got.finish_reason == body["choices"][0]["finish_reason"]
    assert got.usage is not None


@pytest.mark.parametrize(
    ("name", "finish"),
    [("max_tokens", "length"), ("stop_sequence", "stop"), ("json_schema", "stop"), ("tool_result", "stop")],
)
def test_the_reason_an_answer_ended_is_told(name: str, finish: str) -> None:
    got = anthropic.chat_response(asking(), target(), answer(f"anthropic/{name}.response.json"))
    check(ChatCompletion, json.loads(got.body), allow=OUR_EXTENSIONS)
    assert got.finish_reason == finish


@pytest.mark.parametrize("name", ["chat", "tools", "reasoning"])
@settings(deadline=None)
@given(data=st.data())
def test_a_stream_tells_the_recorded_story_however_the_network_cuts_it(
    name: str, data: st.DataObject
) -> None:
    raw = (FIXTURES / f"anthropic/{name}.stream.sse").read_bytes()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=12)))
    pieces = [raw[start:end] for start, end in zip([0, *cuts], [*cuts, len(raw)], strict=True)]
    request = asking(stream=True, stream_options={"include_usage": True})
    chunks = read_stream(anthropic.chat_stream(request, target()), pieces)
    assert told(chunk.data for chunk in chunks) == told(events_of(f"anthropic/{name}.expected.sse"))


@pytest.mark.parametrize("name", ["chat", "tools", "reasoning", "tools_noargs", "refusal"])
@pytest.mark.parametrize("include_usage", [True, False])
def test_a_stream_is_valid_chunk_by_chunk(name: str, include_usage: bool) -> None:
    request = asking(stream=True, stream_options={"include_usage": include_usage})
    raw = (FIXTURES / f"anthropic/{name}.stream.sse").read_bytes()
    chunks = read_stream(anthropic.chat_stream(request, target()), [raw])
    shown = [json.loads(chunk.data) for chunk in valid(chunks)]
    assert {(one["id"], one["created"]) for one in shown} == {("chatcmpl-msg_01FIXTURE", CREATED)}
    assert [one["choices"] == [] for one in shown].count(True) == include_usage
    assert all(("usage" in one) == include_usage for one in shown)
    assert [chunk.usage for chunk in chunks if chunk.usage], "the gateway always learns the usage"
    assert not chunks[0].content, "a role alone is nothing that a client would notice"
    assert all(chunk.content for chunk in chunks[1:-1])


def test_a_call_without_arguments_has_empty_ones() -> None:
    steps = dict(story("tools_noargs"))
    assert steps["arguments 0"] == "{}"
    assert steps["finish"] == "tool_calls"


def test_a_refusal_is_told_with_its_reason() -> None:
    assert story("refusal")[1:3] == [("refusal", "Blocked."), ("finish", "content_filter")]


def test_an_error_in_the_middle_of_a_stream_is_raised() -> None:
    raw = (FIXTURES / "anthropic/stream_error_midway.sse").read_bytes()
    with pytest.raises(ProviderError) as caught:
        read_stream(anthropic.chat_stream(asking(stream=True), target()), [raw])
    assert (caught.value.kind, caught.value.status) == (ErrorKind.OVERLOADED, 529)


@settings(deadline=None)
@given(end=st.integers(0, 10_000))
def test_a_cut_stream_never_looks_complete(end: int) -> None:
    raw = (FIXTURES / "anthropic/tools.stream.sse").read_bytes()
    cut = raw[: end % raw.index(b"event: message_delta")]
    whole_events = cut[: cut.rfind(b"\n\n") + 2] if b"\n\n" in cut else b""
    chunks = read_stream(anthropic.chat_stream(asking(stream=True), target()), [whole_events])
    assert all(chunk.finish_reason is None and chunk.usage is None for chunk in chunks)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("400_context", ErrorKind.CONTEXT_LENGTH),
        ("400_credit", ErrorKind.QUOTA),
        ("400_sampling", ErrorKind.INVALID_REQUEST),
        ("400_toolpair", ErrorKind.INVALID_REQUEST),
        ("401", ErrorKind.AUTHENTICATION),
        ("402", ErrorKind.QUOTA),
        ("413", ErrorKind.UNSUPPORTED),
        ("429", ErrorKind.RATE_LIMITED),
        ("429_spend", ErrorKind.QUOTA),
        ("500", ErrorKind.UNAVAILABLE),
        ("504", ErrorKind.TIMEOUT),
        ("529", ErrorKind.OVERLOADED),
    ],
)
def test_each_error_is_of_the_kind_that_routing_needs(name: str, kind: ErrorKind) -> None:
    case = fixture(f"anthropic/error.{name}.json")
    response = HttpResponse(
        status=case["status"], headers=case["headers"], body=json.dumps(case["body"]).encode()
    )
    failure = anthropic.error(response)
    assert (failure.kind, failure.status) == (kind, case["status"])
    assert failure.retry_after == case["expect"].get("retry_after_s")
    assert failure.message == case["body"]["error"]["message"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"content":[{"type":"text"}],"stop_reason":"end_turn"}',
        b'{"content":[]}',
    ],
)
def test_an_unreadable_answer_is_a_fault_of_the_provider(body: bytes) -> None:
    with pytest.raises(ProviderError) as caught:
        anthropic.chat_response(asking(), target(), HttpResponse(status=200, headers={}, body=body))
    assert caught.value.kind is ErrorKind.PROTOCOL


def test_an_error_in_a_successful_answer_is_raised() -> None:
    body = b'{"type":"error","error":{"type":"rate_limit_error","message":"Slow down."}}'
    with pytest.raises(ProviderError, match=r"Slow down\.") as caught:
        anthropic.chat_response(asking(), target(), HttpResponse(status=200, headers={}, body=body))
    assert caught.value.kind is ErrorKind.RATE_LIMITED


def answer(name: str) -> HttpResponse:
    return HttpResponse(status=200, headers={}, body=(FIXTURES / name).read_bytes())


def story(name: str) -> list[tuple[str, Any]]:
    raw = (FIXTURES / f"anthropic/{name}.stream.sse").read_bytes()
    chunks = read_stream(anthropic.chat_stream(asking(stream=True), target()), [raw])
    return told(chunk.data for chunk in chunks)
