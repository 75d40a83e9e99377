"""OpenRouter's video API: many vendors' models behind one shape of request.

The operation is `{"id": ...}`. Its error is a sentence without a code. Sources: VIDEO_WIRE 2.3 and 4.1,
2026-11-20; OpenRouter's SDK 1.3.84.
"""

import re
from collections.abc import Mapping
from urllib.parse import quote

from providers.errors import ErrorKind, ProviderError
from providers.reading import read_error
from providers.types import (
    HttpRequest,
    HttpResponse,
    Json,
    Media,
    Target,
    VideoRequest,
    VideoUpdate,
)
from providers.video import parts, tasks
from providers.video.answers import gone, link_of
from providers.video.fields import fit

_STATES: Mapping[str, str] = {"pending": "queued", "in_progress": "in_progress"}
_ENDS: Mapping[str, str] = {"cancelled": "cancelled", "expired": "job_expired"}
_MODERATED = re.compile(r"reject\w* the prompt|moderat|content polic|safety|sensitive|nsfw", re.IGNORECASE)
"""Words by which a failed job says that moderation ended it: there is no code to go by."""


def video_create(request: VideoRequest, target: Target) -> HttpRequest:
    """POST one flat object, the size as it was asked for where nothing is known of the model's own.

    Raises UNSUPPORTED as `fit` does.
    """
    fitted = fit(request, target)
    asked, shape = fitted.request, fitted.shape
    frames = [
        {**_picture(media), "frame_type": media.role} for media in asked.media if media.role in parts.FRAMES
    ]
    references = [_picture(media) for media in asked.media if media.role == "reference_image"]
    body = {
        "model": target.model,
        "prompt": asked.prompt,
        "duration": parts.whole_seconds(asked.seconds),
        "size": asked.size if shape is None else None,
        "resolution": shape.tier if shape else None,
        "aspect_ratio": shape.ratio if shape else None,
        "seed": asked.seed,
        "generate_audio": parts.sound(asked, target),
        "callback_url": request.hook or None,
        "frame_images": frames or None,
        "input_references": references or None,
    }
    return parts.post(target, "videos", body, fitted)


def video_created(response: HttpResponse) -> VideoUpdate:
    """The job's id."""
    return tasks.accepted(response, tasks.body_of(response).get("id"))


def video_poll(operation: Json, target: Target) -> HttpRequest:
    """GET the job."""
    return parts.ask(target, _path(operation))


def video_update(response: HttpResponse) -> VideoUpdate:
    """What the job says; a 404 is `gone`."""
    if response.status == 404:
        return gone()
    if response.status >= 300:
        raise error(response)
    job = tasks.body_of(response)
    status = job.get("status")
    if not isinstance(status, str):
        raise tasks.unreadable(response)
    if status == "completed":
        return VideoUpdate(state="completed", progress=100)
    if status == "failed":
        return tasks.failed(_failure(response))
    if status in _ENDS:
        return tasks.ended(status, _ENDS[status])
    return tasks.running(response, _STATES.get(status, "in_progress"))


def video_content(operation: Json, target: Target) -> HttpRequest:
    """GET the file through OpenRouter, which keeps the vendor's own addresses to itself."""
    return parts.ask(target, f"{_path(operation)}/content?index=0")


def error(response: HttpResponse) -> ProviderError:
    """What an answer with a status of 300 or above means."""
    return read_error(response)


def _failure(response: HttpResponse) -> ProviderError:
    told = read_error(response)
    if _MODERATED.search(told.message):
        told.kind = ErrorKind.CONTENT_POLICY
    return told


def _picture(media: Media) -> Json:
    return {"type": "image_url", "image_url": {"url": link_of(media)}}


def _path(operation: Json) -> str:
    return f"videos/{quote(operation['id'], safe='')}"
