"""Stills of videos whose providers give none: made once, kept as long as the video, and never at a job's expense."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import GatewayError, NotFound
from gateway.media.words import Stills
from gateway.media.workshop import Workshop
from gateway.service.video_sweep import sweep
from gateway.store.media import whole
from gateway.store.media_files import Directory
from tests.media.films import film
from tests.service.video_provider import PNG, Provider
from tests.service.video_rig import ANN, Rig, rig, snapshot, target


class Counted(Workshop):
    """The real workshop, which counts how often it is asked, and can be held up."""

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self.asked = 0
        self.drawn = asyncio.Event()
        self.gate: asyncio.Event | None = None

    async def stills(self, path: Path, mime: str) -> Stills:
        self.asked += 1
        made = await super().stills(path, mime)
        self.drawn.set()
        if self.gate is not None:
            await self.gate.wait()
        return made


@pytest.fixture
def bytes_of_film(tmp_path: Path) -> bytes:
    return film(tmp_path / "film.mp4", seconds=0.5).read_bytes()


async def still(r: Rig, job: str, variant: str) -> bytes:
    found = await r.videos.content(ANN, job, variant)
    try:
        return await whole(found.file, found.row.size)
    finally:
        found.file.close()


def files(folder: Path) -> list[str]:
    return [path.name for path in (folder / "media").iterdir()]


async def test_stills_are_made_when_asked_for_and_then_kept(tmp_path: Path, bytes_of_film: bytes) -> None:
    workshop = Counted()
    async with Provider(film=bytes_of_film) as one:
        async with rig(tmp_path, snapshot(target("one", one.url)), workshop=workshop) as r:
            job = await r.over(await r.create())
            assert workshop.asked == 0
            thumbnail = await still(r, job.id, "thumbnail")
            assert thumbnail[8:12] == b"WEBP"
            assert (await still(r, job.id, "spritesheet")).startswith(b"\xff\xd8\xff")
            assert await still(r, job.id, "thumbnail") == thumbnail
            assert workshop.asked == 1
            assert await still(r, job.id, "video") == bytes_of_film
            rows = await r.rows("select role, mime from media order by role")
            assert [tuple(row) for row in rows] == [
                ("spritesheet", "image/jpeg"), ("thumbnail", "image/webp"), ("video", "video/mp4"),
            ]  # fmt: skip


async def test_what_the_provider_gives_is_not_made_again(tmp_path: Path, bytes_of_film: bytes) -> None:
    async with Provider(film=bytes_of_film, thumbnail=PNG) as one:
        async with rig(tmp_path, snapshot(target("one", one.url))) as r:
            job = await r.over(await r.create())
            assert (await still(r, job.id, "spritesheet")).startswith(b"\xff\xd8\xff")
            assert await still(r, job.id, "thumbnail") == PNG
            assert len(await r.rows("select * from media")) == 3


async def test_many_who_ask_at_once_are_served_by_one_making_and_one_who_leaves_spoils_nothing(
    tmp_path: Path, bytes_of_film: bytes
) -> None:
    workshop = Counted()
    workshop.gate = asyncio.Event()
    async with Provider(film=bytes_of_film) as one:
        async with rig(tmp_path, snapshot(target("one", one.url)), workshop=workshop) as r:
            job = await r.over(await r.create())
            first, *others = (asyncio.create_task(still(r, job.id, "thumbnail")) for _ in range(5))
            await workshop.drawn.wait()
            first.cancel()
            workshop.gate.set()
            assert len(set(await asyncio.gather(*others))) == 1
            assert workshop.asked == 1
            assert first.cancelled()


async def test_a_corrupt_video_is_delivered_and_has_no_stills(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    workshop = Counted()
    async with Provider() as one, rig(tmp_path, snapshot(target("one", one.url)), workshop=workshop) as r:
        job = await r.over(await r.create())
        assert job.state == "completed"
        for variant in ("thumbnail", "spritesheet", "thumbnail"):
            with pytest.raises(NotFound) as refused:
                await still(r, job.id, variant)
            assert refused.value.code == "variant_unavailable"
        assert workshop.asked == 1
        assert len(files(tmp_path)) == 1
    assert f"no stills of the video {job.id}: it cannot be decoded" in caplog.text


async def test_a_video_that_is_deleted_while_its_stills_are_made_leaves_nothing(
    tmp_path: Path, bytes_of_film: bytes
) -> None:
    workshop = Counted()
    workshop.gate = asyncio.Event()
    async with Provider(film=bytes_of_film) as one:
        async with rig(tmp_path, snapshot(target("one", one.url)), workshop=workshop) as r:
            job = await r.until(await r.create(), lambda found: found.phase == "done")
            asking = asyncio.create_task(still(r, job.id, "thumbnail"))
            await workshop.drawn.wait()
            await r.videos.delete(ANN, job.id)
            workshop.gate.set()
            with pytest.raises(GatewayError) as refused:
                await asking
            assert refused.value.code == "video_not_found"
            assert files(tmp_path) == []


async def test_stills_expire_with_their_video(tmp_path: Path, bytes_of_film: bytes) -> None:
    async with Provider(film=bytes_of_film) as one, rig(tmp_path, snapshot(target("one", one.url))) as r:
        job = await r.over(await r.create())
        await still(r, job.id, "thumbnail")
        assert len(files(tmp_path)) == 3
        await r.runner.stop()
        async with r.parts.database.write() as transaction:
            await transaction.exec_driver_sql("update jobs set expires_at = 1")
        await sweep(r.parts)
        assert files(tmp_path) == []
        with pytest.raises(NotFound, match="expired"):
            await still(r, job.id, "thumbnail")


async def test_a_video_that_lies_elsewhere_is_fetched_for_its_stills(
    tmp_path: Path, bytes_of_film: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Directory, "path_of", lambda _self, _name: None)  # as a bucket answers
    async with Provider(film=bytes_of_film) as one, rig(tmp_path, snapshot(target("one", one.url))) as r:
        job = await r.over(await r.create())
        assert (await still(r, job.id, "thumbnail"))[8:12] == b"WEBP"
        assert not [name for name in files(tmp_path) if name.endswith(".part")]
