"""Rows of batches: none begun twice, none lost, never more than a key may have, and the last to end knows it."""

import asyncio
from typing import Any

from msgspec.structs import replace

from gateway.store import batch_rows, batches, files
from gateway.store.batch_rows import BatchRow
from gateway.store.batches import Batch
from gateway.store.engine import Database
from gateway.store.files import FileRow, Slice
from tests.store.values import NOW, opened


def batch(name: str = "a", **changes: Any) -> Batch:
    values: dict[str, Any] = {
        "id": f"batch_{name}", "caller": "ann", "endpoint": "/v1/videos", "input_file": "file-a",
        "metadata": {"ünï": "🎬"}, "base_url": "http://x", "output_life": 3600.0, "created_at": NOW,
        "expires_at": NOW + 60, "due_at": NOW,
    }  # fmt: skip
    return Batch(**(values | changes))


def running(name: str = "a", total: int = 10, **changes: Any) -> Batch:
    """One whose rows are worked off."""
    return batch(name, status="in_progress", total=total, due_at=None, **changes)


def rows(made: Batch, first: int, count: int) -> list[BatchRow]:
    """Rows as their runner writes them down."""
    numbers = range(first, first + count)
    return [
        BatchRow(
            batch=made.id, number=number, caller=made.caller, custom_id=f"row-{number}", start=number, size=1,
            started_at=NOW, due_at=NOW, leased_until=NOW + 30, fence=1,
        )
        for number in numbers
    ]  # fmt: skip


async def put(database: Database, *made: Batch) -> None:
    async with database.write() as transaction:
        for one in made:
            await batches.add(transaction, one)


async def found(database: Database, made: Batch) -> Batch:
    async with database.read() as transaction:
        return await batches.get_any(transaction, made.id)


async def begin(database: Database, made: Batch, most: int) -> list[BatchRow]:
    """Begin up to five rows as a runner does, seeing the batch as it is now."""
    seen = await found(database, made)
    async with database.write() as transaction:
        room = await batch_rows.room_of(transaction, made.caller, most)
        new = rows(made, seen.started + 1, min(room, 5, seen.total - seen.started))
        if not new or not await batches.begun(transaction, seen, len(new), seen.started + len(new)):
            return []
        await batch_rows.add(transaction, new)
    return new


async def end(database: Database, row: BatchRow, state: str = "completed") -> bool:
    async with database.write() as transaction:
        if not await batch_rows.save(transaction, replace(row, state=state, result="{}", due_at=None)):
            return False
        await batches.ended(transaction, row.batch, fine=state == "completed", now=NOW + 1)
    return True


async def test_a_batch_comes_back_as_it_was_written_and_only_to_its_owner(url: str) -> None:
    async with opened(url) as database:
        made = batch(errors=[{"code": "x", "line": 1}], usage={"total_tokens": 1})
        await put(database, made)
        async with database.read() as transaction:
            assert await batches.get(transaction, "ann", made.id) == made
            assert await batches.get(transaction, "bob", made.id) is None
            assert await batches.page(transaction, "bob", None, 10) == []
            assert await batches.page(transaction, "ann", None, 10) == [made]


async def test_a_key_never_has_more_rows_than_it_may_however_many_begin_at_once(url: str) -> None:
    most = 7
    async with opened(url) as database:
        made = [running("a", 20), running("b", 20), running("c", 20, caller="bob")]
        await put(database, *made)
        began = await asyncio.gather(*(begin(database, one, most) for one in made * 4))
        while any(began := [*began, *[await begin(database, one, most) for one in made]][-3:]):
            pass
        async with database.read() as transaction:
            assert await batch_rows.running(transaction, ["ann", "bob", "eve"]) == {"ann": most, "bob": most}


async def test_every_row_is_begun_once_and_the_last_to_end_asks_for_the_end(url: str) -> None:
    async with opened(url) as database:
        made = running("a", 23)
        await put(database, made)
        begun: list[BatchRow] = []
        while new := [
            row for some in await asyncio.gather(*(begin(database, made, 23),) * 1) for row in some
        ]:
            begun += new
        assert [row.number for row in begun] == list(range(1, 24))
        states = ["failed" if row.number % 3 == 0 else "completed" for row in begun]
        for row, state in zip(begun[:-5], states, strict=False):
            assert await end(database, row, state)
            assert (await found(database, made)).due_at is None
        await asyncio.gather(*(end(database, row, states[row.number - 1]) for row in begun[-5:]))
        last = await found(database, made)
        assert (last.status, last.completed, last.failed, last.due_at) == ("finalizing", 16, 7, NOW + 1)
        async with database.read() as transaction:
            told = await batch_rows.results(transaction, made.id, "failed", 3, 4)
        assert [row.number for row in told] == [6, 9, 12, 15]


async def test_a_row_is_taken_over_when_its_lease_ran_out_and_its_old_holder_writes_nothing(url: str) -> None:
    async with opened(url) as database:
        made = running("a", 2)
        await put(database, made)
        first, second = await begin(database, made, 10)
        async with database.write() as transaction:
            assert await batch_rows.claim(transaction, NOW + 29, NOW + 60, 10) == []
            assert await batch_rows.renew(transaction, second, NOW + 90)
            assert await batch_rows.next_due(transaction) == NOW + 30
            [taken] = await batch_rows.claim(transaction, NOW + 30, NOW + 60, 10)
        assert (taken.number, taken.fence) == (1, 2)
        assert not await end(database, first)
        async with database.write() as transaction:
            assert not await batch_rows.renew(transaction, first, NOW + 99)
        assert await end(database, taken)
        assert not await end(database, replace(taken, fence=1))
        assert (await found(database, made)).completed == 1


async def test_a_batch_that_ends_begins_nothing_more(url: str) -> None:
    async with opened(url) as database:
        late, idle, stopped = running("a"), running("b"), running("c")
        await put(database, late, idle, stopped)
        [*some] = await begin(database, late, 100)
        async with database.write() as transaction:
            assert await batches.next_due(transaction) == NOW + 60
            assert not await batches.cancel(transaction, "bob", stopped.id, NOW)
            assert await batches.cancel(transaction, "ann", stopped.id, NOW)
            assert not await batches.cancel(transaction, "ann", stopped.id, NOW)
            assert sorted(await batches.expire(transaction, NOW + 60)) == [late.id, idle.id]
            assert await batches.with_rows_left(transaction) == []
        for one in (late, idle, stopped):
            assert await begin(database, one, 100) == []
        assert [(await found(database, one)).due_at for one in (late, idle, stopped)] == [None, NOW + 60, NOW]
        for row in some:
            await end(database, row)
        done = await found(database, late)
        assert (done.status, done.ending, done.due_at) == ("finalizing", "expired", NOW + 1)
        assert (await found(database, stopped)).status == "cancelling"


async def test_a_batch_that_is_cancelled_while_its_file_is_looked_at_is_taken_from_whoever_does(
    url: str,
) -> None:
    async with opened(url) as database:
        await put(database, batch())
        async with database.write() as transaction:
            [held] = await batches.claim(transaction, NOW, NOW + 30, 10)
            assert await batches.claim(transaction, NOW, NOW + 30, 10) == []
            assert await batches.renew(transaction, held.id, held.fence, NOW + 40)
            assert await batches.cancel(transaction, "ann", held.id, NOW)
            assert not await batches.save(transaction, replace(held, status="in_progress", total=3))
            assert not await batches.renew(transaction, held.id, held.fence, NOW + 50)
            [again] = await batches.claim(transaction, NOW, NOW + 30, 10)
        assert (again.status, again.ending, again.total) == ("cancelling", "cancelled", 0)


async def test_a_file_stays_as_long_as_a_batch_reads_it(url: str) -> None:
    async with opened(url) as database:
        kept = [
            FileRow(
                id=f"file-{name}", caller="ann", name=f"bytes-{name}", filename="x", purpose="batch", size=1,
                sha256="", created_at=NOW, expires_at=NOW + 10,
            )
            for name in "ab"
        ]  # fmt: skip
        async with database.write() as transaction:
            for one in kept:
                await files.add(transaction, one)
        await put(database, batch("a"))
        async with database.write() as transaction:
            assert await batches.reader_of(transaction, "file-a") == "batch_a"
            assert await files.hold(transaction, "ann", "file-a", NOW) == kept[0]
            assert await files.get(transaction, "bob", "file-a", NOW) is None
            assert await files.get(transaction, "ann", "file-a", NOW + 10) is None
            assert await files.page(transaction, "ann", Slice(limit=9), NOW) == kept[::-1]
            assert await files.page(transaction, "ann", Slice(limit=9, purpose="x"), NOW) == []
            assert await files.known(transaction, ["bytes-a", "bytes-c"]) == {"bytes-a"}
            assert await files.drop_expired(transaction, NOW + 10) == ["bytes-b"]
            [held] = await batches.claim(transaction, NOW, NOW + 30, 1)
            assert await batches.save(transaction, replace(held, status="failed", ended_at=NOW, due_at=None))
            assert await batches.reader_of(transaction, "file-a") is None
            assert await files.drop_expired(transaction, NOW + 10) == ["bytes-a"]
