"""Together's video API (v2): its own request, answered with what resembles OpenAI's Video object.

The operation is `{"id": ...}`, with `url` once it is finished. Sources: VIDEO_WIRE 2.3 and 4.1, 2026-11-20;
Together's SDK 3.1.1.
"""

from collections.abc import Mapping, Sequence
from urllib.parse import quote

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
from providers.video.fields import fit

_KINDS: Mapping[str, ErrorKind] = {"content_policy": ErrorKind.CONTENT_POLICY}


_FRAMES: Mapping[str, str] = {"first_frame": "first", "last_frame": "last"}


def video_create(request: VideoRequest, target: Target) -> HttpRequest:
    """POST one flat object with its media in a second one. Raises UNSUPPORTED as `fit` does."""
    fitted = fit(request, target)
    asked = fitted.request
    width, _, height = (asked.size or "").partition("x")
    body = {
        "model": target.model,
        "prompt": asked.prompt,
        "seconds": None if asked.seconds is None else f"{asked.seconds:g}",
        "width": int(width) if width else None,
        "height": int(height) if height else None,
        "seed": asked.seed,
        "negative_prompt": asked.negative_prompt,
        "generate_audio": parts.sound(asked, target),
        "media": _media(asked.media) or None,
    }
    return parts.post(target, "videos", body, fitted)


def video_created(response: HttpResponse) -> VideoUpdate:
    """The job's id."""
    return tasks.accepted(response, tasks.body_of(response).get("id"), "in_progress")


def video_poll(operation: Json, target: Target) -> HttpRequest:
    """GET the job."""
    return parts.ask(target, f"videos/{quote(operation['id'], safe='')}")


def video_update(response: HttpResponse) -> VideoUpdate:
    """What the job says; a 404 is `gone`."""
    if response.status == 404:
        return gone()
    if response.status >= 300:
        raise error(response)
    job = tasks.body_of(response)
    match job.get("status"):
        case "completed":
            url = tasks.object_of(job.get("outputs")).get("video_url")
            return tasks.finished(url, _output(job))
        case "failed":
            return tasks.failed(error(tasks.as_answer(job)))
        case str():
            return tasks.running(response, "in_progress")
    raise tasks.unreadable(response)


def video_content(operation: Json, target: Target) -> HttpRequest:
    """GET the file."""
    return file_at(operation["url"], target, {})


def error(response: HttpResponse) -> ProviderError:
    """What an answer with a status of 300 or above means."""
    return read_error(response, _KINDS)


def _media(media: Sequence[Media]) -> Json:
    frames = [
        {"input_image": link_of(one), "frame": _FRAMES[one.role]} for one in media if one.role in _FRAMES
    ]
    references = [link_of(one) for one in media if one.role == "reference_image"]
    found = {"frame_images": frames, "reference_images": references}
    return {name: value for name, value in found.items() if value}


def _output(job: Json) -> VideoOutput:
    width, _, height = str(job.get("size")).partition("x")
    return VideoOutput(
        width=tasks.whole(width), height=tasks.whole(height), seconds=tasks.number(job.get("seconds"))
    )
