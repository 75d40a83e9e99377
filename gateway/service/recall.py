"""Tells a limiter that lost its memory what is held, before anybody is admitted to a budget because of that.

Theory of operation
-------------------
Spent money is in the ledger; held money is known to whoever holds it. Each process looks every LOOK_SECONDS whether
the store forgot something (FLUSHALL, a restart without its file, or it was away). If so it renews all that its own
requests hold, which a store that does not know them takes as news; writes out the ledger entries that still wait;
and renews the reservations of open video jobs, which belong to no process and are in SQL.

A budget that the store does not know is seeded from the ledger, and nothing is admitted to it before. Whoever seeds
it waits until the store's memory is GRACE old, so that all the others have looked and told. In a store that has
forgotten nothing for that long (a budget's new period, a new key) nobody waits.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeAlias

from gateway.errors import Unavailable
from gateway.limits.rules import Dimension, Limiter

LOOK_SECONDS = 0.25
GRACE = 1.0
"""Seconds: two looks of a busy process, and a ledger's flush after them."""

_AT_ONCE = 200

Held: TypeAlias = tuple[str, Sequence[Dimension]]
"""A lease and what it was granted in."""

_log = logging.getLogger("fairlead.recall")


class Recall:
    """One process's memory for its limiter. `keep` must run beside the requests.

    `mine` gives what this process's requests hold, `jobs` what open video jobs do, `flush` writes the ledger.
    """

    def __init__(
        self,
        limiter: Limiter,
        mine: Callable[[], Iterable[Held]],
        jobs: Callable[[], Awaitable[Sequence[Held]]],
        flush: Callable[[], Awaitable[None]],
    ) -> None:
        self._limiter = limiter
        self._mine = mine
        self._jobs = jobs
        self._flush = flush
        self._turn = asyncio.Lock()
        self._owing = False

    async def keep(self) -> None:
        """Look, and tell what was forgotten, until cancelled."""
        while True:
            try:
                await self._look()
            except Unavailable as error:
                _log.warning("reservations of video jobs could not be read: %s", error)
            await asyncio.sleep(LOOK_SECONDS)

    async def ready(self, key: str) -> None:
        """Wait until everybody has had time to tell what is held in that budget. Raises Unavailable."""
        await self._look()
        while (left := GRACE - await self._limiter.age(key)) > 0:  # noqa: ASYNC110 - nobody here could set an event
            await asyncio.sleep(left)

    async def _look(self) -> None:
        async with self._turn:
            self._owing = await self._limiter.forgot() or self._owing
            if self._owing:
                self._owing = not await self._tell()

    async def _tell(self) -> bool:
        """Whether the store knows everything now."""
        told = await self._renew(list(self._mine()))
        await self._flush()
        return await self._renew(await self._jobs()) and told

    async def _renew(self, held: Sequence[Held]) -> bool:
        known = True
        for first in range(0, len(held), _AT_ONCE):
            some = (self._limiter.renew(*one) for one in held[first : first + _AT_ONCE])
            known = all(await asyncio.gather(*some)) and known
        return known
