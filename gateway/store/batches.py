"""Rows of batches: accepted once, moved on under a lease by whoever holds the newest claim.

A batch needs a step of its own at its beginning (its file is looked at) and at its end (the results are
written); in between its rows are worked off, which `batch_rows.py` keeps. How many rows were begun and how many
are over is counted here, in the transaction that begins or ends one, so the last row to end knows that it is.
Each function runs inside the caller's transaction.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct
from sqlalchemy import ColumnElement, Select, and_, case, func, insert, or_, select, update

from gateway.store.engine import Transaction, is_postgres
from gateway.store.tables import batches
from providers.types import Json

VALIDATING, IN_PROGRESS, CANCELLING = "validating", "in_progress", "cancelling"
FINALIZING, COMPLETED, FAILED = "finalizing", "completed", "failed"
CANCELLED, EXPIRED = "cancelled", "expired"


class Batch(Struct, frozen=True, kw_only=True):
    """One batch. `ending` is None while rows are begun, else cancelled or expired.

    `total` counts the rows of its file, of which `started` were begun, `completed` and `failed` are over, and the
    next stands at the byte `next_at`. `output_life` is for how many seconds its results are kept, `base_url`
    where its owner found us. `due_at` is None while only its rows need steps, and at the end; `ended_at` is
    when it was completed, failed, cancelled or expired. Times are Unix seconds.
    """

    id: str
    caller: str
    endpoint: str
    input_file: str
    metadata: Json | None
    base_url: str
    output_life: float
    created_at: float
    expires_at: float
    due_at: float | None
    status: str = VALIDATING
    ending: str | None = None
    errors: Sequence[Json] | None = None
    model: str | None = None
    usage: Json | None = None
    total: int = 0
    started: int = 0
    next_at: int = 0
    completed: int = 0
    failed: int = 0
    output_file: str | None = None
    error_file: str | None = None
    in_progress_at: float | None = None
    cancelling_at: float | None = None
    finalizing_at: float | None = None
    ended_at: float | None = None
    leased_until: float = 0.0
    fence: int = 0


_FIELDS = Batch.__struct_fields__
_SAVED = ("status", "errors", "model", "usage", "total", "output_file", "error_file", "in_progress_at",
          "finalizing_at", "ended_at", "due_at")  # fmt: skip
_ALIVE = batches.c.ended_at.is_(None)


async def add(transaction: Transaction, batch: Batch) -> None:
    """Write a new one."""
    await transaction.execute(insert(batches).values({name: getattr(batch, name) for name in _FIELDS}))


async def get(transaction: Transaction, caller: str, batch: str) -> Batch | None:
    """A caller's batch. None when there is none and when it is somebody else's."""
    found = await _load(transaction, select(batches).where(batches.c.id == batch, batches.c.caller == caller))
    return found[0] if found else None


async def get_any(transaction: Transaction, batch: str) -> Batch:
    """The batch of a row."""
    return (await _load(transaction, select(batches).where(batches.c.id == batch)))[0]


async def page(transaction: Transaction, caller: str, after: str | None, limit: int) -> list[Batch]:
    """Up to `limit` of a caller's batches, newest first, those older than `after` (which need not exist)."""
    query = select(batches).where(batches.c.caller == caller).order_by(batches.c.id.desc()).limit(limit)
    return await _load(transaction, query if after is None else query.where(batches.c.id < after))


async def find_alike(transaction: Transaction, batch: Batch, since: float) -> str | None:
    """The newest batch of the same caller over the same file."""
    query = (
        select(batches.c.id)
        .where(batches.c.caller == batch.caller, batches.c.input_file == batch.input_file)
        .where(batches.c.endpoint == batch.endpoint, batches.c.created_at >= since)
        .order_by(batches.c.id.desc())
        .limit(1)
    )
    return (await transaction.execute(query)).scalar()


async def reader_of(transaction: Transaction, file: str) -> str | None:
    """A batch that is not over and reads this file."""
    query = select(batches.c.id).where(batches.c.input_file == file, _ALIVE).limit(1)
    return (await transaction.execute(query)).scalar()


async def claim(transaction: Transaction, now: float, until: float, limit: int) -> list[Batch]:
    """Take up to `limit` batches that need a step and that nobody holds, oldest due first, until a time."""
    due = (
        select(batches.c.id)
        .where(batches.c.due_at <= now, batches.c.leased_until <= now)
        .order_by(batches.c.due_at)
        .limit(limit)
    )
    if is_postgres(transaction):
        due = due.with_for_update(skip_locked=True)
    ids = list((await transaction.execute(due)).scalars())
    if not ids:
        return []
    taken = update(batches).where(batches.c.id.in_(ids)).values(leased_until=until, fence=batches.c.fence + 1)
    found = await transaction.execute(taken.returning(*batches.columns))
    return [Batch(**row) for row in found.mappings()]


async def any_alive(transaction: Transaction) -> bool:
    """Whether there is a batch that is not over."""
    return (await transaction.execute(select(batches.c.id).where(_ALIVE).limit(1))).first() is not None


async def next_due(transaction: Transaction) -> float | None:
    """When the next one may be claimed, or runs out of time, in Unix seconds; None when none waits."""
    free_at = case(
        (batches.c.leased_until > batches.c.due_at, batches.c.leased_until), else_=batches.c.due_at
    )
    soonest = await transaction.execute(select(func.min(free_at)).where(batches.c.due_at.is_not(None)))
    expiry = await transaction.execute(select(func.min(batches.c.expires_at)).where(*_OPEN))
    return min((at for at in (soonest.scalar(), expiry.scalar()) if at is not None), default=None)


async def renew(transaction: Transaction, batch: str, fence: int, until: float) -> bool:
    """Keep a lease, or give it back with 0.0; false when somebody else has claimed it since.

    A lease its step has just given back stays given back.
    """
    kept = update(batches).where(batches.c.id == batch, batches.c.fence == fence)
    held_until = case((batches.c.leased_until > 0, until), else_=0.0)
    return (await transaction.execute(kept.values(leased_until=held_until))).rowcount == 1


async def save(transaction: Transaction, batch: Batch) -> bool:
    """Write how a step ended and give the lease back; false when somebody else has claimed or cancelled it."""
    ours = update(batches).where(batches.c.id == batch.id, batches.c.fence == batch.fence)
    changes = {name: getattr(batch, name) for name in _SAVED}
    return (await transaction.execute(ours.values(leased_until=0.0, **changes))).rowcount == 1


# -- while its rows are worked off

_OPEN: Sequence[ColumnElement[bool]] = (
    _ALIVE, batches.c.status == IN_PROGRESS, batches.c.ending.is_(None),
)  # fmt: skip


async def with_rows_left(transaction: Transaction) -> list[Batch]:
    """The batches that have rows nobody has begun, oldest first."""
    query = select(batches).where(*_OPEN, batches.c.started < batches.c.total)
    return await _load(transaction, query.order_by(batches.c.id))


async def begun(transaction: Transaction, batch: Batch, count: int, next_at: int) -> bool:
    """Count rows as begun; false when somebody was faster, or the batch is to end."""
    mine = update(batches).where(batches.c.id == batch.id, batches.c.started == batch.started, *_OPEN)
    done = await transaction.execute(mine.values(started=batch.started + count, next_at=next_at))
    return done.rowcount == 1


async def ended(transaction: Transaction, batch: str, *, fine: bool, now: float) -> None:
    """Count one row as over; after the last one the batch needs its last step."""
    column = batches.c.completed if fine else batches.c.failed
    counted = update(batches).where(batches.c.id == batch).values({column: column + 1})
    await transaction.execute(counted)
    await _finish(transaction, batch, now)


async def cancel(transaction: Transaction, caller: str, batch: str, now: float) -> bool:
    """Begin no more rows of a caller's batch; false when it cannot be cancelled any more.

    A batch whose file is still looked at is taken from whoever does that.
    """
    mine = update(batches).where(
        batches.c.id == batch, batches.c.caller == caller, batches.c.ending.is_(None)
    )
    young = mine.where(batches.c.status == VALIDATING)
    told: Mapping[str, Any] = {"ending": CANCELLED, "status": CANCELLING, "cancelling_at": now}
    taken = young.values(**told, due_at=now, leased_until=0.0, fence=batches.c.fence + 1)
    if (await transaction.execute(taken)).rowcount == 1:
        return True
    running = mine.where(batches.c.status == IN_PROGRESS)
    if (await transaction.execute(running.values(**told))).rowcount == 0:
        return False
    await _finish(transaction, batch, now)
    return True


async def expire(transaction: Transaction, now: float) -> list[str]:
    """Begin no more rows of batches whose time is over; returns their ids."""
    late = update(batches).where(*_OPEN, batches.c.expires_at <= now).values(ending=EXPIRED)
    ids = list((await transaction.execute(late.returning(batches.c.id))).scalars())
    for batch in ids:
        await _finish(transaction, batch, now)
    return ids


async def _finish(transaction: Transaction, batch: str, now: float) -> None:
    """Ask for the last step, if no row is under way and none will be."""
    over = and_(
        batches.c.completed + batches.c.failed == batches.c.started,
        or_(batches.c.started == batches.c.total, batches.c.ending.is_not(None)),
    )
    status = case((batches.c.status == CANCELLING, CANCELLING), else_=FINALIZING)
    last = update(batches).where(batches.c.id == batch, _ALIVE, batches.c.due_at.is_(None), over)
    await transaction.execute(last.values(status=status, finalizing_at=now, due_at=now))


async def _load(transaction: Transaction, query: Select[Any]) -> list[Batch]:
    return [Batch(**row) for row in (await transaction.execute(query)).mappings()]
