"""Serves a finished file: whole, in a range, or not at all when the client has it already (RFC 9110).

Players seek with ranges. A multipart answer to several ranges is allowed but asked for by nobody: such a
request gets the whole file, which the RFC permits.
"""

import asyncio
import re
from pathlib import Path

from litestar.types import ASGIApp, Receive, Scope, Send
from msgspec import Struct

_PIECE = 256 * 1024
_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")


class File(Struct, frozen=True, kw_only=True):
    """What to serve. `etag` is quoted and never names two different contents."""

    path: Path
    name: str
    mime: str
    etag: str


def byte_range(header: str, size: int) -> range | None:
    """The bytes a Range header asks for, None when it asks for nothing we serve in part.

    An empty range means that nothing of what was asked exists (status 416).
    """
    found = _RANGE.fullmatch(header.strip())
    if found is None or not (found[1] or found[2]):
        return None
    if not found[1]:
        return range(max(0, size - int(found[2])), size)
    start, end = int(found[1]), int(found[2]) if found[2] else size - 1
    if found[2] and end < start:
        return None
    return range(min(start, size), min(end + 1, size))


def file_reply(file: File) -> ASGIApp:
    """The answer to a GET of the file, which is closed whatever happens to the client."""

    async def reply(scope: Scope, _receive: Receive, send: Send) -> None:
        asked = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        with file.path.open("rb") as source:
            size = source.seek(0, 2)
            status, part = _wanted(asked, file.etag, size)
            headers = _headers(file, status, part, size)
            await send({"type": "http.response.start", "status": status, "headers": headers})
            if status in (200, 206):
                source.seek(part.start)
                for start in range(part.start, part.stop, _PIECE):
                    piece = await asyncio.to_thread(source.read, min(_PIECE, part.stop - start))
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    return reply


def _wanted(asked: dict[str, str], etag: str, size: int) -> tuple[int, range]:
    """The status and the bytes to send."""
    if etag in (known.strip().removeprefix("W/") for known in asked.get("if-none-match", "").split(",")):
        return 304, range(0)
    part = byte_range(asked.get("range", ""), size)
    if part is None or asked.get("if-range", etag) != etag:
        return 200, range(size)
    return (206, part) if part else (416, range(0))


def _headers(file: File, status: int, part: range, size: int) -> list[tuple[bytes, bytes]]:
    headers = {"etag": file.etag, "accept-ranges": "bytes", "cache-control": "private, max-age=3600"}
    if status != 304:
        headers["content-length"] = str(len(part))
    if status in (200, 206):
        headers |= {"content-type": file.mime, "content-disposition": f'attachment; filename="{file.name}"'}
    if status == 206:
        headers["content-range"] = f"bytes {part.start}-{part.stop - 1}/{size}"
    if status == 416:
        headers["content-range"] = f"bytes */{size}"
    return [(name.encode(), value.encode()) for name, value in headers.items()]
