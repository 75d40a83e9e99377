"""What an OpenAI client reads of Gemini's streams."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.chat import gemini
from providers.errors import ErrorKind, ProviderError
from providers.types import ChatRequest, Chunk, Target
from tests.providers.chat.gemini_cases import (
    FIXTURES,
    SIGNATURE,
    ask,
    events,
    expected,
    folded,
    shown,
    streamed,
    target,
)

STREAMS = sorted(path.name for path in FIXTURES.glob("*.stream.sse"))


def streaming(**params: Any) -> ChatRequest:
    return ask(stream=True, stream_options={"include_usage": True}, **params)


def stream(*bodies: Any) -> bytes:
    """The bytes of a stream of these events."""
    return b"".join(b"data: " + json.dumps(body).encode() + b"\n\n" for body in bodies)


def said(*parts: Any, finish: str | None = None, **more: Any) -> dict[str, Any]:
    candidate = {"content": {"parts": list(parts)}, **({"finishReason": finish} if finish else {})}
    return {"candidates": [candidate | more], "responseId": "R"}


def read(*bodies: Any, chat: ChatRequest | None = None, to: Target | None = None) -> dict[str, Any]:
    return folded(shown(streamed(stream(*bodies), chat or streaming(), to)))


@pytest.mark.parametrize("scenario", ["chat", "tools"])
def test_the_client_reads_what_it_expects(scenario: str) -> None:
    raw = (FIXTURES / f"{scenario}.stream.sse").read_bytes()
    ours, wanted = shown(streamed(raw, streaming())), expected(f"{scenario}.expected.sse")
    assert folded(ours) == folded(wanted)
    for name in ("id", "created", "model", "object"):
        assert {chunk[name] for chunk in ours} == {wanted[0][name]}


@pytest.mark.parametrize("scenario", STREAMS)
@given(data=st.data())
def test_however_the_bytes_are_cut_the_chunks_are_the_same(scenario: str, data: st.DataObject) -> None:
    raw = (FIXTURES / scenario).read_bytes()
    cuts = data.draw(st.lists(st.integers(0, len(raw)), max_size=20))
    assert streamed(raw, streaming(), cuts=cuts) == streamed(raw, streaming())


def test_thoughts_come_as_reasoning_before_the_text_and_its_signature() -> None:
    found = folded(shown(streamed((FIXTURES / "reasoning.stream.sse").read_bytes(), streaming())))
    assert (found["reasoning_content"], found["content"]) == ("17*20=340, 17*3=51.", "391")
    assert found["reasoning_details"] == [
        {"type": "reasoning.encrypted", "index": 0, "format": "google-gemini-v1", "data": SIGNATURE}
    ]
    assert found["order"] == ["content", "reasoning_content", "reasoning_details"]
    assert found["usage"] == {
        "prompt_tokens": 8,
        "completion_tokens": 43,
        "total_tokens": 51,
        "reasoning_tokens": 40,
    }


def test_usage_is_a_fact_for_us_even_when_the_client_did_not_ask() -> None:
    chunks = streamed((FIXTURES / "chat.stream.sse").read_bytes(), ask(stream=True))
    assert chunks[-1].data == b""
    assert chunks[-1].usage is not None
    assert all("usage" not in body for body in shown(chunks))


def test_only_the_role_is_not_yet_content() -> None:
    chunks = streamed((FIXTURES / "tools.stream.sse").read_bytes(), streaming())
    assert [chunk.content for chunk in chunks if chunk.usage is None] == [False] + [True] * (len(chunks) - 2)
    assert [chunk.finish_reason for chunk in chunks if chunk.finish_reason] == ["tool_calls"]


def test_each_count_of_the_usage_keeps_its_last_value() -> None:
    first = said({"text": "a"}) | {"usageMetadata": {"promptTokenCount": 5, "thoughtsTokenCount": 2}}
    last = said(finish="STOP") | {"usageMetadata": {"promptTokenCount": 6, "candidatesTokenCount": 1}}
    found = read(first, last)["usage"]
    assert (found["prompt_tokens"], found["completion_tokens"]) == (6, 3)


def test_a_finish_reason_in_every_event_ends_nothing_early() -> None:
    found = read(
        said(finish="STOP"), said({"text": "a"}, finish="STOP"), said({"text": "b"}, finish="MAX_TOKENS")
    )
    assert (found["content"], found["finish"]) == ("ab", ["length"])


def test_a_stream_without_a_finish_is_a_cut_and_owes_nothing() -> None:
    reader = gemini.chat_stream(streaming(), target())
    for event in events(stream(said({"text": "half an ans"}))):
        assert all(chunk.finish_reason is None for chunk in reader.feed(event))
    assert list(reader.end()) == []


def test_calls_without_ids_get_stable_ones_over_all_events() -> None:
    call = {"functionCall": {"name": "f"}}
    found = read(said(call), said(call, finish="STOP"))
    assert [one["id"] for one in found["calls"].values()] == ["call_R_0", "call_R_1"]
    assert [one["arguments"] for one in found["calls"].values()] == ["{}", "{}"]
    assert found["finish"] == ["tool_calls"]


def test_a_blocked_prompt_is_a_refusal() -> None:
    found = read({"promptFeedback": {"blockReason": "SAFETY"}, "responseId": "R"})
    assert (found["refusal"], found["finish"]) == ("Blocked by provider: SAFETY", ["content_filter"])


def test_other_candidates_than_the_one_asked_for_are_left_out() -> None:
    assert read(said({"text": "no"}, index=1), said({"text": "yes"}, finish="STOP"))["content"] == "yes"


def test_the_stand_in_tool_becomes_the_content() -> None:
    chat = streaming(
        tools=[{"type": "function", "function": {"name": "look"}}], response_format={"type": "json_object"}
    )
    event = said({"functionCall": {"name": "json_response", "args": {"a": 1}}}, finish="STOP")
    found = read(event, chat=chat, to=target("gemini-2.5-flash"))
    assert (found["content"], found["calls"], found["finish"]) == ('{"a":1}', {}, ["stop"])


def test_pictures_and_sources_are_shown() -> None:
    grounding = {
        "groundingChunks": [{"web": {"uri": "https://a.example", "title": "A"}}],
        "groundingSupports": [{"segment": {"endIndex": 2}, "groundingChunkIndices": [0]}],
    }
    picture = {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}
    found = read(
        said({"text": "a"}, picture), said({"text": "b"}, finish="STOP", groundingMetadata=grounding)
    )
    assert found["images"] == [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]
    assert found["annotations"][0]["url_citation"]["end_index"] == 2


def fails(*bodies: Any) -> tuple[ProviderError, list[Chunk]]:
    """The error the stream ends with, and the chunks before it."""
    reader = gemini.chat_stream(streaming(), target())
    before: list[Chunk] = []
    with pytest.raises(ProviderError) as caught:  # noqa: PT012 - the chunks before the error matter
        for event in events(stream(*bodies)):
            before += reader.feed(event)
    return caught.value, before


@pytest.mark.parametrize("listed", [False, True])
def test_an_error_in_the_stream_is_raised(listed: bool) -> None:
    overloaded = {"error": {"code": 503, "status": "UNAVAILABLE", "message": "The model is overloaded."}}
    error, before = fails(said({"text": "a"}), [overloaded] if listed else overloaded)
    assert error.kind is ErrorKind.OVERLOADED
    assert folded(shown(before))["content"] == "a"


def test_a_failed_answer_is_an_error_only_without_output() -> None:
    error, before = fails(said({"text": "hm", "thought": True}, finish="MALFORMED_FUNCTION_CALL"))
    assert (error.kind, before) == (ErrorKind.PROTOCOL, [])
    assert read(said({"text": "a"}), said(finish="MALFORMED_RESPONSE"))["finish"] == ["stop"]


def test_an_end_mark_that_a_proxy_added_is_skipped_and_garbage_is_not() -> None:
    raw = stream(said({"text": "a"}, finish="STOP")) + b"data: [DONE]\n\n"
    assert folded(shown(streamed(raw, streaming())))["content"] == "a"
    with pytest.raises(ProviderError) as caught:
        streamed(b"data: {half\n\n", streaming())
    assert caught.value.kind is ErrorKind.PROTOCOL
