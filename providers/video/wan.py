"""Alibaba's Wan models over DashScope's asynchronous tasks.

The operation is `{"id": ...}`, with `url` once it is finished. Keys and tasks belong to one region, which is
the provider's `base_url`. Sources: VIDEO_WIRE 3.8, 4.1 and 4.3, 2026-11-20.
"""

from collections.abc import Mapping
from urllib.parse import quote

from msgspec.structs import replace

from providers.errors import ErrorKind, ProviderError
from providers.reading import read_error
from providers.types import HttpRequest, HttpResponse, Json, Target, VideoOutput, VideoRequest, VideoUpdate
from providers.video import parts, tasks
from providers.video.answers import file_at, gone, link_of
from providers.video.fields import Fitted, fit

_KINDS: Mapping[str, ErrorKind] = {
    "invalidparameter": ErrorKind.INVALID_REQUEST,
    "datainspectionfailed": ErrorKind.CONTENT_POLICY,
    "invalidapikey": ErrorKind.AUTHENTICATION,
    "throttling": ErrorKind.RATE_LIMITED,
    "arrearage": ErrorKind.QUOTA,
}
_STATES: Mapping[str, str] = {"PENDING": "queued", "RUNNING": "in_progress", "SUSPENDED": "in_progress"}
_POLL = 15.0
"""Seconds between polls: tasks take minutes, and queries of one account are limited."""


def video_create(request: VideoRequest, target: Target) -> HttpRequest:
    """POST an input and its parameters. Raises UNSUPPORTED as `fit` does.

    Models that offer exact sizes are told pixels, those that offer ratios a ratio and a tier. `wire.inputs`
    of a model names the fields of its input that hold its media; without it they are a list.
    """
    fitted = fit(request, target)
    asked, wire = fitted.request, target.video.wire
    parts.check_modes(asked.media)
    fields = wire.get("inputs")
    media = [(one.role, link_of(one)) for one in asked.media]
    inputs: dict[str, object] = {"prompt": asked.prompt, "negative_prompt": asked.negative_prompt}
    if fields:
        inputs |= {fields[role]: address for role, address in media}
    elif media:
        inputs["media"] = [{"type": role, "url": address} for role, address in media]
    parameters = {
        **_size(fitted, framed=bool(fields)),
        "duration": parts.whole_seconds(asked.seconds),
        "seed": asked.seed,
        "audio": parts.sound(asked, target),
    }
    body = {"model": target.model, "input": _told(inputs), "parameters": _told(parameters)}
    path = f"services/aigc/{wire.get('service', 'video-generation')}/video-synthesis"
    return parts.post(target, path, body, fitted, {"x-dashscope-async": "enable"})


def video_created(response: HttpResponse) -> VideoUpdate:
    """The task's id."""
    return tasks.accepted(response, tasks.object_of(tasks.body_of(response).get("output")).get("task_id"))


def video_poll(operation: Json, target: Target) -> HttpRequest:
    """GET the task."""
    return parts.ask(target, _path(operation))


def video_update(response: HttpResponse) -> VideoUpdate:
    """What the task says; a 404 or the word UNKNOWN is `gone`."""
    if response.status == 404:
        return gone()
    if response.status >= 300:
        raise error(response)
    body = tasks.body_of(response)
    task = tasks.object_of(body.get("output"))
    match task.get("task_status"):
        case "UNKNOWN":
            return gone()
        case "SUCCEEDED":
            return tasks.finished(task.get("video_url"), _output(body.get("usage")))
        case "FAILED":
            return tasks.failed(error(tasks.as_answer(task)))
        case "CANCELED" as word:
            return tasks.ended(word, "cancelled")
        case str(word):
            update = tasks.running(response, _STATES.get(word, "in_progress"))
            return replace(update, retry_after=update.retry_after or _POLL)
    raise tasks.unreadable(response)


def video_content(operation: Json, target: Target) -> HttpRequest:
    """GET the file."""
    return file_at(operation["url"], target, {})


def video_cancel(operation: Json, target: Target) -> HttpRequest:
    """Take a task out of the queue; one that runs already is not stopped."""
    return parts.ask(target, f"{_path(operation)}/cancel", "POST")


def error(response: HttpResponse) -> ProviderError:
    """What an answer with a status of 300 or above means."""
    return read_error(response, _KINDS)


def _size(fitted: Fitted, *, framed: bool) -> Json:
    """The size in the model's way of telling; `framed`: its ratio is that of the picture it starts from."""
    shape, size = fitted.shape, fitted.request.size
    if shape is None:
        return {"size": size.replace("x", "*")} if size else {}
    resolution = {"resolution": shape.tier.upper()}
    return resolution if framed else {**resolution, "ratio": shape.ratio}


def _told(values: Json) -> Json:
    return {name: value for name, value in values.items() if value is not None}


def _output(usage: object) -> VideoOutput:
    told = tasks.object_of(usage)
    return VideoOutput(seconds=tasks.number(told.get("output_video_duration", told.get("duration"))))


def _path(operation: Json) -> str:
    return f"tasks/{quote(operation['id'], safe='')}"
