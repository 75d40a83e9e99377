"""What a client reads: whole completions and chunks, and how calls look to the one who asked."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion

from providers.chat.answers import Answer, Choice, ChunkBuilder, Shape, completion, shape
from providers.chat.turns import ToolCall
from providers.types import ChatRequest, Chunk, Usage
from tests.providers.chat.talking import asking, told, valid
from tests.wire import OUR_EXTENSIONS, check

USED = Usage(input=10, output=5, cached=3, cache_write=1, reasoning=2)
PLAIN = Shape()
CUSTOM = {"type": "custom", "custom": {"name": "shell"}}


def whole(choice: Choice, shown: Shape = PLAIN) -> dict[str, Any]:
    answer = Answer(id="1", model="m", choices=[choice], usage=USED)
    done = completion(asking(), answer, shown)
    body: dict[str, Any] = json.loads(done.body)
    check(ChatCompletion, body, allow=OUR_EXTENSIONS)
    assert done.finish_reason == body["choices"][0]["finish_reason"]
    return body


def call(name: str = "look", arguments: str = '{"a":1}', call_id: str = "a") -> ToolCall:
    return ToolCall(id=call_id, name=name, arguments=arguments)


def builder(shown: Shape = PLAIN, request: ChatRequest | None = None) -> ChunkBuilder:
    build = ChunkBuilder(request or asking(stream=True), shown)
    build.begin("1", "m")
    return build


def called(build: ChunkBuilder, name: str, *fragments: str, key: int = 0) -> list[Chunk]:
    """The chunks of one call."""
    chunks = build.tool_start(key, f"id{key}", name)
    for fragment in fragments:
        chunks += build.tool_arguments(key, fragment)
    return chunks + build.tool_end(key)


def test_a_completion_has_every_field_openai_promises() -> None:
    body = whole(Choice(finish="stop", text="Hi", reasoning="hm", details=[{"type": "reasoning.encrypted"}]))
    message = body["choices"][0]["message"]
    assert body["id"] == "chatcmpl-1"
    assert message["reasoning_content"] == "hm"
    assert body["usage"]["total_tokens"] == 15
    assert body["usage"]["prompt_tokens_details"] == {"cached_tokens": 3, "cache_write_tokens": 1}


@pytest.mark.parametrize("finish", ["stop", "tool_calls"])
def test_calls_decide_the_finish(finish: str) -> None:
    assert whole(Choice(finish=finish, text="x"))["choices"][0]["finish_reason"] == "stop"
    assert whole(Choice(finish=finish, calls=[call()]))["choices"][0]["finish_reason"] == "tool_calls"
    assert whole(Choice(finish="length", calls=[call()]))["choices"][0]["finish_reason"] == "length"


def test_the_stand_in_tool_is_the_content() -> None:
    choice = Choice(finish="tool_calls", calls=[call("json_response")])
    shown = whole(choice, Shape(json_tool=True))["choices"][0]
    assert (shown["message"]["content"], shown["finish_reason"]) == ('{"a":1}', "stop")
    assert "tool_calls" not in shown["message"]
    assert "tool_calls" in whole(choice)["choices"][0]["message"], (
        "a client's own tool of that name is its own"
    )


def test_a_custom_call_is_unwrapped() -> None:
    shown = Shape(custom=frozenset(("shell",)))
    choice = Choice(finish="stop", calls=[call("shell", '{"input":"ls"}'), call("shell", "ls")])
    calls = whole(choice, shown)["choices"][0]["message"]["tool_calls"]
    assert [one["custom"]["input"] for one in calls] == ["ls", "ls"]


def test_a_client_of_functions_gets_a_function_call() -> None:
    shown = whole(Choice(finish="tool_calls", calls=[call()]), Shape(legacy=True))["choices"][0]
    assert shown["message"]["function_call"] == {"name": "look", "arguments": '{"a":1}'}
    assert shown["finish_reason"] == "function_call"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, Shape()),
        ({"tools": [CUSTOM]}, Shape(custom=frozenset(("shell",)))),
        ({"functions": [{"name": "look"}]}, Shape(legacy=True)),
    ],
)
def test_the_request_tells_how_calls_must_look(fields: dict[str, Any], expected: Shape) -> None:
    assert shape(asking(**fields)) == expected


@settings(deadline=None)
@given(texts=st.lists(st.text()), include_usage=st.booleans())
def test_text_comes_back_as_it_went_in(texts: list[str], include_usage: bool) -> None:
    build = builder(request=asking(stream=True, stream_options={"include_usage": include_usage}))
    chunks = [build.role(), *(build.text(text) for text in texts), build.finish("stop"), build.usage(USED)]
    shown = [json.loads(chunk.data) for chunk in chunks if chunk.data]
    deltas = [choice["delta"] for one in shown for choice in one["choices"]]
    assert "".join(delta.get("content", "") for delta in deltas) == "".join(texts)
    assert len(shown) == len(texts) + 2 + include_usage


def test_every_kind_of_chunk_is_valid_and_carries_the_facts() -> None:
    build = builder(request=asking(stream=True, stream_options={"include_usage": True}))
    chunks = [
        build.role(),
        build.reasoning("hm"),
        build.details({"type": "reasoning.encrypted", "data": "x"}),
        build.text("Hi"),
        build.refusal("no"),
        *called(build, "look", "{}"),
        build.finish("stop"),
        build.usage(USED),
    ]
    valid(chunks)
    assert {(chunk.id, chunk.model) for chunk in chunks} == {("chatcmpl-1", "m")}
    assert [chunk.finish_reason for chunk in chunks if chunk.finish_reason] == ["tool_calls"]
    assert chunks[-1].usage == USED


def test_interleaved_calls_have_dense_indices_and_are_told_apart() -> None:
    build = builder()
    chunks = build.tool_start(7, "a", "one") + build.tool_start(3, "b", "two")
    chunks += (
        build.tool_arguments(3, "{}") + build.tool_arguments(7, '{"x":1}') + build.tool_arguments(99, "lost")
    )
    chunks += build.tool_end(7) + build.tool_end(3)
    assert told(chunk.data for chunk in valid(chunks)) == [
        ("call 0 a function", "one"),
        ("call 1 b function", "two"),
        ("arguments 1", "{}"),
        ("arguments 0", '{"x":1}'),
    ]


def test_a_call_without_arguments_ends_with_empty_ones() -> None:
    build = builder()
    assert told(chunk.data for chunk in called(build, "look", ""))[-1] == ("arguments 0", "{}")


def test_the_stand_in_tool_streams_as_content() -> None:
    build = builder(Shape(json_tool=True))
    chunks = [*called(build, "json_response", '{"a"', ":1}"), build.finish("tool_calls")]
    assert told(chunk.data for chunk in chunks) == [("content", '{"a":1}'), ("finish", "stop")]


def test_a_custom_call_is_sent_whole() -> None:
    build = builder(Shape(custom=frozenset(("shell",))))
    chunks = [*called(build, "shell", '{"inp', 'ut":"ls"}'), *called(build, "look", "{}", key=1)]
    assert told(chunk.data for chunk in chunks) == [
        ("call 0 id0 custom", "shell"),
        ("arguments 0", "ls"),
        ("call 1 id1 function", "look"),
        ("arguments 1", "{}"),
    ]


def test_a_client_of_functions_gets_the_first_call_only() -> None:
    build = builder(Shape(legacy=True))
    chunks = [*called(build, "look", "{}"), *called(build, "other", "{}", key=1), build.finish("tool_calls")]
    deltas = [json.loads(chunk.data)["choices"][0]["delta"] for chunk in valid(chunks)]
    assert deltas[0] == {"function_call": {"name": "look", "arguments": ""}}
    assert (len(deltas), chunks[-1].finish_reason) == (3, "function_call")


def test_what_a_call_carries_besides_is_passed_on() -> None:
    extra = {"google": {"thought_signature": "s"}}
    chunk = builder().tool_start(0, "a", "look", extra)[0]
    assert json.loads(chunk.data)["choices"][0]["delta"]["tool_calls"][0]["extra_content"] == extra
