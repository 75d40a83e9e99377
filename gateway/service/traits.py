"""What routing must know of a request beyond its size, read from its body and headers only when it is wanted."""

import re

import msgspec
from msgspec.structs import replace

from gateway.config.snapshot import Caller
from gateway.errors import Forbidden
from gateway.routing.terms import Traits, drawn, is_within
from gateway.service.wish import Hints, Wish

_IMAGE = re.compile(rb'"type"\s*:\s*"image_url"')
_SCHEMA = re.compile(rb'"type"\s*:\s*"json_schema"')
NO_HINTS = Hints()
_SESSION_FIELDS = ("prompt_cache_key", "user")


def within(caller: Caller, hints: Hints) -> Hints:
    """What a client asks for, within what its key is held to. Raises Forbidden for a region outside of that."""
    held, asked = caller.region, hints.region
    if not held or (asked and is_within(asked, held)):
        region = asked
    elif not asked or is_within(held, asked):
        region = held
    else:
        raise Forbidden(
            f"This key is held to the region `{held}`, and `{asked}` is outside of it.",
            param="x-fairlead-region",
        )
    return replace(hints, tags=hints.tags | caller.tags, region=region)


def traits_of(wish: Wish, caller: Caller, request_id: str, input_tokens: int) -> Traits:
    """The traits of one request. A session belongs to its caller: two that use one name do not meet in it.

    Raises Forbidden for a region that the caller's key is not for.
    """
    body, hints = wish.request.body, wish.hints or NO_HINTS
    if caller.pinned:
        hints = within(caller, hints)
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
