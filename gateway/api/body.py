"""Reads request bodies and checks them at the door: OpenAI JSON in, requests out, clear errors otherwise."""

import re
from typing import Annotated

import msgspec
from msgspec import Meta, Raw, Struct

from gateway.errors import InvalidRequest
from gateway.service.wish import CHAT_CALL, EMBEDDING_CALL, Wish
from providers.types import ChatRequest, EmbeddingRequest

MOST_TOKENS = 1 << 31
"""The largest cap a client may set; far above any model, far below what a counter can hold."""


class _Message(Struct):
    role: str


class _StreamOptions(Struct):
    include_usage: bool | None = None


class _ChatHead(Struct):
    """The fields the gateway itself reads; everything else is only carried."""

    model: str
    messages: list[_Message]
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    max_tokens: Annotated[int, Meta(ge=1, le=MOST_TOKENS)] | None = None
    max_completion_tokens: Annotated[int, Meta(ge=1, le=MOST_TOKENS)] | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    tools: list[dict[str, Raw]] | None = None
    stop: str | list[str] | None = None


class _EmbeddingHead(Struct):
    model: str
    input: str | list[str | int | list[int]] | None = None
    dimensions: int | None = None


_chat_head = msgspec.json.Decoder(_ChatHead).decode
_embedding_head = msgspec.json.Decoder(_EmbeddingHead).decode
_fields = msgspec.json.Decoder(dict[str, Raw]).decode

_PLACE = re.compile(r"^(?P<what>.*?)(?: - at `\$(?P<place>[^`]*)`)?$", re.DOTALL)
PICTURE = 4500
"""Bytes that an embedded picture is taken for: about 1,500 tokens."""
_EMBEDDED = re.compile(rb'"(?:data:[^",]{1,100};base64,)?[A-Za-z0-9+/\\]{1024,}={0,2}"')
_OUT_OF_RANGE = re.compile(r"` [<>]=")
_MISSING = re.compile(r"missing required field `([^`]+)`")


def chat_wish(body: bytes, created: int, *, strict: bool) -> Wish:
    """A checked chat request. Raises InvalidRequest naming the field in `param`."""
    try:
        head = _chat_head(body)
        fields = _fields(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise _refused(error, body) from error
    _check_chat(head)
    options = head.stream_options
    request = ChatRequest(
        model=head.model,
        body=fields,
        stream=head.stream is True,
        include_usage=options is not None and options.include_usage is True,
        created=created,
    )
    cap = head.max_completion_tokens if head.max_completion_tokens is not None else head.max_tokens
    choices = head.n or 1
    return Wish(
        operation=CHAT_CALL,
        request=request,
        output_tokens=None if cap is None else cap * choices,
        choices=choices,
        stream=request.stream,
        strict=strict,
        body_size=_size(body),
    )


def embedding_wish(body: bytes, created: int, *, strict: bool) -> Wish:  # noqa: ARG001 - one face for both
    """A checked embeddings request. Raises InvalidRequest naming the field in `param`."""
    try:
        head = _embedding_head(body)
        fields = _fields(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise _refused(error, body) from error
    if not head.model:
        raise InvalidRequest("`model` must not be empty.", param="model")
    if head.input is None:
        raise InvalidRequest("`input` is required.", code="missing_required_parameter", param="input")
    if len(head.input) == 0:
        raise InvalidRequest("`input` must not be empty.", param="input")
    request = EmbeddingRequest(model=head.model, body=fields)
    return Wish(operation=EMBEDDING_CALL, request=request, strict=strict, body_size=len(body))


def _size(body: bytes) -> int:
    """Bytes of text: an embedded picture or sound counts as PICTURE bytes, whatever its size."""
    if b";base64," not in body and b'"data"' not in body:
        return len(body)
    embedded = [len(found) for found in _EMBEDDED.findall(body)]
    return len(body) - sum(embedded) + PICTURE * len(embedded)


def _check_chat(head: _ChatHead) -> None:
    if not head.model:
        raise InvalidRequest("`model` must not be empty.", param="model")
    if not head.messages:
        raise InvalidRequest("`messages` must hold at least one message.", param="messages")
    if head.stream_options is not None and not head.stream:
        raise InvalidRequest("`stream_options` is only allowed with `stream: true`.", param="stream_options")


def _refused(error: Exception, body: bytes) -> InvalidRequest:
    """Msgspec's words, with the place turned into OpenAI's `param`."""
    if isinstance(error, RecursionError):
        return InvalidRequest("The JSON body is nested too deeply.", code="invalid_json")
    if not body.strip():
        return InvalidRequest("The request has no body; send a JSON object.", code="invalid_json")
    if not isinstance(error, msgspec.ValidationError):
        return InvalidRequest(f"The body is not valid JSON: {error}.", code="invalid_json")
    found = _PLACE.match(str(error))
    what, place = (found["what"], found["place"] or "") if found else (str(error), "")
    missing = _MISSING.search(what)
    param = (place + "." + missing[1] if missing else place).lstrip(".")
    if missing:
        return InvalidRequest(f"`{param}` is required.", code="missing_required_parameter", param=param)
    code = "invalid_value" if _OUT_OF_RANGE.search(what) else "invalid_type"
    return InvalidRequest(f"`{param or 'body'}`: {what}.", code=code, param=param or None)
