"""Kling's older video API, which resellers still serve. The operation is `{"id", "way"}`, and `url` at the end.

It is called with a bearer token: an API key, or one that `providers/tokens.py` signs. It cannot be cancelled.
Source: VIDEO_WIRE 3.6, 2026-11-20.
"""

from collections.abc import Mapping
from urllib.parse import quote

from msgspec.structs import replace

from providers.auth import bearer
from providers.errors import ErrorKind, ProviderError
from providers.types import HttpRequest, HttpResponse, Json, Media, Target, VideoRequest, VideoUpdate
from providers.video import parts
from providers.video.answers import base64_of, file_at
from providers.video.fields import Fitted, fit
from providers.video.kling_answers import read_failure, read_task, update

_MODES: Mapping[str, str] = {"720p": "std", "1080p": "pro"}
_AXES = ("horizontal", "vertical", "pan", "tilt", "roll", "zoom")
_MOVES: Mapping[str, tuple[str, int]] = {
    "pan_left": ("pan", -5),
    "pan_right": ("pan", 5),
    "tilt_up": ("tilt", 5),
    "tilt_down": ("tilt", -5),
    "zoom_in": ("zoom", 5),
    "zoom_out": ("zoom", -5),
    "roll": ("roll", 5),
}
"""Camera movements it has a field for, as the one axis that moves (VIDEO_WIRE 4.2); others go into the prompt."""


def video_create(request: VideoRequest, target: Target) -> HttpRequest:
    """From text, or from and to a picture."""
    fitted = fit(request, _told(request, target))
    way = "image2video" if request.media else "text2video"
    made = parts.post(target, f"v1/videos/{way}", _body(fitted, target), fitted)
    return replace(made, operation={"way": way})


def video_created(response: HttpResponse) -> VideoUpdate:
    """The id of the accepted task."""
    task = read_task(response)
    if task is None:
        raise ProviderError(ErrorKind.PROTOCOL, "Kling accepted a video without telling its id.")
    return update(task)


def video_poll(operation: Json, target: Target) -> HttpRequest:
    """GET the task where it was begun."""
    return parts.ask(target, f"v1/videos/{operation['way']}/{quote(operation['id'], safe='')}")


def video_update(response: HttpResponse) -> VideoUpdate:
    """What the task says."""
    return update(read_task(response))


def video_content(operation: Json, target: Target) -> HttpRequest:
    """GET the file where the task says it is."""
    return file_at(operation["url"], target, bearer(target))


def error(response: HttpResponse) -> ProviderError:
    """What a refusal means."""
    return read_failure(response)


def _told(request: VideoRequest, target: Target) -> Target:
    """The target, without a field for a movement that it does not know."""
    fields = target.video.fields
    if request.camera_movement in _MOVES or fields is None:
        return target
    left = [name for name in fields if name != "camera_movement"]
    return replace(target, video=replace(target.video, fields=left))


def _body(fitted: Fitted, target: Target) -> dict[str, object]:
    asked, shape = fitted.request, fitted.shape
    first, last = fitted.media("first_frame"), fitted.media("last_frame")
    sound = asked.audio if target.video.audio == "switch" else None
    return {
        "model_name": target.model,
        "prompt": asked.prompt,
        "negative_prompt": asked.negative_prompt,
        "mode": _MODES.get(shape.tier) if shape else None,
        "duration": None if asked.seconds is None else f"{asked.seconds:g}",
        "aspect_ratio": shape.ratio if shape and first is None else None,
        "image": _picture(first),
        "image_tail": _picture(last),
        "camera_control": _camera(asked.camera_movement),
        "sound": None if sound is None else "on" if sound else "off",
        "external_task_id": asked.token or None,
    }


def _camera(movement: str | None) -> Json | None:
    if movement is None:
        return None
    axis, by = _MOVES[movement]
    return {"type": "simple", "config": dict.fromkeys(_AXES, 0) | {axis: by}}


def _picture(media: Media | None) -> str | None:
    """A link, or base64 without the prefix of a data URI."""
    if media is None:
        return None
    return media.url or base64_of(media)
