"""What the tests of the gemini dialect share: fixtures, targets, bodies and streams, checked."""

import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
import pytest
from google.genai import types
from openai.types.chat import ChatCompletionChunk
from pydantic import TypeAdapter

from providers.chat import gemini
from providers.errors import ProviderError
from providers.sse import Event, Splitter
from providers.types import ChatRequest, Chunk, Media, Secret, Target
from tests.providers.chat.talking import FIXTURES as ALL_FIXTURES
from tests.providers.chat.talking import asking, fixture, numbers
from tests.wire import OUR_EXTENSIONS, check

FIXTURES = ALL_FIXTURES / "gemini"
SIGNATURE = "Zml4dHVyZS10aG91Z2h0LXNpZ25hdHVyZQ=="
ALLOWED = OUR_EXTENSIONS | {"images", "audio", "annotations"}
"""Names the SDK's types lack: ours, and those that OpenAI itself sends in deltas without typing them."""

PIECES: Mapping[str, Any] = {
    "systemInstruction": types.Content,
    "contents": list[types.Content],
    "tools": list[types.Tool],
    "toolConfig": types.ToolConfig,
    "generationConfig": types.GenerationConfig,
    "safetySettings": list[types.SafetySetting],
    "serviceTier": types.ServiceTier,
    "cachedContent": str,
}
"""Google's own types of what a body may hold."""


def load(name: str) -> Any:
    """A JSON fixture of this dialect."""
    return fixture(f"gemini/{name}")


def target(model: str = "gemini-3.8-flash", **more: Any) -> Target:
    """Where Gemini is."""
    return Target(
        provider="gemini",
        dialect="gemini",
        base_url="https://generativelanguage.googleapis.com",
        model=model,
        credential=Secret("AIza-test"),
        **more,
    )


def ask(content: Any = "hi", media: Mapping[str, Media] = {}, **params: Any) -> ChatRequest:
    """A request with one user message."""
    return msgspec.structs.replace(asking(content, **params), media=media)


def accepted(chat: ChatRequest, to: Target | None = None) -> Any:
    """The body sent, after Google's own types accepted every piece of it; they refuse unknown names."""
    body = json.loads(gemini.chat_request(chat, to or target()).body)
    for name, piece in body.items():
        TypeAdapter(PIECES[name]).validate_python(piece)
    return body


def refused(chat: ChatRequest, to: Target | None = None) -> ProviderError:
    """The error for a request that cannot be sent."""
    with pytest.raises(ProviderError) as caught:
        gemini.chat_request(chat, to or target())
    return caught.value


def dropped(chat: ChatRequest, to: Target | None = None) -> list[str]:
    """The parameters that the client is told were lost."""
    return list(gemini.chat_request(chat, to or target()).dropped)


def picture(data: bytes = b"\x89PNG\r\n\x1a\n") -> Media:
    """A fetched picture."""
    return Media(role="reference_image", mime="image/png", data=data)


def events(raw: bytes, cuts: Sequence[int] = ()) -> list[Event]:
    """The events of a stream that came in pieces, cut at `cuts`."""
    splitter = Splitter()
    places = [0, *sorted(cuts), len(raw)]
    found = [event for start, end in itertools.pairwise(places) for event in splitter.feed(raw[start:end])]
    return found + splitter.end()


def streamed(
    raw: bytes, chat: ChatRequest, to: Target | None = None, cuts: Sequence[int] = ()
) -> list[Chunk]:
    """Every chunk that a stream gives, checked against OpenAI's type."""
    stream = gemini.chat_stream(chat, to or target())
    chunks = [chunk for event in events(raw, cuts) for chunk in stream.feed(event)] + list(stream.end())
    for chunk in chunks:
        if chunk.data:
            check(ChatCompletionChunk, json.loads(chunk.data), allow=ALLOWED)
    return chunks


def shown(chunks: Iterable[Chunk]) -> list[Any]:
    """The JSON a client gets."""
    return [json.loads(chunk.data) for chunk in chunks if chunk.data]


def expected(name: str) -> list[Any]:
    """The JSON of an expected stream, without its end mark."""
    found = events((FIXTURES / name).read_bytes())
    assert found.pop().data == b"[DONE]"
    return [json.loads(event.data) for event in found]


def folded(chunks: Iterable[Any]) -> dict[str, Any]:
    """What a client makes of a stream, after the rules of order were checked."""
    found: dict[str, Any] = {"calls": {}, "finish": [], "usage": None, "order": []}
    for place, chunk in enumerate(chunks):
        found["usage"] = numbers(chunk.get("usage") or {}) or found["usage"]
        assert len(chunk["choices"]) == (0 if chunk.get("usage") else 1)
        for choice in chunk["choices"]:
            delta = choice["delta"]
            assert ("role" in delta) == (place == 0)
            assert not found["finish"], "nothing comes behind the finish"
            for name in ("content", "refusal", "reasoning_content"):
                found[name] = found.get(name, "") + (delta.get(name) or "")
            for name in ("reasoning_details", "images", "annotations"):
                found[name] = found.get(name, []) + delta.get(name, [])
            for call in delta.get("tool_calls", ()):
                _fold_call(found["calls"], call)
            found["order"] += [name for name in delta if name != "role" and name not in found["order"]]
            found["finish"] += [choice["finish_reason"]] if choice["finish_reason"] else []
    return found


def _fold_call(calls: dict[int, Any], call: dict[str, Any]) -> None:
    arguments = call["function"].get("arguments", "")
    if call["index"] in calls:
        assert "id" not in call
        assert "name" not in call["function"]
        calls[call["index"]]["arguments"] += arguments
    else:
        assert call["index"] == len(calls), "indices are dense"
        whole = {"id": call["id"], "name": call["function"]["name"], "arguments": arguments}
        calls[call["index"]] = {**whole, "extra": call.get("extra_content")}
