"""What routing must know of a request beyond its size, read from its body and headers only when it is wanted."""

import re

import msgspec

from gateway.config.snapshot import Caller
from gateway.routing.terms import Traits, drawn
from gateway.service.wish import Hints, Wish

_IMAGE = re.compile(rb'"type"\s*:\s*"image_url"')
_SCHEMA = re.compile(rb'"type"\s*:\s*"json_schema"')
_NO_HINTS = Hints()
_SESSION_FIELDS = ("prompt_cache_key", "user")


def traits_of(wish: Wish, caller: Caller, request_id: str, input_tokens: int) -> Traits:
    """The traits of one request. A session belongs to its caller: two that use one name do not meet in it."""
    body, hints = wish.request.body, wish.hints or _NO_HINTS
    session = hints.session or next(filter(None, (_text(body.get(name)) for name in _SESSION_FIELDS)), "")
    return Traits(
        tools=_some(body.get("tools")) or _some(body.get("functions")),
        images=_IMAGE.search(body.get("messages", b"")) is not None,
        json_schema=_SCHEMA.search(body.get("response_format", b"")) is not None,
        input_tokens=input_tokens,
        tags=hints.tags,
        region=hints.region,
        draw=drawn(request_id),
        session=f"{caller.id} {session}" if session else "",
    )


def _some(raw: msgspec.Raw | None) -> bool:
    return raw is not None and bool(msgspec.json.decode(raw))


def _text(raw: msgspec.Raw | None) -> str:
    value = None if raw is None else msgspec.json.decode(raw)
    return value if isinstance(value, str) else ""
