"""Writes the ledger behind the answer: entries wait a moment in memory and go to SQL in one batch.

A row is unique by (source, kind), so a batch that is written twice changes nothing.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

from gateway.errors import Unavailable
from gateway.store.ledger import Entry

log = logging.getLogger("fairlead.books")

FLUSH_SECONDS = 0.5
MAX_WAITING = 100_000
"""Entries kept while SQL is away; beyond that the oldest are lost, and it is logged."""


Write: TypeAlias = Callable[[Sequence[Entry]], Awaitable[None]]


class Books:
    """Collects entries; `keep` must run beside, until `stop`."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._waiting: list[Entry] = []
        self._turn = asyncio.Lock()
        self._stopping = asyncio.Event()

    def enter(self, entry: Entry) -> None:
        """Note one entry; returns at once."""
        self._waiting.append(entry)

    async def keep(self) -> None:
        """Write what waits every FLUSH_SECONDS, and a last time after `stop`."""
        while not self._stopping.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FLUSH_SECONDS):
                    await self._stopping.wait()
            await self.flush()

    def stop(self) -> None:
        """Let `keep` write what waits, and end. Cancelling it in the middle of a write would hold the lock."""
        self._stopping.set()

    async def flush(self) -> None:
        """Write what waits now, and what another flush has in hand.

        While the store is away the entries stay for the next time. An entry that the store refuses is logged
        and left out, so that it does not hold up the others. A cancelled flush loses nothing.
        """
        async with self._turn:
            batch, self._waiting = self._waiting, []
            if not batch:
                return
            try:
                await self._write(batch)
            except Unavailable:
                self._keep_back(batch)
                log.warning("the ledger cannot be written now; %d entries wait", len(self._waiting))
            except Exception:  # noqa: BLE001 - each entry is tried by itself, and what fails then is logged
                await self._one_by_one(batch)
            except BaseException:
                self._keep_back(batch)
                raise

    async def _one_by_one(self, batch: Sequence[Entry]) -> None:
        for number, entry in enumerate(batch):
            try:
                await self._write([entry])
            except Unavailable:
                self._keep_back(batch[number:])
                return
            except Exception:
                log.exception("a ledger entry could not be written and is lost: %s", entry)

    def _keep_back(self, batch: Sequence[Entry]) -> None:
        self._waiting = [*batch, *self._waiting][-MAX_WAITING:]
