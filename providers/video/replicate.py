"""Replicate's predictions. The operation is `{"id": ...}`, and `url` once there is a file.

Files are deleted there an hour after they are made. A model is `owner/name`, or `owner/name:version`. Why a
prediction failed is told in words alone. Source: VIDEO_WIRE 3.11, 2026-11-20.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import msgspec
from msgspec import Struct

from providers.auth import bearer
from providers.errors import ProviderError
from providers.reading import public_text, read_error
from providers.types import HttpRequest, HttpResponse, Json, Target, VideoRequest, VideoUpdate
from providers.video import parts
from providers.video.answers import file_at, gone, moderated, no_file, read
from providers.video.fields import fit
from providers.video.inputs import model_input

_STATES: Mapping[str, str] = {
    "starting": "queued",
    "processing": "in_progress",
    "succeeded": "completed",
    "failed": "failed",
    "canceled": "failed",
    "aborted": "failed",
}
_CODES: Mapping[str, str] = {"canceled": "cancelled", "aborted": "job_expired"}
_MODERATION = ("nsfw", "flagged", "sensitive", "e005")
"""Words of an `error` that say so."""
_PERCENT = re.compile(r"(\d{1,3})%\|")


class _Prediction(Struct):
    id: str
    status: str = ""
    output: Any = None
    error: Any = None
    logs: str | None = None


_prediction = msgspec.json.Decoder(_Prediction)


def video_create(request: VideoRequest, target: Target) -> HttpRequest:
    """A prediction with the model's own input."""
    fitted = fit(request, target)
    body: dict[str, object] = {"input": model_input(fitted, target)}
    model, _, version = target.model.partition(":")
    if version:
        body["version"] = version
    if request.hook:
        body |= {"webhook": request.hook, "webhook_events_filter": ["completed"]}
    way = "predictions" if version else f"models/{quote(model, safe='/')}/predictions"
    return parts.post(target, f"v1/{way}", body, fitted)


def video_created(response: HttpResponse) -> VideoUpdate:
    """The id of the prediction."""
    return VideoUpdate(state="queued", operation={"id": read(_prediction, response).id})


def video_poll(operation: Json, target: Target) -> HttpRequest:
    """GET the prediction."""
    return parts.ask(target, _path(operation))


def video_update(response: HttpResponse) -> VideoUpdate:
    """What the prediction says; a 404 is `gone`."""
    if response.status == 404:
        return gone()
    if response.status >= 300:
        raise error(response)
    found = read(_prediction, response)
    state = _STATES.get(found.status, "in_progress")
    if state == "failed":
        return _failed(found)
    if state != "completed":
        return VideoUpdate(state=state, progress=_progress(found.logs or ""))
    url = _link(found.output)
    return VideoUpdate(state=state, progress=100, operation={"url": url}) if url else no_file()


def video_content(operation: Json, target: Target) -> HttpRequest:
    """GET the file where the prediction says it is."""
    return file_at(operation["url"], target, bearer(target))


def video_cancel(operation: Json, target: Target) -> HttpRequest:
    """POST to its cancel; the time it ran is billed."""
    return parts.ask(target, f"{_path(operation)}/cancel", "POST")


def error(response: HttpResponse) -> ProviderError:
    """What an answer with a status of 300 or above means: `{title, detail, status}`."""
    return read_error(response)


def _failed(found: _Prediction) -> VideoUpdate:
    message = public_text(found.error) if isinstance(found.error, str) else ""
    if any(word in message.lower() for word in _MODERATION):
        return moderated(message)
    return VideoUpdate(
        state="failed",
        code=_CODES.get(found.status, "provider_error"),
        message=message or f"Replicate gave the video up ({found.status}).",
    )


def _progress(logs: str) -> int | None:
    """The last percentage that the model's own progress bar wrote."""
    told = _PERCENT.findall(logs)
    return min(100, int(told[-1])) if told else None


def _link(output: Any) -> str | None:
    """The first link in an output: text, a list, or an object of them."""
    if isinstance(output, str):
        return output if output.startswith("http") else None
    inner: Sequence[Any] = (
        list(output.values()) if isinstance(output, dict) else output if isinstance(output, list) else ()
    )
    return next((link for one in inner if (link := _link(one))), None)


def _path(operation: Json) -> str:
    return f"v1/predictions/{quote(operation['id'], safe='')}"
