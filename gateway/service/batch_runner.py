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

import asyncio
import logging
from collections.abc import Sequence
from contextlib import aclosing, suppress
from typing import TypeAlias

from msgspec.structs import replace

from gateway.errors import Unavailable
from gateway.service.batch_ends import finish, inspected, opened, row_at
from gateway.service.batch_input import lines
from gateway.service.batch_ports import BatchParts
from gateway.service.batch_work import Work
from gateway.service.rounds import went_well
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


class BatchRunner:
    """Runs the batches of one process: `run` beside everything else, `stop` to end it in order."""

    def __init__(self, parts: BatchParts) -> None:
        self._parts = parts
        self._work = Work(parts)
        self._running: dict[_Key, tuple[Held, asyncio.Task[None]]] = {}
        self._begun = 0
        self._woken = asyncio.Event()
        self._over = asyncio.Event()
        self._over.set()
        self._stopping = False

    def wake(self) -> None:
        """There is something new to do."""
        self._woken.set()

    async def run(self) -> None:
        """Work until `stop`; a database that is away is waited for."""
        self._over.clear()
        keeping = asyncio.create_task(self._keep_leases())
        try:
            while not self._stopping:
                if not await went_well(self._look):
                    await self._sleep(1.0)
            await asyncio.gather(*self._tasks(), return_exceptions=True)
        finally:
            self._stopping = True
            beside = [keeping, *self._tasks()]
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
            self._over.set()

    async def stop(self, grace: float = 30.0) -> None:
        """Begin nothing more and let the steps in hand finish; those still running after `grace` are cut.

        Returns with every lease given back, so that another process can go on at once.
        """
        self._stopping = True
        self.wake()
        try:
            async with asyncio.timeout(grace):
                await self._over.wait()
        except TimeoutError:
            for task in self._tasks():
                task.cancel()
            await self._over.wait()

    def _tasks(self) -> list[asyncio.Task[None]]:
        return [task for _, task in self._running.values()]

    async def _sleep(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._woken.wait()

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
        if key in self._running:  # we let our own lease lapse: the older step is void
            self._running[key][1].cancel()
        task = asyncio.create_task(self._step(key, held))
        self._running[key] = (held, task)
        self._begun += 1
        task.add_done_callback(lambda _: self._ended(key, held))

    def _ended(self, key: _Key, held: Held) -> None:
        if key in self._running and self._running[key][0] is held:
            del self._running[key]
        self.wake()

    async def _step(self, key: _Key, held: Held) -> None:
        try:
            await (self._batch(held) if isinstance(held, Batch) else self._row(held))
        except Unavailable:
            log.warning("the database went away during a step of %s, row %d", *key)
        except asyncio.CancelledError:
            if self._stopping:
                with suppress(Unavailable):
                    await self._renew({key: held}, 0.0)
            raise
        except Exception:  # the runner's one edge: a bug in one step must not end all of them
            log.exception("a step of %s, row %d failed", *key)
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

    # -- leases

    async def _keep_leases(self) -> None:
        while True:
            await asyncio.sleep(self._parts.figures.renew)
            await went_well(self._renew_all)

    async def _renew_all(self) -> None:
        until = self._parts.clock.now() + self._parts.figures.lease
        held = {key: one for key, (one, _) in self._running.items()}
        for key in held.keys() - await self._renew(held, until):
            running = self._running.get(key)
            if running is not None and running[0] is held[key]:
                running[1].cancel()  # somebody else has it by now: what we still did would be for nothing

    async def _renew(self, held: dict[_Key, Held], until: float) -> set[_Key]:
        """Keep leases, or give them back with 0.0; the keys of those that are still ours."""
        if not held:
            return set()
        async with self._parts.database.write() as transaction:
            return {key for key, one in held.items() if await _renewed(transaction, one, until)}


async def _renewed(transaction: Transaction, held: Held, until: float) -> bool:
    if isinstance(held, Batch):
        return await batches.renew(transaction, held.id, held.fence, until)
    return await batch_rows.renew(transaction, held, until)
