"""Rows of characters: clips that a caller has named, to be seen in videos made later."""

from msgspec import Struct
from sqlalchemy import Select, delete, func, insert, select

from gateway.store.engine import Transaction
from gateway.store.media_rows import MediaRow
from gateway.store.tables import characters


class Character(Struct, frozen=True, kw_only=True):
    """A named clip. `name` is the client's word for it, `clip` the stored file."""

    id: str
    caller: str
    name: str
    clip: MediaRow
    created_at: float


async def add(transaction: Transaction, character: Character) -> None:
    """Write a new one, whose file is stored already."""
    clip = character.clip
    row = {"file": clip.name, "mime": clip.mime, "size": clip.size, "sha256": clip.sha256}
    own = {name: getattr(character, name) for name in ("id", "caller", "name", "created_at")}
    await transaction.execute(insert(characters).values({**own, **row}))


async def count(transaction: Transaction, caller: str) -> int:
    """How many a caller has."""
    query = select(func.count()).where(characters.c.caller == caller)
    return (await transaction.execute(query)).scalar_one()


async def get(transaction: Transaction, caller: str, character: str) -> Character | None:
    """A caller's character; None when there is none, and when it is somebody else's."""
    return await _first(transaction, _of(caller).where(characters.c.id == character))


async def find_alike(
    transaction: Transaction, caller: str, name: str, sha256: str, since: float
) -> Character | None:
    """The newest of this name with these bytes, made at Unix time `since` or later."""
    query = _of(caller).where(characters.c.name == name, characters.c.sha256 == sha256)
    newest = query.where(characters.c.created_at >= since).order_by(characters.c.id.desc()).limit(1)
    return await _first(transaction, newest)


async def drop(transaction: Transaction, caller: str, character: str) -> str | None:
    """Forget one; returns the name of the file to remove after commit, None when it is not there for them."""
    query = delete(characters).where(characters.c.caller == caller, characters.c.id == character)
    return (await transaction.execute(query.returning(characters.c.file))).scalar()


def _of(caller: str) -> Select[tuple[object, ...]]:
    return select(characters).where(characters.c.caller == caller)


async def _first(transaction: Transaction, query: Select[tuple[object, ...]]) -> Character | None:
    row = (await transaction.execute(query)).mappings().first()
    if row is None:
        return None
    clip = MediaRow(
        name=row["file"], role="character", mime=row["mime"], size=row["size"], sha256=row["sha256"],
        created_at=row["created_at"],
    )  # fmt: skip
    return Character(
        id=row["id"], caller=row["caller"], name=row["name"], clip=clip, created_at=row["created_at"]
    )
