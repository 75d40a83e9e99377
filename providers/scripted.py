"""What the scripted provider says: answers made up from the request, for the demo, drills and load tests.

A request whose URL starts with `scripted:` is not sent anywhere: the transport plays the `Script` that
`respond` writes for it. The wire is OpenAI's. Models named in `DRILLS` misbehave on purpose; every other name
answers. No clock and no dice: the same request gives the same script.
"""

import base64
import hashlib
import math
import re
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from providers.instances import instance
from providers.types import HttpRequest, Json, encode

PREFIX = "scripted:"
"""Every URL of this provider starts so."""

CREATED = "x-scripted-created"
"""Request header with the Unix seconds that answers carry, since this module has no clock."""

WORD_SECONDS = 0.015
"""Between two words of a stream."""

DIMENSIONS = 256
MAX_DIMENSIONS = 4096
MAX_NUMBERS = 1_000_000
"""In all vectors of one answer."""

_SLOW_SECONDS = 20.0
_SILENT_SECONDS = 3600.0
_CUT_WORDS = 5
_QUOTED = 80
_SENSELESS = (AttributeError, IndexError, KeyError, TypeError, ValueError, OverflowError)
"""What reading a body raises whose fields are not of the types they should be."""

_JSON = {"content-type": "application/json"}
_STREAM = {"content-type": "text/event-stream; charset=utf-8"}


class Script(Struct, frozen=True, kw_only=True):
    """An answer to play: status and headers at once, then each piece after its delay in seconds."""

    status: int = 200
    headers: Mapping[str, str]
    pieces: Sequence[tuple[float, bytes]]


def respond(request: HttpRequest) -> Script:
    """The script for a request to a `scripted:` URL; a body that makes no sense is answered with 400."""
    write = _embeddings if request.url.endswith("/embeddings") else _chat
    try:
        body = msgspec.json.decode(request.body, type=dict[str, Any])
        script = write(request, body)
    except (msgspec.DecodeError, *_SENSELESS) as error:
        return _failure(400, "invalid_request_error", f"The scripted provider cannot read this body: {error}")
    drill = DRILLS.get(str(body.get("model", "")))
    return drill(script) if drill else script


def _chat(request: HttpRequest, body: Json) -> Script:
    created = int(request.headers.get(CREATED, "0"))
    message = _message(body)
    finish = "tool_calls" if "tool_calls" in message else "stop"
    frame = {
        "id": "chatcmpl-" + hashlib.blake2b(request.body, digest_size=12).hexdigest(),
        "created": created,
        "model": body.get("model"),
    }
    usage = _usage(body, message)
    if body.get("stream"):
        asked = bool((body.get("stream_options") or {}).get("include_usage"))
        pieces = list(_streamed(frame, message, finish, usage if asked else None))
        return Script(headers=_STREAM, pieces=pieces)
    choice = {"index": 0, "message": {"refusal": None, **message}, "logprobs": None, "finish_reason": finish}
    answer = {"object": "chat.completion", **frame, "choices": [choice], "usage": usage}
    return Script(headers=_JSON, pieces=[(0.0, encode(answer))])


def _message(body: Json) -> dict[str, Any]:
    """The assistant's message: a tool call where one is demanded, JSON where a format is, else text."""
    tool = _demanded_tool(body)
    if tool is not None:
        return {"role": "assistant", "content": None, "tool_calls": [_call(tool)]}
    form = body.get("response_format") or {}
    if form.get("type") == "json_schema":
        text = encode(instance((form.get("json_schema") or {}).get("schema"))).decode()
    elif form.get("type") == "json_object":
        text = encode({"answer": _answer(body)}).decode()
    else:
        text = _answer(body)
    return {"role": "assistant", "content": text}


def _answer(body: Json) -> str:
    said = [_text(message) for message in body.get("messages", ()) if message.get("role") == "user"]
    quote = " ".join(said[-1].split()) if said else ""
    if len(quote) > _QUOTED:
        quote = quote[:_QUOTED].rstrip() + "…"
    return (
        f"You wrote: “{quote}”. Hello from Fairlead's scripted demo! No provider was called and nothing was "
        "spent. Add a provider key to your environment, and a real model will answer here."
    )


def _demanded_tool(body: Json) -> Json | None:
    """The tool that `tool_choice` makes the model call: the named one, or the first of those required."""
    tools = [tool for tool in body.get("tools") or () if isinstance(tool, dict)]
    choice = body.get("tool_choice")
    if isinstance(choice, dict) and choice.get("type") == "allowed_tools":
        allowed = choice.get("allowed_tools") or {}
        names = [_tool_name(tool) for tool in allowed.get("tools", ())]
        tools = [tool for tool in tools if _tool_name(tool) in names]
        choice = allowed.get("mode")
    if isinstance(choice, dict):
        return next((tool for tool in tools if _tool_name(tool) == _tool_name(choice)), None)
    return tools[0] if tools and choice == "required" else None


def _tool_name(tool: Json) -> str:
    return str((tool.get("function") or tool.get("custom") or {}).get("name", ""))


def _call(tool: Json) -> dict[str, Any]:
    name = _tool_name(tool)
    call_id = "call_" + hashlib.blake2b(encode(tool), digest_size=12).hexdigest()
    if tool.get("type") == "custom":
        return {"id": call_id, "type": "custom", "custom": {"name": name, "input": "demo"}}
    arguments = instance(tool["function"].get("parameters") or {"type": "object"})
    return {
        "id": call_id,
        "type": "function",
        "function": {"name": name, "arguments": encode(arguments).decode()},
    }


def _streamed(frame: Json, message: Json, finish: str, usage: Json | None) -> Iterator[tuple[float, bytes]]:
    """Role, words or call, finish, usage when asked for, and the end."""

    def event(choices: list[Any], **more: Any) -> bytes:
        chunk = {"object": "chat.completion.chunk", **frame, "choices": choices, **more}
        return b"data: %b\n\n" % encode(chunk)

    def delta(content: Json, reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": content, "logprobs": None, "finish_reason": reason}
        return event([choice], **({"usage": None} if usage else {}))

    yield 0.0, delta({"role": "assistant", "content": "" if message["content"] else None})
    for word in re.findall(r"\S+\s*", message["content"] or ""):
        yield WORD_SECONDS, delta({"content": word})
    for call in message.get("tool_calls", ()):
        yield from ((WORD_SECONDS, delta({"tool_calls": [part]})) for part in _call_parts(call))
    yield 0.0, delta({}, finish)
    if usage:
        yield 0.0, event([], usage=usage)
    yield 0.0, b"data: [DONE]\n\n"


def _call_parts(call: Json) -> Iterator[Json]:
    """A function call in three deltas; a custom call whole, as streams have no deltas for it."""
    if call["type"] == "custom":
        yield {"index": 0, **call}
        return
    arguments = call["function"]["arguments"]
    half = len(arguments) // 2
    yield {"index": 0, **call, "function": {"name": call["function"]["name"], "arguments": ""}}
    for part in (arguments[:half], arguments[half:]):
        yield {"index": 0, "function": {"arguments": part}}


def _usage(body: Json, message: Json) -> dict[str, int]:
    """Tokens counted as 4 for every 3 words."""
    prompt = _tokens(" ".join(_text(part) for part in body.get("messages", ())))
    completion = _tokens(message["content"] or encode(message["tool_calls"]).decode())
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }


def _tokens(text: str) -> int:
    return math.ceil(len(text.split()) * 4 / 3)


def _text(message: Json) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return " ".join(str(part.get("text", "")) for part in parts if isinstance(part, dict))


def _embeddings(_request: HttpRequest, body: Json) -> Script:
    dimensions = body.get("dimensions") or DIMENSIONS
    if type(dimensions) is not int or not 0 < dimensions <= MAX_DIMENSIONS:
        raise ValueError(f"dimensions {dimensions!r} is not a whole number from 1 to {MAX_DIMENSIONS}")
    given = body.get("input")
    texts = given if isinstance(given, list) and not all(isinstance(item, int) for item in given) else [given]
    if len(texts) * dimensions > MAX_NUMBERS:
        raise ValueError(f"{len(texts)} inputs of {dimensions} dimensions are too many for a demo")
    vectors = [_vector(encode(text), dimensions) for text in texts]
    packed = body.get("encoding_format") == "base64"
    data = [
        {"object": "embedding", "index": at, "embedding": _packed(vector) if packed else vector}
        for at, vector in enumerate(vectors)
    ]
    tokens = sum(_tokens(text) if isinstance(text, str) else len(text or ()) for text in texts)
    answer = {
        "object": "list",
        "data": data,
        "model": body.get("model"),
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }
    return Script(headers=_JSON, pieces=[(0.0, encode(answer))])


def _vector(seed: bytes, dimensions: int) -> list[float]:
    """A unit vector that follows from `seed` alone, with the precision of a float32."""
    drawn = struct.unpack(f"<{dimensions}i", hashlib.shake_128(seed).digest(4 * dimensions))
    length = math.sqrt(sum(number * number for number in drawn)) or 1.0
    return list(
        struct.unpack(f"<{dimensions}f", struct.pack(f"<{dimensions}f", *(n / length for n in drawn)))
    )


def _packed(vector: Sequence[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def _failure(status: int, kind: str, message: str, *, wait: int | None = None) -> Script:
    headers = _JSON if wait is None else {**_JSON, "retry-after": str(wait)}
    body = {"error": {"message": message, "type": kind, "param": None, "code": None}}
    return Script(status=status, headers=headers, pieces=[(0.0, encode(body))])


def _unavailable(_script: Script) -> Script:
    """Every call is answered with 503."""
    return _failure(503, "service_unavailable_error", "This model is a drill: it is never available.")


def _limited(_script: Script) -> Script:
    """Every call is answered with 429 and a retry-after of 2 seconds."""
    return _failure(429, "rate_limit_error", "This model is a drill: it is always at its limit.", wait=2)


def _slow(script: Script) -> Script:
    """The first byte of the answer comes after 20 seconds."""
    return replace(script, pieces=[(_SLOW_SECONDS, script.pieces[0][1]), *script.pieces[1:]])


def _cut(script: Script) -> Script:
    """The answer ends in the middle: a stream after 5 words at most, anything else after half its bytes."""
    if len(script.pieces) > 1:
        return replace(script, pieces=script.pieces[: min(_CUT_WORDS + 1, len(script.pieces) // 2)])
    _, whole = script.pieces[0]
    return replace(script, pieces=[(0.0, whole[: len(whole) // 2])])


def _silent(script: Script) -> Script:
    """The headers come, and then nothing for an hour."""
    return replace(script, pieces=[(_SILENT_SECONDS, b"")])


DRILLS: Mapping[str, Callable[[Script], Script]] = {
    "status-503": _unavailable,
    "status-429": _limited,
    "slow-first-token": _slow,
    "cut": _cut,
    "silent": _silent,
}
"""Models that fail in one known way; each function says how."""
