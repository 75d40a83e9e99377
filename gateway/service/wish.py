"""What a client asks of the chat and embeddings doors, as values, and how each kind of call is spoken."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from msgspec import Struct

from gateway.config.snapshot import RouteTarget
from providers.adapter import ChatStream
from providers.chat import CHAT, EMBEDDINGS
from providers.errors import ErrorKind, ProviderError
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


_PROSE_ONLY = frozenset(("tools", "functions", "response_format", "audio", "modalities"))
_PLAIN = frozenset((b"null", b"[]", b'["text"]', b'{"type":"text"}'))


def is_prose(request: ChatRequest) -> bool:
    """Whether the answer is one text for people to read: no calls, no JSON, no sound, one choice.

    Only such an answer may lose a piece or change its author in the middle: a program would act on the seam.
    """
    body = request.body
    for name in _PROSE_ONLY & body.keys():
        if bytes(body[name]).replace(b" ", b"") not in _PLAIN:
            return False
    return "n" not in body or bytes(body["n"]) in (b"1", b"null")


class Hints(Struct, frozen=True, kw_only=True):
    """What a client says about routing beside its request: tags and a region to insist on, a session's name."""

    tags: frozenset[str] = frozenset()
    region: str = ""
    session: str = ""


class Wish(Struct, frozen=True, kw_only=True):
    """A request and what the client wants done with it.

    `output_tokens` is the client's own cap over all `choices`, None when it set none. `strict` makes a
    parameter that would have to be dropped an error. `hints` is None when the client gave none.
    """

    operation: Operation
    request: Request
    output_tokens: int | None = 0
    choices: int = 1
    stream: bool = False
    strict: bool = False
    body_size: int = 0
    hints: Hints | None = None


def built(wish: Wish, spoken: Spoken, request: Request, target: RouteTarget) -> HttpRequest:
    """The call to make of `request`. What is refused here never reached the target."""
    try:
        http = spoken.build(request, target.target)
    except ProviderError as error:
        error.sent = False
        raise
    if http.dropped and wish.strict:
        raise ProviderError(
            ErrorKind.UNSUPPORTED,
            f"`{target.id}` cannot be told {', '.join(http.dropped)}, and x-fairlead-strict is set.",
            code="unsupported_parameter",
            param=http.dropped[0],
            sent=False,
        )
    return http
