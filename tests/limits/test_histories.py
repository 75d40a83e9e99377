"""The same histories against the limiter in process and against the Lua on a real Redis, one clock for both.

Every verdict must be equal, and both must keep the promises: no trailing window holds more than its limit, a
refusal uses nothing, a lease is granted once and settled once, and who waits as told is let in.
"""

import asyncio
import itertools
import math

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    multiple,
    rule,
    run_state_machine_as_test,
)
from msgspec import structs

from gateway.clock import Clock
from gateway.limits.memory import MemoryLimiter
from gateway.limits.redis_store import RedisLimiter
from gateway.limits.rules import BUDGET, CONCURRENT, WINDOW, Dimension, Limiter, Verdict
from tests.servers import RedisServer, redis_server  # noqa: F401

NUMBERS = itertools.count()
SPECS = (
    Dimension(name="requests", kind=WINDOW, key="r", limit=7, cost=1, window=30.0, buckets=6, per="minute"),
    Dimension(name="tokens", kind=WINDOW, key="t", limit=20, cost=1, window=17.0, buckets=7, per="minute"),
    Dimension(name="concurrent", kind=CONCURRENT, key="c", limit=3, cost=1, window=60.0),
    Dimension(name="video_jobs", kind=CONCURRENT, key="j", limit=2, cost=1, window=90.0),
    Dimension(name="video_seconds", kind=WINDOW, key="v", limit=9000, cost=1, window=3600.0, buckets=60),
    Dimension(name="dollars", kind=BUDGET, key="b", limit=2**52, cost=1, window=1234.5678, per="day"),
    Dimension(name="soft dollars", kind=BUDGET, key="s", limit=2**51, cost=1, window=99.5, per="month"),
)
COSTS = (
    *(st.integers(0, 3), st.integers(0, 22), st.just(1), st.just(1), st.integers(0, 9000)),
    *(st.integers(0, 2**50), st.integers(0, 2**50)),
)
BUDGETS = tuple(index for index, spec in enumerate(SPECS) if spec.kind == BUDGET)
ASKED = st.lists(st.sampled_from(range(len(SPECS))), min_size=1, max_size=len(SPECS), unique=True).flatmap(
    lambda chosen: st.tuples(*(st.tuples(st.just(index), COSTS[index]) for index in chosen))
)
WAITS = st.one_of(
    st.integers(0, 3_000),
    st.integers(14_500, 19_500),  # around the end of the short window
    st.integers(25_000, 35_000),  # around the end of the long one, and half of a lease
    st.just(61_000),  # past the end of every lease of a request
    st.just(91_000),  # and of a job
)
Asked = tuple[tuple[int, int], ...]


class World:
    """Both limiters, the loop they run in, and their one clock in milliseconds."""

    def __init__(self, runner: asyncio.Runner, url: str) -> None:
        self.now = 10**9
        clock = Clock(monotonic=lambda: (self.now + 0.4) / 1000)  # no float may round a millisecond down
        self.memory = MemoryLimiter(clock)
        self.redis = RedisLimiter(url, MemoryLimiter(), lambda: "closed", server_clock=lambda: self.now)
        self.run = runner.run

    def acquire(self, lease: str, dimensions: list[Dimension]) -> Verdict:
        """What both say."""
        told = [self.run(limiter.acquire(lease, dimensions)) for limiter in self.limiters()]
        mine, theirs = (
            structs.replace(
                verdict, backend="", remaining=tuple(verdict.remaining), reset=tuple(verdict.reset)
            )
            for verdict in told
        )
        assert mine == theirs
        return mine

    def settle(self, lease: str, dimensions: list[Dimension], actuals: list[int]) -> None:
        for limiter in self.limiters():
            self.run(limiter.settle(lease, dimensions, actuals))

    def renew(self, lease: str, dimensions: list[Dimension]) -> None:
        for limiter in self.limiters():
            self.run(limiter.renew(lease, dimensions))

    def limiters(self) -> tuple[Limiter, Limiter]:
        return self.memory, self.redis


class Booked:
    """A lease as the model sees it: when it was booked, and how much in each dimension."""

    def __init__(self, lease: str, dimensions: list[Dimension], verdict: Verdict | None, now: int) -> None:
        self.lease = lease
        self.dimensions = dimensions
        self.verdict = verdict
        self.now = now
        self.slots_until: dict[str, int] = {}
        self.settled = 0
        self.amounts = {dimension.name: dimension.cost for dimension in dimensions}


class Histories(RuleBasedStateMachine):
    """One tenant's history. The model: every amount ever booked, and when."""

    grants = Bundle("grants")
    settled = Bundle("settled")

    world: World

    def __init__(self) -> None:
        super().__init__()
        self.tenant = next(NUMBERS)
        self.booked: list[Booked] = []
        self.seeded: dict[str, int] = {}

    def dimensions(self, asked: Asked) -> list[Dimension]:
        return [
            structs.replace(SPECS[index], key=f"gw:{{{self.tenant}}}:{SPECS[index].key}", cost=cost)
            for index, cost in asked
        ]

    def left(self) -> list[int]:
        """What remains of everything, found by asking for nothing; must be what the model says."""
        known = [i for i, spec in enumerate(SPECS) if spec.kind != BUDGET or spec.name in self.seeded]
        asked = self.dimensions(tuple((index, 0) for index in known))
        verdict = self.world.acquire(f"look-{next(NUMBERS)}", asked)
        assert verdict.allowed
        for dimension, left in zip(asked, verdict.remaining, strict=True):
            used = dimension.limit - left
            if dimension.kind == WINDOW:
                size = dimension.window * 1000 / dimension.buckets
                assert self.sum_since(dimension, dimension.window * 1000) <= used
                assert used <= self.sum_since(dimension, dimension.window * 1000 + size)
            elif dimension.kind == CONCURRENT:
                ends = (booked.slots_until.get(dimension.name, 0) for booked in self.booked)
                assert used == sum(end > self.world.now for end in ends)
            else:
                assert used == self.seeded[dimension.name] + self.sum_since(dimension, math.inf)
        return list(verdict.remaining)

    def sum_since(self, dimension: Dimension, age: float) -> int:
        amounts = (b.amounts.get(dimension.name, 0) for b in self.booked if b.now > self.world.now - age)
        return sum(amounts)

    @rule(target=grants, asked=ASKED, patient=st.booleans())
    def acquire(self, asked: Asked, patient: bool) -> object:
        dimensions, lease = self.dimensions(asked), f"lease-{next(NUMBERS)}"
        before = self.left()
        verdict = self.world.acquire(lease, dimensions)
        if verdict.seed is not None:
            assert dimensions[verdict.seed].kind == BUDGET
            assert dimensions[verdict.seed].name not in self.seeded
        if not verdict.allowed:
            assert self.left() == before, "a refusal used something"
            never = verdict.denied is not None and verdict.retry_after is None
            assert not never or any(dimension.cost > dimension.limit for dimension in dimensions)
            others = {BUDGET, CONCURRENT} & {dimension.kind for dimension in dimensions}
            if others or verdict.retry_after is None or not patient:
                return multiple()
            self.world.now += round(verdict.retry_after * 1000)
            verdict = self.world.acquire(lease, dimensions)
            assert verdict.allowed, "waited as told, and was refused again"
        granted = Booked(lease, dimensions, verdict, self.world.now)
        self.open_slots(granted)
        self.booked.append(granted)
        for dimension, left in zip(dimensions, verdict.remaining, strict=True):
            assert left >= 0 or dimension.cost == 0
        self.left()
        return granted

    @rule(granted=grants)
    def ask_again(self, granted: Booked) -> None:
        before = self.left()
        assert self.world.acquire(granted.lease, granted.dimensions) == granted.verdict
        assert self.left() == before, "the same lease was granted twice"

    @rule(granted=grants)
    def renew(self, granted: Booked) -> None:
        self.world.renew(granted.lease, granted.dimensions)
        self.open_slots(granted)
        self.left()

    @rule(target=settled, granted=consumes(grants), share=st.floats(0, 1.3))
    def settle(self, granted: Booked, share: float) -> Booked:
        actuals = [int(dimension.cost * share) for dimension in granted.dimensions]
        self.world.settle(granted.lease, granted.dimensions, actuals)
        excess = self.book_now(granted.lease, granted.dimensions, [])
        for dimension, actual in zip(granted.dimensions, actuals, strict=True):
            granted.amounts[dimension.name] = min(actual, dimension.cost)
            excess.amounts[dimension.name] = max(0, actual - dimension.cost)
        granted.slots_until, granted.settled = {}, self.world.now
        self.left()
        return granted

    @rule(granted=settled)
    def settle_again(self, granted: Booked) -> None:
        if self.world.now - granted.settled < 100_000:
            before = self.left()
            self.world.settle(granted.lease, granted.dimensions, [1 for _ in granted.dimensions])
            assert self.world.acquire(granted.lease, granted.dimensions).retry_after == 0.0
            self.world.renew(granted.lease, granted.dimensions)
            assert self.left() == before, "a lease was settled twice"

    @rule(asked=ASKED)
    def settle_a_lease_nobody_knows(self, asked: Asked) -> None:
        dimensions, lease = self.dimensions(asked), f"unknown-{next(NUMBERS)}"
        self.world.settle(lease, dimensions, [dimension.cost for dimension in dimensions])
        booked = self.book_now(lease, dimensions, [dimension.cost for dimension in dimensions])
        for index in BUDGETS:
            if SPECS[index].name not in self.seeded:
                booked.amounts.pop(SPECS[index].name, None)
        self.left()

    @rule(index=st.sampled_from(BUDGETS), spent=st.integers(0, 2**50))
    def seed(self, index: int, spent: int) -> None:
        budget = self.dimensions(((index, 1),))[0]
        for limiter in self.world.limiters():
            self.world.run(limiter.seed(budget, spent))
        self.seeded.setdefault(budget.name, spent)
        self.left()

    @rule(milliseconds=WAITS)
    def wait(self, milliseconds: int) -> None:
        self.world.now += milliseconds
        self.left()

    def open_slots(self, granted: Booked) -> None:
        for dimension in granted.dimensions:
            if dimension.kind == CONCURRENT:
                granted.slots_until[dimension.name] = self.world.now + round(dimension.window * 1000)

    def book_now(self, lease: str, dimensions: list[Dimension], amounts: list[int]) -> Booked:
        booked = Booked(lease, dimensions, None, self.world.now)
        booked.amounts = {d.name: amount for d, amount in zip(dimensions, amounts, strict=False)}
        self.booked.append(booked)
        return booked


def test_every_history_ends_alike_in_process_and_in_redis(redis_server: RedisServer) -> None:  # noqa: F811
    with asyncio.Runner() as runner:
        Histories.world = world = World(runner, redis_server.url)
        first = [structs.replace(SPECS[2], key="gw:{first}:c")]
        try:
            world.acquire("first", first)
            world.settle(
                "first", first, [1]
            )  # a script's first call is repeated with its text, so it comes late
            world.renew("first", first)
            run_state_machine_as_test(
                Histories, settings=settings(max_examples=60, stateful_step_count=30, deadline=None)
            )
        finally:
            runner.run(world.redis.close())
