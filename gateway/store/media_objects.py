"""Stored files in a bucket of S3, Google Cloud Storage or Azure, through obstore; its only importer.

Credentials and endpoints come from the environment, by the names that each cloud's own tools use. Nothing is held
whole in memory: an upload reads the draft in parts, a download is one GET that is read as fast as the client reads.
"""

import asyncio
import logging
import re
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import obstore
from obstore.exceptions import BaseError
from obstore.store import from_url

from gateway.errors import Unavailable
from gateway.store.media import NAME, PIECE

log = logging.getLogger("fairlead.media")

_PART = 5 * 1024 * 1024
"""Bytes of one part of an upload, the least that S3 takes: the largest video takes 820 of the 10,000 it allows."""
_PARTS_AT_ONCE = 2
_UPLOADS_AT_ONCE = 4
"""Uploads in parts that run side by side: each holds its parts in memory. Smaller files do not wait for them."""
_CLIENT: Any = {
    "allow_http": True,  # only where the operator's own endpoint says http://
    "connect_timeout": "5s",
    "read_timeout": "30s",  # runs only while we wait for bytes: a slow reader is no failure
    "timeout": "1day",  # the library's 30 s would cut every long download
}
_RETRIES: Any = {"max_retries": 3, "retry_timeout": timedelta(seconds=20)}
_QUERY = re.compile(r"\?\S*")


class BucketFile:
    """A file of the bucket, to be read in one piece or in parts."""

    def __init__(self, store: Any, name: str) -> None:
        self._store = store
        self._name = name

    async def pieces(self, start: int, end: int) -> AsyncGenerator[bytes, None]:
        """The bytes from `start` up to but not including `end`; fewer when the file ends before."""
        if start >= end:
            return
        with _asking():
            found = await obstore.get_async(self._store, self._name, options={"range": (start, end)})
            async for piece in found.stream(min_chunk_size=PIECE):
                yield bytes(piece)

    def close(self) -> None:
        """Nothing is held between reads."""


class Bucket:
    """The files under a URL such as `s3://bucket/prefix`. Raises ValueError, in the store's words, for a bad one."""

    def __init__(self, url: str) -> None:
        try:
            self._store: Any = from_url(url, client_options=_CLIENT, retry_config=_RETRIES)
        except BaseError as error:
            raise ValueError(_line(error)) from error
        self._uploads = asyncio.Semaphore(_UPLOADS_AT_ONCE)

    async def publish(self, draft: Path, name: str) -> None:
        """Upload a draft, in parts when it is large; the name appears when all of it is there."""
        large = (await asyncio.to_thread(draft.stat)).st_size > _PART
        with _asking():
            try:
                async with self._uploads if large else nullcontext():
                    await obstore.put_async(
                        self._store, name, draft, chunk_size=_PART, max_concurrency=_PARTS_AT_ONCE
                    )
            except FileNotFoundError as error:
                raise _unavailable(error) from error  # not the file is missing, but the bucket

    async def open(self, name: str) -> BucketFile:
        """Open a file. Raises FileNotFoundError when it is gone."""
        with _asking():
            await obstore.head_async(self._store, name)
        return BucketFile(self._store, name)

    async def again(self, name: str, further: str) -> None:
        """Have the bucket copy a file. Raises FileNotFoundError when it is gone."""
        with _asking():
            await obstore.copy_async(self._store, name, further)

    def path_of(self, _name: str) -> Path | None:
        """Nothing of it lies on the local disk."""
        return None

    async def remove(self, names: Sequence[str]) -> None:
        """Remove files. What cannot be reached now has no row any more and goes with a later sweep."""
        with suppress(Unavailable), _asking():
            for name in names:
                with suppress(FileNotFoundError):
                    await obstore.delete_async(self._store, name)

    async def older_than(self, before: float) -> list[str]:
        """Names of files last changed before a Unix time."""
        names: list[str] = []
        with _asking():
            async for batch in obstore.list(self._store):
                names += [one["path"] for one in batch if one["last_modified"].timestamp() < before]
        return [name for name in names if NAME.fullmatch(name)]


@contextmanager
def _asking() -> Iterator[None]:
    """Turns what the store meets into Unavailable; a file that is not there stays FileNotFoundError."""
    try:
        yield
    except BaseError as error:
        raise _unavailable(error) from error


def _unavailable(error: Exception) -> Unavailable:
    log.warning("the media store failed: %s", _line(error))
    message = "The gateway's media store does not answer; try again."
    return Unavailable(message, code="store_unavailable", retry_after=1)


def _line(error: Exception) -> str:
    """The first line of what the library says, without what a URL may carry after its path."""
    return _QUERY.sub("?...", str(error).partition("\n")[0])[:300]
