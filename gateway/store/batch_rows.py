"""Rows of a batch that were begun: claimed under a lease, and moved on only by whoever holds the newest claim.

A row that nobody has begun is only a line of the batch's file, so a batch of fifty thousand is one row here per
request that is under way or over. The results stay until the batch's files are written. Each function runs
inside the caller's transaction.
"""

from collections.abc import Collection, Sequence

from msgspec import Struct
from sqlalchemy import ColumnElement, case, delete, func, insert, select, update

from gateway.store.engine import Transaction, is_postgres
from gateway.store.tables import batch_rows

RUNNING, COMPLETED, FAILED = "running", "completed", "failed"


class BatchRow(Struct, frozen=True, kw_only=True):
    """One request of a batch: line `number` of its file, `size` bytes from the byte `start`.

    `tries` counts how often it was put off, `job` is the video it made, `request_id` names its call and
    `result` is its line of the output or error file. Times are Unix seconds; `due_at` is None when it is over.
    """

    batch: str
    number: int
    caller: str
    custom_id: str
    start: int
    size: int
    started_at: float
    due_at: float | None
    state: str = RUNNING
    tries: int = 0
    request_id: str | None = None
    job: str | None = None
    result: str | None = None
    leased_until: float = 0.0
    fence: int = 0


_FIELDS = BatchRow.__struct_fields__
_SAVED = ("state", "tries", "request_id", "job", "result", "due_at")
_ID = (batch_rows.c.batch, batch_rows.c.number)


async def room_of(transaction: Transaction, caller: str, most: int) -> int:
    """How many more rows of a caller's may run.

    On PostgreSQL the answer holds to the end of the transaction: others that ask of the same caller wait. On
    SQLite a writing transaction is alone anyway.
    """
    if is_postgres(transaction):
        lock = select(func.pg_advisory_xact_lock(func.hashtextextended("batch rows of " + caller, 0)))
        await transaction.execute(lock)
    running = select(func.count()).where(batch_rows.c.caller == caller, batch_rows.c.state == RUNNING)
    return max(0, most - int((await transaction.execute(running)).scalar_one()))


async def running(transaction: Transaction, callers: Collection[str]) -> dict[str, int]:
    """How many rows of each of these callers run now; callers without any are left out."""
    row = batch_rows.c
    query = select(row.caller, func.count()).where(row.caller.in_(callers), row.state == RUNNING)
    found = await transaction.execute(query.group_by(row.caller))
    return {caller: int(count) for caller, count in found.all()}


async def add(transaction: Transaction, rows: Sequence[BatchRow]) -> None:
    """Write rows that are begun."""
    await transaction.execute(
        insert(batch_rows), [{name: getattr(row, name) for name in _FIELDS} for row in rows]
    )


async def claim(transaction: Transaction, now: float, until: float, limit: int) -> list[BatchRow]:
    """Take up to `limit` due rows that nobody holds, oldest due first, until a time."""
    due = (
        select(*_ID)
        .where(batch_rows.c.due_at <= now, batch_rows.c.leased_until <= now)
        .order_by(batch_rows.c.due_at)
        .limit(limit)
    )
    if is_postgres(transaction):
        due = due.with_for_update(skip_locked=True)
    claimed: list[BatchRow] = []
    for batch, number in (await transaction.execute(due)).all():
        taken = update(batch_rows).where(batch_rows.c.batch == batch, batch_rows.c.number == number)
        taken = taken.values(leased_until=until, fence=batch_rows.c.fence + 1)
        found = await transaction.execute(taken.returning(*batch_rows.columns))
        claimed += [BatchRow(**row) for row in found.mappings()]
    return claimed


async def next_due(transaction: Transaction) -> float | None:
    """When the next row may be claimed, in Unix seconds; None when none waits."""
    row = batch_rows.c
    free_at = case((row.leased_until > row.due_at, row.leased_until), else_=row.due_at)
    soonest = await transaction.execute(select(func.min(free_at)).where(row.due_at.is_not(None)))
    free: float | None = soonest.scalar_one()
    return free


async def renew(transaction: Transaction, row: BatchRow, until: float) -> bool:
    """Keep a lease, or give it back with 0.0; false when somebody else has claimed the row since.

    A lease its step has just given back stays given back.
    """
    held_until = case((batch_rows.c.leased_until > 0, until), else_=0.0)
    kept = update(batch_rows).where(*_mine(row)).values(leased_until=held_until)
    return (await transaction.execute(kept)).rowcount == 1


async def save(transaction: Transaction, row: BatchRow) -> bool:
    """Write how a step ended and give the lease back; false when somebody else has claimed the row since."""
    changes = {name: getattr(row, name) for name in _SAVED}
    done = await transaction.execute(
        update(batch_rows).where(*_mine(row)).values(leased_until=0.0, **changes)
    )
    return done.rowcount == 1


async def hurry(transaction: Transaction, batch: str, now: float) -> None:
    """Have the waiting rows of a batch looked at now."""
    waiting = update(batch_rows).where(batch_rows.c.batch == batch, batch_rows.c.due_at > now)
    await transaction.execute(waiting.values(due_at=now))


async def results(transaction: Transaction, batch: str, state: str, after: int, limit: int) -> list[BatchRow]:
    """Up to `limit` rows in a state, by number, those beyond `after`."""
    query = (
        select(batch_rows)
        .where(batch_rows.c.batch == batch, batch_rows.c.state == state, batch_rows.c.number > after)
        .order_by(batch_rows.c.number)
        .limit(limit)
    )
    return [BatchRow(**row) for row in (await transaction.execute(query)).mappings()]


async def remove(transaction: Transaction, batch: str) -> None:
    """Forget the rows of a batch whose files are written."""
    await transaction.execute(delete(batch_rows).where(batch_rows.c.batch == batch))


def _mine(row: BatchRow) -> Sequence[ColumnElement[bool]]:
    return [column == getattr(row, column.name) for column in (*_ID, batch_rows.c.fence)]
