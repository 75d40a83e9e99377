"""Sends a stored file over HTTP: whole or a range of it, as it is read, never whole in memory."""

import re
from collections.abc import Mapping
from contextlib import aclosing
from urllib.parse import quote

from litestar.types import Receive, Scope, Send
from msgspec import Struct

from gateway.errors import InvalidRequest
from gateway.service.sniff import EXTENSIONS
from gateway.service.video_content import Content
from gateway.store.media import OpenFile

_RANGE = re.compile(r"bytes=(\d{0,19})-(\d{0,19})")


class Sendable(Struct, frozen=True, kw_only=True):
    """A stored file that is open for reading, and what to say of it; `name` is what to save it under."""

    file: OpenFile
    size: int
    sha256: str
    mime: str
    name: str


def of_video(content: Content) -> Sendable:
    """A video's file, under the video's id."""
    row = content.row
    name = f"{content.job.id}.{EXTENSIONS[row.mime]}"
    return Sendable(file=content.file, size=row.size, sha256=row.sha256, mime=row.mime, name=name)


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

    def __init__(self, content: Sendable, headers: Mapping[str, str], *, head: bool) -> None:
        etag = f'"{content.sha256[:32]}"'
        try:
            part = choose(headers, etag, content.size)
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
            self._headers["content-type"] = content.mime
            self._headers["content-length"] = str(part.end - part.start)
            self._headers["content-disposition"] = _attachment(content.name)
        if part.status == 206:
            self._headers["content-range"] = f"bytes {part.start}-{part.end - 1}/{content.size}"

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


def _attachment(name: str) -> str:
    """The name in both forms of RFC 6266 where it is not plain."""
    plain = "".join(letter if letter.isascii() and letter not in '"\\' else "_" for letter in name)
    told = f'attachment; filename="{plain}"'
    return told if plain == name else f"{told}; filename*=UTF-8''{quote(name, safe='')}"
