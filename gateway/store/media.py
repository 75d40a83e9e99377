"""Keeps the bytes of videos and pictures in one local directory. Which job they belong to is not known here.

A file is written beside its place, brought to disk, and then renamed, so a name either leads to the whole
file or to nothing. Names are made here and never come from a client. Disk access happens in threads.
"""

import asyncio
import hashlib
import os
import re
from collections.abc import AsyncIterable, Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from msgspec import Struct

from gateway.clock import SYSTEM, Clock, ulid

_NAME = re.compile(r"[0-9a-z]{26}")
_BUFFER = 1 << 20
_HEAD = 64


class StoredFile(Struct, frozen=True, kw_only=True):
    """A file that is safely on disk. `sha256` is hexadecimal."""

    name: str
    size: int
    sha256: str


class OverLimitError(Exception):
    """More bytes came than the writer allowed."""


class Draft:
    """A file that is being written. Leaving its `async with` block without `keep` throws it away.

    `size` counts the bytes so far; `head` holds the first few, which tell what kind of file it is.
    """

    def __init__(self, directory: Path, name: str, limit: int) -> None:
        self.size = 0
        self.head = b""
        self._name = name
        self._path = directory / f"{name}.part"
        self._limit = limit
        self._buffer = bytearray()
        self._hash = hashlib.sha256()
        self._descriptor = -1

    async def __aenter__(self) -> Self:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        self._descriptor = await asyncio.to_thread(os.open, self._path, flags, 0o600)
        return self

    async def __aexit__(self, _type: type[BaseException] | None, _error: BaseException | None,
                        _trace: TracebackType | None) -> None:  # fmt: skip
        if self._descriptor >= 0:
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

    async def keep(self) -> StoredFile:
        """Bring everything to disk and give the file its name."""
        await self._flush()
        await asyncio.to_thread(self._publish)
        return StoredFile(name=self._name, size=self.size, sha256=self._hash.hexdigest())

    async def _flush(self) -> None:
        pending, self._buffer = self._buffer, bytearray()
        await asyncio.to_thread(self._write, pending)

    def _write(self, pending: bytearray) -> None:
        self._hash.update(pending)
        view = memoryview(pending)
        while view:
            view = view[os.write(self._descriptor, view) :]

    def _publish(self) -> None:
        os.fsync(self._descriptor)
        os.close(self._descriptor)
        self._descriptor = -1
        self._path.rename(self._path.with_suffix(""))
        directory = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)  # the rename itself must survive a power cut too
        finally:
            os.close(directory)


class OpenFile:
    """A stored file, open for reading at any place. Close it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    async def read(self, offset: int, count: int) -> bytes:
        """Up to `count` bytes from `offset`; empty at the end."""
        return await asyncio.to_thread(self.at, offset, count)

    def at(self, offset: int, count: int) -> bytes:
        """The same, for whoever is in a thread."""
        return os.pread(self._descriptor, count, offset)

    def close(self) -> None:
        """Let go of the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class MediaStore:
    """The files under one directory, which is made if need be."""

    def __init__(self, root: Path, clock: Clock = SYSTEM) -> None:
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._root = root
        self._clock = clock

    def draft(self, limit: int) -> Draft:
        """Begin a file of at most `limit` bytes: `async with store.draft(limit) as draft`."""
        return Draft(self._root, ulid(self._clock.now()), limit)

    async def write(self, chunks: AsyncIterable[bytes], limit: int) -> StoredFile:
        """Store a whole stream. Raises OverLimitError beyond the limit; then nothing is kept."""
        async with self.draft(limit) as draft:
            async for chunk in chunks:
                await draft.add(chunk)
            return await draft.keep()

    async def open(self, name: str) -> OpenFile:
        """Open a file. Raises FileNotFoundError when it is gone."""
        return OpenFile(await asyncio.to_thread(os.open, self._path(name), os.O_RDONLY))

    async def remove(self, names: Iterable[str]) -> None:
        """Remove files; those that are gone already are fine."""
        paths = [self._path(name) for name in names]
        if paths:
            await asyncio.to_thread(_unlink, paths)

    async def older_than(self, before: float) -> list[str]:
        """Names of files last changed before a Unix time; what killed writers left half-way is removed."""
        return await asyncio.to_thread(self._sweep, before)

    def _sweep(self, before: float) -> list[str]:
        names: list[str] = []
        for path in self._root.iterdir():
            with suppress(FileNotFoundError):
                if path.stat().st_mtime >= before:
                    continue
                if _NAME.fullmatch(path.name):
                    names.append(path.name)
                elif path.suffix == ".part" and _NAME.fullmatch(path.stem):
                    path.unlink()
        return names

    def _path(self, name: str) -> Path:
        if _NAME.fullmatch(name) is None:
            raise FileNotFoundError(name)
        return self._root / name


def _unlink(paths: list[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
