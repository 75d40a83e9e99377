"""What every answer of the gateway keeps, whoever asked and whoever answered: OpenAI's types, closed, and order.

The order of a stream is what OpenAI's own stream readers rely on (CHAT_WIRE 1.6, 2026-11-20).
"""

import base64
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from msgspec import Struct
from openai.types import (
    CreateEmbeddingResponse,
    FileDeleted,
    Model,
    VideoCreateCharacterResponse,
    VideoDeleteResponse,
)
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.shared import ErrorObject

from tests.e2e.stage import check_object, check_video
from tests.running import PROVIDER_KEY
from tests.wire import OUR_EXTENSIONS, check

MODEL_FACTS = ("kind", "policy", "targets", "context_window")
"""What we tell of a model beside OpenAI's own facts."""

ERROR_TYPES = (
    "invalid_request_error",
    "permission_error",
    "rate_limit_error",
    "insufficient_quota",
    "server_error",
    "service_unavailable_error",
)

Names = Collection[str]


class Exchange(Struct, kw_only=True):
    """One request of a client, and all that it was answered; header names in lower case."""

    path: str
    asked: bytes
    status: int
    headers: Mapping[str, str]
    said: bytes


def check_exchange(seen: Exchange, vendor: Names = ()) -> None:
    """Fail when an answer is not what it must be; `vendor` are names that its provider added itself."""
    assert PROVIDER_KEY not in f"{seen.headers}{seen.said.decode()}"
    assert seen.headers["x-request-id"].startswith("req_")
    if seen.status >= 400:
        check_error(json.loads(seen.said))
        return
    assert seen.status == 200
    route = seen.path.removeprefix("/v1").split("/")[1]
    _ANSWERS[route](seen, vendor)


def check_error(body: Any) -> None:
    """An error is OpenAI's, all four keys of it."""
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "param", "code"}
    check(ErrorObject, body["error"])
    assert body["error"]["message"]
    assert body["error"]["code"]
    assert body["error"]["type"] in ERROR_TYPES


def check_completion(body: Any, vendor: Names = ()) -> None:
    """A whole answer."""
    check(ChatCompletion, body, allow={*OUR_EXTENSIONS, *vendor})
    assert [choice["index"] for choice in body["choices"]] == list(range(len(body["choices"])))
    for choice in body["choices"]:
        message, finish = choice["message"], choice["finish_reason"]
        assert vendor or {"content", "refusal"} <= set(message)
        calls = message.get("tool_calls")
        assert calls is None or len({call["id"] for call in calls} - {""}) == len(calls) > 0
        assert finish != "tool_calls" or calls
        assert finish != "stop" or not calls
        for call in calls or ():
            assert (
                finish == "length"
                or "custom" in call
                or json.loads(call["function"]["arguments"]) is not None
            )
    _check_usage(body["usage"])


def check_stream(said: bytes, *, include_usage: bool, vendor: Names = ()) -> None:
    """A stream: whole with `[DONE]` behind it, or broken with an error behind it and no finish before."""
    assert said.endswith(b"\n\n")
    events = [
        event for event in said.decode().removesuffix("\n\n").split("\n\n") if not event.startswith(":")
    ]
    assert all(event.startswith("data: ") and "\n" not in event for event in events)
    *datas, last = [event.removeprefix("data: ") for event in events]
    chunks = [json.loads(data) for data in datas]
    for chunk in chunks:
        check(ChatCompletionChunk, chunk, allow={*OUR_EXTENSIONS, *vendor})
    assert len({(chunk["id"], chunk["created"], chunk["model"]) for chunk in chunks}) == 1
    whole = last == "[DONE]"
    if not whole:
        check_error(json.loads(last))
    _check_usage_chunk(chunks, asked=include_usage, must=include_usage and whole and not vendor)
    indices = sorted({choice["index"] for chunk in chunks for choice in chunk["choices"]})
    assert indices == list(range(len(indices)))
    finished = [_check_choice([_at(chunk, index) for chunk in chunks]) for index in indices]
    assert all(finished) if whole else not all(finished)


def _check_choice(parts: Sequence[Any]) -> bool:
    """One choice of a stream; whether it was finished."""
    said = [part for part in parts if part is not None]
    deltas = [part["delta"] for part in said]
    assert deltas[0]["role"] == "assistant", "the role comes first"
    assert all(delta.get("role") is None for delta in deltas[1:]), "and once"
    finishes = [part["finish_reason"] for part in said]
    assert not any(finishes[:-1]), "nothing comes behind the finish"
    arguments: list[str] = []
    for call in (call for delta in deltas for call in delta.get("tool_calls") or ()):
        _check_call(call, arguments)
    finish = finishes[-1]
    assert (finish == "tool_calls") <= bool(arguments)
    assert finish != "stop" or not arguments
    for text in arguments if finish == "tool_calls" else ():
        assert json.loads(text) is not None
    return finish is not None


def _check_call(call: Any, arguments: list[str]) -> None:
    """One delta of a call, given the arguments of those opened before; they are added to."""
    known = call.get("function") or {}
    assert 0 <= call["index"] <= len(arguments), "indices are dense, in order of appearance"
    if call["index"] < len(arguments):
        assert call.get("id") is None
        assert known.get("name") is None
    else:
        assert call["id"]
        assert (known or call["custom"])["name"]
        arguments.append("" if known else "{}")
    arguments[call["index"]] += known.get("arguments") or ""


def _check_usage_chunk(chunks: Sequence[Any], *, asked: bool, must: bool) -> None:
    told = [at for at, chunk in enumerate(chunks) if chunk.get("usage") is not None]
    assert not told or (asked and told == [len(chunks) - 1]), "usage only when asked for, once, and last"
    assert told or not must
    for at in told:
        assert chunks[at]["choices"] == []
        _check_usage(chunks[at]["usage"])
    assert all(chunk["choices"] for at, chunk in enumerate(chunks) if at not in told)


def _check_usage(usage: Any) -> None:
    prompt, completion = (
        usage.get("prompt_tokens_details") or {},
        usage.get("completion_tokens_details") or {},
    )
    assert usage["prompt_tokens"] + usage["completion_tokens"] == usage["total_tokens"]
    cached = (prompt.get("cached_tokens") or 0) + (prompt.get("cache_write_tokens") or 0)
    assert cached <= usage["prompt_tokens"]
    assert (completion.get("reasoning_tokens") or 0) <= usage["completion_tokens"]


def _at(chunk: Any, index: int) -> Any:
    return next((choice for choice in chunk["choices"] if choice["index"] == index), None)


def _chat(seen: Exchange, vendor: Names) -> None:
    ask = json.loads(seen.asked)
    assert float(seen.headers.get("x-fairlead-cost-usd", "0")) >= 0
    assert int(seen.headers["x-fairlead-attempts"]) >= 1
    assert "/" in seen.headers["x-fairlead-target"]
    if ask.get("stream"):
        assert seen.headers["content-type"] == "text/event-stream; charset=utf-8"
        wanted = bool((ask.get("stream_options") or {}).get("include_usage"))
        check_stream(seen.said, include_usage=wanted, vendor=vendor)
    else:
        assert seen.headers["content-type"] == "application/json"
        check_completion(json.loads(seen.said), vendor)


def _embeddings(seen: Exchange, _vendor: Names) -> None:
    body = json.loads(seen.said)
    for row in body["data"]:
        if isinstance(row["embedding"], str):  # the type knows floats only
            assert len(base64.b64decode(row["embedding"], validate=True)) % 4 == 0
            row["embedding"] = [0.0]
    check(CreateEmbeddingResponse, body)
    assert [row["index"] for row in body["data"]] == list(range(len(body["data"])))


def _models(seen: Exchange, _vendor: Names) -> None:
    body = json.loads(seen.said)
    rows = body["data"] if body["object"] == "list" else [body]
    for row in rows:
        check(Model, row, allow=MODEL_FACTS)


def _videos(seen: Exchange, _vendor: Names) -> None:
    if seen.headers["content-type"] != "application/json":
        assert seen.headers["content-type"] == "video/mp4"
        return
    body = json.loads(seen.said)
    if seen.path.startswith("/v1/videos/characters"):
        check(VideoCreateCharacterResponse, body)
        return
    if body["object"] == "video.deleted":
        check(VideoDeleteResponse, body)
        return
    for video in body["data"] if body["object"] == "list" else [body]:
        check_video(video)


def _files(seen: Exchange, _vendor: Names) -> None:
    if seen.path.endswith("/content"):
        assert seen.headers["content-type"] == "application/octet-stream"
        return
    body = json.loads(seen.said)
    for one in body["data"] if body["object"] == "list" else [body]:
        check(FileDeleted, one) if "deleted" in one else check_object(one)


_ANSWERS: Mapping[str, Callable[[Exchange, Names], None]] = {
    "chat": _chat,
    "embeddings": _embeddings,
    "models": _models,
    "videos": _videos,
    "files": _files,
    "batches": _files,
}
