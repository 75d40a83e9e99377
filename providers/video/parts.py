"""What requests of asynchronous video APIs have in common: JSON or a form, media as addresses, whole seconds."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from msgspec import Raw

from providers import quirks
from providers.auth import bearer
from providers.types import HttpRequest, Json, Media, Target, VideoRequest, encode
from providers.video.answers import link_of
from providers.video.fields import Fitted, unsupported
from providers.video.form import form

FRAMES = frozenset(("first_frame", "last_frame"))


def post(
    target: Target, path: str, fields: Json, fitted: Fitted, headers: Mapping[str, str] = {}
) -> HttpRequest:
    """POST `fields` as JSON, without those that are None. `headers` are the dialect's own."""
    raw, dropped = _edited(fields, target)
    headers = {"content-type": "application/json", **headers}
    return _post(target, path, _Body(headers, encode(raw), dropped), fitted)


def post_form(
    target: Target, path: str, fields: Json, fitted: Fitted, files: Sequence[tuple[str, Media]]
) -> HttpRequest:
    """POST `fields`, without those that are None, and `files`, of which there may be none, as a form."""
    raw, dropped = _edited(fields, target)
    kind, body = form(raw, files)
    return _post(target, path, _Body({"content-type": kind}, body, dropped), fitted)


def ask(target: Target, path: str, method: str = "GET") -> HttpRequest:
    """A call without a body."""
    return HttpRequest(
        method=method, url=f"{target.base_url}/{path}", headers={**bearer(target), **target.headers}
    )


def content(request: VideoRequest) -> list[Json]:
    """Words and media as MiniMax and Ark take them: parts of one content, each picture or clip with its role."""
    told: list[Json] = [{"type": "text", "text": request.prompt}]
    for media in request.media:
        kind = "video_url" if media.role == "reference_video" else "image_url"
        told.append({"type": kind, kind: {"url": link_of(media)}, "role": media.role})
    return told


def sound(request: VideoRequest, target: Target) -> bool | None:
    """Whether there is to be sound, for a model that can be told; None leaves it to the model."""
    return request.audio if target.video.audio in (None, "switch") else None


def check_modes(media: Sequence[Media]) -> None:
    """Raise UNSUPPORTED for frames beside references, which are two modes at most providers."""
    roles = {one.role for one in media}
    if roles & FRAMES and roles - FRAMES:
        raise unsupported("reference_image", "it takes frames or references, not both")


def whole_seconds(seconds: float | None) -> int | None:
    """The duration for a provider that counts in whole seconds. Raises UNSUPPORTED for any other."""
    if seconds is None or seconds == int(seconds):
        return None if seconds is None else int(seconds)
    raise unsupported("seconds", f"it makes whole seconds, not {seconds:g}")


class _Body(NamedTuple):
    headers: Mapping[str, str]
    data: bytes
    dropped: Sequence[str]


def _edited(fields: Json, target: Target) -> tuple[dict[str, Raw], Sequence[str]]:
    """The fields that have a value, with the target's quirks applied, and the names of those it dropped."""
    raw = {name: Raw(encode(value)) for name, value in fields.items() if value is not None}
    return raw, quirks.apply(raw, target.quirks)


def _post(target: Target, path: str, body: _Body, fitted: Fitted) -> HttpRequest:
    return HttpRequest(
        method="POST",
        url=f"{target.base_url}/{path}",
        headers={**body.headers, **bearer(target), **target.headers},
        body=body.data,
        dropped=[*fitted.dropped, *body.dropped],
        folded=fitted.folded,
    )
