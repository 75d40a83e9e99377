"""OpenAI's Videos dialect: the local worker's, and that of every server that imitates it.

The operation is `{"id": ...}`, the video's id upstream. Sources: VIDEO_WIRE 1.2 to 1.8, 3.14 and 3.15,
2026-11-20.
"""

from collections.abc import Callable, Mapping, Sequence
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
    VideoSighting,
    VideoUpdate,
    encode,
)
from providers.video.form import form
from providers.video.openai_answers import MODERATION, read_list, read_video, update

_KINDS: Mapping[str, ErrorKind] = {
    "unsupported_value": ErrorKind.UNSUPPORTED,
    "unsupported_parameter": ErrorKind.UNSUPPORTED,
    "queue_full": ErrorKind.RATE_LIMITED,
    "engine_starting": ErrorKind.OVERLOADED,
} | dict.fromkeys(MODERATION, ErrorKind.CONTENT_POLICY)

_REFERENCE_ROLES = ("first_frame", "reference_image")
_MANNER = ("seed", "negative_prompt", "style_preset", "camera_movement")


def video_create(request: VideoRequest, target: Target) -> HttpRequest:
    """JSON, or a form where bytes are sent along; `token` travels as `Idempotency-Key`.

    Raises UNSUPPORTED for media that are no single picture to start from, or one to end with where the target's
    `inputs` name that.
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


def video_recent(target: Target) -> HttpRequest:
    """GET the newest videos."""
    url = f"{target.base_url}/videos?limit=100&order=desc"
    return HttpRequest(method="GET", url=url, headers=_headers(target))


def video_sightings(request: VideoRequest, target: Target, response: HttpResponse) -> Sequence[VideoSighting]:
    """Videos with the same words, and the same model, length and size as far as these are told.

    Pictures are not listed, so a video from one cannot be told from another of the same words.
    """
    if response.status >= 300:
        raise error(response)
    if request.media:
        return []
    made = request.operation == "generate"
    asked = (target.model, request.seconds if made else None, request.size if made else None)
    return [
        VideoSighting(operation={"id": video.id}, created_at=video.created_at)
        for video in read_list(response)
        if video.prompt == request.prompt and video.fits(*asked)
    ]


def error(response: HttpResponse) -> ProviderError:
    """What an answer with a status of 300 or above means."""
    return read_error(response, _KINDS)


def _generate(request: VideoRequest, target: Target) -> HttpRequest:
    wanted: dict[str, object] = {
        "prompt": request.prompt,
        "model": target.model,
        "seconds": None if request.seconds is None else f"{request.seconds:g}",
        "size": request.size,
        **{name: getattr(request, name) for name in _MANNER},
        "audio": request.audio,
    }
    pictures = _pictures(request, target)
    wanted |= {name: {"image_url": one.url} for name, one in pictures.items() if one.url}
    files = [(name, one) for name, one in pictures.items() if one.data]
    fields = {name: Raw(encode(value)) for name, value in wanted.items() if value is not None}
    dropped = quirks.apply(fields, target.quirks)
    kind, body = "application/json", encode(fields)
    if files:
        kind, body = form(fields, files)
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
        body=encode({"prompt": request.prompt} | _strength(request)),
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
        **{name: getattr(request, name) for name in _MANNER},
        **_strength(request),
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


def _strength(request: VideoRequest) -> dict[str, object]:
    return {} if request.strength is None else {"strength": request.strength}


def _pictures(request: VideoRequest, target: Target) -> Mapping[str, Media]:
    """The one picture OpenAI's `input_reference` can carry, and our worker's `last_frame`, by their fields."""
    fields = dict.fromkeys(_REFERENCE_ROLES, "input_reference")
    if "last_frame" in (target.video.inputs or ()):
        fields["last_frame"] = "last_frame"
    found: dict[str, Media] = {}
    for media in request.media:
        if media.role not in fields:
            raise _unsupported(media.role, f"it takes no {media.role}")
        if fields[media.role] in found:
            raise _unsupported("input_reference", f"it takes one picture to start from, not {media.role} too")
        found[fields[media.role]] = media
    return found


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
