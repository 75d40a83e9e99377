"""Luma's older Dream Machine API. The operation is `{"id": ...}`, and `url` once there is a file.

Pictures must be links: it takes no bytes. Why it failed is told in words alone. Source: VIDEO_WIRE 3.5,
2026-11-20.
"""

from collections.abc import Mapping, Sequence
from urllib.parse import quote

import msgspec
from msgspec import Struct

from providers.auth import bearer
from providers.errors import ProviderError
from providers.reading import public_text, read_error
from providers.types import (
    HttpRequest,
    HttpResponse,
    Json,
    Target,
    VideoRequest,
    VideoSighting,
    VideoUpdate,
)
from providers.video import parts, tasks
from providers.video.answers import file_at, gone, moderated, no_file, read
from providers.video.fields import Fitted, fit
from providers.waits import unix_time

_STATES: Mapping[str, str] = {
    "queued": "queued",
    "dreaming": "in_progress",
    "completed": "completed",
    "failed": "failed",
}
_FRAMES: Mapping[str, str] = {"first_frame": "frame0", "last_frame": "frame1"}
_MODERATION = ("moderation", "moderated")
"""Words of a `failure_reason` that say so; there is no code."""


class _Assets(Struct):
    video: str | None = None


class _Generation(Struct):
    id: str
    state: str | None = None
    assets: _Assets | None = None
    failure_reason: str | None = None


_generation = msgspec.json.Decoder(_Generation)


def video_create(request: VideoRequest, target: Target) -> HttpRequest:
    """From text, or from and to a picture."""
    fitted = fit(request, target)
    return parts.post(target, "generations/video", _told(fitted, target), fitted)


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
    state = _STATES.get(found.state or "", "in_progress")
    if state == "failed":
        return _failed(public_text(found.failure_reason or ""))
    if state != "completed":
        return VideoUpdate(state=state)
    url = found.assets.video if found.assets else None
    return VideoUpdate(state="completed", progress=100, operation={"url": url}) if url else no_file()


def video_content(operation: Json, target: Target) -> HttpRequest:
    """GET the file where the generation says it is."""
    return file_at(operation["url"], target, bearer(target))


def video_recent(target: Target) -> HttpRequest:
    """GET the newest generations."""
    return parts.ask(target, "generations?limit=100&offset=0")


def video_sightings(request: VideoRequest, target: Target, response: HttpResponse) -> Sequence[VideoSighting]:
    """Generations that were asked for in the very same words: each tells its whole request."""
    if response.status >= 300:
        raise error(response)
    told = {name: value for name, value in _told(fit(request, target), target).items() if value is not None}
    found = []
    for one in tasks.list_of(response, "generations"):
        asked = tasks.object_of(one.get("request"))
        at = unix_time(str(one.get("created_at") or ""))
        alike = all(asked.get(name) == value for name, value in told.items())
        if alike and at is not None and isinstance(one.get("id"), str):
            found.append(VideoSighting(operation={"id": one["id"]}, created_at=at))
    return found


def error(response: HttpResponse) -> ProviderError:
    """What an answer with a status of 300 or above means."""
    return read_error(response)


def _told(fitted: Fitted, target: Target) -> Json:
    asked, shape = fitted.request, fitted.shape
    frames = {
        frame: {"type": "image", "url": media.url}
        for role, frame in _FRAMES.items()
        if (media := fitted.media(role)) is not None
    }
    return {
        "model": target.model,
        "prompt": asked.prompt,
        "aspect_ratio": shape.ratio if shape else None,
        "duration": None if asked.seconds is None else f"{asked.seconds:g}s",
        "resolution": shape.tier if shape else None,
        "keyframes": frames or None,
        "callback_url": asked.hook or None,
    }


def _failed(reason: str) -> VideoUpdate:
    if any(word in reason.lower() for word in _MODERATION):
        return moderated(reason)
    return VideoUpdate(state="failed", code="provider_error", message=reason or "Luma gave the video up.")
