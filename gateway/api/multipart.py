"""Reads the body of a video request, a form or JSON, into plain fields as clients of both kinds mean them.

Official clients send a form even without a file (VIDEO_WIRE 1.3, 2026-11-20), nest by brackets (`a[b]`,
`a[]`), and write every scalar as text; what the text means is decided by whoever reads the field. A file is
what its bytes say, whatever its name or declared type.
"""

import hashlib
from asyncio import to_thread
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import msgspec
from litestar import Request
from litestar.datastructures import FormMultiDict, UploadFile
from litestar.exceptions import ClientException

from gateway.errors import InvalidRequest, TooLarge
from gateway.service.sniff import HEAD, media_type
from gateway.service.video_inputs import MAX_CLIP, MAX_PICTURE, Upload
from providers.mp4 import Clip, clip

MAX_BODY = MAX_PICTURE + 1024 * 1024
"""Bytes of a whole request: one picture and the rest of the form."""
MAX_CLIP_BODY = MAX_CLIP + 1024 * 1024
"""Bytes of a request that brings a video to begin with."""
MAX_DEPTH = 4
_CHUNK = 256 * 1024
_decode = msgspec.json.Decoder(dict[str, Any]).decode


@asynccontextmanager
async def fields_of(request: Request[Any, Any, Any]) -> AsyncIterator[Mapping[str, object]]:
    """The fields of a request's body; uploads in it can be read until the block is left.

    Raises InvalidRequest, TooLarge.
    """
    kind = request.content_type[0]
    if kind in ("multipart/form-data", "application/x-www-form-urlencoded"):
        form = await form_of(request)
        try:
            yield await _fields(form)
        finally:
            await form.close()
    elif kind in ("application/json", ""):
        yield _json(await request.body())
    else:
        raise InvalidRequest(
            f"The content type {kind[:80]!r} is not supported; send multipart/form-data or application/json.",
            code="unsupported_content_type",
        )


def _json(body: bytes) -> Mapping[str, object]:
    try:
        return _decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        message = "The JSON body is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise InvalidRequest(f"The body is not a JSON object: {message}.", code="invalid_json") from error


async def form_of(request: Request[Any, Any, Any]) -> FormMultiDict:
    """The form in a request's body; whoever got it closes it. Raises InvalidRequest, TooLarge."""
    try:
        return await request.form()
    except ClientException as error:
        if error.status_code == 413:
            raise TooLarge("The body is larger than this call takes.") from error
        raise InvalidRequest("The body is not a valid form.", code="invalid_form") from error
    except (UnicodeDecodeError, LookupError) as error:
        message = "A text part of the form is not text; a file must be sent with a filename."
        raise InvalidRequest(message, code="invalid_form") from error


async def _fields(form: FormMultiDict) -> Mapping[str, object]:
    fields: dict[str, object] = {}
    for name, value in form.multi_items():
        put(fields, name, await _upload(name, value) if isinstance(value, UploadFile) else value)
    return fields


def put(fields: dict[str, object], name: str, value: object) -> None:
    """Set a field by its bracketed name: `a[b]` nests, `a[]` appends. Raises InvalidRequest."""
    path = name.replace("]", "").split("[")
    if len(path) > MAX_DEPTH:
        raise InvalidRequest(f"`{name[:80]}` is nested too deeply.", param=name[:80])
    group: Any = fields
    for key, next_key in pairwise(path):
        made: Any = [] if next_key == "" else {}
        group = group.setdefault(key, made) if isinstance(group, dict) else None
        if type(group) is not type(made):
            raise _clash(name)
    if isinstance(group, list):
        group.append(value)
    elif isinstance(group.get(path[-1]), dict | list):
        raise _clash(name)
    else:
        group[path[-1]] = value


def _clash(name: str) -> InvalidRequest:
    return InvalidRequest(f"`{name[:80]}` is both a value and a group of values.", param=name[:80])


async def _upload(name: str, file: UploadFile) -> Upload:
    digest, size, head = hashlib.sha256(), 0, b""
    async for chunk in chunks_of(file):
        digest.update(chunk)
        size += len(chunk)
        head = head or chunk[:HEAD]
        most = MAX_CLIP if name == "video" else MAX_PICTURE
        if size > most:
            raise TooLarge(f"`{name[:80]}` is larger than {most} bytes.", param=name[:80])
    mime = media_type(head)
    return Upload(
        mime=mime,
        sha256=digest.hexdigest(),
        size=size,
        chunks=lambda: chunks_of(file),
        clip=await to_thread(_clip, file, size) if mime == "video/mp4" else None,
    )


def _clip(file: UploadFile, size: int) -> Clip | None:
    def read(start: int, count: int) -> bytes:
        file.file.seek(start)
        return file.file.read(count)

    return clip(read, size)


async def chunks_of(file: UploadFile) -> AsyncIterator[bytes]:
    """The bytes of an upload, from the start."""
    await file.seek(0)
    while chunk := await file.read(_CHUNK):
        yield chunk
