"""What a client may say in headers beside its request: where it may go, and by when it must be done."""

import re
from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from gateway.errors import InvalidRequest
from gateway.service import field_values as values
from gateway.service.video_request import Wish as VideoWish
from gateway.service.wish import Hints

TAGS, REGION, SESSION = b"x-fairlead-tags", b"x-fairlead-region", b"x-session-id"
DEADLINE = b"x-fairlead-deadline"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_MOST_TAGS = 20
_MOST_SESSION = 256


def hints_in(headers: Mapping[bytes, bytes]) -> Hints:
    """The hints in these headers. Raises InvalidRequest naming the header."""
    tags = [tag.strip() for tag in _text(headers, TAGS).split(",") if tag.strip()]
    region = _text(headers, REGION).strip()
    if len(tags) > _MOST_TAGS or not all(map(_NAME.fullmatch, tags)):
        raise _refused(TAGS, f"at most {_MOST_TAGS} names with commas between them, as in `eu, gold`")
    if region and not _NAME.fullmatch(region):
        raise _refused(REGION, "one name, as in `eu` or `eu-west-1`")
    session = _text(headers, SESSION)
    if len(session) > _MOST_SESSION:
        raise _refused(SESSION, f"at most {_MOST_SESSION} characters")
    return Hints(tags=frozenset(tags), region=region, session=session)


def placed(wish: VideoWish, headers: Mapping[bytes, bytes]) -> VideoWish:
    """A wish for a video with what these headers say of where it may go and by when. Raises InvalidRequest."""
    return replace(wish, ask=replace(wish.ask, **ask_in(headers, wish.ask.deadline)))


def ask_in(headers: Mapping[bytes, bytes], said: float | None) -> Mapping[str, Any]:
    """What these headers say of where a video may go and by when, as fields of its ask. Raises InvalidRequest.

    `said` is the deadline in the request itself, in seconds, which goes before that of the headers.
    """
    found: dict[str, Any] = {"deadline": said}
    if TAGS in headers or REGION in headers:
        hints = hints_in(headers)
        told = {TAGS: ("tags", tuple(sorted(hints.tags))), REGION: ("region", hints.region)}
        found |= dict(field for header, field in told.items() if header in headers)
    if DEADLINE in headers:
        name = DEADLINE.decode()
        latest = values.deadline({name: _text(headers, DEADLINE)}, name)
        found["deadline"] = latest if said is None else said
    return found


def _text(headers: Mapping[bytes, bytes], name: bytes) -> str:
    return headers.get(name, b"").decode("latin-1")


def _refused(header: bytes, wanted: str) -> InvalidRequest:
    name = header.decode()
    return InvalidRequest(f"The header `{name}` must be {wanted}.", param=name)
