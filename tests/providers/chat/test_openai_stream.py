"""What a client reads of a streamed answer, whatever the vendor made of OpenAI's dialect."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletionChunk

from providers.chat import openai
from providers.errors import ErrorKind, ProviderError
from providers.sse import Event
from providers.types import Chunk, Quirks, Target, encode
from tests.providers.chat.talking import CREATED, FIXTURES, asking, events_of, read_stream, told

TARGET = Target(provider="acme", dialect="openai", base_url="https://api.acme.example/v1", model="big-1")
OWN = ("anthropic", "gemini")
STREAMS = [path for path in sorted(FIXTURES.glob("*/*.stream.sse")) if path.parent.name not in OWN]
WHOLE = [path for path in STREAMS if path.name not in ("abort.stream.sse", "sensitive.stream.sse")]


def name_of(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


def read(data: bytes, *, usage: bool = True, target: Target = TARGET) -> list[Chunk]:
    request = asking(stream=True, stream_options={"include_usage": usage})
    return read_stream(openai.chat_stream(request, target), [data])


def chunk(delta: dict[str, Any] | None = None, finish: str | None = None, **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta or {}, "finish_reason": finish}
    frame = {"id": "c-1", "object": "chat.completion.chunk", "created": 7, "model": "big-1"}
    return {**frame, "choices": [choice], **more}


def stream_of(*chunks: dict[str, Any], done: bool = True) -> bytes:
    return b"".join(b"data: %b\n\n" % encode(chunk) for chunk in chunks) + (
        b"data: [DONE]\n\n" if done else b""
    )


def shown(chunks: Sequence[Chunk]) -> list[dict[str, Any]]:
    return [json.loads(chunk.data) for chunk in chunks if chunk.data]


def calls(*deltas: dict[str, Any], finish: str = "tool_calls") -> list[tuple[str, Any]]:
    """What is told of a stream with these tool call deltas."""
    first = chunk({"role": "assistant", "content": None})
    stream = stream_of(first, *(chunk({"tool_calls": [delta]}) for delta in deltas), chunk({}, finish))
    return [step for step in told(chunk.data for chunk in read(stream)) if step[0] != "role"]


def fragment(arguments: Any, **more: Any) -> dict[str, Any]:
    return {"function": {"arguments": arguments}, **more}


def opening(id_: str, name: str, arguments: Any = "", **more: Any) -> dict[str, Any]:
    return {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}, **more}


@pytest.mark.parametrize("path", WHOLE, ids=name_of)
def test_the_official_client_understands_every_vendor(path: Path) -> None:
    state: ChatCompletionStreamState[None] = ChatCompletionStreamState()
    chunks = read(path.read_bytes())
    for data in shown(chunks):
        state.handle_chunk(ChatCompletionChunk.model_validate(data, strict=True))
    choice = state.get_final_completion().choices[0]
    assert choice.message.content or choice.message.refusal or choice.message.tool_calls
    assert (choice.finish_reason == "tool_calls") == bool(choice.message.tool_calls)


@pytest.mark.parametrize("path", WHOLE, ids=name_of)
def test_the_order_is_openais(path: Path) -> None:
    chunks = shown(read(path.read_bytes()))
    frames = {(data["id"], data["object"], data["created"], data["model"]) for data in chunks}
    assert len(frames) == 1
    roles = [
        choice["delta"]["role"]
        for data in chunks
        for choice in data["choices"]
        if choice["delta"].get("role")
    ]
    assert roles == ["assistant"]
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    finishes = [
        choice["finish_reason"] for data in chunks for choice in data["choices"] if choice["finish_reason"]
    ]
    assert len(finishes) == 1
    assert all(data["choices"] and data.get("usage") is None for data in chunks[:-1])
    if path.name not in ("chat.stream.no_usage.sse", "keepalive.stream.sse", "refusal.stream.sse"):
        assert chunks[-1]["choices"] == []
        used = chunks[-1]["usage"]
        assert used["total_tokens"] == used["prompt_tokens"] + used["completion_tokens"] > 0


@pytest.mark.parametrize("path", WHOLE, ids=name_of)
def test_usage_is_known_but_hidden_from_clients_that_did_not_ask(path: Path) -> None:
    asked, hidden = read(path.read_bytes()), read(path.read_bytes(), usage=False)
    assert [chunk.usage for chunk in asked if chunk.usage] == [chunk.usage for chunk in hidden if chunk.usage]
    assert all(not data.get("usage") and data["choices"] for data in shown(hidden))
    assert sum(chunk.finish_reason is not None for chunk in hidden) == 1


@pytest.mark.parametrize("name", ["chat.stream.sse", "chat.stream.no_usage.sse", "tools.stream.sse"])
def test_openais_own_bytes_pass_through(name: str) -> None:
    chunks = read((FIXTURES / "openai" / name).read_bytes())
    assert [chunk.data for chunk in chunks] == events_of(f"openai/{name}")


@pytest.mark.parametrize("path", STREAMS, ids=name_of)
def test_pieces_make_no_difference(path: Path) -> None:
    data = path.read_bytes()
    halves = (data[: len(data) // 2], data[len(data) // 2 :])
    outcomes = []
    for pieces in ([data], halves):
        try:
            outcomes.append(read_stream(openai.chat_stream(asking(stream=True), TARGET), pieces))
        except ProviderError as error:
            outcomes.append(error.kind)
    assert outcomes[0] == outcomes[1]


def test_content_is_told_from_preludes() -> None:
    chunks = read((FIXTURES / "openai" / "chat.stream.sse").read_bytes())
    assert [chunk.content for chunk in chunks] == [False, True, True, True, False]
    assert [chunk.finish_reason for chunk in chunks] == [None, None, None, "stop", None]
    azure = read((FIXTURES / "azure" / "chat.stream.sse").read_bytes())
    assert [bool(chunk.data) for chunk in azure[:2]] == [True, True]
    assert [chunk.content for chunk in azure[:2]] == [False, True]


@pytest.mark.parametrize(
    ("folder", "name", "kind"),
    [
        ("openai", "stream_error_midway.sse", ErrorKind.UNAVAILABLE),
        ("groq", "stream_error.sse", ErrorKind.UNAVAILABLE),
        ("openrouter", "stream_error.sse", ErrorKind.UNAVAILABLE),
        ("sglang", "abort.stream.sse", ErrorKind.UNAVAILABLE),
    ],
)
def test_an_error_inside_a_stream_is_raised(folder: str, name: str, kind: ErrorKind) -> None:
    with pytest.raises(ProviderError) as caught:
        read((FIXTURES / folder / name).read_bytes())
    assert caught.value.kind is kind


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        (Event("", b'{"id":'), ErrorKind.PROTOCOL),
        (Event("", b"[1]"), ErrorKind.PROTOCOL),
        (Event("", b"null"), ErrorKind.PROTOCOL),
        (Event("", b'"ping"'), ErrorKind.PROTOCOL),
        (Event("", b'{"object":"error","message":"no","code":404}'), ErrorKind.NOT_FOUND),
        (Event("error", b'{"code":"rate_limit_exceeded"}'), ErrorKind.RATE_LIMITED),
        (Event("", b'{"detail":"overloaded"}'), ErrorKind.OVERLOADED),
    ],
)
def test_what_is_no_chunk_is_an_error(event: Event, kind: ErrorKind) -> None:
    with pytest.raises(ProviderError) as caught:
        openai.chat_stream(asking(stream=True), TARGET).feed(event)
    assert caught.value.kind is kind


def test_tool_indices_become_dense_in_order_of_appearance() -> None:
    told_ = calls(
        opening("A", "f", index=3),
        fragment("{1", index=3),
        opening("B", "g", index=7),
        fragment("{2", index=7),
    )
    assert told_ == [
        *(("call 0 A function", "f"), ("arguments 0", "{1")),
        *(("call 1 B function", "g"), ("arguments 1", "{2")),
        ("finish", "tool_calls"),
    ]


def test_a_missing_index_follows_from_id_and_name() -> None:
    told_ = calls(opening("A", "f"), fragment("{"), fragment("}", id="A"), opening("B", "g"), fragment("{}"))
    assert told_ == [
        *(("call 0 A function", "f"), ("arguments 0", "{}")),
        *(("call 1 B function", "g"), ("arguments 1", "{}")),
        ("finish", "tool_calls"),
    ]


def test_a_new_id_under_an_old_index_is_a_new_call() -> None:
    told_ = calls(opening("A", "f", "{}", index=0), opening("B", "g", index=0), fragment("{}", index=0))
    assert [step[0] for step in told_] == [
        *("call 0 A function", "arguments 0", "call 1 B function", "arguments 1", "finish")
    ]


def test_ids_and_names_are_said_once() -> None:
    told_ = calls(opening("A", "f", index=0), opening("A", "f", "{", index=0), opening("", "", "}", index=0))
    assert told_ == [("call 0 A function", "f"), ("arguments 0", "{}"), ("finish", "tool_calls")]


def test_arguments_become_text_and_a_call_gets_an_id() -> None:
    told_ = calls({"index": 0, "function": {"name": "f", "arguments": {"a": 1}}}, fragment(None, index=0))
    assert told_[0][0].startswith("call 0 call_")
    assert told_[1:] == [("arguments 0", '{"a":1}'), ("finish", "tool_calls")]


def test_stop_after_calls_is_tool_calls() -> None:
    assert calls(opening("A", "f", "{}", index=0), finish="stop")[-1] == ("finish", "tool_calls")


def test_several_choices_are_kept_apart() -> None:
    def part(index: int, delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        return chunk() | {"choices": [{"index": index, "delta": delta, "finish_reason": finish}]}

    said = [part(at, {"role": "assistant", "content": text}) for at, text in enumerate("ab")]
    both = chunk() | {"choices": [one["choices"][0] for one in (part(0, {}, "stop"), part(1, {}, "length"))]}
    data = shown(read(stream_of(*said, both)))
    assert [choice["index"] for one in data for choice in one["choices"]] == [0, 1, 0, 1]
    assert [choice["finish_reason"] for choice in data[-1]["choices"]] == ["stop", "length"]


def test_an_empty_finish_counts_only_at_a_declared_end() -> None:
    said = [chunk({"role": "assistant", "content": "hi"}, ""), chunk({"content": "!"}, "")]
    assert read(stream_of(*said))[-1].finish_reason == "stop"
    assert all(chunk.finish_reason is None for chunk in read(stream_of(*said, done=False)))


def test_a_frame_left_out_is_filled_and_kept() -> None:
    bare = [{"choices": [{"delta": {"content": text}}]} for text in ("a", "b")]
    first, second = shown(read(stream_of(*bare)))
    assert (first["model"], first["created"]) == ("big-1", CREATED)
    assert first["id"] == second["id"] != ""
    renamed = [chunk({"role": "assistant", "content": "a"}), chunk({"content": "b"}) | {"id": "other"}]
    assert {data["id"] for data in shown(read(stream_of(*renamed)))} == {"c-1"}


def test_a_whole_message_at_the_end_does_not_repeat_the_text() -> None:
    last = chunk() | {"choices": [{"index": 0, "message": {"content": "all"}, "finish_reason": "stop"}]}
    assert told(c.data for c in read(stream_of(chunk({"role": "assistant", "content": "all"}), last))) == [
        *(("role", "assistant"), ("content", "all"), ("finish", "stop"))
    ]


def test_an_event_of_several_lines_becomes_one() -> None:
    data = json.dumps(chunk({"role": "assistant", "content": "a"}), indent=1).replace("\n", "\ndata: ")
    (only,) = read(f"data: {data}\n\n".encode())
    assert b"\n" not in only.data
    assert json.loads(only.data)["choices"][0]["delta"]["content"] == "a"


def test_a_filtered_answer_says_so() -> None:
    chunks = read((FIXTURES / "zai" / "sensitive.stream.sse").read_bytes())
    assert told(chunk.data for chunk in chunks)[-2] == ("finish", "content_filter")


def test_a_vendors_finish_reasons_are_translated() -> None:
    target = Target(**{name: getattr(TARGET, name) for name in ("provider", "dialect", "base_url", "model")},
                    quirks=Quirks(finish={"halt": "length"}))  # fmt: skip
    stream = stream_of(chunk({"role": "assistant", "content": "a"}), chunk({}, "halt"))
    assert read(stream, target=target)[-1].finish_reason == "length"


NAMES = st.sampled_from(
    [
        *(
            "id",
            "object",
            "created",
            "model",
            "choices",
            "usage",
            "index",
            "delta",
            "message",
            "role",
            "content",
        ),
        *(
            "tool_calls",
            "function",
            "name",
            "arguments",
            "finish_reason",
            "reasoning",
            "x_groq",
            "type",
            "error",
        ),
    ]
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(0, 3)
    | st.sampled_from(["", "stop", "a", "assistant", "thinking"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=20,
)
CHOICES = st.lists(
    st.fixed_dictionaries(
        {"delta": st.dictionaries(NAMES, JSON, max_size=4)}, optional={"index": JSON, "finish_reason": JSON}
    ),
    max_size=2,
)


@given(st.lists(JSON | CHOICES.map(lambda found: chunk() | {"choices": found}), max_size=5))
def test_no_event_whatever_breaks_the_reader(events: list[Any]) -> None:
    try:
        chunks = read(b"".join(b"data: %b\n\n" % encode(event) for event in events))
    except ProviderError:
        return
    for data in shown(chunks):
        assert all(isinstance(choice["delta"], dict) for choice in data["choices"])
