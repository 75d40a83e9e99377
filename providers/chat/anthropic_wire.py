"""The parts of Anthropic's messages and stream events that we read, as types, and how their bytes are read.

Facts: CHAT_WIRE 2.2, 2026-11-20. Kinds of blocks, deltas and events that are not listed here are passed over,
since new ones appear all the time; a listed one that lacks a field or has a wrong one is a fault of the host.
"""

from collections.abc import Mapping
from typing import Any, TypeAlias, TypeVar

import msgspec
from msgspec import Struct

from providers.errors import ErrorKind, ProviderError
from providers.reading import read_error
from providers.types import HttpResponse, Json

_STATUSES: Mapping[str, int] = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
"""The status an error has when it comes as an answer of its own."""


class Citation(Struct):
    """Where a text comes from; only web sources have a `url`."""

    url: str | None = None
    title: str | None = None


class Details(Struct):
    """Why the model refused."""

    explanation: str | None = None


class TextBlock(Struct):
    """A piece of the answer."""

    text: str = ""
    citations: list[Citation] | None = None


class ToolUse(Struct):
    """A call; in a stream the input follows in pieces."""

    id: str
    name: str
    input: dict[str, Any] = {}


class ThinkingBlock(Struct):
    """Thinking whose signature proves it; the text may be empty."""

    thinking: str = ""
    signature: str = ""


class Redacted(Struct):
    """Thinking that nobody may read."""

    data: str


class Ended(Struct):
    """Why a message ended."""

    stop_reason: str | None = None
    stop_details: Details | None = None


class Message(Struct):
    """A message, whole or just begun."""

    id: str
    model: str
    content: list[dict[str, Any]] = []
    stop_reason: str | None = None
    stop_details: Details | None = None
    usage: dict[str, Any] | None = None


class MessageStart(Struct):
    """Who answers, and what the input cost."""

    message: Message


class BlockStart(Struct):
    """A block begins."""

    index: int
    content_block: dict[str, Any]


class BlockDelta(Struct):
    """A piece of a block."""

    index: int
    delta: dict[str, Any]


class BlockStop(Struct):
    """A block is whole."""

    index: int


class MessageDelta(Struct):
    """Why the answer ended, and what all of it cost so far."""

    delta: Ended
    usage: dict[str, Any] | None = None


class MessageStop(Struct):
    """The end."""


class TextDelta(Struct):
    """A piece of text."""

    text: str


class ThinkingDelta(Struct):
    """A piece of thinking."""

    thinking: str


class InputDelta(Struct):
    """A piece of a call's input."""

    partial_json: str


class SignatureDelta(Struct):
    """A piece of a thinking block's signature."""

    signature: str


class CitationsDelta(Struct):
    """A source of the text block."""

    citation: Citation


Block: TypeAlias = TextBlock | ToolUse | ThinkingBlock | Redacted
Delta: TypeAlias = TextDelta | ThinkingDelta | InputDelta | SignatureDelta | CitationsDelta
StreamEvent: TypeAlias = MessageStart | BlockStart | BlockDelta | BlockStop | MessageDelta | MessageStop

BLOCKS: Mapping[str, type[Block]] = {
    "text": TextBlock,
    "tool_use": ToolUse,
    "thinking": ThinkingBlock,
    "redacted_thinking": Redacted,
}
DELTAS: Mapping[str, type[Delta]] = {
    "text_delta": TextDelta,
    "thinking_delta": ThinkingDelta,
    "input_json_delta": InputDelta,
    "signature_delta": SignatureDelta,
    "citations_delta": CitationsDelta,
}
EVENTS: Mapping[str, type[StreamEvent]] = {
    "message_start": MessageStart,
    "content_block_start": BlockStart,
    "content_block_delta": BlockDelta,
    "content_block_stop": BlockStop,
    "message_delta": MessageDelta,
    "message_stop": MessageStop,
}

_Kind = TypeVar("_Kind")


def decode(body: bytes) -> dict[str, Any]:
    """A message or an event. Raises the error it stands for, PROTOCOL when it is not a JSON object."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise ProviderError(ErrorKind.PROTOCOL, "The provider sent something that is not a JSON object.")
    if value.get("type") == "error":
        inner = value.get("error")
        kind = inner.get("type") if isinstance(inner, dict) else None
        raise read_error(HttpResponse(status=_STATUSES.get(str(kind), 500), headers={}, body=body))
    return value


def known(value: Json, kinds: Mapping[str, type[_Kind]]) -> _Kind | None:
    """The value as the kind that its `type` names; None for a kind nobody told us of."""
    kind = kinds.get(str(value.get("type")))
    return None if kind is None else convert(value, kind)


def convert(value: Json, kind: type[_Kind]) -> _Kind:
    """The value as that kind. Raises PROTOCOL when it is not one."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        message = f"The provider's {value.get('type')!r} cannot be read: {error}."
        raise ProviderError(ErrorKind.PROTOCOL, message) from error
