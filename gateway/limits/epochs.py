"""Since when Redis remembers: how a process notices that counters are gone, before it or anybody believes what is left.

Every range of slots of a cluster has a mark that says when its node began to remember; a lone Redis is one range.
FLUSHALL, or a restart without its file, takes the mark along with everything else, and whoever looks next sets a new
one. So a mark that is old says two things: nothing was lost, and everybody has had time to see that.
"""

import asyncio
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from gateway.limits.connection import Script, StoreError
from gateway.limits.nodes import Nodes, slot

REFRESH_SECONDS = 10.0
"""How often it is asked which ranges there are: slots that move look forgotten, which costs no more than a moment."""


class _Mark(NamedTuple):
    first: int  # the slots it stands for
    last: int
    key: str


class Epochs:
    """The marks of all ranges, and what they said last."""

    def __init__(self, redis: Nodes) -> None:
        self._redis = redis
        self._script = Script((Path(__file__).parent / "mark.lua").read_text())
        self._marks: tuple[_Mark, ...] = ()
        self._since: dict[str, int] = {}
        self._changed = False
        self._asked = 0.0

    async def look(self) -> bool:
        """Whether any range has lost its memory, or was out of reach, since this was asked last. Raises StoreError."""
        for mark in await self._ranges():
            await self._ask(mark)
        changed, self._changed = self._changed, False
        return changed

    async def age(self, key: str) -> float:
        """Seconds since when the range of that key remembers. Raises StoreError."""
        number = slot(key)
        mark = next((one for one in await self._ranges() if one.first <= number <= one.last), None)
        return 0.0 if mark is None else await self._ask(mark)

    def lose(self) -> None:
        """Redis was away: what it says next is new."""
        self._since.clear()

    async def _ask(self, mark: _Mark) -> float:
        try:
            command = ("EVALSHA", self._script.sha, 1, mark.key)
            since, age = await self._redis.call(mark.key, command, self._script)
        except StoreError:
            self._since.pop(mark.key, None)
            raise
        if self._since.get(mark.key) != since:
            self._since[mark.key], self._changed = since, True
        return float(age) / 1000

    async def _ranges(self) -> tuple[_Mark, ...]:
        now = asyncio.get_running_loop().time()
        if not self._marks or now - self._asked > REFRESH_SECONDS:
            ranges = await self._redis.ranges()
            self._marks = tuple(_Mark(first, last, _key(first, last)) for first, last in ranges)
            self._asked = now
        return self._marks


@lru_cache(maxsize=1024)
def _key(first: int, last: int) -> str:
    """A key that lies in one of these slots."""
    number = 0
    while not first <= slot(f"gw:{{{number}}}") <= last:
        number += 1
    return f"gw:{{{number}}}:since"
