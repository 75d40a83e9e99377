"""Stored files: whole or not there at all, and never at a place a name could choose. In a directory and in buckets."""

import asyncio
import hashlib
import os
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import obstore
import pytest
from obstore.store import from_url

from gateway.errors import Unavailable
from gateway.store.media import MediaStore, OpenFile, OverLimitError, whole
from gateway.store.media_files import Directory
from gateway.store.media_objects import Bucket
from tests.buckets import AzureServer, BucketServer, azure_server, bucket_server  # noqa: F401


class Shelf(ABC):
    """A media store, and a look at what really lies there. `drafts` is where files are written first."""

    store: MediaStore

    def __init__(self, folder: Path) -> None:
        self.drafts = folder / "media"

    @abstractmethod
    def names(self) -> list[str]:
        """What lies there, drafts left out."""

    @abstractmethod
    def put(self, name: str, data: bytes) -> None:
        """Something that is not ours."""

    def halves(self) -> list[str]:
        return [path.name for path in self.drafts.glob("*.part")]


class OnDisk(Shelf):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.store = MediaStore(self.drafts, Directory(self.drafts))

    def names(self) -> list[str]:
        return [path.name for path in self.drafts.iterdir() if path.suffix != ".part"]

    def put(self, name: str, data: bytes) -> None:
        (self.drafts / name).write_bytes(data)


class InBucket(Shelf):
    def __init__(self, folder: Path, url: str) -> None:
        super().__init__(folder)
        self.store = MediaStore(self.drafts, Bucket(url))
        self._objects: Any = from_url(url, client_options={"allow_http": True})

    def names(self) -> list[str]:
        return [one["path"] for batch in obstore.list(self._objects) for one in batch]

    def put(self, name: str, data: bytes) -> None:
        obstore.put(self._objects, name, data)


@pytest.fixture(params=["directory", "s3", "azure"])
def shelf(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    if request.param == "directory":
        return OnDisk(tmp_path)
    name = {"s3": "bucket_server", "azure": "azure_server"}[request.param]
    server: BucketServer | AzureServer = request.getfixturevalue(name)
    for variable, value in server.environment.items():
        monkeypatch.setenv(variable, value)
    return InBucket(tmp_path, f"{server.create()}/some/where")


async def pieces(*data: bytes) -> AsyncIterator[bytes]:
    for piece in data:
        yield piece


async def part(file: OpenFile, start: int, end: int) -> bytes:
    return b"".join([piece async for piece in file.pieces(start, end)])


async def test_a_file_comes_back_from_any_place(shelf: Shelf) -> None:
    data = os.urandom(9_000_001)  # more than one part of an upload
    stored = await shelf.store.write(
        pieces(data[:10], data[10:2_000_000], b"", data[2_000_000:]), limit=len(data)
    )
    assert (stored.size, stored.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    file = await shelf.store.open(stored.name)
    assert await whole(file, len(data)) == data
    assert await part(file, 0, 10) == data[:10]
    assert await part(file, 3_000_000, 5_000_000) == data[3_000_000:5_000_000]
    assert await part(file, 8_999_999, 9_000_100) == data[8_999_999:]
    assert await part(file, 5, 5) == b""
    file.close()
    file.close()
    assert shelf.halves() == []


async def test_a_reader_who_leaves_in_the_middle_leaves_the_file_as_it_was(shelf: Shelf) -> None:
    stored = await shelf.store.write(pieces(b"x" * 2_000_000), limit=2_000_000)
    file = await shelf.store.open(stored.name)
    first = file.pieces(0, stored.size)
    assert 0 < len(await anext(first)) < stored.size
    await first.aclose()
    assert len(await whole(file, stored.size)) == stored.size
    file.close()


async def test_a_draft_can_be_looked_at_and_changed_before_it_is_kept(shelf: Shelf) -> None:
    async def change(source: Path, target: Path) -> None:
        await asyncio.to_thread(lambda: target.write_bytes(source.read_bytes()[::-1]))

    async with shelf.store.draft(100) as draft:
        await draft.add(b"abc")
        assert await draft.read(1, 10) == b"bc"
        await draft.rewrite(change)
        await draft.add(b"!")
        stored = await draft.keep()
    assert (stored.size, stored.sha256) == (4, hashlib.sha256(b"cba!").hexdigest())
    file = await shelf.store.open(stored.name)
    assert await whole(file, 4) == b"cba!"
    file.close()


async def test_a_change_that_fails_leaves_what_was_there(shelf: Shelf) -> None:
    async def change(_source: Path, target: Path) -> None:
        await asyncio.to_thread(target.write_bytes, b"half")
        raise RuntimeError("no certificate")

    async with shelf.store.draft(100) as draft:
        await draft.add(b"abc")
        with pytest.raises(RuntimeError):
            await draft.rewrite(change)
        stored = await draft.keep()
    assert stored.sha256 == hashlib.sha256(b"abc").hexdigest()
    assert shelf.halves() == []


async def test_nothing_stays_of_a_file_that_was_not_finished(shelf: Shelf) -> None:
    with pytest.raises(OverLimitError):
        await shelf.store.write(pieces(b"12345", b"6"), limit=5)
    with pytest.raises(RuntimeError):
        await half_way(shelf.store)
    assert shelf.names() == shelf.halves() == []


async def half_way(store: MediaStore) -> None:
    async with store.draft(100) as draft:
        await draft.add(b"half")
        assert draft.head == b"half"
        raise RuntimeError("the upstream broke")


async def test_a_name_cannot_lead_anywhere_else(shelf: Shelf) -> None:
    for name in ("../secret", "/etc/passwd", "", "a" * 25, "A" * 26, "." * 26, "a" * 26 + "\n"):
        with pytest.raises(FileNotFoundError):
            await shelf.store.open(name)
        with pytest.raises(FileNotFoundError):
            await shelf.store.remove([name])
    with pytest.raises(FileNotFoundError):
        await shelf.store.open("a" * 26)
    await shelf.store.remove(["a" * 26])


async def test_names_are_fresh_even_for_the_same_bytes(shelf: Shelf) -> None:
    stored = await asyncio.gather(*(shelf.store.write(pieces(b"same"), limit=10) for _ in range(20)))
    assert len({one.name for one in stored}) == 20
    await shelf.store.remove(one.name for one in stored)
    assert shelf.names() == []


async def test_sweeping_names_old_files_and_touches_nothing_that_is_not_ours(shelf: Shelf) -> None:
    stored = [await shelf.store.write(pieces(b"one"), limit=10) for _ in range(2)]
    shelf.put("README", b"x")
    assert await shelf.store.older_than(time.time() - 60) == []
    assert sorted(await shelf.store.older_than(time.time() + 60)) == sorted(one.name for one in stored)
    assert sorted(shelf.names()) == sorted(["README", *(one.name for one in stored)])


async def test_sweeping_removes_what_killed_writers_left(shelf: Shelf) -> None:
    old = [shelf.drafts / f"{'b' * 26}{ending}" for ending in (".part", ".new.part")]
    new, foreign = shelf.drafts / f"{'c' * 26}.part", shelf.drafts / "notes.part"
    for path in (*old, new, foreign):
        path.write_text("x")
    for path in (*old, foreign):
        os.utime(path, (1, 1))
    assert await shelf.store.older_than(time.time() - 60) == []
    assert sorted(shelf.halves()) == sorted([new.name, foreign.name])


def test_the_directory_is_for_this_user_only(shelf: Shelf) -> None:
    assert shelf.drafts.stat().st_mode & 0o077 == 0


async def test_a_bucket_that_is_away_is_no_file_that_is_gone(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    bucket_server: BucketServer,  # noqa: F811
) -> None:
    for name, value in bucket_server.environment.items():
        monkeypatch.setenv(name, value)
    store = MediaStore(tmp_path, Bucket("s3://no-such-bucket/x"))
    with pytest.raises(Unavailable, match="media store"):
        await store.write(pieces(b"data"), limit=10)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    store = MediaStore(tmp_path, Bucket("s3://bucket/x"))
    for call in (store.open("a" * 26), store.older_than(1.0), store.write(pieces(b"data"), limit=10)):
        with pytest.raises(Unavailable, match="media store"):
            await call
    await store.remove(["a" * 26])
    assert await asyncio.to_thread(lambda: list(tmp_path.iterdir())) == []


def test_a_url_that_says_too_little_is_refused() -> None:
    with pytest.raises(ValueError, match="Account"):
        Bucket("az://container/prefix")


async def test_a_writer_that_is_cancelled_closes_nothing_that_is_still_written_to(tmp_path: Path) -> None:
    shelf, pool = OnDisk(tmp_path), ThreadPoolExecutor(1)
    asyncio.get_running_loop().set_default_executor(pool)
    slow, begun = threading.Event(), asyncio.Event()

    async def write() -> None:
        async with shelf.store.draft(1 << 22) as draft:
            pool.submit(slow.wait, 30)  # a disk that takes its time
            begun.set()
            await draft.add(bytes(2 << 20))

    writer = asyncio.create_task(write())
    await begun.wait()
    for _ in range(3):
        await asyncio.sleep(0)  # until the write waits for the disk
    writer.cancel()
    try:
        assert not (await asyncio.wait([writer], timeout=0.05))[0]
    finally:
        slow.set()
    with pytest.raises(asyncio.CancelledError):
        await writer
    assert shelf.halves() == []
