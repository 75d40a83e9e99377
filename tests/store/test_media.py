"""Stored files: whole or not there at all, and never at a place a name could choose."""

import asyncio
import hashlib
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.store.media import MediaStore, OverLimitError


def names(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


async def pieces(*data: bytes) -> AsyncIterator[bytes]:
    for piece in data:
        yield piece


async def test_a_file_comes_back_from_any_place(tmp_path: Path) -> None:
    store = MediaStore(tmp_path / "media")
    data = os.urandom(3_000_001)
    stored = await store.write(pieces(data[:10], data[10:2_000_000], b"", data[2_000_000:]), limit=len(data))
    assert (stored.size, stored.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    file = await store.open(stored.name)
    assert await file.read(0, 10) == data[:10]
    assert await file.read(2_999_999, 100) == data[2_999_999:]
    assert await file.read(len(data), 100) == b""
    file.close()
    file.close()


async def test_nothing_stays_of_a_file_that_was_not_finished(tmp_path: Path) -> None:
    store = MediaStore(tmp_path)
    with pytest.raises(OverLimitError):
        await store.write(pieces(b"12345", b"6"), limit=5)
    with pytest.raises(RuntimeError):
        await half_way(store)
    assert names(tmp_path) == []


async def half_way(store: MediaStore) -> None:
    async with store.draft(100) as draft:
        await draft.add(b"half")
        assert draft.head == b"half"
        raise RuntimeError("the upstream broke")


async def test_a_name_cannot_lead_out_of_the_directory(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    store = MediaStore(tmp_path / "media")
    for name in ("../secret", "/etc/passwd", "", "a" * 25, "A" * 26, "." * 26, "a" * 26 + "\n"):
        with pytest.raises(FileNotFoundError):
            await store.open(name)
        with pytest.raises(FileNotFoundError):
            await store.remove([name])
    with pytest.raises(FileNotFoundError):
        await store.open("a" * 26)
    await store.remove(["a" * 26])


async def test_names_are_fresh_even_for_the_same_bytes(tmp_path: Path) -> None:
    store = MediaStore(tmp_path)
    stored = await asyncio.gather(*(store.write(pieces(b"same"), limit=10) for _ in range(20)))
    assert len({one.name for one in stored}) == 20
    await store.remove(one.name for one in stored)
    assert names(tmp_path) == []


async def test_sweeping_removes_half_files_and_names_old_ones(tmp_path: Path) -> None:
    store = MediaStore(tmp_path)
    old = await store.write(pieces(b"old"), limit=10)
    new = await store.write(pieces(b"new"), limit=10)
    half = tmp_path / ("b" * 26 + ".part")
    foreign = tmp_path / "README"
    for path in (half, foreign):
        path.write_text("x")
    for path in (tmp_path / old.name, half, foreign):
        os.utime(path, (1, 1))
    assert await store.older_than(time.time() - 60) == [old.name]
    assert sorted(names(tmp_path)) == sorted([old.name, new.name, "README"])


def test_the_directory_is_for_this_user_only(tmp_path: Path) -> None:
    MediaStore(tmp_path / "deep" / "media")
    assert (tmp_path / "deep" / "media").stat().st_mode & 0o077 == 0
