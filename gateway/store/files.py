"""Rows of files that clients upload or batches write; the bytes themselves are `media.py`'s business."""

from collections.abc import Sequence

from msgspec import Struct
from sqlalchemy import Select, delete, insert, select

from gateway.store.engine import Transaction
from gateway.store.tables import batches, files

_BATCH = 500
"""Names asked for in one statement: below every engine's limit of parameters."""


class FileRow(Struct, frozen=True, kw_only=True):
    """One file. `name` is where its bytes are, `filename` what its owner calls it. Times are Unix seconds."""

    id: str
    caller: str
    name: str
    filename: str
    purpose: str
    size: int
    sha256: str
    created_at: float
    expires_at: float


class Slice(Struct, frozen=True, kw_only=True):
    """Which of a caller's files to give: up to `limit`, beyond the id `after`, which need not exist."""

    limit: int
    after: str | None = None
    newest_first: bool = True
    purpose: str | None = None


_FIELDS = FileRow.__struct_fields__


async def add(transaction: Transaction, row: FileRow) -> None:
    """Write the row of a file that is stored already."""
    await transaction.execute(insert(files).values({name: getattr(row, name) for name in _FIELDS}))


async def get(transaction: Transaction, caller: str, file: str, now: float) -> FileRow | None:
    """A caller's file. None when there is none, when it has expired, and when it is somebody else's."""
    return await _one(transaction, _visible(caller, now).where(files.c.id == file))


async def hold(transaction: Transaction, caller: str, file: str, now: float) -> FileRow | None:
    """The same; to the end of the transaction nobody else holds or removes it."""
    return await _one(transaction, _visible(caller, now).where(files.c.id == file).with_for_update())


async def get_any(transaction: Transaction, file: str) -> FileRow | None:
    """A file whoever owns it, expired or not. For a batch that has a right to it."""
    return await _one(transaction, select(files).where(files.c.id == file))


async def page(transaction: Transaction, caller: str, wanted: Slice, now: float) -> list[FileRow]:
    """A slice of a caller's files, by creation."""
    newest = wanted.newest_first
    query = _visible(caller, now).limit(wanted.limit).order_by(files.c.id.desc() if newest else files.c.id)
    if wanted.after is not None:
        query = query.where(files.c.id < wanted.after if newest else files.c.id > wanted.after)
    if wanted.purpose is not None:
        query = query.where(files.c.purpose == wanted.purpose)
    return [FileRow(**row) for row in (await transaction.execute(query)).mappings()]


async def remove(transaction: Transaction, file: str) -> None:
    """Forget a file; its bytes are removed after commit."""
    await transaction.execute(delete(files).where(files.c.id == file))


async def drop_expired(transaction: Transaction, now: float) -> list[str]:
    """Forget files that have expired, but for those a running batch reads; names to remove after commit."""
    read = select(batches.c.input_file).where(batches.c.ended_at.is_(None))
    query = delete(files).where(files.c.expires_at <= now, files.c.id.not_in(read))
    return list((await transaction.execute(query.returning(files.c.name))).scalars())


async def known(transaction: Transaction, names: Sequence[str]) -> set[str]:
    """Which of these names hold the bytes of a file."""
    found: set[str] = set()
    for start in range(0, len(names), _BATCH):
        query = select(files.c.name).where(files.c.name.in_(names[start : start + _BATCH]))
        found.update((await transaction.execute(query)).scalars())
    return found


def _visible(caller: str, now: float) -> Select[tuple[object, ...]]:
    return select(files).where(files.c.caller == caller, files.c.expires_at > now)


async def _one(transaction: Transaction, query: Select[tuple[object, ...]]) -> FileRow | None:
    row = (await transaction.execute(query)).mappings().first()
    return None if row is None else FileRow(**row)
