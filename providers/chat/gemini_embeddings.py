"""Embeddings through Gemini's batchEmbedContents, which answers for one text as for many (CHAT_WIRE 2.3)."""

import base64
import struct
from collections.abc import Sequence

import msgspec

from providers.chat.gemini_wire import EMBEDDINGS, decode, read_usage
from providers.chat.parts import invalid, unsupported
from providers.errors import ErrorKind, ProviderError
from providers.types import Completion, EmbeddingRequest, HttpResponse, Json, Target, Usage, encode

_MOST = 100
"""Texts in one batch: more are refused by the API."""

_KNOWN = frozenset(("model", "input", "dimensions", "encoding_format", "user"))
_CHARACTERS_PER_TOKEN = 4


def embedding_body(request: EmbeddingRequest, model: str) -> tuple[Json, list[str]]:
    """The body, and the client's parameters that it cannot tell. Raises as `_texts` does."""
    body = request.json()
    size = body.get("dimensions")
    if size is not None and (isinstance(size, bool) or not isinstance(size, int) or size < 1):
        raise invalid("dimensions", f"{size!r} is not a whole number of at least 1.")
    same = {"model": f"models/{model}", **({"outputDimensionality": size} if size else {})}
    requests = [{**same, "content": {"parts": [{"text": text}]}} for text in _texts(request)]
    return {"requests": requests}, [name for name in body if name not in _KNOWN]


def read_embeddings(request: EmbeddingRequest, target: Target, response: HttpResponse) -> Completion:
    """The answer as OpenAI's list, as floats or as base64 of little-endian 32-bit floats, as asked.

    `usage` is the provider's, else an estimate. Raises PROTOCOL when the texts and vectors do not pair up.
    """
    found = decode(response.body, EMBEDDINGS)
    texts = _texts(request)
    vectors = [embedding.values or () for embedding in found.embeddings or ()]
    if len(vectors) != len(texts) or not all(vectors):
        text = f"The provider answered {len(texts)} texts with {len(vectors)} embeddings."
        raise ProviderError(ErrorKind.PROTOCOL, text)
    packed = _field(request, "encoding_format") == "base64"
    usage = read_usage(found.usage_metadata) or _estimate(texts)
    listed = {
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": _base64(vector) if packed else vector}
            for index, vector in enumerate(vectors)
        ],
        "model": target.model,
        "usage": {"prompt_tokens": usage.input, "total_tokens": usage.input},
    }
    return Completion(body=encode(listed), model=target.model, usage=Usage(input=usage.input))


def _texts(request: EmbeddingRequest) -> list[str]:
    """The texts. Raises INVALID_REQUEST for none, UNSUPPORTED for token ids and for more than a batch."""
    given = _field(request, "input")
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts:
        raise invalid("input", "must be a string or an array of strings, and not empty.")
    if not all(isinstance(text, str) for text in texts):
        raise unsupported("input", "this provider embeds text only: send strings, not token ids.")
    if len(texts) > _MOST:
        raise unsupported("input", f"{len(texts)} texts; this provider embeds at most {_MOST} in one call.")
    return texts


def _field(request: EmbeddingRequest, name: str) -> object:
    raw = request.body.get(name)
    return None if raw is None else msgspec.json.decode(raw)


def _base64(vector: Sequence[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def _estimate(texts: Sequence[str]) -> Usage:
    return Usage(input=sum(-(-len(text) // _CHARACTERS_PER_TOKEN) for text in texts))
