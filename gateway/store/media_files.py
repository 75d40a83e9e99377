"""Stored files in one local directory."""

import asyncio
import os
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from pathlib import Path

from gateway.store.media import NAME, PIECE


class LocalFile:
    """A file of the directory, open for reading."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    async def pieces(self, start: int, end: int) -> AsyncGenerator[bytes, None]:
        """The bytes from `start` up to but not including `end`; fewer when the file ends before."""
        while start < end:
            piece = await asyncio.to_thread(os.pread, self._descriptor, min(PIECE, end - start), start)
            if not piece:
                return
            start += len(piece)
            yield piece

    def close(self) -> None:
        """Let go of the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class Directory:
    """The files under one directory, on the same disk as the drafts."""

    def __init__(self, root: Path) -> None:
        self._root = root

    async def publish(self, draft: Path, name: str) -> None:
        """Bring a draft to disk and rename it."""
        await asyncio.to_thread(self._publish, draft, name)

    def _publish(self, draft: Path, name: str) -> None:
        _sync(draft)
        draft.rename(self._root / name)
        _sync(self._root)  # the rename itself must survive a power cut too

    async def open(self, name: str) -> LocalFile:
        """Open a file. Raises FileNotFoundError when it is gone."""
        return LocalFile(await asyncio.to_thread(os.open, self._root / name, os.O_RDONLY))

    async def again(self, name: str, further: str) -> None:
        """Give a file a further name. Raises OSError when it is gone, or where files have but one name."""
        await asyncio.to_thread(self._link, self._root / name, self._root / further)

    def _link(self, source: Path, further: Path) -> None:
        os.utime(source)  # or the new name would look like an orphan until its row is written
        further.hardlink_to(source)

    def path_of(self, name: str) -> Path | None:
        """Where a file lies."""
        return self._root / name

    async def remove(self, names: Sequence[str]) -> None:
        """Remove files; those that are gone already are fine."""
        await asyncio.to_thread(self._remove, names)

    def _remove(self, names: Sequence[str]) -> None:
        for name in names:
            (self._root / name).unlink(missing_ok=True)

    async def older_than(self, before: float) -> list[str]:
        """Names of files last changed before a Unix time."""
        return await asyncio.to_thread(self._older_than, before)

    def _older_than(self, before: float) -> list[str]:
        names: list[str] = []
        for path in self._root.iterdir():
            with suppress(FileNotFoundError):
                if NAME.fullmatch(path.name) and path.stat().st_mtime < before:
                    names.append(path.name)
        return names


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
