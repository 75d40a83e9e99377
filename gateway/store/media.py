"""Keeps the bytes of videos and pictures. Which job they belong to is not known here.

A file is written into a draft on the local disk first, where it can be looked at, and is then published: moved to
its place in a directory (`media_files.py`) or uploaded to a bucket (`media_objects.py`). So a name either leads to
the whole file or to nothing. Names are made here and never come from a client. Disk access happens in threads.
"""

import asyncio
import hashlib
import os
import re
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from msgspec import Struct

from gateway.clock import SYSTEM, Clock, ulid

T = TypeVar("T")
NAME = re.compile(r"[0-9a-z]{26}")
PIECE = 256 * 1024
"""Bytes that are read at a time."""
_BUFFER = 1 << 20
_HEAD = 64
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_EXCL


class StoredFile(Struct, frozen=True, kw_only=True):
    """A file that is safely in its place. `sha256` is hexadecimal."""

    name: str
    size: int
    sha256: str


class OverLimitError(Exception):
    """More bytes came than the writer allowed."""


class OpenFile(Protocol):
    """A stored file, open for reading at any place. Close it."""

    def pieces(self, start: int, end: int) -> AsyncGenerator[bytes, None]:
        """The bytes from `start` up to but not including `end`; fewer when the file ends before."""

    def close(self) -> None:
        """Let go of the file."""


class Place(Protocol):
    """Where finished files lie. Every call but `remove` raises Unavailable when it cannot be reached."""

    async def publish(self, draft: Path, name: str) -> None:
        """Give a draft its name, durably; the draft may be gone afterwards."""

    async def open(self, name: str) -> OpenFile:
        """Open a file. Raises FileNotFoundError when it is gone."""

    async def again(self, name: str, further: str) -> None:
        """Give a file a further name. Raises FileNotFoundError when it is gone."""

    def path_of(self, name: str) -> Path | None:
        """Where a file lies on the local disk; None when it lies elsewhere."""

    async def remove(self, names: Sequence[str]) -> None:
        """Remove files; those that are gone already are fine, and what cannot be reached is left to the sweep."""

    async def older_than(self, before: float) -> list[str]:
        """Names of files last changed before a Unix time."""


class Draft:
    """A file that is being written. Leaving its `async with` block throws away what was not kept.

    `size` counts the bytes so far; `head` holds the first few, which tell what kind of file it is.
    """

    def __init__(self, place: Place, path: Path, limit: int) -> None:
        self.size = 0
        self.head = b""
        self._place = place
        self._path = path
        self._limit = limit
        self._buffer = bytearray()
        self._hash = hashlib.sha256()
        self._descriptor = -1
        self._busy: asyncio.Task[Any] | None = None

    async def __aenter__(self) -> Self:
        self._descriptor = await asyncio.to_thread(os.open, self._path, _FLAGS, 0o600)
        return self

    async def __aexit__(self, _type: type[BaseException] | None, _error: BaseException | None,
                        _trace: TracebackType | None) -> None:  # fmt: skip
        try:
            if self._busy is not None:
                await asyncio.wait([self._busy])
        finally:
            os.close(self._descriptor)
            self._path.unlink(missing_ok=True)

    async def add(self, chunk: bytes) -> None:
        """Append bytes. Raises OverLimitError beyond the limit."""
        self.size += len(chunk)
        if self.size > self._limit:
            raise OverLimitError(self._limit)
        if len(self.head) < _HEAD:
            self.head += chunk[: _HEAD - len(self.head)]
        self._buffer += chunk
        if len(self._buffer) >= _BUFFER:
            await self._flush()

    async def read(self, offset: int, count: int) -> bytes:
        """Up to `count` bytes of what is there so far, from `offset`."""
        await self._flush()
        return await self._in_thread(os.pread, self._descriptor, count, offset)

    async def sha256(self) -> str:
        """The hash, in hexadecimal, of what is there so far."""
        await self._flush()
        return self._hash.hexdigest()

    async def on_disk(self) -> Path:
        """Where what is there so far lies: for whoever reads it and is done before the draft is."""
        await self._flush()
        return self._path

    async def rewrite(self, change: Callable[[Path, Path], Awaitable[None]]) -> None:
        """Put what `change` makes, from one path to another, in the place of what is there. Raises what it raises."""
        other = self._path.with_suffix(".new.part")
        try:
            await change(await self.on_disk(), other)
            await self._in_thread(self._take, other)
        finally:
            other.unlink(missing_ok=True)

    async def keep(self) -> StoredFile:
        """Bring everything to its place under a name."""
        sha256, name = await self.sha256(), self._path.stem
        await self._place.publish(self._path, name)
        return StoredFile(name=name, size=self.size, sha256=sha256)

    async def _flush(self) -> None:
        if self._buffer:
            pending, self._buffer = self._buffer, bytearray()
            await self._in_thread(self._write, pending)

    async def _in_thread(self, work: Callable[..., T], *given: Any) -> T:
        """Have a thread do it. Whoever is cancelled meanwhile cannot stop it: the file stays open until it is done."""
        task = self._busy = asyncio.create_task(asyncio.to_thread(work, *given))
        return await asyncio.shield(task)

    def _write(self, pending: bytearray) -> None:
        self._hash.update(pending)
        view = memoryview(pending)
        while view:
            view = view[os.write(self._descriptor, view) :]

    def _take(self, other: Path) -> None:
        with other.open("rb") as file:
            changed = hashlib.file_digest(file, "sha256")
            size = file.tell()
        other.replace(self._path)
        before, self._descriptor = self._descriptor, os.open(self._path, os.O_RDWR | os.O_APPEND)
        os.close(before)
        self._hash, self.size = changed, size


class MediaStore:
    """The files of one place. Drafts are written in a directory, which is made if need be."""

    def __init__(self, drafts: Path, place: Place, clock: Clock = SYSTEM) -> None:
        drafts.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._drafts = drafts
        self._place = place
        self._clock = clock

    def draft(self, limit: int) -> Draft:
        """Begin a file of at most `limit` bytes: `async with store.draft(limit) as draft`."""
        return Draft(self._place, self._drafts / f"{ulid(self._clock.now())}.part", limit)

    async def write(self, chunks: AsyncIterable[bytes], limit: int) -> StoredFile:
        """Store a whole stream. Raises OverLimitError beyond the limit; then nothing is kept."""
        async with self.draft(limit) as draft:
            async for chunk in chunks:
                await draft.add(chunk)
            return await draft.keep()

    async def again(self, name: str) -> str:
        """A further name of a stored file, good when the first is removed. Raises OSError when that cannot be."""
        further = ulid(self._clock.now())
        await self._place.again(_checked(name), further)
        return further

    async def open(self, name: str) -> OpenFile:
        """Open a file. Raises FileNotFoundError when it is gone, Unavailable when its place is not there."""
        return await self._place.open(_checked(name))

    @asynccontextmanager
    async def on_disk(self, name: str, size: int) -> AsyncGenerator[Path, None]:
        """A file of `size` bytes as one of the local disk, as long as the block lasts. Raises as `open`."""
        path = self._place.path_of(_checked(name))
        if path is not None:
            yield path
            return
        file = await self.open(name)
        async with self.draft(size) as draft, aclosing(file.pieces(0, size)) as pieces:
            async for piece in pieces:
                await draft.add(piece)
            yield await draft.on_disk()

    async def remove(self, names: Iterable[str]) -> None:
        """Remove files; those that are gone already are fine."""
        checked = [_checked(name) for name in names]
        if checked:
            await self._place.remove(checked)

    async def older_than(self, before: float) -> list[str]:
        """Names of files last changed before a Unix time; what killed writers left half-way is removed."""
        await asyncio.to_thread(self._sweep, before)
        return await self._place.older_than(before)

    def _sweep(self, before: float) -> None:
        for path in self._drafts.glob("*.part"):
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < before and NAME.fullmatch(path.name.partition(".")[0]):
                    path.unlink()


def _checked(name: str) -> str:
    if NAME.fullmatch(name) is None:
        raise FileNotFoundError(name)
    return name


async def part(file: OpenFile, start: int, end: int) -> bytes:
    """What `pieces` gives, as one."""
    return b"".join([piece async for piece in file.pieces(start, end)])


async def whole(file: OpenFile, size: int) -> bytes:
    """All of a file that is small."""
    return await part(file, 0, size)
