"""Those who wait for a worker: whose turn it is, and waking whom nobody holds."""

from gateway.store import jobs
from gateway.store.engine import Database
from gateway.store.jobs import Job
from tests.store.test_jobs import get, put
from tests.store.values import NOW, job, opened

LATER = {"waiting_since": NOW, "due_at": NOW + 300}


async def line(database: Database, limit: int = 10) -> list[str]:
    async with database.read() as transaction:
        return [one.id.removeprefix("video_") for one in await jobs.waiting(transaction, limit)]


async def test_everybody_has_a_turn_before_anybody_has_two(url: str) -> None:
    async with opened(url) as database:
        await put(
            database,
            *(job(f"ann{number}", **LATER) for number in range(3)),
            *(job(f"bob{number}", caller="bob", **LATER) for number in range(2)),
            job("cid0", caller="cid", **LATER),
            job("cid1", caller="cid", phase="running"),  # under way: cid has had a turn
            job("dan0", caller="dan"),  # does not wait
            job("eve0", caller="eve", deleted_at=NOW, **LATER),
            job("fay0", caller="fay", due_at=None, phase="done"),
        )
        assert await line(database) == ["ann0", "bob0", "ann1", "bob1", "cid0", "ann2"]
        assert await line(database, limit=2) == ["ann0", "bob0"]


async def test_those_who_wait_are_woken_unless_somebody_holds_them(url: str) -> None:
    async with opened(url) as database:
        await put(
            database,
            job("waits", **LATER),
            job("held", leased_until=NOW + 30, **LATER),
            job("elsewhere", due_at=NOW + 300),
        )
        names = ["video_waits", "video_held", "video_elsewhere", "video_none"]
        async with database.write() as transaction:
            await jobs.tell_etas(transaction, dict.fromkeys(names, NOW + 60))
            assert await jobs.rouse(transaction, names, NOW)
            assert not await jobs.rouse(transaction, names, NOW)
        found = [await get(database, name) for name in ("waits", "held", "elsewhere")]
        assert [told(one) for one in found] == [(0, 60), (300, 60), (300, None)]


def told(one: Job | None) -> tuple[float, float | None]:
    """When a job is due and when it will be done, in seconds from NOW."""
    assert one is not None
    assert one.due_at is not None
    return one.due_at - NOW, None if one.eta_at is None else one.eta_at - NOW
