"""Rows that say which stored file belongs to whom; the bytes themselves are `media.py`'s business."""

from collections.abc import Sequence

from msgspec import Struct
from sqlalchemy import delete, insert, select

from gateway.store.engine import Transaction
from gateway.store.tables import characters, jobs, media
from providers.types import Json

_BATCH = 500
"""Names asked for in one statement: below every engine's limit of parameters."""


class MediaRow(Struct, frozen=True, kw_only=True):
    """A stored file of a job. `role` is video, thumbnail, spritesheet, or the role of an input.

    `provenance` of a video: what content credentials it came with, and whether ours are on it; None when that was
    not looked at.
    """

    name: str
    role: str
    mime: str
    size: int
    sha256: str
    created_at: float
    provenance: Json | None = None


_FIELDS = MediaRow.__struct_fields__


async def add_media(transaction: Transaction, job: str, rows: Sequence[MediaRow]) -> None:
    """Write the rows of files that are stored already."""
    if rows:
        values = [{"job": job, **{name: getattr(row, name) for name in _FIELDS}} for row in rows]
        await transaction.execute(insert(media), values)


async def media_of(transaction: Transaction, ids: Sequence[str]) -> dict[str, list[MediaRow]]:
    """The files of each of these jobs, in the order they were stored."""
    files: dict[str, list[MediaRow]] = {job: [] for job in ids}
    found = await transaction.execute(select(media).where(media.c.job.in_(ids)).order_by(media.c.name))
    for row in found.mappings():
        files[row["job"]].append(MediaRow(**{name: row[name] for name in _FIELDS}))
    return files


async def drop_media(transaction: Transaction, job: str, keep: Sequence[str]) -> list[str]:
    """Forget a job's files but those with the roles to keep; returns names to remove after commit."""
    query = delete(media).where(media.c.job == job, media.c.role.not_in(keep)).returning(media.c.name)
    return list((await transaction.execute(query)).scalars())


async def drop_expired_media(transaction: Transaction, now: float) -> list[str]:
    """Forget the files of jobs whose content has expired; returns names to remove after commit."""
    expired = select(jobs.c.id).where(jobs.c.expires_at <= now)
    query = delete(media).where(media.c.job.in_(expired)).returning(media.c.name)
    return list((await transaction.execute(query)).scalars())


async def known_media(transaction: Transaction, names: Sequence[str]) -> set[str]:
    """Which of these file names belong to a job or a character."""
    known: set[str] = set()
    for start in range(0, len(names), _BATCH):
        batch = names[start : start + _BATCH]
        for column in (media.c.name, characters.c.file):
            found = await transaction.execute(select(column).where(column.in_(batch)))
            known.update(found.scalars())
    return known
