"""MiniMax's earlier video API (v1: Hailuo models). Its errors come with status 200, in `base_resp`.

A finished task names a file, and the file's address is asked for in a call of its own. So the operation is
`{"id": ...}`, then `{"file": ...}`, whose poll is that call, then `{"url": ...}`. Sources: VIDEO_WIRE 3.7,
4.1 and 4.2, 2026-11-20.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from msgspec.structs import replace

from providers.errors import ProviderError
from providers.reading import read_error
from providers.types import HttpRequest, HttpResponse, Json, Target, VideoOutput, VideoRequest, VideoUpdate
from providers.video import parts, tasks
from providers.video.answers import file_at, gone, link_of
from providers.video.fields import Fitted, Words, fit, fold
from providers.video.minimax import KINDS

_STATES: Mapping[str, str] = {"Preparing": "queued", "Queueing": "queued", "Processing": "in_progress"}


_RESOLUTIONS: Mapping[str, str] = {"480p": "512P", "720p": "768P", "1080p": "1080P"}
_CAMERA: Mapping[str, str] = {
    "static": "Static shot",
    "pan_left": "Pan left",
    "pan_right": "Pan right",
    "tilt_up": "Tilt up",
    "tilt_down": "Tilt down",
    "zoom_in": "Zoom in",
    "zoom_out": "Zoom out",
    "dolly_in": "Push in",
    "dolly_forward": "Push in",
    "dolly_out": "Pull out",
    "dolly_back": "Pull out",
    "truck_left": "Truck left",
    "truck_right": "Truck right",
    "pedestal_up": "Pedestal up",
    "pedestal_down": "Pedestal down",
    "handheld": "Shake",
    "tracking_shot": "Tracking shot",
}
"""Movements that these models obey when they stand in brackets in the prompt."""


def video_create(request: VideoRequest, target: Target) -> HttpRequest:
    """POST one flat object. Raises UNSUPPORTED as `fit` does."""
    fitted = _moved(fit(request, target))
    asked, shape = fitted.request, fitted.shape
    first, last = fitted.media("first_frame"), fitted.media("last_frame")
    body = {
        "model": target.model,
        "prompt": asked.prompt,
        "duration": parts.whole_seconds(asked.seconds),
        "resolution": _RESOLUTIONS[shape.tier] if shape else None,
        "first_frame_image": link_of(first) if first else None,
        "last_frame_image": link_of(last) if last else None,
        "callback_url": request.hook or None,
    }
    return parts.post(target, "v1/video_generation", body, fitted)


def video_created(response: HttpResponse) -> VideoUpdate:
    """The task's id. Raises what `base_resp` tells of."""
    return tasks.accepted(response, _checked(response).get("task_id"))


def video_poll(operation: Json, target: Target) -> HttpRequest:
    """GET the task, or the file it has made."""
    if "file" in operation:
        return parts.ask(target, f"v1/files/retrieve?file_id={quote(operation['file'], safe='')}")
    return parts.ask(target, f"v1/query/video_generation?task_id={quote(operation['id'], safe='')}")


def video_update(response: HttpResponse) -> VideoUpdate:
    """What the task, or its file, says; a 404 is `gone`."""
    if response.status == 404:
        return gone()
    if tasks.body_of(response).get("status") == "Fail":
        return tasks.failed(error(response))
    body = _checked(response)
    if "file" in body:
        return tasks.finished(tasks.object_of(body["file"]).get("download_url"), VideoOutput())
    status = body.get("status")
    if not isinstance(status, str):
        raise tasks.unreadable(response)
    if status != "Success":
        return tasks.running(response, _STATES.get(status, "in_progress"))
    if not body.get("file_id"):
        return tasks.finished(None, VideoOutput())
    return VideoUpdate(state="in_progress", operation={"file": str(body["file_id"])}, follow=True)


def video_content(operation: Json, target: Target) -> HttpRequest:
    """GET the file."""
    return file_at(operation["url"], target, {})


def error(response: HttpResponse) -> ProviderError:
    """What an answer with a status of 300 or above, or with an error in `base_resp`, means."""
    return read_error(response, KINDS)


def _checked(response: HttpResponse) -> dict[str, Any]:
    """The answer's body. Raises the error it holds."""
    body = tasks.body_of(response)
    code = tasks.object_of(body.get("base_resp")).get("status_code", 0)
    if response.status >= 300 or code != 0:
        raise error(response)
    return body


def _moved(fitted: Fitted) -> Fitted:
    """The camera's movement as a command in the prompt; one that has no command as words there."""
    asked = fitted.request
    command = _CAMERA.get(asked.camera_movement or "")
    if command is not None:
        return replace(fitted, request=replace(asked, prompt=f"{asked.prompt} [{command}]"))
    words = Words(prompt=asked.prompt, camera_movement=asked.camera_movement)
    prompt, folded = fold(words, ())
    return replace(fitted, request=replace(asked, prompt=prompt), folded=[*fitted.folded, *folded])
