"""Sends a stored file over HTTP: whole or a range of it, as it is read, never whole in memory."""

import re
from collections.abc import Mapping
from contextlib import aclosing

from litestar.types import Receive, Scope, Send
from msgspec import Struct

from gateway.errors import InvalidRequest
from gateway.service.sniff import EXTENSIONS
from gateway.service.video_content import Content

_RANGE = re.compile(r"bytes=(\d{0,19})-(\d{0,19})")


class RangeError(InvalidRequest):
    """The asked range lies beyond the file."""

    status = 416
    code = "range_not_satisfiable"


class Part(Struct, frozen=True, kw_only=True):
    """What to send: `status` 200, 206 or 304, and the bytes from `start` up to but not including `end`."""

    status: int
    start: int
    end: int


def choose(headers: Mapping[str, str], etag: str, size: int) -> Part:
    """Which part of a file a GET asks for (RFC 9110). Several ranges at once are answered with the whole.

    Raises RangeError.
    """
    if _names(headers.get("if-none-match", ""), etag):
        return Part(status=304, start=0, end=0)
    whole = Part(status=200, start=0, end=size)
    asked = _RANGE.fullmatch(headers.get("range", "").replace(" ", ""))
    if asked is None or headers.get("if-range", etag) != etag or asked[1] == asked[2] == "":
        return whole
    if asked[1] == "":
        start, end = max(0, size - int(asked[2])), size
    else:
        start, end = int(asked[1]), min(size, int(asked[2]) + 1) if asked[2] else size
        if asked[2] and int(asked[2]) < start:
            return whole
    if start >= size:
        message = f"The range {headers['range'][:60]!r} lies beyond the file, which has {size} bytes."
        raise RangeError(message, headers={"content-range": f"bytes */{size}"})
    return Part(status=206, start=start, end=end)


def _names(condition: str, etag: str) -> bool:
    given = [one.strip().removeprefix("W/") for one in condition.split(",")]
    return "*" in given or etag in given


class FileAnswer:
    """An ASGI answer that streams a stored file and closes it, whatever happens. `head` leaves out the body."""

    def __init__(self, content: Content, headers: Mapping[str, str], *, head: bool) -> None:
        row, etag = content.row, f'"{content.row.sha256[:32]}"'
        try:
            part = choose(headers, etag, row.size)
        except RangeError:
            content.file.close()
            raise
        self._file = content.file
        self._part = part
        self._head = head
        self._headers = {
            "etag": etag,
            "accept-ranges": "bytes",
            "cache-control": "private, no-transform",
            "x-content-type-options": "nosniff",
        }
        if part.status != 304:
            name = f"{content.job.id}.{EXTENSIONS[row.mime]}"
            self._headers["content-type"] = row.mime
            self._headers["content-length"] = str(part.end - part.start)
            self._headers["content-disposition"] = f'attachment; filename="{name}"'
        if part.status == 206:
            self._headers["content-range"] = f"bytes {part.start}-{part.end - 1}/{row.size}"

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        """Send it."""
        try:
            raw = [(name.encode(), value.encode()) for name, value in self._headers.items()]
            await send({"type": "http.response.start", "status": self._part.status, "headers": raw})
            at = self._part.end if self._head else self._part.start
            async with aclosing(self._file.pieces(at, self._part.end)) as pieces:
                async for piece in pieces:
                    at += len(piece)
                    more = at < self._part.end
                    await send({"type": "http.response.body", "body": piece, "more_body": more})
            if at < self._part.end:
                raise OSError("a stored file is shorter than its row says")
            if self._head or self._part.start == self._part.end:
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self._file.close()
