"""MiniMax's video API of today (v2: H3). The earlier one, for Hailuo models, is `minimax_v1`.

The operation is `{"id": ...}`, with `url` once it is finished. A task that is not known is answered with a
500. Sources: VIDEO_WIRE 3.7, 4.1 and 5.2, 2026-11-20.
"""

from collections.abc import Mapping, Sequence
from urllib.parse import quote

from providers.errors import ErrorKind, ProviderError
from providers.reading import read_error
from providers.types import (
    HttpRequest,
    HttpResponse,
    Json,
    Target,
    VideoOutput,
    VideoRequest,
    VideoSighting,
    VideoUpdate,
)
from providers.video import parts, tasks
from providers.video.answers import file_at, gone
from providers.video.fields import Fitted, fit

_CODES: Mapping[int, ErrorKind] = {
    1002: ErrorKind.RATE_LIMITED,
    1004: ErrorKind.AUTHENTICATION,
    1008: ErrorKind.QUOTA,
    1026: ErrorKind.CONTENT_POLICY,
    1027: ErrorKind.CONTENT_POLICY,
    2013: ErrorKind.INVALID_REQUEST,
    2049: ErrorKind.AUTHENTICATION,
}
KINDS: Mapping[str, ErrorKind] = {
    f"{scope}{code}": kind for code, kind in _CODES.items() for scope in ("", "base_resp.")
}
"""What MiniMax's numbers mean, alone (v2) and in a `base_resp` (v1)."""

_STATES: Mapping[str, str] = {"queued": "queued", "running": "in_progress"}
_UNKNOWN = ("record not found", "invalid task_id")
"""All that tells a task that is not known from a server that is out of order."""
_RESOLUTIONS: Mapping[str, str] = {"480p": "480P", "720p": "768P", "2k": "2K"}
"""Their words for tiers; 768 lines are what they have in place of 720."""


def video_create(request: VideoRequest, target: Target) -> HttpRequest:
    """POST words and media as parts of one content. Raises UNSUPPORTED as `fit` does."""
    fitted = fit(request, target)
    body = {
        "content": parts.content(fitted.request),
        **_told(fitted, target),
        "callback_url": request.hook or None,
    }
    return parts.post(target, "v2/video_generation", body, fitted)


def video_created(response: HttpResponse) -> VideoUpdate:
    """The task's id."""
    return tasks.accepted(response, tasks.body_of(response).get("task_id"))


def video_poll(operation: Json, target: Target) -> HttpRequest:
    """GET the task."""
    return parts.ask(target, _path("v2/query/video_generation", operation))


def video_update(response: HttpResponse) -> VideoUpdate:
    """What the task says."""
    if response.status >= 300:
        problem = error(response)
        if response.status == 404 or any(words in problem.message.lower() for words in _UNKNOWN):
            return gone()
        raise problem
    task = tasks.object_of(tasks.body_of(response).get("task"))
    status = task.get("status")
    if not isinstance(status, str):
        raise tasks.unreadable(response)
    if status == "succeeded":
        url = tasks.object_of(task.get("content")).get("url")
        output = VideoOutput(seconds=tasks.number(task.get("duration")))
        return tasks.finished(url, output)
    if status == "failed":
        return tasks.failed(error(tasks.as_answer(task)))
    if status == "cancelled":
        return tasks.ended(status, "cancelled")
    return tasks.running(response, _STATES.get(status, "in_progress"))


def video_content(operation: Json, target: Target) -> HttpRequest:
    """GET the file."""
    return file_at(operation["url"], target, {})


def video_cancel(operation: Json, target: Target) -> HttpRequest:
    """Take a task out of the queue; one that runs already goes on."""
    return parts.ask(target, _path("v2/video_generation", operation), "DELETE")


def video_recent(target: Target) -> HttpRequest:
    """GET the newest tasks."""
    return parts.ask(target, "v2/query/video_generation?page_num=1&page_size=50")


def video_sightings(request: VideoRequest, target: Target, response: HttpResponse) -> Sequence[VideoSighting]:
    """Tasks of the same model, length and size; the words are told only once a video is there.

    Pictures are not listed, so a video from one cannot be told from another of the same words.
    """
    if response.status >= 300:
        raise error(response)
    if request.media:
        return []
    fitted = fit(request, target)
    told = {name: value for name, value in _told(fitted, target).items() if value is not None}
    alike = (
        task
        for task in tasks.list_of(response, "items")
        if all(task.get(name) in (None, value) for name, value in told.items())
        and _words(task) in (None, fitted.request.prompt)
    )
    return tasks.sightings(alike, lambda task: _words(task) is not None)


def hook_answer(body: bytes) -> Json | None:
    """What MiniMax's first call to a hook wants to hear, within three seconds: its challenge."""
    challenge = tasks.object_in(body).get("challenge")
    return {"challenge": challenge} if isinstance(challenge, str) else None


def error(response: HttpResponse) -> ProviderError:
    """What an answer with a status of 300 or above means."""
    return read_error(response, KINDS)


def _told(fitted: Fitted, target: Target) -> Json:
    """What a task is told and tells of itself, in the same words."""
    shape = fitted.shape
    return {
        "model": target.model,
        "resolution": _RESOLUTIONS[shape.tier] if shape else None,
        "duration": parts.whole_seconds(fitted.request.seconds),
        "ratio": shape.ratio if shape else None,
    }


def _words(task: Json) -> object:
    return tasks.object_of(task.get("content")).get("prompt")


def _path(path: str, operation: Json) -> str:
    return f"{path}/{quote(operation['id'], safe='')}"
