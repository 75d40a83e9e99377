"""Writes the ledger behind the answer: entries wait a moment in memory and go to SQL in one batch.

A row is unique by (source, kind), so a batch that is written twice changes nothing.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

from gateway.store.ledger import Entry

log = logging.getLogger("fairlead.books")

FLUSH_SECONDS = 0.5
MAX_WAITING = 100_000
"""Entries kept while SQL is away; beyond that the oldest are lost, and it is logged."""


Write: TypeAlias = Callable[[Sequence[Entry]], Awaitable[None]]


class Books:
    """Collects entries; `keep` must run beside, and `flush` once more at the end."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._waiting: list[Entry] = []

    def enter(self, entry: Entry) -> None:
        """Note one entry; returns at once."""
        self._waiting.append(entry)

    async def keep(self) -> None:
        """Write what waits every FLUSH_SECONDS, until cancelled."""
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            await self.flush()

    async def flush(self) -> None:
        """Write what waits now. A failure is logged and the entries stay for the next time."""
        batch, self._waiting = self._waiting, []
        if not batch:
            return
        try:
            await self._write(batch)
        except Exception:  # whatever the store raises, the entries must survive it
            self._waiting = batch + self._waiting
            lost = len(self._waiting) - MAX_WAITING
            if lost > 0:
                del self._waiting[:lost]
            log.exception("the ledger could not be written; %d entries wait", len(self._waiting))
