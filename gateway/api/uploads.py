"""Reads a request's body as it comes, within bounds: what is too much is refused before the rest is sent.

Of a form, text is kept in memory and files beside it, on disk when they are large; each file is measured and
hashed on its way. Whatever ends the reading, no file stays open.
"""

import hashlib
from asyncio import to_thread
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import Any, TypeAlias

from litestar import Request
from litestar.datastructures import UploadFile
from msgspec import Struct
from msgspec.structs import replace
from multipart import MultipartError, MultipartSegment, PushMultipartParser  # type: ignore[import-untyped]

from gateway.api.edge import ClientGone
from gateway.errors import InvalidRequest, TooLarge
from gateway.service.sniff import HEAD, media_type
from gateway.service.video_inputs import MAX_CLIP, MAX_PICTURE, Upload
from providers.mp4 import clip, reader

MAX_PARTS = 1000
MAX_FILES = 20
"""Files of one form: each may hold a megabyte of memory and a file descriptor, and no call takes as many."""
REST = 1024 * 1024
"""Bytes of a request beside the files that it brings."""
_CHUNK = 256 * 1024

Receive: TypeAlias = Callable[[], Awaitable[Mapping[str, Any]]]


class Room(Struct, frozen=True, kw_only=True):
    """How much a call takes: `file` bytes in the field whose upload makes it large, and the REST.

    What is larger is refused as a bad value of that field (400) where `is_value`, else as a large request (413).
    """

    field: str
    file: int
    is_value: bool = False

    @property
    def body(self) -> int:
        """Bytes of the whole request."""
        return self.file + REST

    def refusal(self, size: int) -> InvalidRequest:
        """What to say to a body of so many bytes, or more."""
        message = (
            f"The body has {size} bytes; at most {self.body} are allowed, of which `{self.field}` may have "
            f"{self.file}."
        )
        return self.error(message, self.field)

    def error(self, message: str, param: str | None = None) -> InvalidRequest:
        """The refusal in these words."""
        if self.is_value:
            return InvalidRequest(message, code="file_too_large", param=param)
        return TooLarge(message, param=param)


PICTURE = Room(field="input_reference", file=MAX_PICTURE, is_value=True)
CLIP = Room(field="video", file=MAX_CLIP, is_value=True)
_MAX_TEXT = PICTURE.body
"""Bytes of all the text of a form, which may hold a picture as a data: URI: it is kept in memory."""


async def pieces(request: Request[Any, Any, Any], room: Room) -> AsyncGenerator[bytes, None]:
    """The body, piece by piece. Raises what the room says, by what is announced and by what comes, and ClientGone."""
    length = request.headers.get("content-length", "")
    size = int(length) if length.isascii() and length.isdigit() else 0
    if size > room.body:
        raise room.refusal(size)
    receive: Receive = request.receive
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        piece, more = message.get("body", b""), message.get("more_body", False)
        size += len(piece)
        if size > room.body:
            raise room.refusal(size)
        if piece:
            yield piece


async def whole(request: Request[Any, Any, Any], room: Room) -> bytes:
    """The body in one. Raises InvalidRequest, ClientGone."""
    async with aclosing(pieces(request, room)) as coming:
        return b"".join([piece async for piece in coming])


@asynccontextmanager
async def parts(
    request: Request[Any, Any, Any], boundary: str, room: Room
) -> AsyncIterator[list[tuple[str, str | Upload]]]:
    """Names and values of a multipart form, in their order; files can be read until the block is left.

    Raises InvalidRequest, ClientGone.
    """
    found: list[_Part] = []
    try:
        async with aclosing(pieces(request, room)) as coming:
            await _parse(coming, boundary, room, found)
        yield [(part.name, await part.value()) for part in found]
    except MultipartError as error:
        raise InvalidRequest("The body is not a valid form.", code="invalid_form") from error
    finally:
        for part in found:
            await part.close()


async def _parse(coming: AsyncIterator[bytes], boundary: str, room: Room, found: list["_Part"]) -> None:
    text = 0
    with PushMultipartParser(boundary, max_segment_count=MAX_PARTS) as parser:
        async for piece in coming:
            for event in parser.parse(piece):
                if isinstance(event, MultipartSegment):
                    own = room if event.name == room.field else replace(room, file=PICTURE.file)
                    found.append(_Part(event.name, event.filename, own))
                    if sum(part.is_file for part in found) > MAX_FILES:
                        raise room.error(f"The form has more than {MAX_FILES} files.", event.name[:80])
                elif event:
                    text += 0 if found[-1].is_file else len(event)
                    if text > _MAX_TEXT:
                        message = f"The form has more than {_MAX_TEXT} bytes of text."
                        raise room.error(message, found[-1].name[:80])
                    await found[-1].add(bytes(event))


class _Part:
    """One part of a form while it comes, and after that."""

    def __init__(self, name: str, filename: str | None, room: Room) -> None:
        self.name = name
        self._file = UploadFile("", filename) if filename else None
        self._room = room
        self._text = bytearray()
        self._size = 0
        self._head = b""
        self._hash = hashlib.sha256()

    @property
    def is_file(self) -> bool:
        """Whether it is a file, and no text."""
        return self._file is not None

    async def add(self, piece: bytes) -> None:
        """A further piece of its content. Raises what the room says for a file that becomes too large."""
        if self._file is None:
            self._text += piece
            return
        self._size += len(piece)
        if self._size > self._room.file:
            name, limit = self.name[:80], self._room.file
            message = f"`{name}` has {self._size} bytes or more; at most {limit} are allowed."
            raise self._room.error(message, name)
        self._head += piece[: HEAD - len(self._head)]
        self._hash.update(piece)
        await self._file.write(piece)

    async def value(self) -> str | Upload:
        """The text, or the file. Raises InvalidRequest for text that is none."""
        if self._file is None:
            try:
                return self._text.decode()
            except UnicodeDecodeError as error:
                message = f"The part `{self.name[:80]}` is not text; a file must be sent with a filename."
                raise InvalidRequest(message, code="invalid_form", param=self.name[:80]) from error
        file, size, mime = self._file, self._size, media_type(self._head)
        return Upload(
            mime=mime,
            sha256=self._hash.hexdigest(),
            size=size,
            name=file.filename,
            chunks=lambda: _chunks(file),
            clip=await to_thread(clip, reader(file.file), size) if mime == "video/mp4" else None,
        )

    async def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            await self._file.close()


async def _chunks(file: UploadFile) -> AsyncIterator[bytes]:
    await file.seek(0)
    while chunk := await file.read(_CHUNK):
        yield chunk
