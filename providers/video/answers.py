"""What the dialects of video share when they read answers and pass pictures on."""

import base64
from typing import TypeVar
from urllib.parse import urlsplit

import msgspec

from providers.errors import ErrorKind, ProviderError
from providers.types import UNREADABLE, HttpRequest, HttpResponse, Media, Target, VideoUpdate

T = TypeVar("T")


def read(decoder: msgspec.json.Decoder[T], response: HttpResponse) -> T:
    """The answer's body as what `decoder` makes of it. Raises PROTOCOL when it is something else."""
    try:
        return decoder.decode(response.body)
    except UNREADABLE as error:
        raise ProviderError(
            ErrorKind.PROTOCOL, "The provider's answer cannot be read.", status=response.status
        ) from error


def gone() -> VideoUpdate:
    """The provider does not know the operation."""
    return VideoUpdate(state="gone", code="job_lost", message="The provider does not know this video.")


def moderated(message: str) -> VideoUpdate:
    """The provider will not make, or not give out, this video."""
    return VideoUpdate(
        state="failed",
        code="moderation_blocked",
        message=message or "The video was refused by the provider's moderation.",
        blamed=True,
    )


def no_file() -> VideoUpdate:
    """The provider says it is done, and there is nothing to fetch."""
    return VideoUpdate(
        state="failed", code="provider_error", message="The provider finished without giving a video."
    )


def file_at(url: str, target: Target, credential: dict[str, str]) -> HttpRequest:
    """GET a finished file. Only the provider's own host is shown the credential."""
    own = urlsplit(url)[:2] == urlsplit(target.base_url)[:2]
    return HttpRequest(method="GET", url=url, headers={**credential, **target.headers} if own else {})


def base64_of(media: Media) -> str:
    """The bytes of a picture or clip as base64 text."""
    return base64.b64encode(media.data).decode()


def link_of(media: Media) -> str:
    """Its link, or a data URI with its bytes."""
    return media.url or f"data:{media.mime};base64,{base64_of(media)}"
