"""ByteDance's Seedance models over the content generation tasks of Ark (BytePlus, Volcengine).

The operation is `{"id": ...}`, with `url` once it is finished. Sources: VIDEO_WIRE 3.9, 4.1 and 4.2,
2026-11-20.
"""

from collections.abc import Mapping, Sequence
from urllib.parse import quote

from msgspec.structs import replace

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
from providers.video.fields import fit

_KINDS: Mapping[str, ErrorKind] = {
    "inputtextsensitivecontentdetected": ErrorKind.CONTENT_POLICY,
    "inputimagesensitivecontentdetected": ErrorKind.CONTENT_POLICY,
    "inputvideosensitivecontentdetected": ErrorKind.CONTENT_POLICY,
    "inputaudiosensitivecontentdetected": ErrorKind.CONTENT_POLICY,
    "outputvideosensitivecontentdetected": ErrorKind.CONTENT_POLICY,
    "outputaudiosensitivecontentdetected": ErrorKind.CONTENT_POLICY,
    "invalidparameter": ErrorKind.INVALID_REQUEST,
    "missingparameter": ErrorKind.INVALID_REQUEST,
    "authenticationerror": ErrorKind.AUTHENTICATION,
    "accountoverdueerror": ErrorKind.QUOTA,
    "modelnotopen": ErrorKind.NOT_FOUND,
    "ratelimitexceeded": ErrorKind.RATE_LIMITED,
    "modelaccountrpmratelimitexceeded": ErrorKind.RATE_LIMITED,
    "quotaexceeded": ErrorKind.RATE_LIMITED,
    "serveroverloaded": ErrorKind.OVERLOADED,
}
_STATES: Mapping[str, str] = {"queued": "queued", "running": "in_progress"}
_ENDS: Mapping[str, str] = {"cancelled": "cancelled", "expired": "job_expired"}


def video_create(request: VideoRequest, target: Target) -> HttpRequest:
    """POST words and media as parts of one content. Raises UNSUPPORTED as `fit` does.

    Frames and references are two modes that exclude each other. A camera that does not move is a field of
    its own, every other movement is a matter of words. Repeats make new videos, but a task tells
    its `safety_identifier`: by that, our token, one whose submit was never answered is found.
    """
    still = request.camera_movement == "static"
    fitted = fit(replace(request, camera_movement=None) if still else request, target)
    asked, shape = fitted.request, fitted.shape
    parts.check_modes(asked.media)
    body = {
        "model": target.model,
        "content": parts.content(asked),
        "resolution": shape.tier if shape else None,
        "ratio": shape.ratio if shape else None,
        "duration": parts.whole_seconds(asked.seconds),
        "seed": asked.seed,
        "camera_fixed": still or None,
        "generate_audio": parts.sound(asked, target),
        "callback_url": request.hook or None,
        "safety_identifier": request.token or None,
    }
    headers = {"x-client-request-id": request.token} if request.token else {}
    return parts.post(target, "contents/generations/tasks", body, fitted, headers)


def video_created(response: HttpResponse) -> VideoUpdate:
    """The task's id."""
    return tasks.accepted(response, tasks.body_of(response).get("id"))


def video_poll(operation: Json, target: Target) -> HttpRequest:
    """GET the task."""
    return parts.ask(target, _path(operation))


def video_update(response: HttpResponse) -> VideoUpdate:
    """What the task says; a 404 is `gone`."""
    if response.status == 404:
        return gone()
    if response.status >= 300:
        raise error(response)
    task = tasks.body_of(response)
    status = task.get("status")
    if not isinstance(status, str):
        raise tasks.unreadable(response)
    if status == "succeeded":
        url = tasks.object_of(task.get("content")).get("video_url")
        return tasks.finished(url, _output(task))
    if status == "failed":
        return tasks.failed(error(tasks.as_answer(task)))
    if status in _ENDS:
        return tasks.ended(status, _ENDS[status])
    return tasks.running(response, _STATES.get(status, "in_progress"))


def video_content(operation: Json, target: Target) -> HttpRequest:
    """GET the file."""
    return file_at(operation["url"], target, {})


def video_cancel(operation: Json, target: Target) -> HttpRequest:
    """Take a task out of the queue; one that runs already answers with an error and goes on."""
    return parts.ask(target, _path(operation), "DELETE")


def video_recent(target: Target) -> HttpRequest:
    """GET the newest tasks."""
    return parts.ask(target, "contents/generations/tasks?page_num=1&page_size=100")


def video_sightings(
    request: VideoRequest, _target: Target, response: HttpResponse
) -> Sequence[VideoSighting]:
    """The task that carries the token of this request: no words are listed."""
    if response.status >= 300:
        raise error(response)
    return tasks.sightings(
        task
        for task in tasks.list_of(response, "items")
        if request.token and task.get("safety_identifier") == request.token
    )


def error(response: HttpResponse) -> ProviderError:
    """What an answer with a status of 300 or above means."""
    return read_error(response, _KINDS)


def _output(task: Json) -> VideoOutput:
    audio = task.get("generate_audio")
    return VideoOutput(
        fps=tasks.number(task.get("framespersecond")),
        seconds=tasks.number(task.get("duration")),
        has_audio=audio if isinstance(audio, bool) else None,
    )


def _path(operation: Json) -> str:
    return f"contents/generations/tasks/{quote(operation['id'], safe='')}"
