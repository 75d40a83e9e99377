"""The `gemini` dialect: Google's generateContent on the Developer API, and its embeddings (CHAT_WIRE 2.3).

The parts: `gemini_request` (body, with `gemini_model`, `gemini_contents`, `gemini_schema`),
`gemini_wire` (what comes back), `gemini_answer` (in OpenAI's words), `gemini_stream`, `gemini_embeddings`.
"""

from collections.abc import Sequence
from urllib.parse import quote

import msgspec

from providers import quirks
from providers.auth import key_header
from providers.chat.answers import shape
from providers.chat.canonical import linked_urls
from providers.chat.gemini_answer import read_completion
from providers.chat.gemini_contents import takes_link
from providers.chat.gemini_embeddings import embedding_body, read_embeddings
from providers.chat.gemini_request import chat_body, stands_in
from providers.chat.gemini_stream import GeminiStream
from providers.chat.gemini_wire import read_failure
from providers.errors import ProviderError
from providers.types import (
    ChatRequest,
    Completion,
    EmbeddingRequest,
    HttpRequest,
    HttpResponse,
    Json,
    Target,
    encode,
)


def chat_request(request: ChatRequest, target: Target) -> HttpRequest:
    """The call to make. Raises INVALID_REQUEST or UNSUPPORTED (with `param`) for what cannot be told."""
    fields = dict(request.body)
    lost = quirks.apply(fields, target.quirks)
    body, dropped = chat_body(msgspec.structs.replace(request, body=fields), target)
    method = "streamGenerateContent?alt=sse" if request.stream else "generateContent"
    return _post(target, method, body, [*lost, *dropped])


def chat_response(request: ChatRequest, target: Target, response: HttpResponse) -> Completion:
    """The answer as OpenAI JSON. Raises ProviderError for an error inside a 2xx, PROTOCOL for no answer."""
    return read_completion(request, target, response, shape(request, json_tool=stands_in(request, target)))


def chat_stream(request: ChatRequest, target: Target) -> GeminiStream:
    """A reader for the events of one streamed answer."""
    return GeminiStream(request, target, shape(request, json_tool=stands_in(request, target)))


def media_urls(request: ChatRequest) -> Sequence[str]:
    """The links whose bytes must be in `request.media`: all but those that Google opens itself."""
    return [url for url in linked_urls(request) if not takes_link(url)]


def embedding_request(request: EmbeddingRequest, target: Target) -> HttpRequest:
    """The call to make. Raises UNSUPPORTED (`param` input) for token ids and for more than 100 texts."""
    body, dropped = embedding_body(request, _name(target))
    return _post(target, "batchEmbedContents", body, dropped)


def embedding_response(request: EmbeddingRequest, target: Target, response: HttpResponse) -> Completion:
    """The answer as OpenAI's list of embeddings, with usage given or estimated."""
    return read_embeddings(request, target, response)


def error(response: HttpResponse) -> ProviderError:
    """What an answer with a status of 300 or above means. Returned, not raised."""
    return read_failure(response)


def _post(target: Target, method: str, body: Json, dropped: Sequence[str]) -> HttpRequest:
    key = key_header(target, "x-goog-api-key")
    return HttpRequest(
        method="POST",
        url=f"{target.base_url}/v1beta/models/{quote(_name(target), safe='')}:{method}",
        headers={"content-type": "application/json", **key, **target.headers},
        body=encode(body),
        dropped=dropped,
    )


def _name(target: Target) -> str:
    return target.model.removeprefix("models/")
