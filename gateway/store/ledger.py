"""What was used and what it cost: rows are added and never changed, at most one per source and kind."""

import math
from collections.abc import Mapping, Sequence

import msgspec
from msgspec import Struct
from sqlalchemy import func, select

from gateway.store.engine import Transaction, insert_many
from gateway.store.tables import ledger


class Entry(Struct, frozen=True, kw_only=True):
    """One charge. `source` is the id of the request or job, `kind` what was charged (chat, video).

    `nano_dollars` is None when the price is not known, which is not the same as free.
    """

    source: str
    kind: str
    caller: str
    organisation: str
    model: str
    target: str
    nano_dollars: int | None
    created_at: float
    project: str = ""
    user: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    video_ms: int = 0


async def add(transaction: Transaction, entries: Sequence[Entry]) -> None:
    """Write entries; one that is there already (same source and kind) is left as it is."""
    if entries:
        await insert_many(transaction, ledger, msgspec.json.encode(entries).decode())


async def booked(transaction: Transaction, source: str) -> Mapping[str, int]:
    """Nano-dollars of each kind that a request or job is booked with; empty when it is not."""
    query = select(ledger.c.kind, ledger.c.nano_dollars).where(ledger.c.source == source)
    return {kind: nano or 0 for kind, nano in await transaction.execute(query)}


async def spent(
    transaction: Transaction, whose: Mapping[str, str], since: float, before: float = math.inf
) -> int:
    """Nano-dollars spent since a Unix time and before another; charges of unknown price count nothing.

    `whose` says by which columns charges belong together: `{"caller": ...}`, `{"organisation": ...}`, ...
    """
    mine = [ledger.c[column] == value for column, value in whose.items()]
    when = (ledger.c.created_at >= since, ledger.c.created_at < before)
    found = select(func.sum(ledger.c.nano_dollars)).where(*mine, *when)
    total = await transaction.execute(found)
    return int(total.scalar() or 0)
