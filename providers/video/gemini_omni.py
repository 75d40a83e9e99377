"""Gemini's video models over its Interactions API. The operation is `{"id": ...}`, and `url` once there is a file.

Files are at Google and are shown our key; a short video may come inside the answer instead (`inline`). There
is always sound, and always a watermark of Google's. Pictures travel as their bytes. Source: VIDEO_WIRE 3.1,
2026-11-20.
"""

from collections.abc import Mapping, Sequence
from urllib.parse import quote

import msgspec
from msgspec import Struct

from providers.auth import key_header
from providers.errors import ErrorKind, ProviderError
from providers.reading import public_text, read_error
from providers.types import HttpRequest, HttpResponse, Json, Target, VideoRequest, VideoUpdate, encode
from providers.video.answers import base64_of, file_at, gone, moderated, read
from providers.video.fields import Fitted, fit

_STATES: Mapping[str, str] = {
    "completed": "completed",
    "failed": "failed",
    "cancelled": "failed",
    "incomplete": "failed",
    "budget_exceeded": "failed",
    "requires_action": "failed",
    "requires_continuation": "failed",
}
"""Every other word is a job that goes on."""
_CODES: Mapping[str, str] = {"cancelled": "cancelled", "budget_exceeded": "provider_quota_exceeded"}
_TASKS: Mapping[str, str] = {
    "source_video": "edit",
    "reference_image": "reference_to_video",
    "first_frame": "image_to_video",
}
"""What is asked for, by the role of what it starts from; the first that was given counts."""


class _Error(Struct):
    code: str | int = ""
    message: str = ""


class _Content(Struct):
    type: str = ""
    uri: str | None = None
    data: msgspec.Raw = msgspec.Raw()


class _Step(Struct):
    type: str = ""
    content: Sequence[_Content] | None = None


class _Interaction(Struct):
    id: str
    status: str = ""
    steps: Sequence[_Step] | None = None
    errors: Sequence[_Error] | None = None


_interaction = msgspec.json.Decoder(_Interaction)
_base64 = msgspec.json.Decoder(bytes)


def video_create(request: VideoRequest, target: Target) -> HttpRequest:
    """An interaction in the background, whose file stays at Google until it is fetched."""
    fitted = fit(request, target)
    asked, shape = fitted.request, fitted.shape
    wanted = {
        "type": "video",
        "aspect_ratio": shape.ratio if shape else None,
        "resolution": shape.tier if shape else None,
        "duration": None if asked.seconds is None else f"{asked.seconds:g}s",
        "delivery": "uri",
    }
    settings: dict[str, object] = {"video_config": {"task": _task(fitted)}}
    if asked.seed is not None:
        settings["seed"] = asked.seed
    body = {
        "model": target.model,
        "background": True,
        "store": True,
        "input": [{"type": "user_input", "content": _content(fitted)}],
        "response_format": {name: value for name, value in wanted.items() if value is not None},
        "generation_config": settings,
    }
    return HttpRequest(
        method="POST",
        url=f"{target.base_url}/v1/interactions",
        headers={**_headers(target), "content-type": "application/json"},
        body=encode(body),
        folded=fitted.folded,
        dropped=fitted.dropped,
    )


def video_created(response: HttpResponse) -> VideoUpdate:
    """The id of the interaction."""
    return VideoUpdate(state="in_progress", operation={"id": read(_interaction, response).id})


def video_poll(operation: Json, target: Target) -> HttpRequest:
    """GET the interaction."""
    return HttpRequest(method="GET", url=f"{_url(operation, target)}?stream=false", headers=_headers(target))


def video_update(response: HttpResponse) -> VideoUpdate:
    """What the interaction says; a 404 is `gone`."""
    if response.status == 404:
        return gone()
    if response.status >= 300:
        raise error(response)
    found = read(_interaction, response)
    state = _STATES.get(found.status, "in_progress")
    if state == "failed":
        return _failed(found)
    if state != "completed":
        return VideoUpdate(state=state)
    video = _video(found)
    if video is None:
        return moderated("")  # finished without a video: its filters held it back
    operation = {"url": video.uri, "inline": False} if video.uri else {"inline": True}
    return VideoUpdate(state="completed", progress=100, operation=operation)


def video_content(operation: Json, target: Target) -> HttpRequest:
    """GET the file, or once more the interaction that holds it."""
    if operation.get("inline"):
        return video_poll(operation, target)
    return file_at(operation["url"], target, _headers(target))


def video_bytes(response: HttpResponse) -> bytes:
    """The file inside an interaction. Raises PROTOCOL when there is none."""
    video = _video(read(_interaction, response))
    if video is None or not video.data:
        raise ProviderError(ErrorKind.PROTOCOL, "The interaction does not hold its video any more.")
    return _base64.decode(video.data)


def video_cancel(operation: Json, target: Target) -> HttpRequest:
    """POST to its cancel."""
    return HttpRequest(method="POST", url=f"{_url(operation, target)}/cancel", headers=_headers(target))


def error(response: HttpResponse) -> ProviderError:
    """What an answer with a status of 300 or above means, in Google's usual form."""
    return read_error(response)


def _content(fitted: Fitted) -> list[Json]:
    parts: list[Json] = [{"type": "text", "text": fitted.request.prompt}]
    for media in fitted.request.media:
        kind = "video" if media.role == "source_video" else "image"
        parts.append({"type": kind, "data": base64_of(media), "mime_type": media.mime})
    return parts


def _task(fitted: Fitted) -> str:
    return next((task for role, task in _TASKS.items() if fitted.media(role)), "text_to_video")


def _video(found: _Interaction) -> _Content | None:
    """The last video that the model gave."""
    given = [one for step in found.steps or () if step.type == "model_output" for one in step.content or ()]
    videos = [one for one in given if one.type == "video" and (one.uri or one.data)]
    return videos[-1] if videos else None


def _failed(found: _Interaction) -> VideoUpdate:
    told = (found.errors or [_Error()])[0]
    message = public_text(told.message)
    if "safety" in str(told.code):  # a URI: .../errors/safety
        return moderated(message)
    return VideoUpdate(
        state="failed",
        code=_CODES.get(found.status, "provider_error"),
        message=message or f"Gemini gave the video up ({found.status}).",
    )


def _url(operation: Json, target: Target) -> str:
    return f"{target.base_url}/v1/interactions/{quote(operation['id'], safe='')}"


def _headers(target: Target) -> dict[str, str]:
    return {**key_header(target, "x-goog-api-key"), **target.headers}
