"""What the scripted provider says, read the way every other provider is read."""

import base64
import json
import math
import struct
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types import CreateEmbeddingResponse
from openai.types.chat import ChatCompletion

from providers.chat import CHAT, EMBEDDINGS
from providers.errors import ErrorKind, ProviderError
from providers.scripted import DRILLS, PREFIX, WORD_SECONDS, Script, respond
from providers.types import Chunk, Completion, EmbeddingRequest, HttpRequest, HttpResponse, Target, encode
from tests.providers.chat.talking import CREATED, asked, asking, read_stream, told, valid
from tests.wire import check

WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1}},
    "required": ["city", "days"],
    "additionalProperties": False,
}
TOOLS = [
    {"type": "function", "function": {"name": "get_weather", "parameters": WEATHER}},
    {"type": "function", "function": {"name": "get_time"}},
    {"type": "custom", "custom": {"name": "shell"}},
]
CHOICES: list[Any] = [
    "required",
    {"type": "function", "function": {"name": "get_weather"}},
    {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": TOOLS[:1]}},
]


def target(model: str = "small") -> Target:
    return Target(provider="demo", dialect="scripted", base_url="scripted:demo", model=model)


def script(text: str = "Hi", model: str = "small", **fields: Any) -> Script:
    return respond(CHAT["scripted"].chat_request(asking(text, **fields), target(model)))


def whole(said: Script) -> HttpResponse:
    body = b"".join(piece for _, piece in said.pieces)
    return HttpResponse(status=said.status, headers=said.headers, body=body)


def answered(text: str = "Hi", **fields: Any) -> Completion:
    return CHAT["scripted"].chat_response(asking(text, **fields), target(), whole(script(text, **fields)))


def streamed(text: str = "Hi", **fields: Any) -> list[Chunk]:
    request = asking(text, stream=True, stream_options={"include_usage": True}, **fields)
    said = respond(CHAT["scripted"].chat_request(request, target()))
    return read_stream(CHAT["scripted"].chat_stream(request, target()), [piece for _, piece in said.pieces])


def text_of(completion: Completion) -> str:
    found: str = json.loads(completion.body)["choices"][0]["message"]["content"]
    return found


def test_the_request_goes_nowhere() -> None:
    call = CHAT["scripted"].chat_request(asking(), target())
    assert call.url.startswith(PREFIX)


def test_it_quotes_the_beginning_of_what_was_said() -> None:
    completion = answered("What   is\nthe capital of France? " + "Tell me more. " * 20)
    text = text_of(completion)
    assert "What is the capital of France?" in text
    assert "scripted" in text
    assert len(text.split()) < 60
    check(ChatCompletion, json.loads(completion.body))
    assert json.loads(completion.body)["created"] == CREATED
    assert completion.finish_reason == "stop"


def test_usage_is_four_tokens_for_three_words() -> None:
    completion = answered("one two three four five six")
    assert completion.usage is not None
    assert completion.usage.input == 8
    assert completion.usage.output == math.ceil(len(text_of(completion).split()) * 4 / 3)


def test_a_stream_says_the_same_word_by_word() -> None:
    chunks = valid(streamed("Bonjour"))
    steps = told(chunk.data for chunk in chunks)
    assert [kind for kind, _ in steps] == ["role", "content", "finish", "usage"]
    assert steps[1][1] == text_of(answered("Bonjour"))
    said = script("Bonjour", stream=True)
    words = [delay for delay, _ in said.pieces if delay]
    assert words == [WORD_SECONDS] * len(steps[1][1].split())
    assert said.pieces[-1][1] == b"data: [DONE]\n\n"


def test_the_same_request_gets_the_same_script() -> None:
    assert script("a") == script("a")
    assert script("a") != script("b")


@pytest.mark.parametrize("choice", CHOICES)
def test_a_demanded_tool_is_called(choice: Any) -> None:
    completion = answered(tools=TOOLS, tool_choice=choice)
    (call,) = json.loads(completion.body)["choices"][0]["message"]["tool_calls"]
    assert call["function"]["name"] == "get_weather"
    jsonschema.validate(json.loads(call["function"]["arguments"]), WEATHER)
    assert completion.finish_reason == "tool_calls"
    steps = told(chunk.data for chunk in valid(streamed(tools=TOOLS, tool_choice=choice)))
    assert (f"call 0 {call['id']} function", "get_weather") in steps
    assert ("arguments 0", call["function"]["arguments"]) in steps
    assert ("finish", "tool_calls") in steps


@pytest.mark.parametrize("choice", ["auto", "none", None, {"type": "function", "function": {"name": "nope"}}])
def test_a_tool_that_is_not_demanded_is_not_called(choice: Any) -> None:
    assert answered(tools=TOOLS, tool_choice=choice).finish_reason == "stop"


def test_a_custom_tool_is_called_with_text() -> None:
    named = {"type": "custom", "custom": {"name": "shell"}}
    (call,) = json.loads(answered(tools=TOOLS, tool_choice=named).body)["choices"][0]["message"]["tool_calls"]
    assert (call["type"], call["custom"]["name"]) == ("custom", "shell")
    assert streamed(tools=TOOLS, tool_choice=named)[-2].finish_reason == "tool_calls"


def test_a_json_schema_is_satisfied() -> None:
    form = {"type": "json_schema", "json_schema": {"name": "w", "schema": WEATHER, "strict": True}}
    jsonschema.validate(json.loads(text_of(answered(response_format=form))), WEATHER)
    assert isinstance(json.loads(text_of(answered(response_format={"type": "json_object"}))), dict)


def embedded(given: Any, **fields: Any) -> tuple[HttpResponse, Completion]:
    body = asked({"model": "m", "input": given, **fields}).body
    request = EmbeddingRequest(model="m", body=body)
    said = whole(respond(EMBEDDINGS["scripted"].embedding_request(request, target())))
    return said, EMBEDDINGS["scripted"].embedding_response(request, target(), said)


def test_embeddings_are_unit_vectors_that_follow_from_the_text() -> None:
    _, completion = embedded(["one", "two", "one"], dimensions=8)
    check(CreateEmbeddingResponse, json.loads(completion.body))
    first, second, third = (row["embedding"] for row in json.loads(completion.body)["data"])
    assert first == third != second
    assert math.hypot(*first) == pytest.approx(1, abs=1e-6)
    assert len(first) == 8
    assert completion.usage is not None
    assert completion.usage.input == 6


def test_embeddings_come_packed_when_asked_for() -> None:
    plain = json.loads(embedded("one")[1].body)["data"][0]["embedding"]
    packed = json.loads(embedded("one", encoding_format="base64")[1].body)["data"][0]["embedding"]
    assert list(struct.unpack(f"<{len(plain)}f", base64.b64decode(packed))) == plain


@pytest.mark.parametrize(("given", "count"), [([1, 2, 3], 1), ([[1, 2], [3]], 2), ("text", 1)])
def test_token_ids_are_embedded_too(given: Any, count: int) -> None:
    assert len(json.loads(embedded(given)[1].body)["data"]) == count


@pytest.mark.parametrize("dimensions", [-1, 10**9, "x", 1.5])
def test_senseless_dimensions_are_refused(dimensions: Any) -> None:
    said = respond(HttpRequest(method="POST", url="scripted:demo/embeddings", headers={},
                               body=encode({"input": "x", "dimensions": dimensions})))  # fmt: skip
    assert said.status == 400
    assert b"dimensions" in said.pieces[0][1]


def test_a_demo_does_not_fill_the_memory() -> None:
    said = respond(HttpRequest(method="POST", url="scripted:demo/embeddings", headers={},
                               body=encode({"input": ["x"] * 5000})))  # fmt: skip
    assert said.status == 400


def test_drills_that_refuse() -> None:
    for model, kind, wait in (
        ("status-503", ErrorKind.UNAVAILABLE, None),
        ("status-429", ErrorKind.RATE_LIMITED, 2),
    ):
        error = CHAT["scripted"].error(whole(script(model=model)))
        assert (error.kind, error.retry_after) == (kind, wait)


def test_drills_that_take_their_time() -> None:
    for stream in (True, False):
        assert script(model="slow-first-token", stream=stream).pieces[0][0] == 20
        assert script(model="silent", stream=stream).pieces == [(3600.0, b"")]


def test_a_cut_answer_never_looks_whole() -> None:
    for fields in ({}, {"tools": TOOLS, "tool_choice": "required"}):
        said = script(model="cut", stream=True, **fields)
        chunks = read_stream(
            CHAT["scripted"].chat_stream(asking(stream=True), target()), [p for _, p in said.pieces]
        )
        assert any(chunk.content for chunk in chunks)
        assert all(chunk.finish_reason is None for chunk in chunks)
        answer = whole(script(model="cut", **fields))
        with pytest.raises(ProviderError):
            CHAT["scripted"].chat_response(asking(), target(), answer)
    assert len(script(model="cut", stream=True).pieces) == 6


def test_every_drill_says_what_it_does() -> None:
    assert all(drill.__doc__ for drill in DRILLS.values())


ODD = st.none() | st.booleans() | st.integers(-2, 3) | st.text(max_size=4) | st.lists(st.none(), max_size=2)
INNER = st.dictionaries(
    st.sampled_from(["role", "content", "type", "function", "json_schema", "schema", "name", "parameters"]),
    ODD | st.lists(st.dictionaries(st.sampled_from(["text", "type"]), ODD), max_size=2),
)
FIELDS = st.sampled_from(
    ["model", "messages", "tools", "tool_choice", "response_format", "stream", "input", "dimensions"]
)


@given(
    st.dictionaries(FIELDS, ODD | INNER | st.lists(INNER, max_size=3)),
    st.sampled_from(["chat", "embeddings"]),
)
def test_no_body_whatever_breaks_the_script(body: dict[str, Any], path: str) -> None:
    said = respond(HttpRequest(method="POST", url=f"scripted:/{path}", headers={}, body=encode(body)))
    assert said.status in (200, 400)
    assert said.pieces
