"""Rows of webhooks: written with what they tell of, claimed under a lease, sent until they are delivered or dead.

As with jobs, every claim raises the row's `fence`, and only whoever holds the newest claim may write how the
sending went.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

from msgspec import Struct
from sqlalchemy import case, delete, func, insert, select, update

from gateway.store.engine import Transaction, is_postgres
from gateway.store.tables import outbox
from providers.types import Json

WAITING, DELIVERED, DEAD = "waiting", "delivered", "dead"
_WHERE = {
    WAITING: outbox.c.due_at.is_not(None),
    DELIVERED: outbox.c.delivered_at.is_not(None),
    DEAD: outbox.c.due_at.is_(None) & outbox.c.delivered_at.is_(None),
}


class Notice(Struct, frozen=True, kw_only=True):
    """One webhook. `id` is its webhook-id, `caller` whose secrets sign it, `payload` its JSON body.

    `tries` counts how often it was sent, `reason` says why the last time failed. `due_at` is None when it
    was delivered or given up. Times are Unix seconds. `receiver` is host and port of the URL, `trace` the W3C
    traceparent of the request that made the job, empty when not known.
    """

    id: str
    job: str
    caller: str
    event: str
    url: str
    payload: Json
    created_at: float
    due_at: float | None
    receiver: str = ""
    trace: str = ""
    tries: int = 0
    reason: str | None = None
    leased_until: float = 0.0
    fence: int = 0
    delivered_at: float | None = None

    @property
    def state(self) -> str:
        """Waiting, delivered or dead."""
        if self.due_at is not None:
            return WAITING
        return DEAD if self.delivered_at is None else DELIVERED


_FIELDS = Notice.__struct_fields__
_SAVED = ("tries", "reason", "due_at", "delivered_at")


async def add(transaction: Transaction, notice: Notice) -> None:
    """Write a new one; in the transaction that makes true what it tells."""
    await transaction.execute(insert(outbox).values({name: getattr(notice, name) for name in _FIELDS}))


class Room(Struct, frozen=True, kw_only=True):
    """How many more may be in hand: of all, and of one receiver, of which `taken` are in hand already."""

    all: int
    each: int
    taken: Mapping[str, int] = {}

    @property
    def full(self) -> list[str]:
        """Receivers that nothing more may be sent to for now."""
        return [receiver for receiver, count in self.taken.items() if count >= self.each]


async def claim(transaction: Transaction, now: float, until: float, room: Room) -> list[Notice]:
    """Take due ones that nobody holds, as many as there is room for, oldest due first, until a time.

    It may be fewer: a receiver that fills up hides what is behind it until the next claim.
    """
    due = (
        select(outbox.c.id, outbox.c.receiver)
        .where(outbox.c.due_at <= now, outbox.c.leased_until <= now, outbox.c.receiver.not_in(room.full))
        .order_by(outbox.c.due_at)
        .limit(room.all)
    )
    if is_postgres(transaction):
        due = due.with_for_update(skip_locked=True)
    ids, counts = [], Counter(room.taken)
    for row in await transaction.execute(due):
        counts[row.receiver] += 1
        if counts[row.receiver] <= room.each:
            ids.append(row.id)
    if not ids:
        return []
    taken = update(outbox).where(outbox.c.id.in_(ids)).values(leased_until=until, fence=outbox.c.fence + 1)
    found = await transaction.execute(taken.returning(*outbox.columns))
    return [Notice(**row) for row in found.mappings()]


async def next_due(transaction: Transaction, full: Sequence[str] = ()) -> float | None:
    """When the next one may be claimed that is not for a receiver which is `full`, in Unix seconds; None without."""
    free_at = case((outbox.c.leased_until > outbox.c.due_at, outbox.c.leased_until), else_=outbox.c.due_at)
    waiting = outbox.c.due_at.is_not(None) & outbox.c.receiver.not_in(full)
    found = await transaction.execute(select(func.min(free_at)).where(waiting))
    free: float | None = found.scalar_one()
    return free


async def save(transaction: Transaction, notice: Notice) -> bool:
    """Write how a sending went and give the lease back; false when somebody else has claimed it since."""
    changes = {name: getattr(notice, name) for name in _SAVED}
    ours = update(outbox).where(outbox.c.id == notice.id, outbox.c.fence == notice.fence)
    return (await transaction.execute(ours.values(leased_until=0.0, **changes))).rowcount == 1


async def page(transaction: Transaction, state: str | None, limit: int) -> list[Notice]:
    """Up to `limit` of them, newest first; only those in a state, when one is given."""
    query = select(outbox).order_by(outbox.c.id.desc()).limit(limit)
    if state is not None:
        query = query.where(_WHERE[state])
    return [Notice(**row) for row in (await transaction.execute(query)).mappings()]


async def replay(transaction: Transaction, notice: str, now: float) -> bool:
    """Send one again as if for the first time, under its own id; false when there is none with that id."""
    again = update(outbox).where(outbox.c.id == notice)
    fresh = {"due_at": now, "tries": 0, "reason": None, "delivered_at": None, "leased_until": 0.0}
    return (await transaction.execute(again.values(fence=outbox.c.fence + 1, **fresh))).rowcount == 1


async def forget(transaction: Transaction, before: float) -> None:
    """Drop those written before a time that are delivered or dead."""
    await transaction.execute(delete(outbox).where(outbox.c.created_at < before, outbox.c.due_at.is_(None)))
