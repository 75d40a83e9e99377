"""What a process decides by itself while Redis does not answer: the three modes, and its share of each limit."""

import math
from collections.abc import Callable, Sequence

from msgspec import structs

from gateway.errors import Unavailable
from gateway.limits.memory import MemoryLimiter
from gateway.limits.rules import BUDGET, WINDOW, Dimension, Verdict

RETRY_SECONDS = 1.0
"""When a client should ask again if only the return of Redis can help it."""

RECENT = 1.0
"""Seconds for which the word of Redis on a budget is good enough: who waited for Redis does not wait for SQL then."""

_REMEMBERED_MOST = 10_000
_STRICTEST_FIRST = ("closed", "local", "open")


class Alone:
    """Counts in `limiter`, a share of 1/`replicas` of each limit.

    `mode` says local, open or closed for the limits that do not say it themselves; of those of one request the
    strictest decides.

    `local` begins with this process's share of what Redis last said was used; a budget of which it said nothing
    in the last RECENT seconds is seeded from the ledger, likewise by share, so they are as safe as the shares are
    right. `open` admits everything.
    `closed` admits nothing, which alone keeps a budget strictly.
    """

    def __init__(self, limiter: MemoryLimiter, mode: Callable[[], str], replicas: int) -> None:
        self.mode = mode
        self._limiter = limiter
        self._replicas = replicas
        self._last: dict[str, tuple[float, Dimension, int]] = {}

    def remember(self, dimensions: Sequence[Dimension], verdict: Verdict) -> None:
        """Keep what Redis said of each window and budget last, for the case that it says no more."""
        if len(self._last) >= _REMEMBERED_MOST:
            self._last.clear()
        now = self._limiter.monotonic()
        for dimension, left, reset in zip(dimensions, verdict.remaining, verdict.reset, strict=False):
            if dimension.kind == WINDOW:
                self._last[dimension.key] = (now + reset, dimension, left)
            elif dimension.kind == BUDGET:
                self._last[dimension.key] = (now + RECENT, dimension, left)

    def forget(self) -> None:
        """Redis counts again: what was counted here is of no use any more, and would be wrong the next time."""
        self._limiter.clear()

    async def acquire(self, lease: str, dimensions: Sequence[Dimension]) -> Verdict:
        """Decide by the mode. Raises Unavailable if it is `closed`."""
        usual = self.mode()
        modes = {dimension.on_store_error or usual for dimension in dimensions}
        mode = min(modes, key=_STRICTEST_FIRST.index)
        if mode == "open":
            return Verdict(allowed=True, backend="open")
        if mode == "closed":
            raise Unavailable(
                "Limits cannot be checked now, because their store does not answer. Try again in a second.",
                code="limiter_unavailable",
                retry_after=RETRY_SECONDS,
            )
        for dimension in dimensions:
            if dimension.key in self._last:
                await self._carry_over(dimension.key)
        verdict = await self._limiter.acquire(lease, [self._share(dimension) for dimension in dimensions])
        if verdict.denied is not None and verdict.retry_after is None:
            return structs.replace(verdict, retry_after=RETRY_SECONDS)  # too large for our share of the limit
        return verdict

    async def settle(
        self, lease: str, dimensions: Sequence[Dimension], actuals: Sequence[int], at: float
    ) -> None:
        """Settle what was granted here, if it was."""
        if self._limiter.holds(lease):
            await self._limiter.settle(lease, dimensions, actuals, at)

    async def renew(self, lease: str, dimensions: Sequence[Dimension]) -> None:
        """Renew what was granted here, if it was."""
        if self._limiter.holds(lease):
            await self._limiter.renew(lease, dimensions)

    async def seed(self, dimension: Dimension, spent: int) -> None:
        """Begin a budget with our share of what was spent."""
        await self._limiter.seed(self._share(dimension), math.ceil(spent / self._replicas))

    def _share(self, dimension: Dimension) -> Dimension:
        if self._replicas == 1:
            return dimension
        return structs.replace(dimension, limit=dimension.limit // self._replicas)

    async def _carry_over(self, key: str) -> None:
        """Book our share of what Redis last counted: to lose it must not open fresh windows."""
        until, dimension, left = self._last.pop(key)
        if until <= self._limiter.monotonic():
            return
        if dimension.kind == BUDGET:
            await self.seed(dimension, dimension.limit - left)
        else:
            used = math.ceil((dimension.limit - left) / self._replicas)
            await self._limiter.settle(f"{key}:carried", [dimension], [used])
