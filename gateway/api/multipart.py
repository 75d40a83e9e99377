"""Reads the body of a video request, a form or JSON, into plain fields as clients of both kinds mean them.

Official clients send a form even without a file (VIDEO_WIRE 1.3, 2026-11-20), nest by brackets (`a[b]`,
`a[]`), and write every scalar as text; what the text means is decided by whoever reads the field. A file is
what its bytes say, whatever its name or declared type.
"""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any
from urllib.parse import parse_qsl

from litestar import Request
from msgspec.structs import replace

from gateway.api import uploads
from gateway.api.uploads import PICTURE, Room
from gateway.errors import InvalidRequest
from gateway.service.field_values import json_fields

MAX_DEPTH = 4


@asynccontextmanager
async def fields_of(
    request: Request[Any, Any, Any], room: Room = PICTURE
) -> AsyncIterator[Mapping[str, object]]:
    """The fields of a request's body; uploads in it can be read until the block is left.

    Raises InvalidRequest, TooLarge, and ClientGone for a client that leaves before all is there.
    """
    kind, options = request.content_type
    plain = replace(room, file=min(room.file, PICTURE.file))  # what is read into memory whole
    if kind == "multipart/form-data":
        async with uploads.parts(request, options.get("boundary", ""), room) as parts:
            yield _fields(parts)
    elif kind == "application/x-www-form-urlencoded":
        yield _fields(_pairs(await uploads.whole(request, plain)))
    elif kind in ("application/json", ""):
        yield json_fields(await uploads.whole(request, plain))
    else:
        raise InvalidRequest(
            f"The content type {kind[:80]!r} is not supported; send multipart/form-data or application/json.",
            code="unsupported_content_type",
        )


def _pairs(body: bytes) -> Iterable[tuple[str, str]]:
    try:
        return parse_qsl(
            body.decode(), keep_blank_values=True, errors="strict", max_num_fields=uploads.MAX_PARTS
        )
    except ValueError as error:
        raise InvalidRequest("The body is not a valid form.", code="invalid_form") from error


def _fields(pairs: Iterable[tuple[str, object]]) -> Mapping[str, object]:
    fields: dict[str, object] = {}
    for name, value in pairs:
        put(fields, name, value)
    return fields


def put(fields: dict[str, object], name: str, value: object) -> None:
    """Set a field by its bracketed name: `a[b]` nests, `a[]` appends. Raises InvalidRequest.

    `a[][b]` belongs to the last thing in `a` that has no `b` yet, else to a new one.
    """
    path = name.replace("]", "").split("[")
    if len(path) > MAX_DEPTH:
        raise InvalidRequest(f"`{name[:80]}` is nested too deeply.", param=name[:80])
    group: Any = fields
    for key, next_key in pairwise(path):
        made: Any = [] if next_key == "" else {}
        if isinstance(group, list):
            group = _last(group, next_key) if isinstance(made, dict) else None
        else:
            group = group.setdefault(key, made)
        if type(group) is not type(made):
            raise _clash(name)
    if isinstance(group, list):
        group.append(value)
    elif isinstance(group.get(path[-1]), dict | list):
        raise _clash(name)
    else:
        group[path[-1]] = value


def _last(group: list[Any], key: str) -> Any:
    """The object in a list that a value for this key belongs to."""
    if not group or (isinstance(group[-1], dict) and key in group[-1]):
        group.append({})
    return group[-1]


def _clash(name: str) -> InvalidRequest:
    return InvalidRequest(f"`{name[:80]}` is both a value and a group of values.", param=name[:80])
