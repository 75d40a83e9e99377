"""fal's queue. The operation holds the links that fal gave: `status_url`, `response_url`, `cancel_url`.

COMPLETED means that it ended: whether there is a video is told at `response_url`, which is asked next
(`result`). Its calls back are signed by Ed25519. Source: VIDEO_WIRE 3.10, 2026-11-20; for what is signed, receivers
of other people's that agree.
"""

import hashlib
from base64 import urlsafe_b64decode
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec
from msgspec import Struct

from providers.auth import secret_part
from providers.errors import ErrorKind, ProviderError
from providers.reading import public_text, read_error
from providers.tokens import ed25519_signed
from providers.types import (
    UNREADABLE,
    HttpRequest,
    HttpResponse,
    Json,
    Target,
    VideoOutput,
    VideoRequest,
    VideoUpdate,
    encode,
)
from providers.video.answers import file_at, gone, moderated, no_file, read
from providers.video.fields import fit
from providers.video.inputs import model_input

_STATES: Mapping[str, str] = {"IN_QUEUE": "queued", "IN_PROGRESS": "in_progress"}
_MODERATION = "content_policy_violation"
_BLAMED = frozenset(("image_load_error", "file_too_large", "invalid_request"))
_KINDS: Mapping[str, ErrorKind] = {_MODERATION: ErrorKind.CONTENT_POLICY}


KEYS = "https://rest.fal.ai/.well-known/jwks.json"
"""Where the public keys are that fal signs its calls with (RFC 7517)."""
TOLERANCE = 300.0
"""Seconds that a call of fal may be old, or its clock ahead."""
_SIGNED = tuple(f"x-fal-webhook-{name}" for name in ("request-id", "user-id", "timestamp", "signature"))


class _Accepted(Struct):
    response_url: str
    status_url: str
    cancel_url: str


class _File(Struct):
    url: str
    width: int | None = None
    height: int | None = None
    fps: float | None = None
    duration: float | None = None


class _Told(Struct):
    """A status, or a result: they come from different links."""

    status: str = ""
    error: Any = None
    error_type: str | None = None
    video: _File | None = None


class _Detail(Struct):
    msg: str = ""
    type: str = ""


class _Failure(Struct):
    detail: list[_Detail] = []


class _Key(Struct):
    kty: str = ""
    crv: str = ""
    x: str = ""


class _Keys(Struct):
    keys: list[_Key] = []


_keys = msgspec.json.Decoder(_Keys)
_accepted = msgspec.json.Decoder(_Accepted)
_told = msgspec.json.Decoder(_Told)
_failure = msgspec.json.Decoder(_Failure)


def video_create(request: VideoRequest, target: Target) -> HttpRequest:
    """The model's own input, put into its queue."""
    fitted = fit(request, target)
    return HttpRequest(
        method="POST",
        url=f"{target.base_url}/{quote(target.model, safe='/')}{_hook(request.hook)}",
        headers={"content-type": "application/json", **_headers(target)},
        body=encode(model_input(fitted, target)),
        folded=fitted.folded,
        dropped=fitted.dropped,
    )


def video_created(response: HttpResponse) -> VideoUpdate:
    """Where to ask after it."""
    return VideoUpdate(state="queued", operation=msgspec.structs.asdict(read(_accepted, response)))


def video_poll(operation: Json, target: Target) -> HttpRequest:
    """GET its status, or its result once it has ended."""
    return _ask("GET", operation["response_url" if operation.get("result") else "status_url"], target)


def video_update(response: HttpResponse) -> VideoUpdate:
    """What a status or a result says; a 404 is `gone`."""
    if response.status == 404:
        return gone()
    kind = response.headers.get("x-fal-error-type", "")
    if response.status == 422 or (response.status >= 300 and kind):
        return _refused(response, kind)
    if response.status >= 300:
        raise error(response)
    return _said(read(_told, response))


def video_content(operation: Json, target: Target) -> HttpRequest:
    """GET the file where the result says it is."""
    return file_at(operation["url"], target, _headers(target))


def video_cancel(operation: Json, target: Target) -> HttpRequest:
    """PUT to its cancel, which is certain while it waits in the queue."""
    return _ask("PUT", operation["cancel_url"], target)


def hook_keys() -> HttpRequest:
    """GET the public keys of those who may call a hook."""
    return HttpRequest(method="GET", url=KEYS, headers={})


def hook_signed(keys: HttpResponse, headers: Mapping[str, str], body: bytes, now: float) -> bool:
    """Whether one of these keys has signed this call, at about Unix time `now`.

    What is signed are three headers and the SHA-256 of the body, a line each; the signature is in hex.
    """
    *signed, signature = (headers.get(name, "") for name in _SIGNED)
    at = signed[-1]
    if not (at.isascii() and at.isdigit() and len(at) < 12) or abs(now - int(at)) > TOLERANCE:
        return False
    try:
        told = bytes.fromhex(signature)
        message = "\n".join([*signed, hashlib.sha256(body).hexdigest()]).encode()
    except ValueError:  # no hex, or no text
        return False
    return any(ed25519_signed(key, told, message) for key in _public(keys))


def error(response: HttpResponse) -> ProviderError:
    """What an answer with a status of 300 or above means: `{detail}`, and the type of error in a header."""
    found = read_error(response, _KINDS)
    kind = _KINDS.get(response.headers.get("x-fal-error-type", ""))
    if kind is None:
        return found
    return ProviderError(kind, found.message, status=found.status, code=found.code, param=found.param)


def _public(response: HttpResponse) -> Iterator[bytes]:
    """The raw keys in a set of keys; those of other kinds are passed over."""
    try:
        found = _keys.decode(response.body).keys if response.status == 200 else []
    except UNREADABLE:
        return
    for key in found:
        if (key.kty, key.crv) == ("OKP", "Ed25519"):
            yield urlsafe_b64decode(f"{key.x}===".encode())


def _said(told: _Told) -> VideoUpdate:
    if told.video is not None:
        return _completed(told.video)
    if told.status == "COMPLETED":
        if told.error or told.error_type:
            return _failed(told.error_type or "", told.error if isinstance(told.error, str) else "")
        return VideoUpdate(state="in_progress", operation={"result": True}, follow=True)
    if not told.status:
        return no_file()
    return VideoUpdate(state=_STATES.get(told.status, "in_progress"))


def _completed(file: _File) -> VideoUpdate:
    output = VideoOutput(width=file.width, height=file.height, fps=file.fps, seconds=file.duration)
    return VideoUpdate(state="completed", progress=100, operation={"url": file.url}, output=output)


def _refused(response: HttpResponse, kind: str) -> VideoUpdate:
    """A result that is an error: final, whatever the status."""
    try:
        details = _failure.decode(response.body).detail
    except UNREADABLE:
        details = []
    first = details[0] if details else _Detail()
    return _failed(kind or first.type, first.msg)


def _failed(kind: str, message: str) -> VideoUpdate:
    message = public_text(message)
    if kind == _MODERATION:
        return moderated(message)
    blamed = kind in _BLAMED
    return VideoUpdate(
        state="failed",
        code="invalid_request" if blamed else "provider_error",
        message=message or "fal gave the video up.",
        blamed=blamed,
    )


def _ask(method: str, url: str, target: Target) -> HttpRequest:
    """A call to a link that fal gave. Raises PROTOCOL for one that is not fal's own: it gets our key."""
    if urlsplit(url)[:2] != urlsplit(target.base_url)[:2]:
        raise ProviderError(ErrorKind.PROTOCOL, "fal gave a link to somebody else to ask after the video.")
    return HttpRequest(method=method, url=url, headers=_headers(target))


def _hook(url: str) -> str:
    return f"?fal_webhook={quote(url, safe='')}" if url else ""


def _headers(target: Target) -> dict[str, str]:
    key = {"authorization": f"Key {secret_part(target, 'api_key')}"} if target.credential else {}
    return {**key, **target.headers}
