"""Kling's video API of today. The operation is `{"id": ...}`, and `url` once there is a file.

Our token travels as `external_task_id`, by which Kling refuses to make a video twice and by which it can be
found again: a submit whose answer was lost is asked once more. It cannot be cancelled; a key is a plain
bearer token. Source: VIDEO_WIRE 3.6, 2026-11-20.
"""

from urllib.parse import quote

from msgspec import Struct

from providers.adapter import DUPLICATE_SUBMIT
from providers.auth import bearer
from providers.errors import ErrorKind, ProviderError
from providers.types import HttpRequest, HttpResponse, Json, Target, VideoRequest, VideoUpdate
from providers.video import parts
from providers.video.answers import file_at, link_of
from providers.video.fields import Fitted, fit
from providers.video.kling_answers import read_failure, read_task, update

_FRAMES = ("first_frame", "last_frame")
_REPEATED = ("1201", "already exists")
"""Code and words of the refusal of an `external_task_id` that is known."""


class _Known(Struct, frozen=True):
    """What a model's row says that only this dialect reads: see config/video_models.yaml."""

    omni: bool = False
    multi_shot: bool = False


def video_create(request: VideoRequest, target: Target) -> HttpRequest:
    """From text, or from and to a picture."""
    fitted = fit(request, target)
    known = _Known(**target.video.wire)
    frames = [media for role in _FRAMES if (media := fitted.media(role)) is not None]
    body: dict[str, object] = {"settings": _settings(fitted, target, known)}
    if known.omni or frames:
        prompt = {"type": "prompt", "text": fitted.request.prompt}
        body["contents"] = [prompt, *({"type": media.role, "url": link_of(media)} for media in frames)]
    else:
        body["prompt"] = fitted.request.prompt
    options = {"external_task_id": request.token, "callback_url": request.hook}
    if any(options.values()):
        body["options"] = {name: value for name, value in options.items() if value}
    way = "omni-video" if known.omni else "image-to-video" if frames else "text-to-video"
    return parts.post(target, f"{way}/{quote(target.model, safe='')}", body, fitted)


def video_created(response: HttpResponse) -> VideoUpdate:
    """The id of the accepted task."""
    task = read_task(response)
    if task is None:
        raise ProviderError(ErrorKind.PROTOCOL, "Kling accepted a video without telling its id.")
    return update(task)


def video_poll(operation: Json, target: Target) -> HttpRequest:
    """GET the task by its id, or by our own."""
    name, value = (
        ("task_ids", operation["id"])
        if "id" in operation
        else ("external_task_ids", operation["external_id"])
    )
    return parts.ask(target, f"tasks?{name}={quote(value, safe='')}")


def video_update(response: HttpResponse) -> VideoUpdate:
    """What the task says; an empty list is `gone`."""
    return update(read_task(response))


def video_content(operation: Json, target: Target) -> HttpRequest:
    """GET the file where the task says it is."""
    return file_at(operation["url"], target, bearer(target))


def video_recall(token: str) -> Json:
    """The task of that `external_task_id`."""
    return {"external_id": token}


def error(response: HttpResponse) -> ProviderError:
    """What a refusal means; one that says that the task is known already has its own code."""
    found = read_failure(response)
    code, words = _REPEATED
    if found.code == code and words in found.message:
        return ProviderError(found.kind, found.message, status=found.status, code=DUPLICATE_SUBMIT)
    return found


def _settings(fitted: Fitted, target: Target, known: _Known) -> Json:
    asked, shape = fitted.request, fitted.shape
    settings: dict[str, object] = {}
    if shape:
        settings["resolution"] = shape.tier
        if fitted.media("first_frame") is None:  # else the frame decides
            settings["aspect_ratio"] = shape.ratio
    if asked.seconds is not None:
        settings["duration"] = int(asked.seconds)
    if asked.audio is not None and target.video.audio == "switch":
        settings["audio"] = "native" if asked.audio else "off"
    if known.multi_shot:
        settings["multi_shot"] = False  # one continuous shot, as everywhere else
    return settings
