"""What answers of asynchronous video APIs have in common, whatever words each of them uses.

A dialect reads its own words and says what they mean with these: accepted, finished, failed. A failed job is
read by the same rules as a refused call, so that a provider's code means the same wherever it stands.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from providers.errors import ErrorKind, ProviderError
from providers.reading import retry_after
from providers.types import (
    UNREADABLE,
    HttpResponse,
    Json,
    VideoOutput,
    VideoSighting,
    VideoUpdate,
    encode,
)
from providers.video.answers import no_file

_BLAMED: Mapping[ErrorKind, str] = {
    ErrorKind.CONTENT_POLICY: "moderation_blocked",
    ErrorKind.INVALID_REQUEST: "invalid_request",
    ErrorKind.CONTEXT_LENGTH: "invalid_request",
}
"""Failures of a job that no other provider should be asked about, and their codes."""

_CODES: Mapping[ErrorKind, str] = {
    ErrorKind.AUTHENTICATION: "provider_auth_error",
    ErrorKind.QUOTA: "provider_quota_exceeded",
    ErrorKind.NOT_FOUND: "model_unavailable",
    ErrorKind.RATE_LIMITED: "provider_overloaded",
    ErrorKind.OVERLOADED: "provider_overloaded",
    ErrorKind.UNSUPPORTED: "unsupported_parameter",
}


def body_of(response: HttpResponse) -> dict[str, Any]:
    """The JSON object of an answer; empty when it is anything else."""
    return object_in(response.body)


def object_in(body: bytes) -> dict[str, Any]:
    """The JSON object in a body; empty when it is anything else."""
    try:
        return object_of(msgspec.json.decode(body))
    except UNREADABLE:
        return {}


def object_of(value: object) -> dict[str, Any]:
    """`value` if it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}


def accepted(response: HttpResponse, name: object, state: str = "queued") -> VideoUpdate:
    """The update of a submit that was answered with this id. Raises PROTOCOL when there is none."""
    if not isinstance(name, str) or not name:
        message = "The provider accepted a video without telling its id."
        raise ProviderError(ErrorKind.PROTOCOL, message, status=response.status)
    return VideoUpdate(state=state, operation={"id": name}, retry_after=retry_after(response.headers))


def running(response: HttpResponse, state: str, progress: object = None) -> VideoUpdate:
    """The update of a job that goes on. `progress` is 0 to 100, in whatever form it is told."""
    done = whole(progress)
    return VideoUpdate(
        state=state,
        progress=None if done is None else min(100, done),
        retry_after=retry_after(response.headers),
    )


def list_of(response: HttpResponse, name: str) -> list[Json]:
    """The objects in the list of that name in an answer. Raises PROTOCOL when there is no list."""
    found = body_of(response).get(name)
    if not isinstance(found, list):
        raise unreadable(response)
    return [one for one in found if isinstance(one, dict)]


def sightings(tasks: Iterable[Json], certain: Callable[[Json], bool] = lambda _: True) -> list[VideoSighting]:
    """Tasks of a list that a submit may have begun; those without an id or a time are left out."""
    return [
        VideoSighting(operation={"id": task["id"]}, created_at=at, certain=certain(task))
        for task in tasks
        if isinstance(task.get("id"), str) and (at := number(task.get("created_at"))) is not None
    ]


def finished(url: object, output: VideoOutput) -> VideoUpdate:
    """The update of a finished job whose file is at `url`.

    A job that is finished without a file has failed (VIDEO_WIRE 5.3).
    """
    if not isinstance(url, str) or not url:
        return no_file()
    return VideoUpdate(state="completed", operation={"url": url}, progress=100, output=output)


def failed(error: ProviderError) -> VideoUpdate:
    """The update of a job that ended with this error."""
    blamed = error.kind in _BLAMED
    code = _BLAMED.get(error.kind) or _CODES.get(error.kind, "provider_error")
    return VideoUpdate(state="failed", code=code, message=error.message, blamed=blamed)


def ended(word: str, code: str) -> VideoUpdate:
    """The update of a job that the provider ended without an error: cancelled, expired."""
    return VideoUpdate(state="failed", code=code, message=f"The provider gave the video up ({word}).")


def as_answer(error: object) -> HttpResponse:
    """The error of a failed job as if a call had been answered with it."""
    return HttpResponse(status=200, headers={}, body=encode(error))


def unreadable(response: HttpResponse) -> ProviderError:
    """The failure to raise for a 2xx answer that does not say what became of the job."""
    message = "The provider's answer does not say what became of the video."
    return ProviderError(ErrorKind.PROTOCOL, message, status=response.status)


def number(value: object) -> float | None:
    """A finite number that is not negative, from a number or its text."""
    try:
        told = isinstance(value, str | int | float) and not isinstance(value, bool)
        found = float(value) if told else -1.0  # type: ignore[arg-type]
    except (ValueError, OverflowError):
        return None
    return found if 0 <= found < float("inf") else None


def whole(value: object) -> int | None:
    """A whole number that is not negative, from a number or its text."""
    found = number(value)
    return None if found is None else int(found)
