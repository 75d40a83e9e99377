"""OpenAI's Videos dialect: the local worker's, and that of every server that imitates it.

The operation is `{"id": ...}`, the video's id upstream. Sources: VIDEO_WIRE 1.2 to 1.8, 3.14 and 3.15,
2026-11-20.
"""

from collections.abc import Callable, Mapping
from functools import partial
from urllib.parse import quote

import msgspec
from msgspec import Raw

from providers import quirks
from providers.auth import bearer
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
    encode,
)
from providers.video.form import form
from providers.video.openai_answers import MODERATION, read_video, update

_KINDS: Mapping[str, ErrorKind] = {
    "unsupported_value": ErrorKind.UNSUPPORTED,
    "unsupported_parameter": ErrorKind.UNSUPPORTED,
    "queue_full": ErrorKind.RATE_LIMITED,
    "engine_starting": ErrorKind.OVERLOADED,
} | dict.fromkeys(MODERATION, ErrorKind.CONTENT_POLICY)

_REFERENCE_ROLES = ("first_frame", "reference_image")


def video_create(request: VideoRequest, target: Target) -> HttpRequest:
    """JSON, or a form where bytes are sent along; `token` travels as `Idempotency-Key`.

    Raises UNSUPPORTED for media that are no single picture to start from.
    """
    build = _OPERATIONS.get(request.operation)
    if build is None:
        raise _unsupported("operation", f"{request.operation} is not a thing it can be asked for")
    return build(request, target)


def video_created(response: HttpResponse) -> VideoUpdate:
    """The Video object of the accepted job."""
    video = read_video(response)
    if video is None or not video.id:
        raise ProviderError(
            ErrorKind.PROTOCOL,
            "The provider accepted a video without telling its id.",
            status=response.status,
        )
    return msgspec.structs.replace(update(video, response), operation={"id": video.id})


def video_poll(operation: Json, target: Target) -> HttpRequest:
    """GET the Video object."""
    return HttpRequest(method="GET", url=_url(target, operation), headers=_headers(target))


def video_update(response: HttpResponse) -> VideoUpdate:
    """What the Video object says; a 404 without one is `gone`."""
    video = read_video(response)
    if video is not None:
        return update(video, response)
    if response.status == 404:
        return VideoUpdate(state="gone", code="job_lost", message="The provider does not know this video.")
    if response.status < 300:
        raise ProviderError(
            ErrorKind.PROTOCOL, "The provider's answer is not a Video object.", status=response.status
        )
    raise error(response)


def video_content(operation: Json, target: Target) -> HttpRequest:
    """GET the MP4. No variant is named: the default is the video, and SGLang refuses the word."""
    return HttpRequest(method="GET", url=f"{_url(target, operation)}/content", headers=_headers(target))


def video_cancel(operation: Json, target: Target) -> HttpRequest:
    """DELETE the video: the only way to stop one that all servers of this dialect know (VIDEO_WIRE 5.5).

    vLLM-Omni and our worker stop the work, SGLang only forgets it. Polls then answer `gone`.
    """
    return HttpRequest(method="DELETE", url=_url(target, operation), headers=_headers(target))


def error(response: HttpResponse) -> ProviderError:
    """What an answer with a status of 300 or above means."""
    return read_error(response, _KINDS)


def _generate(request: VideoRequest, target: Target) -> HttpRequest:
    wanted: dict[str, object] = {
        "prompt": request.prompt,
        "model": target.model,
        "seconds": None if request.seconds is None else f"{request.seconds:g}",
        "size": request.size,
        "seed": request.seed,
        "negative_prompt": request.negative_prompt,
        "style_preset": request.style_preset,
        "camera_movement": request.camera_movement,
        "audio": request.audio,
    }
    reference = _reference(request)
    if reference is not None and reference.url:
        wanted["input_reference"] = {"image_url": reference.url}
    fields = {name: Raw(encode(value)) for name, value in wanted.items() if value is not None}
    dropped = quirks.apply(fields, target.quirks)
    kind, body = "application/json", encode(fields)
    if reference is not None and reference.data:
        kind, body = form(fields, [("input_reference", reference)])
    return HttpRequest(
        method="POST",
        url=f"{target.base_url}/videos",
        headers=_headers(target, kind, request.token),
        body=body,
        dropped=dropped,
    )


def _remix(request: VideoRequest, target: Target) -> HttpRequest:
    if request.source is None:
        raise _unsupported("source", "a remix starts from a video it made itself")
    return HttpRequest(
        method="POST",
        url=f"{_url(target, request.source)}/remix",
        headers=_headers(target, "application/json", request.token),
        body=encode({"prompt": request.prompt}),
    )


def _change(path: str, request: VideoRequest, target: Target) -> HttpRequest:
    """An edit or an extension of a video that is sent along; `model` is for servers that have several."""
    sources = [media for media in request.media if media.role == "source_video" and media.data]
    if len(sources) != 1 or len(request.media) != 1:
        raise _unsupported("video", "it changes one video, which is sent along")
    wanted: dict[str, object] = {
        "prompt": request.prompt,
        "model": target.model,
        "seconds": None if request.seconds is None else f"{request.seconds:g}",
        "seed": request.seed,
    }
    fields = {name: Raw(encode(value)) for name, value in wanted.items() if value is not None}
    dropped = quirks.apply(fields, target.quirks)
    kind, body = form(fields, [("video", sources[0])])
    return HttpRequest(
        method="POST",
        url=f"{target.base_url}/videos/{path}",
        headers=_headers(target, kind, request.token),
        body=body,
        dropped=dropped,
    )


_OPERATIONS: Mapping[str, Callable[[VideoRequest, Target], HttpRequest]] = {
    "generate": _generate,
    "remix": _remix,
    "edit": partial(_change, "edits"),
    "extend": partial(_change, "extensions"),
}


def _reference(request: VideoRequest) -> Media | None:
    """The one picture OpenAI's `input_reference` can carry."""
    for media in request.media:
        if media.role not in _REFERENCE_ROLES:
            raise _unsupported(media.role, f"it takes no {media.role}")
    if len(request.media) > 1:
        raise _unsupported("input_reference", f"it takes one picture, not {len(request.media)}")
    return request.media[0] if request.media else None


def _unsupported(param: str, why: str) -> ProviderError:
    return ProviderError(
        ErrorKind.UNSUPPORTED,
        f"This provider cannot make the video: {why}.",
        param=param,
        code="unsupported_parameter",
        sent=False,
    )


def _url(target: Target, operation: Json) -> str:
    return f"{target.base_url}/videos/{quote(operation['id'], safe='')}"


def _headers(target: Target, content_type: str = "", token: str = "") -> dict[str, str]:
    headers = {"content-type": content_type} if content_type else {}
    if token:
        headers["idempotency-key"] = token
    return {**headers, **bearer(target), **target.headers}
