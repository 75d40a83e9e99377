"""Tells the other processes which targets were shut here, and hears from them; in the background, on no request's way.

Theory of operation. Every EVERY seconds what was shut here since the last time goes out and everything that holds
comes in. A rest is heard once: whether it still stands is then the business of this process, which may find the
target well before the rest is over (a last resort that answered, a configuration that was mended). Such a rest is
taken back, and who only had it from hearsay calls the target again; who found it out by itself does not. While the
store is away, each process knows what it knows; what it could not tell it tells when the store is back.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from gateway.limits.connection import StoreError
from gateway.routing.health import Rest
from gateway.service.board import Board

EVERY = 0.5
"""Seconds between two exchanges: after two of them at most a rest is known everywhere."""


class Rests(Protocol):
    """Where rests are shared."""

    async def exchange(self, fresh: Sequence[Rest], over: Mapping[str, int]) -> list[Rest]:
        """Add rests, take back others (target to `until`), and read all that hold. Raises StoreError."""

    async def close(self) -> None:
        """Let go of the store."""


class Hearsay:
    """Keeps one process's board in step with the others'. `heard` is told of each target that is shut anywhere."""

    def __init__(self, board: Board, rests: Rests, heard: Callable[[str], None]) -> None:
        self._board = board
        self._rests = rests
        self._heard = heard
        self._told: dict[str, float] = {}  # target: the end of the rest that the others know of
        self._known: dict[str, int] = {}  # target: the rest that was heard or told last

    async def keep(self) -> None:
        """Exchange until cancelled."""
        try:
            while True:
                await self.exchange()
                await asyncio.sleep(EVERY)
        finally:
            await self._rests.close()

    async def exchange(self) -> None:
        """Tell and hear once."""
        board = self._board
        shut = board.to_tell()
        fresh = [rest for rest, until in shut if self._told.get(rest.target) != until]
        over = {
            name: until
            for name, until in self._known.items()
            if name in board.known and board.known[name].shut is None
        }
        try:
            rests = await self._rests.exchange(fresh, over)
        except StoreError:
            return
        self._told = {rest.target: until for rest, until in shut}
        for rest in rests:
            if self._known.get(rest.target) != rest.until:
                board.hear(rest)
                self._heard(rest.target)
        now_known = {rest.target: rest.until for rest in rests}
        for target in self._known.keys() - now_known.keys():
            board.unhear(target)
        self._known = now_known
