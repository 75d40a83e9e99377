"""Rows of gateway keys: who they belong to, never what they are.

A key's text is shown once and kept by nobody; stored is a keyed hash that the caller of these functions
computes, and the last four characters for people to tell keys apart.
"""

from msgspec import Struct
from sqlalchemy import insert, select, update

from gateway.store.engine import Transaction
from gateway.store.tables import keys
from providers.types import Json


class StoredKey(Struct, frozen=True, kw_only=True):
    """One gateway key. `settings` is JSON: models, limits, organisation and what else its owner is given.

    `digest` is the keyed hash of its text. Times are Unix seconds; `revoked_at` None while it is valid.
    """

    id: str
    name: str
    digest: bytes
    last4: str
    settings: Json
    created_at: float
    revoked_at: float | None = None


_FIELDS = StoredKey.__struct_fields__


async def create(transaction: Transaction, key: StoredKey) -> None:
    """Write a new key."""
    await transaction.execute(insert(keys).values({name: getattr(key, name) for name in _FIELDS}))


async def list_all(transaction: Transaction) -> list[StoredKey]:
    """Every key ever made, revoked ones too, oldest first."""
    rows = await transaction.execute(select(keys).order_by(keys.c.created_at, keys.c.id))
    return [StoredKey(**row) for row in rows.mappings()]


async def find_all(transaction: Transaction) -> dict[bytes, StoredKey]:
    """Every valid key by its digest: what authentication keeps in memory."""
    rows = await transaction.execute(select(keys).where(keys.c.revoked_at.is_(None)))
    return {row["digest"]: StoredKey(**row) for row in rows.mappings()}


async def revoke(transaction: Transaction, key: str, now: float) -> bool:
    """End a key for good; false when there is no valid key with that id."""
    statement = update(keys).where(keys.c.id == key, keys.c.revoked_at.is_(None)).values(revoked_at=now)
    return (await transaction.execute(statement)).rowcount == 1


async def find(transaction: Transaction, key: str) -> StoredKey | None:
    """A valid key by its id."""
    rows = await transaction.execute(select(keys).where(keys.c.id == key, keys.c.revoked_at.is_(None)))
    row = rows.mappings().first()
    return None if row is None else StoredKey(**row)


async def change(transaction: Transaction, key: str, settings: Json) -> None:
    """Give a key other settings."""
    await transaction.execute(update(keys).where(keys.c.id == key).values(settings=settings))


async def rotate(transaction: Transaction, key: str, digest: bytes, last4: str) -> bool:
    """Give a valid key a new text; the old one ends at once. False when no valid key has that id."""
    statement = update(keys).where(keys.c.id == key, keys.c.revoked_at.is_(None))
    return (await transaction.execute(statement.values(digest=digest, last4=last4))).rowcount == 1
