"""The limiter of one process: the embedded default, what is left when Redis is away, and the Lua's oracle.

Nothing here waits, so every call is one step that nothing can come between. Memory is bounded by what is in
use: idle counters, settled leases and forgotten ones are dropped in passing.
"""

import heapq
import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from msgspec import Struct, structs

from gateway.clock import SYSTEM, Clock
from gateway.limits.counters import COUNTERS, RECORD_MS, Budget, Counter
from gateway.limits.rules import BUDGET, CONCURRENT, SETTLED_SECONDS, WINDOW, Dimension, Verdict

SETTLED_MS = int(SETTLED_SECONDS * 1000)
TIDY_MS = 1000
LOOK_AGAIN_MS = 60_000
"""How soon a new counter is first looked at again, to be dropped if it was never used."""

_UNKNOWN = -1
"""In place of a bucket: what is booked for a lease that was not granted here."""

_GONE = Verdict(allowed=False, denied=0, retry_after=0.0)
"""What is said to who asks for a lease that was settled already."""


class _Record(Struct, gc=False):
    """What a lease holds: the answer it got, its dimensions, and the bucket booked in each."""

    verdict: Verdict
    ends: int  # in milliseconds
    dimensions: Sequence[Dimension]
    buckets: Sequence[int]


class MemoryLimiter:
    """Implements `rules.Limiter` in process. Budgets are seeded from the ledger after every start."""

    def __init__(self, clock: Clock = SYSTEM) -> None:
        self.monotonic = clock.monotonic
        self.now = clock.now
        self._asked = False
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._counters: dict[str, Counter] = {}
        self._check: list[tuple[int, str]] = []  # a heap: when to look whether a counter is idle
        self._open: OrderedDict[str, _Record] = OrderedDict()  # soonest to be forgotten first
        self._settled: OrderedDict[str, int] = OrderedDict()  # likewise: when to forget it
        self._tidy_at = 0

    def holds(self, lease: str) -> bool:
        """Whether that lease was granted here and is not settled."""
        return lease in self._open

    async def acquire(self, lease: str, dimensions: Sequence[Dimension]) -> Verdict:
        """See `rules.Limiter`."""
        now = self._now()
        if lease in self._open and self._open[lease].ends > now:
            return self._open[lease].verdict
        if lease in self._settled and self._settled[lease] > now:
            return _GONE
        known = self._counters
        counters: list[Counter] = []
        left: list[int] = []
        refused = False
        for dimension in dimensions:
            key = dimension.key
            counter = known[key] if key in known else self._new(dimension, now)
            used = counter.used(dimension, now)
            if used is None:
                return Verdict(allowed=False, seed=len(left), before=self._begun(counter, dimension, now))
            free = dimension.limit - used
            refused = refused or 0 < dimension.cost > free
            counters += (counter,)
            left += (free,)
        if refused:
            return _refused(counters, dimensions, left, now)
        return self._grant(lease, dimensions, counters, left, now)

    def _grant(
        self, lease: str, dimensions: Sequence[Dimension], counters: list[Counter], left: list[int], now: int
    ) -> Verdict:
        buckets: list[int] = []
        remaining: list[int] = []
        reset: list[float] = []
        for counter, dimension, free in zip(counters, dimensions, left, strict=True):
            buckets += (counter.take(lease, dimension, now) if dimension.cost else 0,)
            remaining += (free - dimension.cost,)
            reset += (counter.reset(dimension, now) / 1000,)
        verdict = Verdict(allowed=True, remaining=remaining, reset=reset)
        self._open[lease] = _Record(verdict, now + RECORD_MS, dimensions, buckets)
        return verdict

    async def settle(
        self, lease: str, dimensions: Sequence[Dimension], actuals: Sequence[int], at: float = math.inf
    ) -> None:
        """See `rules.Limiter`."""
        now = self._now()
        if lease in self._settled and self._settled[lease] > now:
            return
        record = self._open.pop(lease, None)
        if record is None or record.ends <= now:
            booked = [structs.replace(dimension, cost=0) for dimension in dimensions]
            record = _Record(_GONE, 0, booked, [_UNKNOWN] * len(booked))
        known = self._counters
        for dimension, bucket, actual in zip(record.dimensions, record.buckets, actuals, strict=True):
            if actual == dimension.cost and dimension.kind == WINDOW:
                continue  # what was reserved was used: nothing to correct
            key = dimension.key
            counter = known[key] if key in known else self._new(dimension, now)
            counted = bucket >= 0 or dimension.kind != BUDGET or at >= self._begun(counter, dimension, now)
            counter.settle(lease, dimension, now, bucket, actual if counted else 0)
        if lease in self._settled:
            del self._settled[lease]  # so that it goes to the end
        self._settled[lease] = now + SETTLED_MS

    async def settle_surely(
        self, lease: str, dimensions: Sequence[Dimension], actuals: Sequence[int], at: float = math.inf
    ) -> bool:
        """See `rules.Limiter`."""
        await self.settle(lease, dimensions, actuals, at)
        return True

    def written(self, _notes: str, _leases: Sequence[str]) -> None:
        """See `rules.Limiter`: what is counted here ends with this process, and nothing is noted."""

    async def abandoned(self, names: str, older: float, /) -> Mapping[str, Sequence[Dimension]]:
        """See `rules.Limiter`."""
        latest = self._now() + RECORD_MS - older * 1000
        return {
            lease: record.dimensions
            for lease, record in self._open.items()
            if record.ends <= latest and fnmatchcase(lease, names)
        }

    async def renew(self, lease: str, dimensions: Sequence[Dimension]) -> bool:
        """See `rules.Limiter`."""
        now = self._now()
        if self._settled.get(lease, 0) > now:
            return True
        record = self._open.get(lease)
        known = record is not None and record.ends > now
        buckets: list[int] = []
        for dimension in dimensions:
            bucket = _UNKNOWN
            if dimension.kind == CONCURRENT or (dimension.cost and not known):
                counter = self._counters.get(dimension.key) or self._new(dimension, now)
                if counter.used(dimension, now) is None:
                    self._begun(counter, dimension, now)
                bucket = counter.take(lease, dimension, now)
            buckets.append(_UNKNOWN if dimension.kind == BUDGET else bucket)
        if record is None or not known:
            record = self._open[lease] = _Record(Verdict(allowed=True), now, dimensions, buckets)
        record.ends = now + RECORD_MS
        self._open.move_to_end(lease)
        return True

    async def seed(self, dimension: Dimension, spent: int) -> None:
        """See `rules.Limiter`."""
        now = self._now()
        budget = self._counters.get(dimension.key) or self._new(dimension, now)
        if isinstance(budget, Budget):
            budget.seed(dimension, now, spent)

    async def forgot(self) -> bool:
        """See `rules.Limiter`: it remembers as long as it lives."""
        asked, self._asked = self._asked, True
        return not asked

    async def age(self, _key: str) -> float:
        """See `rules.Limiter`. Nobody else counts here, so nobody has to be waited for."""
        return math.inf

    async def close(self) -> None:
        """Nothing to let go of."""

    def _begun(self, counter: Counter, dimension: Dimension, now: int) -> float:
        """From which date on a budget counts; it begins if it did not."""
        return counter.begin(dimension, now, round(self.now(), 3)) if isinstance(counter, Budget) else 0.0

    def _now(self) -> int:
        now = int(self.monotonic() * 1000)
        if now >= self._tidy_at:
            self._drop_idle(now)
        return now

    def _new(self, dimension: Dimension, now: int) -> Counter:
        counter = self._counters[dimension.key] = COUNTERS[dimension.kind](dimension)
        heapq.heappush(self._check, (now + LOOK_AGAIN_MS, dimension.key))
        return counter

    def _drop_idle(self, now: int) -> None:
        """Let go of what is over. Once a second is enough: who reads a lease looks whether it is over."""
        self._tidy_at = now + TIDY_MS
        while self._open and next(iter(self._open.values())).ends <= now:
            self._open.popitem(last=False)
        while self._settled and next(iter(self._settled.values())) <= now:
            self._settled.popitem(last=False)
        while self._check and self._check[0][0] <= now:
            _, key = heapq.heappop(self._check)
            ends = self._counters[key].expires
            if ends > now:
                heapq.heappush(self._check, (ends, key))
            else:
                del self._counters[key]


def _refused(
    counters: Sequence[Counter], dimensions: Sequence[Dimension], left: Sequence[int], now: int
) -> Verdict:
    denied, wait = None, 0.0
    for index, (counter, dimension) in enumerate(zip(counters, dimensions, strict=True)):
        if 0 < dimension.cost > left[index]:
            denied = index if denied is None else denied
            wait = max(wait, _wait(counter, dimension, now, left[index]))
    return Verdict(
        allowed=False,
        remaining=left,
        reset=_resets(counters, dimensions, now),
        denied=denied,
        retry_after=None if wait == math.inf else wait / 1000,
    )


def _wait(counter: Counter, dimension: Dimension, now: int, left: int) -> float:
    """Milliseconds until the dimension lets the cost in; infinite if it never does."""
    if dimension.cost > dimension.limit:
        return math.inf
    return counter.wait(dimension, now, dimension.cost - left)


def _resets(counters: Sequence[Counter], dimensions: Sequence[Dimension], now: int) -> list[float]:
    return [
        counter.reset(dimension, now) / 1000 for counter, dimension in zip(counters, dimensions, strict=True)
    ]
