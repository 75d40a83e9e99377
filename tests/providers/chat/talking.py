"""What tests of chat dialects share: fixtures, requests from plain dicts, and streams read and summed up."""

import json
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import strategies as st
from openai.types.chat import ChatCompletionChunk

from providers.adapter import ChatStream
from providers.sse import Splitter
from providers.types import ChatRequest, Chunk, encode
from tests.wire import OUR_EXTENSIONS, check

FIXTURES = Path(__file__).parents[2] / "fixtures" / "chat"
CREATED = 1_795_000_000


def fixture(name: str) -> Any:
    """A JSON fixture, decoded; `name` is `folder/file`."""
    return json.loads((FIXTURES / name).read_text())


ODD: tuple[Any, ...] = (
    None,
    True,
    -1,
    1.5,
    1e300,
    "",
    "x",
    [],
    [[]],
    {},
    {"type": []},
    {"a": 5},
    [{"type": "x"}],
)
"""Values that stand where nobody expects them."""


def asked(body: dict[str, Any]) -> ChatRequest:
    """The request that the door would make of this body."""
    options = body.get("stream_options") or {}
    return ChatRequest(
        model=body.get("model", "gw-model"),
        body=msgspec.json.decode(encode(body), type=dict[str, msgspec.Raw]),
        stream=body.get("stream", False),
        include_usage=options.get("include_usage", False),
        created=CREATED,
    )


def asking(text: str = "Hi", **fields: Any) -> ChatRequest:
    """A request with one user message and these fields."""
    return asked({"model": "gw-model", "messages": [{"role": "user", "content": text}], **fields})


def read_stream(reader: ChatStream, pieces: Iterable[bytes]) -> list[Chunk]:
    """The chunks of a stream that comes in these pieces, to its clean end."""
    splitter = Splitter()
    chunks = [chunk for piece in pieces for event in splitter.feed(piece) for chunk in reader.feed(event)]
    chunks += [chunk for event in splitter.end() for chunk in reader.feed(event)]
    return [*chunks, *reader.end()]


@st.composite
def broken(draw: st.DrawFn, value: Any) -> Any:
    """A copy of a JSON value in which one place at any depth holds something odd."""
    inner = list(
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    if not inner:
        return draw(st.sampled_from(ODD))
    place, below = draw(st.sampled_from(inner))
    copy = value.copy()
    copy[place] = draw(st.one_of(st.sampled_from(ODD), broken(below)))
    return copy


def told(events: Iterable[bytes]) -> list[tuple[str, Any]]:
    """A stream's meaning in order: neighbouring texts joined, one entry per call, finish and usage."""
    steps = [step for data in events if data for step in _steps(json.loads(data))]
    joined: list[tuple[str, Any]] = []
    for kind, group in groupby(steps, key=lambda step: step[0]):
        values = [value for _, value in group]
        joined.append((kind, "".join(values) if isinstance(values[0], str) else values))
    return joined


def valid(chunks: Iterable[Chunk]) -> list[Chunk]:
    """The chunks that a client sees, each checked against OpenAI's type."""
    shown = [chunk for chunk in chunks if chunk.data]
    for chunk in shown:
        check(ChatCompletionChunk, json.loads(chunk.data), allow=OUR_EXTENSIONS)
    return shown


def events_of(name: str) -> list[bytes]:
    """The data of an expected stream's events, without the last `[DONE]`."""
    events = Splitter().feed((FIXTURES / name).read_bytes())
    return [event.data for event in events if event.data != b"[DONE]"]


def numbers(usage: dict[str, Any]) -> dict[str, int]:
    """A usage object flat, without what is zero."""
    flat = {key: value for key, value in usage.items() if isinstance(value, int)}
    for inner in usage.values():
        flat.update(inner if isinstance(inner, dict) else {})
    return {key: value for key, value in flat.items() if value}


def _steps(chunk: dict[str, Any]) -> Iterable[tuple[str, Any]]:
    for choice in chunk["choices"]:
        for name, value in choice["delta"].items():
            if name == "tool_calls":
                yield from (step for call in value for step in _call(call))
            elif value or name == "role":
                yield name, value
        if choice["finish_reason"]:
            yield "finish", choice["finish_reason"]
    if chunk.get("usage"):
        yield "usage", numbers(chunk["usage"])


def _call(call: dict[str, Any]) -> Iterable[tuple[str, Any]]:
    if "id" in call:
        known = call.get("function") or call["custom"]
        yield f"call {call['index']} {call['id']} {call['type']}", known["name"]
    inner = call.get("function", {}).get("arguments") or call.get("custom", {}).get("input")
    if inner:
        yield f"arguments {call['index']}", inner


def called(*ids: str, name: str = "look") -> dict[str, Any]:
    """An assistant's message that calls one tool under these ids."""
    calls = [{"id": one, "type": "function", "function": {"name": name, "arguments": "{}"}} for one in ids]
    return {"role": "assistant", "content": None, "tool_calls": calls}


_IDS = st.sampled_from(["call_0", "call_1", "x" * 60, "ünïcode", "with space", ""])
HISTORIES = st.lists(
    st.one_of(
        st.fixed_dictionaries(
            {"role": st.sampled_from(["system", "developer", "user"]), "content": st.text()}
        ),
        st.builds(lambda text: {"role": "assistant", "content": text}, st.text()),
        st.lists(_IDS, min_size=1, max_size=4).map(lambda ids: called(*ids)),
        st.fixed_dictionaries({"role": st.just("tool"), "tool_call_id": _IDS, "content": st.text()}),
    ),
    min_size=1,
    max_size=20,
)
"""Conversations as interrupted agents and failovers leave them: calls without results and the reverse."""
