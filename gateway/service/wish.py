"""What a client asks of the chat and embeddings doors, as values, and how each kind of call is spoken."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from msgspec import Struct

from providers.adapter import ChatStream
from providers.chat import CHAT, EMBEDDINGS
from providers.errors import ProviderError
from providers.types import ChatRequest, Completion, EmbeddingRequest, HttpRequest, HttpResponse, Target

Request: TypeAlias = ChatRequest | EmbeddingRequest


class Spoken(Struct, frozen=True, kw_only=True):
    """How one dialect speaks one kind of call: functions of its module. `stream` None: it cannot.

    `media_urls` None: the dialect passes links on. See `providers.adapter` for what each does.
    """

    build: Callable[[Any, Target], HttpRequest]
    read: Callable[[Any, Target, HttpResponse], Completion]
    error: Callable[[HttpResponse], ProviderError]
    stream: Callable[[ChatRequest, Target], ChatStream] | None = None
    media_urls: Callable[[ChatRequest], Sequence[str]] | None = None


class Operation(Struct, frozen=True):
    """One kind of call: its name in telemetry, the kind of route it takes, and who speaks it."""

    name: str
    kind: str
    dialects: Mapping[str, Spoken]


CHAT_CALL = Operation(
    name="chat",
    kind="chat",
    dialects={
        name: Spoken(
            build=adapter.chat_request,
            read=adapter.chat_response,
            error=adapter.error,
            stream=adapter.chat_stream,
            media_urls=getattr(adapter, "media_urls", None),
        )
        for name, adapter in CHAT.items()
    },
)
EMBEDDING_CALL = Operation(
    name="embeddings",
    kind="embedding",
    dialects={
        name: Spoken(build=adapter.embedding_request, read=adapter.embedding_response, error=adapter.error)
        for name, adapter in EMBEDDINGS.items()
    },
)


class Wish(Struct, frozen=True, kw_only=True):
    """A request and what the client wants done with it.

    `output_tokens` is the client's own cap over all `choices`, None when it set none. `strict` makes a
    parameter that would have to be dropped an error.
    """

    operation: Operation
    request: Request
    output_tokens: int | None = 0
    choices: int = 1
    stream: bool = False
    strict: bool = False
    body_size: int = 0
