"""The tolerant reader: makes answers that are nearly OpenAI's OpenAI's. Changes decoded JSON in place.

Everything here was seen in the wild (CHAT_WIRE 2.8 "Tolerant reader", 2.10 and 2.11, 2026-11-20). It is the
slow way: who calls it has found that the bytes cannot be passed on as they are.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from providers.errors import ErrorKind, ProviderError
from providers.reading import read_error
from providers.types import HttpResponse, Usage, encode

KINDS: Mapping[str, ErrorKind] = {
    "arrearage": ErrorKind.QUOTA,
    "tool_use_failed": ErrorKind.PROTOCOL,  # Groq: the model wrote a call that is none
    "3051": ErrorKind.CONTEXT_LENGTH,  # Mistral
    "3505": ErrorKind.OVERLOADED,  # Mistral
    "1302": ErrorKind.RATE_LIMITED,  # Z.ai, as all below
    "1305": ErrorKind.OVERLOADED,
    "1113": ErrorKind.QUOTA,
    **{str(code): ErrorKind.QUOTA for code in range(1308, 1322) if code != 1312},
}
"""Codes that only the vendors of this dialect use; no two of them use one for different things."""

_FINISHES: Mapping[str, str] = {
    **dict.fromkeys(("stop", "end_turn", "stop_sequence", "eos", "eos_token", "complete"), "stop"),
    **dict.fromkeys(("length", "max_tokens", "model_length", "model_context_window_exceeded"), "length"),
    **dict.fromkeys(("tool_calls", "tool_use", "tool_call"), "tool_calls"),
    **dict.fromkeys(
        ("content_filter", "content_filtered", "refusal", "sensitive", "safety"), "content_filter"
    ),
    **dict.fromkeys(("error", "abort", "timeout", "network_error", "insufficient_system_resource"), "error"),
    "function_call": "function_call",
}

_decode = msgspec.json.Decoder().decode


def decode_object(data: bytes) -> dict[str, Any]:
    """The JSON object in `data`. Raises PROTOCOL when there is none, the provider's error when it is one."""
    try:
        body = _decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise unreadable() from error
    if not isinstance(body, dict):
        raise unreadable()
    if _tells_of_failure(body):
        raise error_in(data)
    return body


def error_in(data: bytes) -> ProviderError:
    """The failure that an answer with status 200, or an event of one, tells of."""
    return read_error(HttpResponse(status=200, headers={}, body=data), KINDS)


def unreadable() -> ProviderError:
    """The answer is not what this dialect speaks."""
    return ProviderError(ErrorKind.PROTOCOL, "The provider's answer is not the JSON of a chat completion.")


def objects(value: Any) -> list[dict[str, Any]]:
    """The objects in a list; none in anything else."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def fill_frame(body: dict[str, Any], created: int, model: str, data: bytes) -> None:
    """Fill `id`, `created` and `model` where the provider left them out; a made up id follows from `data`."""
    if not isinstance(body.get("id"), str) or not body["id"]:
        body["id"] = made_up_id("chatcmpl-", data, created)
    if not isinstance(body.get("created"), int) or not body["created"]:
        body["created"] = created
    if not isinstance(body.get("model"), str) or not body["model"]:
        body["model"] = model


def finish_of(reason: Any, finishes: Mapping[str, str], *, called: bool) -> str:
    """OpenAI's finish reason for the provider's; `called` says that the choice made tool calls.

    `finishes` are the provider's own words and win. Raises UNAVAILABLE for a reason that means the answer was
    broken off, because `stop` in its place would make half an answer look whole.
    """
    word = reason if isinstance(reason, str) else ""
    known = finishes.get(word) or _FINISHES.get(word.lower(), "stop")
    if known == "error" or word.lower().startswith("malformed_"):
        message = f"The provider broke the answer off: finish reason {word[:80]!r}."
        raise ProviderError(ErrorKind.UNAVAILABLE, message, status=200, code=word[:80])
    return "tool_calls" if called and known == "stop" else known


def mend_text(part: dict[str, Any]) -> None:
    """Content as one string and reasoning as `reasoning_content`, in a message or a delta."""
    content = part.get("content")
    if isinstance(content, list):
        pieces = objects(content)
        part["content"] = "".join(_text(piece) for piece in pieces if piece.get("type") != "thinking")
        part.setdefault(
            "reasoning", "".join(_text(piece) for piece in pieces if piece.get("type") == "thinking")
        )
    for alias in ("reasoning", "reasoning_text"):
        if isinstance(part.get(alias, ""), str | None):
            thought = part.pop(alias, None)
            if thought and not part.get("reasoning_content"):
                part["reasoning_content"] = thought


def mend_arguments(call: dict[str, Any]) -> None:
    """A function call's arguments as JSON text; calls of custom tools have none and stay."""
    function = call.get("function")
    if isinstance(function, dict):
        arguments = function.get("arguments")
        if not isinstance(arguments, str):
            function["arguments"] = "" if arguments is None else encode(arguments).decode()


def take_usage(body: dict[str, Any]) -> dict[str, Any] | None:
    """Take usage off a body, wherever the provider put it: top level, a choice, or `x_groq`."""
    found = [body.pop("usage", None)]
    found += [choice.pop("usage", None) for choice in objects(body.get("choices"))]
    if isinstance(body.get("x_groq"), dict):
        found.append(body["x_groq"].pop("usage", None))
    return next((usage for usage in found if isinstance(usage, dict) and usage), None)


def read_usage(usage: dict[str, Any]) -> Usage:
    """The facts of any vendor's usage; what is missing or senseless counts as 0.

    A total above the sum means that reasoning was left out of the completion (xAI, Gemini), though billed.
    """
    prompt, completion = (
        _details(usage, "prompt_tokens_details"),
        _details(usage, "completion_tokens_details"),
    )
    given, output = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
    hidden = max(_count(usage, "total_tokens") - given - output, 0)
    output += hidden
    cached = (
        _count(prompt, "cached_tokens")
        or _count(usage, "prompt_cache_hit_tokens")  # DeepSeek
        or _count(usage, "cached_tokens")  # Moonshot
        or _count(usage, "num_cached_tokens")  # Mistral
    )
    written = _count(prompt, "cache_write_tokens")
    reasoning = _count(completion, "reasoning_tokens") or _count(usage, "reasoning_tokens") or hidden
    return Usage(
        input=given,
        output=output,
        cached=min(cached, given),
        cache_write=min(written, max(given - cached, 0)),
        reasoning=min(reasoning, output),
    )


def mended_usage(usage: dict[str, Any], read: Usage) -> dict[str, Any]:
    """The usage object for the client: the provider's own, with counts that add up."""
    counts = {
        "prompt_tokens": read.input,
        "completion_tokens": read.output,
        "total_tokens": read.input + read.output,
    }
    return usage if all(usage.get(name) == count for name, count in counts.items()) else {**usage, **counts}


def made_up_id(prefix: str, data: bytes, created: int) -> str:
    """An id for what came without one: the same bytes at the same second give the same id."""
    return prefix + hashlib.blake2b(data, digest_size=12, key=str(created).encode()).hexdigest()


def _tells_of_failure(body: dict[str, Any]) -> bool:
    """Whether an object that came with status 200 is an error, in the shapes that vendors use for that."""
    base = body.get("base_resp")
    if body.get("error") or body.get("object") == "error":
        return True
    if isinstance(base, dict) and base.get("status_code") not in (0, None):
        return True
    return "choices" not in body and ("message" in body or "detail" in body)


def _text(piece: dict[str, Any]) -> str:
    """The text of a content part; a thinking part (Mistral) holds a list of text parts."""
    inner = piece.get("text", piece.get("thinking"))
    if isinstance(inner, list):
        return "".join(_text(part) for part in objects(inner))
    return inner if isinstance(inner, str) else ""


def _details(usage: dict[str, Any], name: str) -> dict[str, Any]:
    value = usage.get(name)
    return value if isinstance(value, dict) else {}


def _count(counts: dict[str, Any], name: str) -> int:
    value = counts.get(name)
    return max(int(value), 0) if isinstance(value, int | float) and value < 1e15 else 0
