"""The ledger behind the answers: nothing is lost, and one bad entry holds up no other."""

import asyncio

import pytest

from gateway.errors import Unavailable
from gateway.service.books import Books
from gateway.store.ledger import Entry


def entry(number: int, money: int = 1) -> Entry:
    return Entry(
        source=f"req_{number}",
        kind="chat",
        caller="k",
        organisation="",
        model="m",
        target="t",
        nano_dollars=money,
        created_at=0.0,
    )


class Store:
    """Keeps what it is given; refuses numbers that are too large, or everything while it is away."""

    def __init__(self) -> None:
        self.kept: list[str] = []
        self.away = False
        self.hold: asyncio.Event | None = None

    async def write(self, batch) -> None:
        if self.hold is not None:
            await self.hold.wait()
        if self.away:
            raise Unavailable("away")
        if any(one.nano_dollars > 1 << 62 for one in batch):
            raise OverflowError("too large")
        self.kept += [one.source for one in batch]


async def test_an_entry_that_cannot_be_written_holds_up_no_other():
    store = Store()
    books = Books(store.write)
    for number, money in enumerate((1, 1 << 63, 1)):
        books.enter(entry(number, money))
    await books.flush()
    assert store.kept == ["req_0", "req_2"]


async def test_entries_wait_while_the_store_is_away():
    store = Store()
    store.away = True
    books = Books(store.write)
    books.enter(entry(1))
    await books.flush()
    books.enter(entry(2))
    store.away = False
    await books.flush()
    assert store.kept == ["req_1", "req_2"]


async def test_a_flush_that_is_cancelled_loses_nothing():
    store = Store()
    store.hold = asyncio.Event()
    books = Books(store.write)
    books.enter(entry(1))
    flushing = asyncio.ensure_future(books.flush())
    await asyncio.sleep(0)
    flushing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await flushing
    store.hold.set()
    await books.flush()
    assert store.kept == ["req_1"]


async def test_stopping_writes_what_waits():
    store = Store()
    books = Books(store.write)
    keeping = asyncio.ensure_future(books.keep())
    await asyncio.sleep(0)
    books.enter(entry(1))
    books.stop()
    await keeping
    assert store.kept == ["req_1"]
