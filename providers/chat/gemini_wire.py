"""What Gemini answers with, as far as we read it; fields that are not named here are skipped.

Facts: CHAT_WIRE 2.3 (2026-11-20). Any field may be missing or null: an answer cut by a filter or by its
length has a candidate without content, or content without parts.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

import msgspec
from msgspec import Struct
from msgspec.json import Decoder

from providers.errors import ErrorKind, ProviderError
from providers.reading import read_error
from providers.types import HttpResponse, Usage

Counts: TypeAlias = Mapping[str, Any]
"""`usageMetadata`: numbers of tokens by name, among other things."""


class Blob(Struct, rename="camel"):
    """Bytes of a picture or of sound, as base64."""

    mime_type: str | None = None
    data: str | None = None


class FunctionCall(Struct):
    """A call, always whole on the Developer API; older models give it no id."""

    id: str | None = None
    name: str | None = None
    args: dict[str, Any] | None = None


class Part(Struct, rename="camel"):
    """One part; `thought` marks text as reasoning, a signature belongs to the part it stands on."""

    text: str | None = None
    thought: bool | None = None
    thought_signature: str | None = None
    function_call: FunctionCall | None = None
    inline_data: Blob | None = None


class Content(Struct):
    """What a candidate says."""

    parts: Sequence[Part] | None = None


class Segment(Struct, rename="camel"):
    """A span of the text, in bytes."""

    start_index: int | None = None
    end_index: int | None = None


class Support(Struct, rename="camel"):
    """Which sources, by their place, a span rests on."""

    segment: Segment | None = None
    grounding_chunk_indices: Sequence[int] | None = None


class Web(Struct):
    """A page."""

    uri: str | None = None
    title: str | None = None


class Source(Struct):
    """A source; only web pages are read."""

    web: Web | None = None


class Grounding(Struct, rename="camel"):
    """What a web search found, and where the text used it."""

    grounding_chunks: Sequence[Source] | None = None
    grounding_supports: Sequence[Support] | None = None


class Logprob(Struct, rename="camel"):
    """A token and how likely it was."""

    token: str | None = None
    log_probability: float | None = None


class TopLogprobs(Struct):
    """The likeliest tokens at one place."""

    candidates: Sequence[Logprob] | None = None


class Logprobs(Struct, rename="camel"):
    """The tokens of the answer, and beside each the likeliest ones."""

    chosen_candidates: Sequence[Logprob] | None = None
    top_candidates: Sequence[TopLogprobs] | None = None


class Candidate(Struct, rename="camel"):
    """One answer, or in a stream its next parts."""

    index: int | None = None
    content: Content | None = None
    finish_reason: str | None = None
    grounding_metadata: Grounding | None = None
    logprobs_result: Logprobs | None = None


class PromptFeedback(Struct, rename="camel"):
    """Why a prompt was not answered at all."""

    block_reason: str | None = None


class Response(Struct, rename="camel"):
    """A GenerateContentResponse, or the error in its place."""

    candidates: Sequence[Candidate] | None = None
    prompt_feedback: PromptFeedback | None = None
    usage_metadata: Counts | None = None
    model_version: str | None = None
    response_id: str | None = None
    error: Any = None


class Embedding(Struct):
    """One vector."""

    values: Sequence[float] | None = None


class Embeddings(Struct, rename="camel"):
    """The answer to batchEmbedContents, or the error in its place."""

    embeddings: Sequence[Embedding] | None = None
    usage_metadata: Counts | None = None
    error: Any = None


_Answer = TypeVar("_Answer", Response, Embeddings)

RESPONSE = Decoder(Response | list[Response])
EMBEDDINGS = Decoder(Embeddings | list[Embeddings])

_ELSEWHERE = re.compile(r"user location is not supported|is not enabled for", re.IGNORECASE)
"""Words that make another target worth a try though the status blames the request: the host's region, and
options that only some models take ("Penalty is not enabled for this model")."""


def decode(body: bytes, decoder: Decoder[_Answer | list[_Answer]]) -> _Answer:
    """The answer. Raises what an error in its place means, in a list or not, PROTOCOL for anything else."""
    try:
        found = decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ProviderError(ErrorKind.PROTOCOL, "The provider's answer cannot be read.") from error
    first = found if not isinstance(found, list) else next(iter(found), None)
    if first is not None and first.error:
        raise read_failure(HttpResponse(status=200, headers={}, body=body))
    if isinstance(found, list):
        raise ProviderError(ErrorKind.PROTOCOL, "The provider's answer is a list.")
    return found


def read_failure(response: HttpResponse) -> ProviderError:
    """What an error answer means, or an error object inside a 2xx or a stream."""
    error = read_error(response)
    if error.kind is ErrorKind.INVALID_REQUEST and _ELSEWHERE.search(error.message):
        error.kind = ErrorKind.UNSUPPORTED
    return error


def read_usage(counts: Counts | None) -> Usage | None:
    """The tokens used: thoughts are counted beside the answer, cached text in the prompt (CHAT_WIRE 2.11)."""
    if not counts:
        return None
    prompt = _tokens(counts, "promptTokenCount") + _tokens(counts, "toolUsePromptTokenCount")
    thoughts = _tokens(counts, "thoughtsTokenCount")
    return Usage(
        input=prompt,
        output=_tokens(counts, "candidatesTokenCount") + thoughts,
        cached=min(_tokens(counts, "cachedContentTokenCount"), prompt),
        reasoning=thoughts,
    )


def _tokens(counts: Counts, name: str) -> int:
    count = counts.get(name)
    return max(int(count), 0) if isinstance(count, int | float) else 0
