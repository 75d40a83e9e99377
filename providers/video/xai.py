"""xAI's Imagine video API: videos from words and pictures, edits and extensions of videos by address.

The operation is `{"id": ...}`, then `{"url": ...}`: a finished video is told without its id. Its address is
good for a day, and what an edit or an extension of ours starts from. Sources: VIDEO_WIRE 3.13 and 4.1,
2026-11-20.
"""

from collections.abc import Mapping
from urllib.parse import quote

from msgspec.structs import replace

from providers.errors import ErrorKind, ProviderError
from providers.reading import read_error
from providers.types import (
    HttpRequest,
    HttpResponse,
    Json,
    Media,
    Target,
    VideoOutput,
    VideoRequest,
    VideoUpdate,
)
from providers.video import parts, tasks
from providers.video.answers import file_at, gone, link_of
from providers.video.fields import fit, unsupported

_KINDS: Mapping[str, ErrorKind] = {
    "invalid-argument": ErrorKind.INVALID_REQUEST,
    "invalid_argument": ErrorKind.INVALID_REQUEST,
}
_PATHS: Mapping[str, str] = {"remix": "videos/edits", "edit": "videos/edits", "extend": "videos/extensions"}
"""Where a video is changed, by operation; it keeps the size it has."""


def video_create(request: VideoRequest, target: Target) -> HttpRequest:
    """POST one flat object. Raises UNSUPPORTED as `fit` does."""
    path = _PATHS.get(request.operation)
    if path is not None:
        return _change(path, request, target)
    fitted = fit(request, target)
    asked, shape = fitted.request, fitted.shape
    first, last = fitted.media("first_frame"), fitted.media("last_frame")
    references = [_link(media) for media in asked.media if media.role == "reference_image"]
    if references and shape and shape.tier == "1080p":
        raise unsupported("size", "it takes reference images up to 720p only")
    body = {
        "model": target.model,
        "prompt": asked.prompt,
        "duration": parts.whole_seconds(asked.seconds),
        "aspect_ratio": shape.ratio if shape else None,
        "resolution": shape.tier if shape else None,
        "image": _link(first) if first else None,
        "last_frame": _link(last) if last else None,
        "reference_images": references or None,
        "generate_audio": parts.sound(asked, target),
    }
    return parts.post(target, "videos/generations", body, fitted)


def _change(path: str, request: VideoRequest, target: Target) -> HttpRequest:
    """An edit or an extension of a video of ours (`source`), or of one that came along."""
    url = (request.source or {}).get("url") or next(
        (link_of(media) for media in request.media if media.role == "source_video"), None
    )
    if not url:
        raise unsupported("source", "it changes videos that it has finished or that come along")
    fitted = fit(replace(request, operation="generate", media=(), size=None), target)
    extended = request.operation == "extend"
    body = {
        "model": target.model,
        "prompt": fitted.request.prompt,
        "duration": parts.whole_seconds(request.seconds) if extended else None,
        "video": {"url": url},
    }
    return parts.post(target, path, body, fitted)


def video_created(response: HttpResponse) -> VideoUpdate:
    """The request's id."""
    return tasks.accepted(response, tasks.body_of(response).get("request_id"))


def video_poll(operation: Json, target: Target) -> HttpRequest:
    """GET the video."""
    return parts.ask(target, f"videos/{quote(operation['id'], safe='')}")


def video_update(response: HttpResponse) -> VideoUpdate:
    """What became of the video; a 202, even an empty one, is still running, and a 404 is `gone`."""
    if response.status == 404:
        return gone()
    if response.status >= 300:
        raise error(response)
    body = tasks.body_of(response)
    if response.status == 202:
        return tasks.running(response, "in_progress", body.get("progress"))
    match body.get("status"):
        case "done":
            return _done(tasks.object_of(body.get("video")))
        case "failed":
            return tasks.failed(error(tasks.as_answer(body)))
        case "expired" as word:
            return tasks.ended(word, "job_expired")
        case str():
            return tasks.running(response, "in_progress", body.get("progress"))
    raise tasks.unreadable(response)


def video_content(operation: Json, target: Target) -> HttpRequest:
    """GET the file."""
    return file_at(operation["url"], target, {})


def error(response: HttpResponse) -> ProviderError:
    """What an answer with a status of 300 or above means."""
    return read_error(response, _KINDS)


def _link(media: Media) -> Json:
    return {"url": link_of(media)}


def _done(video: Json) -> VideoUpdate:
    """A finished video; one that moderation kept back has no usable address, and is billed all the same."""
    if video.get("respect_moderation") is False:
        message = "The provider's moderation kept the finished video back."
        return tasks.failed(ProviderError(ErrorKind.CONTENT_POLICY, message))
    return tasks.finished(video.get("url"), VideoOutput(seconds=tasks.number(video.get("duration"))))
