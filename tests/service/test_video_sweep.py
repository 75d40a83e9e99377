"""What time makes worthless is cleared away, and what a crash left open is closed by whoever comes next."""

import os
from pathlib import Path

from gateway.service.video_content import Content
from gateway.service.video_sweep import sweep
from gateway.store.media import whole
from tests.service.video_provider import MP4, Provider
from tests.service.video_rig import ANN, rig, snapshot, target

NOWHERE = snapshot(target("one", "http://127.0.0.1:9"))


def files(folder: Path) -> list[str]:
    return [path.name for path in (folder / "media").iterdir()]


async def test_expired_content_orphans_and_old_keys_go_and_nothing_else(tmp_path: Path) -> None:
    async with Provider() as one, rig(tmp_path, snapshot(target("one", one.url))) as r:
        done = await r.over(await r.create(key="k1"))
        await r.runner.stop()
        [name] = files(tmp_path)
        async with r.parts.media.draft(10) as draft:
            await draft.add(b"orphan")
            orphan = await draft.keep()
        for path in (name, orphan.name):
            os.utime(tmp_path / "media" / path, (1, 1))
        await sweep(r.parts)
        assert files(tmp_path) == [name]
        content: Content = await r.videos.content(ANN, done.id, "video")
        assert await whole(content.file, 10) == MP4[:10]
        content.file.close()
        async with r.parts.database.write() as transaction:
            await transaction.exec_driver_sql("update jobs set expires_at = 1")
            await transaction.exec_driver_sql("update idempotency set created_at = created_at - 172801")
        await sweep(r.parts)
        assert files(tmp_path) == []
        assert await r.rows("select * from idempotency") == []
        assert (await r.videos.get(ANN, done.id)).state == "completed"


async def test_a_crash_before_settling_is_settled_by_the_next_runner(tmp_path: Path) -> None:
    async with Provider() as one, rig(tmp_path, snapshot(target("one", one.url))) as r:
        done = await r.until(await r.create(), lambda job: job.phase == "done")
        await r.runner.stop()
        r.door.held[done.lease] = 1
        r.door.settled.clear()
        async with r.parts.database.write() as transaction:
            await transaction.exec_driver_sql("update jobs set phase = 'settling', due_at = 1")
        async with rig(tmp_path, snapshot(target("one", one.url))) as other:
            other.door.held[done.lease] = 1
            await other.until(done, lambda job: job.phase == "done")
            assert other.door.settled == {done.lease: (4000, 400_000_000)}
        assert len(await r.rows("select * from ledger")) == 1


async def test_a_busy_target_is_one_attempt_however_often_it_refuses(tmp_path: Path) -> None:
    async with Provider(submit=[(429, "rate_limit_exceeded")] * 2) as one:
        async with rig(tmp_path, snapshot(target("one", one.url)), patience=0.0) as r:
            done = await r.over(await r.create())
            assert (done.state, len(done.attempts)) == ("completed", 1)
        assert sum(method == "POST" for method, _ in one.requests) == 3
