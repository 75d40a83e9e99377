"""The three counters of the in-process limiter: what the Lua scripts do, in Python. Pure: time is passed in.

Times are whole milliseconds on one clock that does not go back. `take` returns the bucket of time it booked
in; whoever settles hands it back, with the dimension as it was when the lease was granted.
"""

import math
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import TypeAlias

from gateway.limits.rules import BUDGET, CONCURRENT, RECORD_SECONDS, WINDOW, Dimension

RECORD_MS = int(RECORD_SECONDS * 1000)
SLOT_RETRY_MS = 1000
"""How soon a caller without a free slot is told to ask again: slots are freed by answers, not by time."""


class Window:
    """Amounts by bucket of time; those of the window and of one bucket more are what counts.

    Made for one dimension's window and buckets. What books or settles goes by the time that `used` was last
    asked at.
    """

    __slots__ = ("_amounts", "_buckets", "_current", "_last", "_life", "_size", "_sum", "expires")

    def __init__(self, dimension: Dimension) -> None:
        self.expires = 0
        self._size = dimension.window * 1000 / dimension.buckets
        self._buckets = dimension.buckets
        self._life = math.ceil(dimension.window * 1000 + 2 * self._size)
        self._amounts: dict[int, int] = {}
        self._current = -1
        self._last = 0
        self._sum = 0

    def used(self, _dimension: Dimension, now: int) -> int:
        """What counts now."""
        current = int(now / self._size)
        if current != self._current:
            oldest = current - self._buckets
            for bucket in [bucket for bucket in self._amounts if bucket < oldest]:
                self._sum -= self._amounts.pop(bucket)
            self._current = current
        return self._sum

    def wait(self, _dimension: Dimension, now: int, excess: int) -> int:
        """Milliseconds until that much, of what counts now, no longer does."""
        freed, bucket = 0, self._last
        for bucket in sorted(self._amounts):
            freed += self._amounts[bucket]
            if freed >= excess:
                break
        return self._leaves(bucket) - now

    def reset(self, _dimension: Dimension, now: int) -> int:
        """Milliseconds until nothing of it counts."""
        if self._sum <= 0:
            return 0
        return -int(-(self._last + self._buckets + 1) * self._size // 1) - now  # as `_leaves`, one call less

    def take(self, _lease: str, dimension: Dimension, now: int) -> int:
        """Book the cost."""
        return self._book(now, dimension.cost)

    def settle(self, _lease: str, dimension: Dimension, now: int, bucket: int, actual: int) -> None:
        """Refund in the bucket that was booked, while it counts; book an excess now."""
        self.used(dimension, now)
        excess = actual - dimension.cost
        if excess > 0:
            self._book(now, excess)
        elif excess and bucket in self._amounts:
            refund = min(-excess, self._amounts[bucket])
            self._amounts[bucket] -= refund
            self._sum -= refund

    def _book(self, now: int, amount: int) -> int:
        self._last = current = self._current
        self._amounts[current] = self._amounts.get(current, 0) + amount
        self._sum += amount
        self.expires = now + self._life
        return current

    def _leaves(self, bucket: int) -> int:
        """When a bucket is counted no more."""
        return math.ceil((bucket + self._buckets + 1) * self._size)


class Slots:
    """Open leases and when they end by themselves, soonest first. Made for one dimension's window."""

    __slots__ = ("_ends", "_life", "expires")

    def __init__(self, dimension: Dimension) -> None:
        self.expires = 0
        self._life = int(dimension.window * 1000)
        self._ends: OrderedDict[str, int] = OrderedDict()

    def used(self, _dimension: Dimension, now: int) -> int:
        """How many are open now."""
        while self._ends and next(iter(self._ends.values())) <= now:
            self._ends.popitem(last=False)
        return len(self._ends)

    def wait(self, _dimension: Dimension, now: int, _excess: int) -> int:
        """When to ask again: soon, or when the first lease ends by itself if that is sooner."""
        return min(SLOT_RETRY_MS, next(iter(self._ends.values())) - now)

    def reset(self, _dimension: Dimension, now: int) -> int:
        """When the last lease ends by itself."""
        return next(reversed(self._ends.values())) - now if self._ends else 0

    def take(self, lease: str, _dimension: Dimension, now: int) -> int:
        """Open a slot, or keep it open."""
        self._ends[lease] = self.expires = now + self._life
        self._ends.move_to_end(lease)
        return 0

    def settle(self, lease: str, _dimension: Dimension, _now: int, _bucket: int, _actual: int) -> None:
        """Free the slot."""
        self._ends.pop(lease, None)


class Budget:
    """Money of one calendar period: what was spent, None until the ledger has said it, and what is held.

    `_late` is what was spent before the ledger has said it, but after the date up to which it is asked.
    """

    __slots__ = ("_before", "_held", "_late", "_spent", "expires")

    def __init__(self, _dimension: Dimension) -> None:
        self.expires = 0
        self._spent: int | None = None
        self._before: float | None = None
        self._held = 0
        self._late = 0

    def begin(self, dimension: Dimension, now: int, date: float) -> float:
        """Count from this date on, unless it counts from an earlier one; gives the date."""
        if self._before is None:
            self._before = date if self._spent is None else 0.0
            self._live(dimension, now)
        return self._before

    def seed(self, dimension: Dimension, now: int, spent: int) -> None:
        """Add what the ledger says, unless it has said it."""
        if self._spent is None:
            self._spent = spent + self._late
            self._live(dimension, now)

    def _live(self, dimension: Dimension, now: int) -> None:
        self.expires = now + math.ceil(dimension.window * 1000) + RECORD_MS

    def used(self, _dimension: Dimension, _now: int) -> int | None:
        """Spent and held together; None if it must be seeded."""
        return None if self._spent is None else self._spent + self._held

    def wait(self, dimension: Dimension, _now: int, _excess: int) -> int:
        """When the period ends."""
        return math.ceil(dimension.window * 1000)

    def reset(self, dimension: Dimension, _now: int) -> int:
        """When the period ends, if anything was used in it."""
        return math.ceil(dimension.window * 1000) if self._spent or self._held else 0

    def take(self, _lease: str, dimension: Dimension, _now: int) -> int:
        """Hold the cost."""
        self._held += dimension.cost
        return 0

    def settle(self, _lease: str, dimension: Dimension, _now: int, _bucket: int, actual: int) -> None:
        """Let go of what was held and spend what it came to."""
        self._held -= dimension.cost
        if self._spent is None:
            self._late += actual
        else:
            self._spent += actual


Counter: TypeAlias = Window | Slots | Budget

COUNTERS: Mapping[str, Callable[[Dimension], Counter]] = {WINDOW: Window, CONCURRENT: Slots, BUDGET: Budget}
