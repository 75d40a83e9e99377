"""OpenAI's own dialect, spoken by most vendors: bodies pass through, but for what a row of data changes.

The request leaves as the client wrote it, field by field; only the model's name, the usage option of a
stream, and what `quirks` and model rules say are changed (CHAT_WIRE 2.0, 2.1 and 2.8, 2026-11-20). Answers
leave as they came when they have OpenAI's shape, and are mended (`mending`) when they do not.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import Meta, Raw, Struct

from providers import quirks
from providers.auth import bearer
from providers.chat import mending
from providers.chat.openai_calls import function_of
from providers.chat.openai_stream import Filled, Finish, Stream
from providers.errors import ErrorKind, ProviderError
from providers.reading import read_error
from providers.types import (
    ChatRequest,
    Completion,
    EmbeddingRequest,
    Fields,
    HttpRequest,
    HttpResponse,
    Quirks,
    Target,
    Usage,
    encode,
)

_Count: TypeAlias = Annotated[int, Meta(ge=0, le=1 << 40)]


class _Function(Struct, gc=False):
    name: Filled
    arguments: Filled


class _Call(Struct, gc=False):
    id: Filled
    type: Literal["function", "custom"]
    function: _Function | None = None


class _Message(Struct, gc=False):
    role: Literal["assistant"]
    content: str | None
    tool_calls: Annotated[list[_Call], Meta(min_length=1)] | None = None
    reasoning: None = None
    reasoning_text: None = None


class _Choice(Struct, gc=False):
    index: int
    message: _Message
    finish_reason: Finish
    usage: None = None


class _BaseResp(Struct, gc=False):
    status_code: Literal[0] = 0


class _PromptDetails(Struct, gc=False):
    cached_tokens: _Count | None = None
    cache_write_tokens: _Count | None = None


class _CompletionDetails(Struct, gc=False):
    reasoning_tokens: _Count | None = None


class _Usage(Struct, gc=False):
    """Usage in OpenAI's own shape; what vendors count elsewhere makes an answer one to mend."""

    prompt_tokens: _Count
    completion_tokens: _Count
    total_tokens: _Count
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _CompletionDetails | None = None
    prompt_cache_hit_tokens: None = None
    cached_tokens: None = None
    num_cached_tokens: None = None
    reasoning_tokens: None = None

    def read(self) -> Usage | None:
        """The facts; None when the counts do not add up, which is something to mend."""
        prompt, completion = self.prompt_tokens_details, self.completion_tokens_details
        cached = (prompt.cached_tokens or 0) if prompt is not None else 0
        written = (prompt.cache_write_tokens or 0) if prompt is not None else 0
        reasoning = (completion.reasoning_tokens or 0) if completion is not None else 0
        given, output = self.prompt_tokens, self.completion_tokens
        if given + output != self.total_tokens or cached + written > given or reasoning > output:
            return None
        return Usage(input=given, output=output, cached=cached, cache_write=written, reasoning=reasoning)


class _Answer(Struct, gc=False):
    """An answer in the clean shape. A field of type None must be absent or null: otherwise mend."""

    id: Filled
    object: Literal["chat.completion"]
    created: int
    model: Filled
    choices: Annotated[list[_Choice], Meta(min_length=1)]
    usage: _Usage | None = None
    error: None = None
    base_resp: _BaseResp | None = None


class _Embeddings(Struct, gc=False):
    data: list[Raw]
    model: str = ""
    usage: dict[str, Any] | None = None
    error: None = None


_decode_answer = msgspec.json.Decoder(_Answer).decode
_decode_embeddings = msgspec.json.Decoder(_Embeddings).decode
_decode_options = msgspec.json.Decoder(dict[str, Raw] | None).decode

_TRUE = Raw(b"true")
_WITH_USAGE = Raw(b'{"include_usage":true}')


def chat_request(request: ChatRequest, target: Target) -> HttpRequest:
    """The client's body with the target's model name; streams ask for usage; rules and quirks applied."""
    fields = dict(request.body)
    if request.stream:
        fields["stream"] = _TRUE
        fields["stream_options"] = _options_with_usage(request.body)
    dropped: list[str] = []
    if target.rules or target.quirks is not None:
        dropped = quirks.fit(fields, target.rules) + quirks.apply(fields, target.quirks)
    return _post(target, "/chat/completions", fields, dropped)


def chat_response(request: ChatRequest, target: Target, response: HttpResponse) -> Completion:
    """The provider's bytes where they have OpenAI's shape, else OpenAI's shape made of them."""
    body = response.body
    try:
        seen = _decode_answer(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _mended(request, target, body)
    usage = None if seen.usage is None else seen.usage.read()
    if usage is None and seen.usage is not None:
        return _mended(request, target, body)
    for choice in seen.choices:
        if choice.finish_reason == "stop" and choice.message.tool_calls:
            return _mended(request, target, body)
    finish = seen.choices[0].finish_reason
    return Completion(body=body, model=seen.model, id=seen.id, usage=usage, finish_reason=finish)


def chat_stream(request: ChatRequest, target: Target) -> Stream:
    """A reader for one streamed answer."""
    return Stream(request, target)


def embedding_request(request: EmbeddingRequest, target: Target) -> HttpRequest:
    """The client's body with the target's model name, without the fields that quirks leave out."""
    fields = dict(request.body)
    dropped = quirks.leave_out(fields, target.quirks) if target.quirks else []
    return _post(target, "/embeddings", fields, dropped)


def embedding_response(
    request: EmbeddingRequest,  # noqa: ARG001 - every dialect's signature
    target: Target,
    response: HttpResponse,
) -> Completion:
    """The provider's bytes as they came."""
    try:
        seen = _decode_embeddings(response.body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        mending.decode_object(response.body)
        message = f"The embeddings answer of provider {target.provider!r} has no list of vectors in `data`."
        raise ProviderError(ErrorKind.PROTOCOL, message) from error
    usage = mending.read_usage(seen.usage) if seen.usage else None
    return Completion(body=response.body, model=seen.model or target.model, usage=usage)


def error(response: HttpResponse) -> ProviderError:
    """What an error status of any vendor of this dialect means."""
    return read_error(response, mending.KINDS)


def _post(target: Target, path: str, fields: dict[str, Raw], dropped: Sequence[str]) -> HttpRequest:
    fields["model"] = Raw(encode(target.model))
    return HttpRequest(
        method="POST",
        url=target.base_url + path,
        headers={"content-type": "application/json", **bearer(target), **target.headers},
        body=encode(fields),
        dropped=dropped,
    )


def _options_with_usage(fields: Fields) -> Raw:
    given = fields.get("stream_options")
    options = _decode_options(given) if given is not None else None
    return Raw(encode({**options, "include_usage": _TRUE})) if options else _WITH_USAGE


def _mended(request: ChatRequest, target: Target, data: bytes) -> Completion:
    body = mending.decode_object(data)
    choices = mending.objects(body.get("choices"))
    if not choices:
        raise ProviderError(ErrorKind.PROTOCOL, f"Provider {target.provider!r} answered without any choice.")
    usage = mending.take_usage(body)
    read = mending.read_usage(usage) if usage else None
    if usage and read:
        body["usage"] = mending.mended_usage(usage, read)
    finishes = (target.quirks or Quirks()).finish
    body["choices"] = [_mend_choice(choice, at, finishes, data) for at, choice in enumerate(choices)]
    body["object"] = "chat.completion"
    mending.fill_frame(body, request.created, target.model, data)
    finish = body["choices"][0]["finish_reason"]
    return Completion(body=encode(body), model=body["model"], id=body["id"], usage=read, finish_reason=finish)


def _mend_choice(choice: dict[str, Any], at: int, finishes: Mapping[str, str], data: bytes) -> dict[str, Any]:
    message = choice.get("message")
    message = message if isinstance(message, dict) else {}
    mending.mend_text(message)
    calls = mending.objects(message.pop("tool_calls", None))
    for number, call in enumerate(calls):
        mending.mend_arguments(call)
        call["id"] = call.get("id") or mending.made_up_id("call_", data, number)
        call.setdefault("type", "function")
        function = function_of(call)
        if function and not function["arguments"]:
            function["arguments"] = "{}"  # clients parse it
    if calls:
        message["tool_calls"] = calls
    return {
        **choice,
        "index": choice.get("index", at),
        "message": {**message, "role": "assistant", "content": message.get("content")},
        "finish_reason": mending.finish_of(choice.get("finish_reason"), finishes, called=bool(calls)),
    }
