"""Works batches off, row by row, until nothing is left to do. Any number may share a database.

Theory of operation
-------------------
A batch makes two steps of its own, at its beginning and at its end (`batch_ends.py`). In between its rows are
begun in the order of the file, as many at a time over all batches of a key as that key may have: under one
lock the running rows of the key are counted, the batch's place in its file is moved on, and the rows are written
down, held by whoever began them. A row that waits (for its video, for a limit) is not held by anybody; whoever
finds it due makes its next step. So the rows of one batch are made by all processes side by side.

Steps are made under leases with a fence, as those of video jobs are (`runner.py`). A process that dies leaves its
rows to the next one: a video is not ordered twice, since its order carries an idempotency key of the row;
an answer that nobody had written down yet is asked for again.

The row that ends last asks for the batch's last step, in its own transaction.
"""

import logging
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from typing import TypeAlias

from msgspec.structs import replace

from gateway.service.batch_ends import finish, inspected, opened, row_at
from gateway.service.batch_input import lines
from gateway.service.batch_ports import BatchParts
from gateway.service.batch_work import Work
from gateway.service.rounds import Rounds, went_well
from gateway.store import batch_rows, batches
from gateway.store.batch_rows import BatchRow
from gateway.store.batches import Batch
from gateway.store.engine import Transaction
from gateway.telemetry import names

log = logging.getLogger("fairlead.batches")

IDLE = 2.0
"""Longest sleep, in seconds, before the database is asked again while a batch is under way."""
QUIET = 5.0
"""The same while there is none: whoever accepts one begins it, others come to help or to take over."""
_BREATH = 0.02

Held: TypeAlias = Batch | BatchRow
_Key: TypeAlias = tuple[str, int]
"""A batch's id and 0, or the number of a row of it."""


class BatchRunner(Rounds[_Key, Held]):
    """Runs the batches of one process: `run` beside everything else, `stop` to end it in order."""

    def __init__(self, parts: BatchParts) -> None:
        super().__init__(lease=parts.figures.lease, renew=parts.figures.renew)
        self._parts = parts
        self._work = Work(parts)
        self._begun = 0

    async def _look(self) -> None:
        """Take what is due and begin what may be begun, or sleep until something is."""
        self._woken.clear()
        async with self._parts.database.read() as transaction:
            alive = await batches.any_alive(transaction)
        if not alive:
            await self._sleep(QUIET)
            return
        async with self._parts.database.read() as transaction:
            soonest = [await batches.next_due(transaction), await batch_rows.next_due(transaction)]
            waiting = await batches.with_rows_left(transaction)
            busy = await batch_rows.running(transaction, {batch.caller for batch in waiting})
        due = min((at for at in soonest if at is not None), default=None)
        now, room, before = self._parts.clock.now(), self._room(), self._begun
        if room > 0 and due is not None and due <= now:
            await self._claim(now)
        for batch in waiting:
            if busy.get(batch.caller, 0) < self._most(batch.caller) and self._room() > 0:
                busy[batch.caller] = busy.get(batch.caller, 0) + await self._begin(batch)
        if self._begun > before:
            await self._sleep(0.0)
        elif room <= 0 or due is None:
            await self._sleep(IDLE)
        else:
            await self._sleep(min(IDLE, max(due - now, _BREATH)))

    def _room(self) -> int:
        return self._parts.figures.concurrency - len(self._running)

    def _most(self, caller: str) -> int:
        """How many rows of this caller's may run at a time."""
        snapshot, known = self._parts.snapshot(), self._parts.caller_of(caller)
        return (known.batch_concurrency if known else None) or snapshot.batch_concurrency

    async def _claim(self, now: float) -> None:
        until, room = now + self._parts.figures.lease, self._room()
        async with self._parts.database.write() as transaction:
            late = await batches.expire(transaction, now)
            young = await batches.claim(transaction, now, until, max(0, room))
            rows = await batch_rows.claim(transaction, now, until, max(0, room - len(young)))
        claimed: list[Held] = [*young, *rows]
        for held in claimed:
            self._start(held)
        for name in late:
            async with self._parts.database.write() as transaction:
                await batch_rows.hurry(transaction, name, now)

    async def _begin(self, batch: Batch) -> int:
        """Begin the next rows of a batch, as many as its owner's key may have, and say how many those were."""
        most, now = self._most(batch.caller), self._parts.clock.now()
        rows, ends = await self._next_rows(batch, min(most, self._room()))
        async with self._parts.database.write() as transaction:
            rows = rows[: await batch_rows.room_of(transaction, batch.caller, most)]
            if not rows or not await batches.begun(transaction, batch, len(rows), ends[len(rows) - 1]):
                return 0
            held = now + self._parts.figures.lease
            rows = [replace(row, started_at=now, due_at=now, leased_until=held, fence=1) for row in rows]
            await batch_rows.add(transaction, rows)
        for row in rows:
            self._start(row)
        return len(rows)

    async def _next_rows(self, batch: Batch, most: int) -> tuple[Sequence[BatchRow], Sequence[int]]:
        """Rows nobody has begun, and where in the file each one ends."""
        rows: list[BatchRow] = []
        ends: list[int] = []
        file = await opened(self._parts, batch)
        if file is None:
            log.error("the file of %s is gone; what is left of it will expire", batch.id)
            return rows, ends
        try:
            async with aclosing(lines(file, batch.next_at)) as left:
                async for line in left:
                    rows.append(row_at(batch, batch.started + len(rows) + 1, line))
                    ends.append(line.start + len(line.data or b"") + 1)
                    if len(rows) == most:
                        break
        finally:
            file.close()
        return rows, ends

    # -- steps

    def _start(self, held: Held) -> None:
        key = (held.id, 0) if isinstance(held, Batch) else (held.batch, held.number)
        self._begun += 1
        self._take(key, held)

    async def _step(self, held: Held) -> None:
        await (self._batch(held) if isinstance(held, Batch) else self._row(held))

    async def _stumbled(self, held: Held) -> None:
        if isinstance(held, BatchRow):
            await went_well(lambda: self._written(held, self._work.stumbled(held)))

    async def _batch(self, batch: Batch) -> None:
        if batch.status == batches.VALIDATING:
            after = await inspected(self._parts, batch)
            async with self._parts.database.write() as transaction:
                saved = await batches.save(transaction, after)
        else:
            done = await finish(self._parts, batch)
            saved, after = done is not None, done or batch
        if saved:
            self._parts.count(names.BATCHES, after.status)

    async def _row(self, row: BatchRow) -> None:
        await self._written(row, await self._work.step(row))

    async def _written(self, row: BatchRow, after: BatchRow) -> None:
        over = after.state != batch_rows.RUNNING
        async with self._parts.database.write() as transaction:
            if not await batch_rows.save(transaction, after):
                return
            if over:
                fine, now = after.state == batch_rows.COMPLETED, self._parts.clock.now()
                await batches.ended(transaction, row.batch, fine=fine, now=now)
        if over:
            self._parts.count(names.BATCH_ROWS, after.state)

    async def _renewed(self, held: Mapping[_Key, Held], lease: float) -> set[_Key]:
        until = self._parts.clock.now() + lease if lease else 0.0
        async with self._parts.database.write() as transaction:
            return {key for key, one in held.items() if await _renewed(transaction, one, until)}


async def _renewed(transaction: Transaction, held: Held, until: float) -> bool:
    if isinstance(held, Batch):
        return await batches.renew(transaction, held.id, held.fence, until)
    return await batch_rows.renew(transaction, held, until)
