"""Luma's API of today ("agents"). The operation is `{"id": ...}`, and `url` once there is a file.

It cannot be cancelled, has no seed and makes no sound. Source: VIDEO_WIRE 3.5, 2026-11-20.
"""

from collections.abc import Mapping, Sequence
from urllib.parse import quote

import msgspec
from msgspec import Struct

from providers.auth import bearer
from providers.errors import ProviderError
from providers.reading import public_text, read_error
from providers.types import HttpRequest, HttpResponse, Json, Media, Target, VideoRequest, VideoUpdate
from providers.video import parts
from providers.video.answers import base64_of, file_at, gone, moderated, no_file, read
from providers.video.fields import fit

_STATES: Mapping[str, str] = {
    "queued": "queued",
    "processing": "in_progress",
    "completed": "completed",
    "failed": "failed",
}
_CODES: Mapping[str, str] = {
    "budget_exhausted": "provider_quota_exceeded",
    "rate_limited": "provider_overloaded",
}
_BLAMED = frozenset(("image_too_large", "unsupported_format", "corrupt_input", "invalid_request"))


class _Output(Struct):
    type: str = ""
    url: str | None = None


class _Generation(Struct):
    id: str
    state: str = ""
    output: Sequence[_Output] | None = None
    failure_code: str | None = None
    failure_reason: str | None = None


_generation = msgspec.json.Decoder(_Generation)


def video_create(request: VideoRequest, target: Target) -> HttpRequest:
    """From text, or from and to a picture."""
    fitted = fit(request, target)
    asked, shape = fitted.request, fitted.shape
    video = {
        "duration": None if asked.seconds is None else f"{asked.seconds:g}s",
        "resolution": shape.tier if shape else None,
        "start_frame": _picture(fitted.media("first_frame")),
        "end_frame": _picture(fitted.media("last_frame")),
    }
    body = {
        "model": target.model,
        "type": "video",
        "prompt": asked.prompt,
        "aspect_ratio": shape.ratio if shape else None,
        "video": {name: value for name, value in video.items() if value is not None},
    }
    return parts.post(target, "generations", body, fitted)


def video_created(response: HttpResponse) -> VideoUpdate:
    """The id of the accepted generation."""
    return VideoUpdate(state="queued", operation={"id": read(_generation, response).id})


def video_poll(operation: Json, target: Target) -> HttpRequest:
    """GET the generation."""
    return parts.ask(target, f"generations/{quote(operation['id'], safe='')}")


def video_update(response: HttpResponse) -> VideoUpdate:
    """What the generation says; a 404 is `gone`."""
    if response.status == 404:
        return gone()
    if response.status >= 300:
        raise error(response)
    found = read(_generation, response)
    state = _STATES.get(found.state, "in_progress")
    if state == "failed":
        return _failed(found)
    if state != "completed":
        return VideoUpdate(state=state)
    url = next((one.url for one in found.output or () if one.type == "video" and one.url), None)
    return VideoUpdate(state="completed", progress=100, operation={"url": url}) if url else no_file()


def video_content(operation: Json, target: Target) -> HttpRequest:
    """GET the file where the generation says it is: for an hour, then a poll gives a fresh link."""
    return file_at(operation["url"], target, bearer(target))


def error(response: HttpResponse) -> ProviderError:
    """What an answer with a status of 300 or above means."""
    return read_error(response)


def _failed(found: _Generation) -> VideoUpdate:
    code, message = found.failure_code or "", public_text(found.failure_reason or "")
    if code == "content_moderated":
        return moderated(message)
    blamed = code in _BLAMED
    return VideoUpdate(
        state="failed",
        code="invalid_request" if blamed else _CODES.get(code, "provider_error"),
        message=message or "Luma gave the video up.",
        blamed=blamed,
    )


def _picture(media: Media | None) -> Json | None:
    if media is None:
        return None
    return {"url": media.url} if media.url else {"data": base64_of(media), "media_type": media.mime}
