"""Rows of jobs: nothing lost, nothing seen by strangers, and only the newest claim may write."""

import asyncio
from collections.abc import Sequence

from msgspec.structs import replace

from gateway.store import jobs, media_rows
from gateway.store.engine import Database
from gateway.store.jobs import Job
from gateway.store.media_rows import MediaRow
from tests.store.values import NOW, attempt, job, opened


async def put(database: Database, *made: Job) -> None:
    async with database.write() as transaction:
        for one in made:
            await jobs.insert_job(transaction, one)


async def get(database: Database, name: str, caller: str = "ann") -> Job | None:
    async with database.read() as transaction:
        return await jobs.get(transaction, caller, f"video_{name}")


async def claim(database: Database, now: float, until: float, limit: int = 10) -> Sequence[Job]:
    async with database.write() as transaction:
        return await jobs.claim(transaction, now, until, limit)


async def save(database: Database, one: Job, *, release: bool = True) -> Job | None:
    async with database.write() as transaction:
        return await jobs.save(transaction, one, release=release)


def picture(name: str, role: str = "first_frame") -> MediaRow:
    return MediaRow(name=name, role=role, mime="image/png", size=3, sha256="ab", created_at=NOW)


async def test_a_job_comes_back_as_it_was_written(url: str) -> None:
    request = {"prompt": "Ünï\u2028code 🎬", "n": [1, None]}
    made = job(media=(picture("m1"),), warnings=["odd"], request=request)
    async with opened(url) as database:
        await put(database, made)
        assert await get(database, "a") == made


async def test_strangers_and_deletion_look_like_a_job_that_never_was(url: str) -> None:
    async with opened(url) as database:
        await put(database, job())
        assert await get(database, "a", caller="bob") is None
        async with database.write() as transaction:
            assert await jobs.mark_deleted(transaction, "bob", "video_a", NOW) is None
            assert await jobs.mark_deleted(transaction, "ann", "video_a", NOW + 1) is not None
            assert await jobs.mark_deleted(transaction, "ann", "video_a", NOW + 2) is None
        assert await get(database, "a") is None


async def test_pages_walk_every_job_once_in_both_orders(url: str) -> None:
    names = [f"{number:02}" for number in range(7)]
    async with opened(url) as database:
        await put(database, *(job(name) for name in names), job("zz", caller="bob"))
        for newest_first in (True, False):
            seen: list[str] = []
            after = None
            while True:
                async with database.read() as transaction:
                    page = await jobs.page(
                        transaction, "ann", after=after, limit=3, newest_first=newest_first
                    )
                if not page:
                    break
                seen += [one.id.removeprefix("video_") for one in page]
                after = page[-1].id
            assert seen == sorted(names, reverse=newest_first)


async def test_a_page_may_start_after_a_job_that_is_gone(url: str) -> None:
    async with opened(url) as database:
        await put(database, job("a"), job("c"))
        async with database.read() as transaction:
            page = await jobs.page(transaction, "ann", after="video_b", limit=5, newest_first=True)
        assert [one.id for one in page] == ["video_a"]


async def test_only_due_jobs_that_nobody_holds_are_claimed(url: str) -> None:
    async with opened(url) as database:
        held = job("held", leased_until=NOW + 9)
        await put(database, job("due"), job("later", due_at=NOW + 5), job("never", due_at=None), held)
        claimed = await claim(database, NOW, NOW + 30)
        assert [(one.id, one.fence, one.leased_until) for one in claimed] == [("video_due", 1, NOW + 30)]
        assert await claim(database, NOW, NOW + 30) == []
        again = await claim(database, NOW + 31, NOW + 60)
        fences = {one.id: one.fence for one in again}
        assert fences == {"video_due": 2, "video_held": 1, "video_later": 1}


async def test_parallel_claims_never_share_a_job(url: str) -> None:
    async with opened(url) as database:
        await put(database, *(job(f"{number:03}") for number in range(40)))
        rounds = await asyncio.gather(*(claim(database, NOW, NOW + 30, limit=7) for _ in range(12)))
        claimed = [one.id for batch in rounds for one in batch]
        while batch := await claim(database, NOW, NOW + 30):
            claimed += [one.id for one in batch]
        assert sorted(claimed) == [f"video_{number:03}" for number in range(40)]


async def test_the_next_due_time_counts_leases(url: str) -> None:
    async with opened(url) as database:
        async with database.read() as transaction:
            assert await jobs.next_due(transaction) is None
        held = job("a", leased_until=NOW + 20)
        await put(database, held, job("b", due_at=NOW + 7), job("c", due_at=None))
        async with database.read() as transaction:
            assert await jobs.next_due(transaction) == NOW + 7


async def test_a_process_that_lost_its_lease_cannot_write(url: str) -> None:
    async with opened(url) as database:
        await put(database, job())
        [old] = await claim(database, NOW, NOW + 30)
        [new] = await claim(database, NOW + 31, NOW + 60)
        assert await save(database, replace(old, phase="running", progress=90)) is None
        assert await save(database, replace(new, phase="submitting"), release=False) is not None
        found = await get(database, "a")
        assert found is not None
        assert (found.phase, found.progress, found.leased_until) == ("submitting", 0, NOW + 60)
        async with database.write() as transaction:
            assert await jobs.renew(transaction, {"video_a": old.fence}, NOW + 99) == set()
            assert await jobs.renew(transaction, {"video_a": new.fence, "video_x": 1}, NOW + 99) == {
                "video_a"
            }
        found = await get(database, "a")
        assert found is not None
        assert found.leased_until == NOW + 99


async def test_renewing_does_not_take_back_a_lease_that_was_given_back(url: str) -> None:
    async with opened(url) as database:
        await put(database, job())
        [mine] = await claim(database, NOW, NOW + 30)
        await save(database, mine)
        async with database.write() as transaction:
            assert await jobs.renew(transaction, {"video_a": mine.fence}, NOW + 99) == {"video_a"}
        assert len(await claim(database, NOW + 1, NOW + 30)) == 1


async def test_saving_releases_and_tells_of_a_deletion_in_the_meantime(url: str) -> None:
    async with opened(url) as database:
        await put(database, job())
        [mine] = await claim(database, NOW, NOW + 30)
        async with database.write() as transaction:
            await jobs.mark_deleted(transaction, "ann", "video_a", NOW + 3)
        saved = await save(database, replace(mine, phase="running", due_at=NOW + 1))
        assert saved is not None
        assert saved.deleted_at == NOW + 3
        [again] = await claim(database, NOW + 2, NOW + 30)
        assert (again.phase, again.deleted_at) == ("running", NOW + 3)


async def test_a_job_that_is_hastened_while_somebody_holds_it_is_due_when_it_is_given_back(url: str) -> None:
    async with opened(url) as database:
        await put(database, *(job(name, phase="running") for name in "abcd"))
        held = {one.id: one for one in await claim(database, NOW, NOW + 30)}
        async with database.write() as transaction:
            await jobs.hasten(transaction, "video_a", "running", NOW + 1)
            await jobs.hasten(transaction, "video_b", "running", NOW + 1)
            await jobs.hasten(transaction, "video_c", "accepted", NOW + 1)
            await jobs.mark_deleted(transaction, "ann", "video_d", NOW + 1)
        for one in held.values():
            later = None if one.id == "video_b" else NOW + 60
            assert await save(database, replace(one, due_at=later)) is not None
        async with database.read() as transaction:
            rows = await transaction.exec_driver_sql("select due_at from jobs order by id")
            assert list(rows.scalars()) == [NOW + 1, None, NOW + 60, NOW + 1]
        again = await claim(database, NOW + 2, NOW + 30)
        assert [one.id for one in again] == ["video_a", "video_d"]
        assert await save(database, replace(again[0], due_at=NOW + 60)) is not None
        assert (await get(database, "a") or again[0]).due_at == NOW + 60  # once heard, it is done with


async def test_attempts_are_added_changed_and_kept_in_order(url: str) -> None:
    async with opened(url) as database:
        await put(database, job())
        async with database.write() as transaction:
            await jobs.put_attempt(transaction, "video_a", attempt(1))
            await jobs.put_attempt(transaction, "video_a", attempt(2, target="two/m"))
            changed = attempt(1, certainty="created", operation={"id": "up_1"}, retry_at=NOW, cost=7, price=2)
            await jobs.put_attempt(transaction, "video_a", changed)
        found = await get(database, "a")
        assert found is not None
        assert found.attempts == (changed, attempt(2, target="two/m"))


async def test_purging_takes_everything_along_and_names_the_files(url: str) -> None:
    async with opened(url) as database:
        await put(
            database, job(media=[picture("m1"), picture("m2", "video")]), job("b", media=[picture("m3")])
        )
        async with database.write() as transaction:
            await jobs.put_attempt(transaction, "video_a", attempt())
            assert sorted(await jobs.purge(transaction, "video_a")) == ["m1", "m2"]
        assert await get(database, "a") is None
        async with database.read() as transaction:
            assert await media_rows.known_media(transaction, ["m1", "m2", "m3", "m4"]) == {"m3"}


async def test_files_are_forgotten_by_role_and_by_age(url: str) -> None:
    async with opened(url) as database:
        rows = [picture("m1"), picture("m2", "video"), picture("m3", "thumbnail")]
        await put(database, job(media=rows, expires_at=NOW + 50), job("b", media=[picture("m4", "video")]))
        async with database.write() as transaction:
            dropped = await media_rows.drop_media(transaction, "video_a", ("video", "thumbnail"))
            assert dropped == ["m1"]
            assert await media_rows.drop_expired_media(transaction, NOW + 49) == []
            assert sorted(await media_rows.drop_expired_media(transaction, NOW + 50)) == ["m2", "m3"]
        found = await get(database, "a")
        assert found is not None
        assert found.media == ()


async def test_a_retry_finds_the_newest_alike_job_of_its_own_caller(url: str) -> None:
    alike = b"\x01" * 32
    async with opened(url) as database:
        await put(
            database,
            job("a", fingerprint=alike, created_at=NOW - 700),
            job("b", fingerprint=alike, created_at=NOW - 20),
            job("c", fingerprint=alike, created_at=NOW - 10),
            job("d", fingerprint=alike, created_at=NOW - 5, deleted_at=NOW - 1),
            job("e", caller="bob", fingerprint=alike),
            job("f"),
        )
        async with database.write() as transaction:
            assert await jobs.find_alike(transaction, "ann", alike, NOW - 600) == "video_c"
            assert await jobs.find_alike(transaction, "ann", b"\xff" * 32, NOW - 600) is None
            assert await jobs.find_alike(transaction, "eve", alike, NOW - 600) is None


async def test_what_began_at_a_place_in_a_time_is_told_whosever_it_is(url: str) -> None:
    made = [
        job("a", attempts=[attempt(), attempt(2, base_url="http://elsewhere/v1")]),
        job(
            "b",
            caller="bob",
            request={"prompt": "B"},
            attempts=[attempt(started_at=NOW + 9, operation={"id": "x"})],
        ),
        job("c", attempts=[attempt(started_at=NOW + 11)]),
    ]
    async with opened(url) as database:
        await put(database, *made)
        async with database.read() as transaction:
            found = await jobs.begun_at(transaction, attempt().base_url, NOW, NOW + 10)
    told = sorted((one.job, one.request["prompt"], one.attempt) for one in found)
    assert told == [("video_a", "A red kite", made[0].attempts[0]), ("video_b", "B", made[1].attempts[0])]
