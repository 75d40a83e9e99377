"""What passes through the openai dialect untouched, and what is mended on the way."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types import CreateEmbeddingResponse
from openai.types.chat import ChatCompletion

from providers.chat import openai
from providers.errors import ErrorKind, ProviderError
from providers.types import (
    ChatRequest,
    Completion,
    EmbeddingRequest,
    HttpResponse,
    Quirks,
    Secret,
    Target,
    encode,
)
from tests.providers.chat.talking import CREATED, FIXTURES, asked, asking, fixture
from tests.wire import check

TARGET = Target(
    provider="acme",
    dialect="openai",
    base_url="https://api.acme.example/v1",
    model="big-1",
    credential=Secret("k-1"),
)
CLEAN = sorted(
    path.name
    for path in (FIXTURES / "openai").glob("*.response.json")
    if not path.name.startswith("embeddings")
)


def answered(body: Any, target: Target = TARGET) -> Completion:
    data = body if isinstance(body, bytes) else encode(body)
    return openai.chat_response(asking(), target, HttpResponse(status=200, headers={}, body=data))


def answer(**message: Any) -> dict[str, Any]:
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": "hi"} | message,
        "finish_reason": "stop",
    }
    return {"id": "c-1", "object": "chat.completion", "created": 7, "model": "big-1", "choices": [choice]}


def message_of(completion: Completion) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(completion.body)["choices"][0]["message"]
    return found


@given(
    st.dictionaries(
        st.text(min_size=1, max_size=9), st.integers() | st.text() | st.lists(st.booleans()), max_size=6
    )
)
def test_fields_of_any_name_survive_byte_for_byte(extra: dict[str, Any]) -> None:
    texts = {name: json.dumps(value, indent=1).encode() for name, value in extra.items() if name != "model"}
    body = {name: msgspec.Raw(text) for name, text in texts.items()}
    call = openai.chat_request(ChatRequest(model="m", body=body | {"model": msgspec.Raw(b'"m"')}), TARGET)
    sent = msgspec.json.decode(call.body, type=dict[str, msgspec.Raw])
    assert {name: bytes(value) for name, value in sent.items()} == texts | {"model": b'"big-1"'}


def test_the_call_goes_to_the_target_with_its_key_and_headers() -> None:
    target = msgspec.structs.replace(TARGET, headers={"openai-organization": "o"})
    call = openai.chat_request(asking(), target)
    assert (call.method, call.url) == ("POST", "https://api.acme.example/v1/chat/completions")
    assert call.headers == {
        "content-type": "application/json",
        "authorization": "Bearer k-1",
        "openai-organization": "o",
    }
    assert call.dropped == []


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({}, {"include_usage": True}),
        ({"stream_options": None}, {"include_usage": True}),
        ({"stream_options": {"include_usage": False}}, {"include_usage": True}),
        (
            {"stream_options": {"include_obfuscation": False}},
            {"include_obfuscation": False, "include_usage": True},
        ),
    ],
)
def test_a_stream_always_asks_for_usage(given: dict[str, Any], sent: dict[str, Any]) -> None:
    body = json.loads(openai.chat_request(asking(stream=True, **given), TARGET).body)
    assert (body["stream"], body["stream_options"]) == (True, sent)
    assert "stream_options" not in json.loads(openai.chat_request(asking(), TARGET).body)


def test_quirks_and_rules_are_applied_and_reported() -> None:
    target = msgspec.structs.replace(
        TARGET,
        quirks=Quirks(
            drop=["seed"], quiet=["stream_options"], rename={"max_completion_tokens": "max_tokens"}
        ),
        rules={"reasoning": "always"},
    )
    call = openai.chat_request(asking(stream=True, seed=1, temperature=0, max_tokens=9), target)
    body = json.loads(call.body)
    assert call.dropped == ["temperature", "seed"]
    assert body["max_tokens"] == 9
    assert not {"seed", "temperature", "stream_options", "max_completion_tokens"} & body.keys()


@pytest.mark.parametrize("name", CLEAN)
def test_openais_own_answers_pass_through(name: str) -> None:
    body = (FIXTURES / "openai" / name).read_bytes()
    completion = answered(body)
    whole = json.loads(body)
    assert completion.body == body
    assert (completion.id, completion.model) == (whole["id"], whole["model"])
    assert completion.finish_reason == whole["choices"][0]["finish_reason"]
    assert completion.usage is not None
    assert completion.usage.input == whole["usage"]["prompt_tokens"]


@pytest.mark.parametrize("name", ["azure/chat", "mistral/chat", "mistral/tools", "minimax/chat"])
def test_answers_of_vendors_satisfy_the_official_type(name: str) -> None:
    completion = answered(json.dumps(fixture(f"{name}.response.json")).encode())
    ChatCompletion.model_validate_json(completion.body, strict=True)
    assert completion.usage is not None
    assert completion.finish_reason in ("stop", "tool_calls")


def test_reasoning_gets_its_one_name() -> None:
    assert message_of(answered(answer(reasoning="hm")))["reasoning_content"] == "hm"
    thinking = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
        {"type": "text", "text": "hi"},
    ]
    message = message_of(answered(answer(content=thinking)))
    assert (message["reasoning_content"], message["content"]) == ("hm", "hi")
    assert "reasoning" not in message


def test_tool_calls_are_made_whole() -> None:
    calls = [{"function": {"name": "f", "arguments": {"a": 1}}}, {"id": "x", "function": {"name": "g"}}]
    completion = answered(answer(content=None, tool_calls=calls))
    first, second = message_of(completion)["tool_calls"]
    assert (first["type"], json.loads(first["function"]["arguments"])) == ("function", {"a": 1})
    assert first["id"].startswith("call_")
    assert (second["id"], second["function"]["arguments"]) == ("x", "{}")
    assert completion.finish_reason == "tool_calls"


def test_a_call_of_a_custom_tool_passes_through() -> None:
    call = {"id": "c", "type": "custom", "custom": {"name": "sql", "input": "select"}}
    assert message_of(answered(answer(tool_calls=[call])))["tool_calls"] == [call]


def test_what_is_missing_is_filled_in() -> None:
    body = json.loads(answered({"choices": [{"message": {"content": "hi"}}]}).body)
    check(ChatCompletion, body | {"choices": [body["choices"][0] | {"logprobs": None}]}, allow=["refusal"])
    assert (body["model"], body["created"], body["object"]) == ("big-1", CREATED, "chat.completion")
    assert body["id"].startswith("chatcmpl-")


def test_a_vendors_finish_reasons_are_translated() -> None:
    def finish(reason: Any, **quirks: Any) -> str | None:
        body = answer()
        body["choices"][0]["finish_reason"] = reason
        target = msgspec.structs.replace(TARGET, quirks=Quirks(**quirks))
        return answered(body, target).finish_reason

    assert [finish(reason) for reason in ("eos", "model_length", "sensitive", "", None, "new")] == [
        *("stop", "length", "content_filter", "stop", "stop", "stop")
    ]
    assert finish("halt", finish={"halt": "length"}) == "length"
    for broken in ("abort", "error", "insufficient_system_resource", "MALFORMED_FUNCTION_CALL"):
        with pytest.raises(ProviderError) as caught:
            finish(broken)
        assert caught.value.kind is ErrorKind.UNAVAILABLE


@pytest.mark.parametrize(
    ("usage", "facts"),
    [
        ({"prompt_tokens": 9, "completion_tokens": 3}, (9, 3, 0, 0)),
        ({"prompt_tokens": 9.0, "completion_tokens": 3.0, "total_tokens": 12.0}, (9, 3, 0, 0)),
        ({"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 20}, (9, 11, 0, 8)),
        ({"prompt_tokens": 9, "completion_tokens": 3, "prompt_cache_hit_tokens": 8}, (9, 3, 8, 0)),
        ({"prompt_tokens": 9, "completion_tokens": 3, "cached_tokens": 99}, (9, 3, 9, 0)),
        ({"prompt_tokens": -1, "completion_tokens": None, "total_tokens": "x"}, (0, 0, 0, 0)),
    ],
)
def test_usage_of_every_make_adds_up(usage: dict[str, Any], facts: tuple[int, ...]) -> None:
    completion = answered(answer() | {"usage": usage})
    used = completion.usage
    assert used is not None
    assert (used.input, used.output, used.cached, used.reasoning) == facts
    shown = json.loads(completion.body)["usage"]
    assert (
        shown["total_tokens"]
        == shown["prompt_tokens"] + shown["completion_tokens"]
        == used.input + used.output
    )


def test_xai_usage_is_folded_as_recorded() -> None:
    expected = fixture("xai/reasoning.expected_usage.json")
    stream = (FIXTURES / "xai" / "reasoning.stream.sse").read_text().splitlines()
    usage = next(json.loads(line[6:])["usage"] for line in stream if '"usage"' in line)
    shown = json.loads(answered(answer() | {"usage": usage}).body)["usage"]
    for name in ("prompt_tokens", "completion_tokens", "total_tokens"):
        assert shown[name] == expected[name]


@pytest.mark.parametrize("name", ["openrouter/error_in_200.json", "minimax/error_in_200.json"])
def test_an_error_that_calls_itself_a_success_is_an_error(name: str) -> None:
    with pytest.raises(ProviderError) as caught:
        answered(fixture(name)["body"])
    assert caught.value.kind in (ErrorKind.UNAVAILABLE, ErrorKind.QUOTA)


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"null", b"{}", b'{"choices":[]}', b'{"choices":null}']
)
def test_an_answer_without_a_choice_is_no_answer(body: bytes) -> None:
    with pytest.raises(ProviderError) as caught:
        answered(body)
    assert caught.value.kind is ErrorKind.PROTOCOL


ODD = st.none() | st.booleans() | st.integers(0, 3) | st.text(max_size=3) | st.lists(st.none(), max_size=2)
PARTS = st.dictionaries(
    st.sampled_from(["role", "content", "tool_calls", "reasoning", "function", "arguments", "type", "text"]),
    ODD | st.lists(st.dictionaries(st.sampled_from(["id", "function", "type", "text"]), ODD), max_size=2),
)


@given(st.dictionaries(st.sampled_from(["choices", "usage", "id", "model", "created", "error"]), ODD), PARTS)
def test_no_answer_whatever_breaks_the_reader(body: dict[str, Any], message: dict[str, Any]) -> None:
    try:
        completion = answered(answer(**message) | body)
    except ProviderError:
        return
    assert json.loads(completion.body)["choices"][0]["message"]["role"] == "assistant"


def test_embeddings_pass_through() -> None:
    request = asked(fixture("openai/embeddings.request.json"))
    call = openai.embedding_request(EmbeddingRequest(model=request.model, body=request.body), TARGET)
    assert call.url == "https://api.acme.example/v1/embeddings"
    assert json.loads(call.body) == fixture("openai/embeddings.request.json") | {"model": "big-1"}
    for name in ("embeddings.response.json", "embeddings.base64.response.json"):
        body = (FIXTURES / "openai" / name).read_bytes()
        answer = HttpResponse(status=200, headers={}, body=body)
        got = openai.embedding_response(EmbeddingRequest(model="m", body={}), TARGET, answer)
        assert got.body == body
        assert got.usage is not None
        assert got.usage.input > 0
    CreateEmbeddingResponse.model_validate_json((FIXTURES / "openai/embeddings.response.json").read_bytes())


@pytest.mark.parametrize(
    "body", [b"", b"{}", b'{"data":null}', b'{"error":{"message":"no"}}', b'{"data":[],"error":"x"}']
)
def test_embeddings_that_are_none_are_an_error(body: bytes) -> None:
    response = HttpResponse(status=200, headers={}, body=body)
    with pytest.raises(ProviderError):
        openai.embedding_response(EmbeddingRequest(model="m", body={}), TARGET, response)
