"""One timer that serves many waits: it is set anew only for a wait that is due before it rings.

A wait that ends leaves the timer as it is. When it rings, whoever waits then is asked to look: not yet due, and it
sets the timer again; nobody waits, and it stays silent. So a connection that serves one call after another, each
with a patience of minutes, sets a timer every few minutes instead of with each call.
"""

import asyncio
import math
from collections.abc import Callable


class Alarm:
    """Calls `look` at `at`, a time of the loop, when somebody has asked for one."""

    __slots__ = ("_loop", "_timer", "at", "look")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.at = math.inf
        self.look: Callable[[], None] | None = None
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None

    def set(self, at: float) -> None:
        """Ring at that time; to be called for a time before `at`."""
        if self._timer is not None:
            self._timer.cancel()
        self.at = at
        self._timer = self._loop.call_at(at, self._ring)

    def cancel(self) -> None:
        """Ring no more."""
        self.at, self.look = math.inf, None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _ring(self) -> None:
        self.at, self._timer = math.inf, None
        if self.look is not None:
            self.look()
