"""Remembers which request an idempotency key was used for, so that a repeated one makes nothing new."""

from msgspec import Struct
from sqlalchemy import delete, select

from gateway.store.engine import Transaction, insert_once
from gateway.store.tables import idempotency


class IdempotencyKey(Struct, frozen=True, kw_only=True):
    """A key a client chose; unique per caller and route."""

    caller: str
    route: str
    key: str


class Use(Struct, frozen=True, kw_only=True):
    """What a key was used for: a job, and the fingerprint of the request that made it."""

    job: str
    fingerprint: bytes


async def take(transaction: Transaction, key: IdempotencyKey, use: Use, now: float) -> Use:
    """Bind a key to a use, unless it is bound already; returns what it is bound to."""
    values = {"caller": key.caller, "route": key.route, "key": key.key, "created_at": now,
              "job": use.job, "fingerprint": use.fingerprint}  # fmt: skip
    taken = insert_once(transaction, idempotency).values(values).returning(idempotency.c.job)
    if (await transaction.execute(taken)).first() is not None:
        return use
    return await find(transaction, key) or use


async def find(transaction: Transaction, key: IdempotencyKey) -> Use | None:
    """What this key was used for before."""
    query = select(idempotency.c.job, idempotency.c.fingerprint).where(
        idempotency.c.caller == key.caller, idempotency.c.route == key.route, idempotency.c.key == key.key
    )
    row = (await transaction.execute(query)).first()
    return None if row is None else Use(job=row.job, fingerprint=row.fingerprint)


async def forget(transaction: Transaction, before: float) -> None:
    """Drop keys first used before a time."""
    await transaction.execute(delete(idempotency).where(idempotency.c.created_at < before))
