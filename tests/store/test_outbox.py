"""Rows of webhooks: none lost, none held by two, and only the newest claim may write."""

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy.exc import IntegrityError

from gateway.store import jobs, outbox
from gateway.store.engine import Database
from gateway.store.outbox import DEAD, DELIVERED, WAITING, Notice, Room
from tests.store.values import NOW, job, opened


def notice(name: str = "a", **changes: Any) -> Notice:
    values: dict[str, Any] = {
        "id": f"evt_{name}", "job": f"video_{name}", "caller": "ann", "event": "video.completed",
        "url": "https://hooks.example/", "payload": {"id": f"evt_{name}", "ünï": "🎬"}, "created_at": NOW,
        "due_at": NOW,
    }  # fmt: skip
    return Notice(**(values | changes))


async def put(database: Database, *made: Notice) -> None:
    async with database.write() as transaction:
        for one in made:
            await outbox.add(transaction, one)


async def claim(database: Database, now: float = NOW, limit: int = 10, **room: Any) -> list[Notice]:
    async with database.write() as transaction:
        return await outbox.claim(transaction, now, now + 30, Room(**{"all": limit, "each": limit, **room}))


async def save(database: Database, one: Notice) -> bool:
    async with database.write() as transaction:
        return await outbox.save(transaction, one)


async def page(database: Database, state: str | None = None) -> list[Notice]:
    async with database.read() as transaction:
        return await outbox.page(transaction, state, 10)


async def test_a_webhook_comes_back_as_it_was_written(url: str) -> None:
    async with opened(url) as database:
        await put(database, notice())
        assert await page(database) == [notice()]
        [claimed] = await claim(database)
        assert claimed == notice(leased_until=NOW + 30, fence=1)


async def test_a_job_and_event_are_told_of_once(url: str) -> None:
    async with opened(url) as database:
        await put(database, notice())
        with pytest.raises(IntegrityError):
            await put(database, notice(id="evt_b"))


async def test_each_is_held_by_one_however_many_try(url: str) -> None:
    async with opened(url) as database:
        await put(database, *(notice(f"{number:02}") for number in range(20)))
        claims = await asyncio.gather(*(claim(database, limit=3) for _ in range(8)))
        held = [one.id for some in claims for one in some]
        assert len(held) == len(set(held)) == 20
        assert await claim(database) == []


async def test_a_lease_that_ran_out_is_taken_over_and_its_holder_writes_nothing_more(url: str) -> None:
    async with opened(url) as database:
        await put(database, notice())
        [first] = await claim(database)
        assert await claim(database, NOW + 29) == []
        [second] = await claim(database, NOW + 30)
        assert not await save(database, replace(first, due_at=None, delivered_at=NOW))
        assert await save(database, replace(second, tries=1, reason="slow", due_at=NOW + 90))
        [kept] = await page(database, WAITING)
        assert (kept.tries, kept.reason, kept.due_at, kept.leased_until) == (1, "slow", NOW + 90, 0.0)


async def test_the_next_is_due_when_it_may_be_claimed(url: str) -> None:
    async with opened(url) as database:
        async with database.read() as transaction:
            assert await outbox.next_due(transaction) is None
        await put(database, notice("a"), notice("b", due_at=NOW + 50), notice("c", due_at=None))
        await claim(database)
        async with database.read() as transaction:
            assert await outbox.next_due(transaction) == NOW + 30


async def test_each_state_can_be_looked_at_and_sent_again_and_is_forgotten_in_the_end(url: str) -> None:
    waiting, dead = notice("a", due_at=NOW + 9), notice("b", due_at=None, reason="gone", tries=3)
    delivered = notice("c", due_at=None, delivered_at=NOW)
    async with opened(url) as database:
        await put(database, waiting, dead, delivered)
        assert [one.id for one in await page(database)] == ["evt_c", "evt_b", "evt_a"]
        for state, one in ((WAITING, waiting), (DEAD, dead), (DELIVERED, delivered)):
            assert await page(database, state) == [one]
            assert one.state == state
        async with database.write() as transaction:
            assert await outbox.replay(transaction, "evt_b", NOW + 5)
            assert not await outbox.replay(transaction, "evt_x", NOW + 5)
        assert [(one.id, one.tries) for one in await claim(database, NOW + 5)] == [("evt_b", 0)]
        async with database.write() as transaction:
            await outbox.forget(transaction, NOW)
            assert len(await outbox.page(transaction, None, 10)) == 3
            await outbox.forget(transaction, NOW + 1)
            assert [one.id for one in await outbox.page(transaction, None, 10)] == ["evt_b", "evt_a"]


async def test_what_is_replayed_while_it_is_sent_is_sent_again(url: str) -> None:
    async with opened(url) as database:
        await put(database, notice())
        [sending] = await claim(database)
        async with database.write() as transaction:
            await outbox.replay(transaction, "evt_a", NOW)
        assert not await save(database, replace(sending, due_at=None, delivered_at=NOW))
        assert [one.id for one in await claim(database)] == ["evt_a"]


async def test_a_deleted_job_takes_its_webhook_along(url: str) -> None:
    async with opened(url) as database:
        await put(database, notice("a"), notice("b"))
        async with database.write() as transaction:
            await jobs.insert_job(transaction, job("a"))
            await jobs.purge(transaction, "video_a")
        assert [one.id for one in await page(database)] == ["evt_b"]


async def test_a_receiver_has_its_own_room_and_leaves_the_rest_to_others(url: str) -> None:
    async with opened(url) as database:
        await put(database, *(notice(f"s{at}", receiver="slow:443", due_at=NOW - 9 + at) for at in range(5)))
        await put(database, notice("q", receiver="quick:443"), notice("old"))
        first = await claim(database, each=2)
        assert {one.id for one in first} == {"evt_s0", "evt_s1", "evt_old", "evt_q"}
        assert await claim(database, each=2, taken={"slow:443": 2}) == []
        async with database.read() as transaction:
            assert await outbox.next_due(transaction, ["slow:443"]) == NOW + 30  # that of the others' leases
            assert await outbox.next_due(transaction) == NOW - 7
        assert [one.id for one in await claim(database, each=3, taken={"slow:443": 2})] == ["evt_s2"]
        assert len(await claim(database, each=3, limit=1)) == 1
