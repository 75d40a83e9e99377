"""Google's Veo on Vertex AI. The operation is `{"name": ...}`, and at the end `url` or `inline`.

`base_url` names project and location; the key is an OAuth access token, sent as a bearer token, or a service
account, for which `providers/tokens.py` asks for one. With a `bucket` (gs://...) among the parts of the key the
file is put there and fetched from there; without one it comes inside the answer to a poll. It cannot be
cancelled. Source: VIDEO_WIRE 3.3, 2026-11-20.
"""

from collections.abc import Mapping, Sequence
from urllib.parse import quote

import msgspec
from msgspec import Struct

from providers.auth import bearer, secret_part
from providers.errors import ErrorKind, ProviderError
from providers.reading import public_text, read_error
from providers.types import HttpRequest, HttpResponse, Json, Media, Target, VideoRequest, VideoUpdate, encode
from providers.video.answers import base64_of, gone, moderated, no_file, read
from providers.video.fields import fit

_INVALID = 3
_CODES: Mapping[int, str] = {
    7: "provider_auth_error",
    8: "provider_overloaded",
    14: "provider_overloaded",
}
"""gRPC codes of operations that failed; others are `provider_error`."""
_MODERATION = ("usage guidelines", "safety", "responsible ai")
"""Words of an INVALID_ARGUMENT that is a refusal of what was asked for, not of how."""


class _Video(Struct):
    uri: str | None = msgspec.field(default=None, name="gcsUri")
    data: msgspec.Raw = msgspec.field(default=msgspec.Raw(), name="bytesBase64Encoded")


class _Result(Struct):
    videos: Sequence[_Video] | None = None
    reasons: Sequence[str] | None = msgspec.field(default=None, name="raiMediaFilteredReasons")
    filtered: int | None = msgspec.field(default=None, name="raiMediaFilteredCount")


class _Error(Struct):
    code: int = 0
    message: str = ""


class _Operation(Struct):
    name: str
    done: bool = False
    response: _Result | None = None
    error: _Error | None = None


_operation = msgspec.json.Decoder(_Operation)
_base64 = msgspec.json.Decoder(bytes)


def video_create(request: VideoRequest, target: Target) -> HttpRequest:
    """One sample, from text, or from and to a picture."""
    fitted = fit(request, target)
    asked, shape = fitted.request, fitted.shape
    instance = {
        "prompt": asked.prompt,
        "image": _picture(fitted.media("first_frame")),
        "lastFrame": _picture(fitted.media("last_frame")),
    }
    parameters = {
        "sampleCount": 1,
        "durationSeconds": None if asked.seconds is None else int(asked.seconds),
        "aspectRatio": shape.ratio if shape else None,
        "resolution": shape.tier if shape else None,
        "seed": asked.seed,
        "negativePrompt": asked.negative_prompt,
        "generateAudio": asked.audio if target.video.audio == "switch" else None,
        "storageUri": _bucket(target),
    }
    return _ask(
        target,
        "predictLongRunning",
        {"instances": [_given(instance)], "parameters": _given(parameters)},
        folded=fitted.folded,
        dropped=fitted.dropped,
    )


def video_created(response: HttpResponse) -> VideoUpdate:
    """The name of the operation."""
    return VideoUpdate(state="queued", operation={"name": read(_operation, response).name})


def video_poll(operation: Json, target: Target) -> HttpRequest:
    """POST the operation's name: this kind of operation is not asked after by GET."""
    return _ask(target, "fetchPredictOperation", {"operationName": operation["name"]})


def video_update(response: HttpResponse) -> VideoUpdate:
    """What the operation says. Done without an error and without a video is one that was filtered."""
    if response.status == 404:
        return gone()
    if response.status >= 300:
        raise error(response)
    found = read(_operation, response)
    if not found.done:
        return VideoUpdate(state="in_progress")
    if found.error is not None:
        return _failed(found.error)
    result = found.response or _Result()
    video = next((one for one in result.videos or () if one.uri or one.data), None)
    if video is not None:
        operation = {"url": _download(video.uri), "inline": False} if video.uri else {"inline": True}
        return VideoUpdate(state="completed", progress=100, operation=operation)
    if result.filtered or result.reasons:
        return moderated(public_text((result.reasons or [""])[0]))
    return no_file()


def video_content(operation: Json, target: Target) -> HttpRequest:
    """GET the file from its bucket, or poll once more for the answer that holds it."""
    if operation.get("inline"):
        return video_poll(operation, target)
    return HttpRequest(method="GET", url=operation["url"], headers=bearer(target))


def video_bytes(response: HttpResponse) -> bytes:
    """The file inside an operation. Raises PROTOCOL when there is none."""
    result = read(_operation, response).response or _Result()
    data = next((one.data for one in result.videos or () if one.data), None)
    if data is None:
        raise ProviderError(ErrorKind.PROTOCOL, "The operation does not hold its video any more.")
    return _base64.decode(data)


def error(response: HttpResponse) -> ProviderError:
    """What an answer with a status of 300 or above means, in Google's usual form."""
    return read_error(response)


def _failed(told: _Error) -> VideoUpdate:
    message = public_text(told.message)
    if told.code == _INVALID and any(words in message.lower() for words in _MODERATION):
        return moderated(message)
    blamed = told.code == _INVALID
    return VideoUpdate(
        state="failed",
        code="invalid_request" if blamed else _CODES.get(told.code, "provider_error"),
        message=message or "Veo gave the video up.",
        blamed=blamed,
    )


def _ask(
    target: Target, verb: str, body: Json, *, folded: Sequence[str] = (), dropped: Sequence[str] = ()
) -> HttpRequest:
    return HttpRequest(
        method="POST",
        url=f"{target.base_url}/publishers/google/models/{quote(target.model, safe='')}:{verb}",
        headers={"content-type": "application/json", **bearer(target), **target.headers},
        body=encode(body),
        folded=folded,
        dropped=dropped,
    )


def _picture(media: Media | None) -> Json | None:
    return None if media is None else {"bytesBase64Encoded": base64_of(media), "mimeType": media.mime}


def _bucket(target: Target) -> str | None:
    parts = target.credential
    return secret_part(target, "bucket") if isinstance(parts, Mapping) and "bucket" in parts else None


def _download(uri: str) -> str:
    """Where Cloud Storage gives out the object of a gs:// link."""
    bucket, _, name = uri.removeprefix("gs://").partition("/")
    return f"https://storage.googleapis.com/storage/v1/b/{quote(bucket, safe='')}/o/{quote(name, safe='')}?alt=media"


def _given(values: Mapping[str, object]) -> Json:
    return {name: value for name, value in values.items() if value is not None}
