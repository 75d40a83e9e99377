"""What an adapter is: a few pure functions. A module that has them is an adapter; there is no base class.

Having a function is the capability: an optional one that is missing means the dialect cannot do it.
No function here does I/O, reads a clock or throws dice; each may raise `ProviderError`.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from providers.errors import ProviderError
from providers.sse import Event
from providers.types import (
    ChatRequest,
    Chunk,
    Completion,
    EmbeddingRequest,
    HttpRequest,
    HttpResponse,
    Json,
    Target,
    VideoRequest,
    VideoSighting,
    VideoUpdate,
    WorkerStatus,
)


class ChatStream(Protocol):
    """Turns upstream events into chunks. One per answer; holds only what the dialect needs."""

    def feed(self, event: Event, /) -> Iterable[Chunk]:
        """Chunks this event gives. Raises ProviderError for an error inside the stream."""

    def end(self) -> Iterable[Chunk]:
        """Chunks still owed when the upstream closed cleanly, the usage chunk for instance."""


class ChatAdapter(Protocol):
    """How to speak one chat dialect."""

    def chat_request(self, request: ChatRequest, target: Target) -> HttpRequest:
        """The call to make. Raises UNSUPPORTED (with `param`) for what this dialect cannot express."""

    def chat_response(self, request: ChatRequest, target: Target, response: HttpResponse) -> Completion:
        """The answer as OpenAI JSON. Raises ProviderError for an error inside a 2xx."""

    def chat_stream(self, request: ChatRequest, target: Target) -> ChatStream:
        """A reader for the events of one streamed answer."""

    def error(self, response: HttpResponse) -> ProviderError:
        """What an answer with a status of 300 or above means. Returned, not raised."""


class EmbeddingAdapter(Protocol):
    """How to ask one dialect for embeddings."""

    def embedding_request(self, request: EmbeddingRequest, target: Target) -> HttpRequest:
        """The call to make."""

    def embedding_response(
        self, request: EmbeddingRequest, target: Target, response: HttpResponse
    ) -> Completion:
        """The answer as OpenAI JSON."""

    def error(self, response: HttpResponse) -> ProviderError:
        """What an answer with a status of 300 or above means. Returned, not raised."""


class VideoAdapter(Protocol):
    """How to speak one video dialect. `operation` is the opaque JSON the dialect itself returned."""

    def video_create(self, request: VideoRequest, target: Target) -> HttpRequest:
        """The submit. Raises UNSUPPORTED (with `param`) for what this dialect cannot express."""

    def video_created(self, response: HttpResponse) -> VideoUpdate:
        """What a 2xx answer to the submit says; the update carries the operation."""

    def video_poll(self, operation: Json, target: Target) -> HttpRequest:
        """Ask how far it is."""

    def video_update(self, response: HttpResponse) -> VideoUpdate:
        """What an answer to a poll says, a 404 (`gone`) included. Raises ProviderError for other errors.

        The update's operation is added to what the operation already holds.
        """

    def video_content(self, operation: Json, target: Target) -> HttpRequest:
        """Fetch the finished bytes."""

    def error(self, response: HttpResponse) -> ProviderError:
        """What an answer with a status of 300 or above means. Returned, not raised."""


class VideoCancel(Protocol):
    """Optional: the dialect can stop an operation."""

    def video_cancel(self, operation: Json, target: Target) -> HttpRequest:
        """Stop it; the answer's body does not matter."""


class VideoWorker(Protocol):
    """Optional: the dialect's servers tell what they can make and how busy they are."""

    def worker_look(self, target: Target) -> HttpRequest:
        """Ask for that."""

    def worker_status(self, response: HttpResponse) -> WorkerStatus:
        """What an answer says. Raises ProviderError, also for an answer of something else."""


DUPLICATE_SUBMIT = "duplicate_submit"
"""The code of an error that says of a repeated submit only that it was heard before."""


class VideoRecall(Protocol):
    """Optional: the dialect finds an operation by the token of its submit, after DUPLICATE_SUBMIT."""

    def video_recall(self, token: str) -> Json:
        """The operation that the submit with this token began."""


class VideoSearch(Protocol):
    """Optional: the dialect lists what was begun lately, so that a submit that was never answered can be found."""

    def video_recent(self, target: Target) -> HttpRequest:
        """Ask for the newest operations of the account, as many as one page holds."""

    def video_sightings(
        self, request: VideoRequest, target: Target, response: HttpResponse
    ) -> Sequence[VideoSighting]:
        """Those in an answer that the submit of this request may have begun. Raises ProviderError."""


class VideoSigned(Protocol):
    """Optional: the provider signs its calls to hooks with keys that it publishes."""

    def hook_keys(self) -> HttpRequest:
        """Ask for the keys."""

    def hook_signed(self, keys: HttpResponse, headers: Mapping[str, str], body: bytes, now: float) -> bool:
        """Whether one of the keys in that answer signed this call, at about Unix time `now`."""


class VideoAsking(Protocol):
    """Optional: the provider asks a hook something before it uses it."""

    def hook_answer(self, body: bytes) -> Json | None:
        """What such a call wants to hear; None for one that only tells something."""


class VideoInline(Protocol):
    """Optional: a finished file may come inside an answer; then the operation says `inline`."""

    def video_bytes(self, response: HttpResponse) -> bytes:
        """The file in the answer to `video_content`. Raises PROTOCOL when there is none."""
