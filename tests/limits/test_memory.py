"""What the limiter in process does beyond the histories it shares with Redis: it forgets what is over."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from gateway.clock import Clock
from gateway.limits.memory import MemoryLimiter
from gateway.limits.rules import LEASE_SECONDS, RECORD_SECONDS, SETTLED_SECONDS
from tests.limits.asked import budget, fresh, slots, window


class Time:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.clock = Clock(monotonic=lambda: self.now)


def sizes(limiter: MemoryLimiter) -> tuple[int, int, int, int]:
    return len(limiter._counters), len(limiter._check), len(limiter._open), len(limiter._settled)


async def test_memory_is_bounded_by_what_is_in_use() -> None:
    time = Time()
    limiter = MemoryLimiter(time.clock)
    for number in range(2_000):
        tenant = fresh()
        asked = [window(tenant, 10), slots(tenant, 3), budget(tenant, 100, 1)]
        await limiter.seed(asked[2], 0)
        verdict = await limiter.acquire(tenant, asked)
        assert verdict.allowed
        if number % 2:
            await limiter.settle(tenant, asked, [1, 1, 1])
        time.now += 0.001
    assert sizes(limiter) == (6_000, 6_000, 1_000, 1_000)
    time.now += max(LEASE_SECONDS, SETTLED_SECONDS) + 1
    await limiter.acquire(fresh(), [])
    assert sizes(limiter) == (2_000, 2_000, 1_001, 0), "only budgets and what was never settled is kept"
    time.now += RECORD_SECONDS + 3600.0
    await limiter.acquire(fresh(), [])
    assert sizes(limiter) == (0, 0, 1, 0)


async def test_a_counter_in_use_is_never_dropped() -> None:
    time = Time()
    limiter = MemoryLimiter(time.clock)
    tenant = fresh()
    for _ in range(50):  # one request in five seconds: twelve in a minute, however long it goes on
        assert (await limiter.acquire(fresh(), [window(tenant, 14)])).allowed
        time.now += 5.0
    assert (await limiter.acquire(fresh(), [window(tenant, 14, cost=0)])).remaining == [2]


async def test_a_killed_processs_slots_are_free_after_a_minute() -> None:
    time = Time()
    limiter = MemoryLimiter(time.clock)
    one = [slots(fresh(), 1)]
    await limiter.acquire("dies", one)
    refused = await limiter.acquire("waits", one)
    assert (refused.denied, refused.retry_after) == (0, 1.0)
    time.now += LEASE_SECONDS - 0.2
    refused = await limiter.acquire("waits", one)
    assert refused.retry_after is not None
    assert 0.0 < refused.retry_after < 0.21
    time.now += 0.2
    assert (await limiter.acquire("waits", one)).allowed


async def test_a_stream_that_renews_keeps_its_slot() -> None:
    time = Time()
    limiter = MemoryLimiter(time.clock)
    one = [slots(fresh(), 1)]
    await limiter.acquire("long", one)
    for _ in range(10):
        time.now += LEASE_SECONDS / 3
        await limiter.renew("long", one)
    assert not (await limiter.acquire("other", one)).allowed
    await limiter.settle("long", one, [1])
    assert (await limiter.acquire("other", one)).allowed


async def test_what_nobody_renewed_is_found_by_its_name() -> None:
    time = Time()
    limiter = MemoryLimiter(time.clock)
    one = [slots(fresh(), 9)]
    for lease in ("video_1", "video_2", "req_1"):
        await limiter.acquire(lease, one)
    time.now += 100
    await limiter.renew("video_2", one)
    assert await limiter.abandoned("video_*", 120.0) == {}
    time.now += 20
    assert await limiter.abandoned("video_*", 120.0) == {"video_1": one}
    await limiter.settle("video_1", one, [0])
    assert await limiter.abandoned("video_*", 120.0) == {}


async def test_concurrent_requests_cannot_spend_a_budget_twice() -> None:
    limiter = MemoryLimiter()
    asked = [budget(fresh(), 100, 10)]
    await limiter.seed(asked[0], 0)
    granted = [lease for lease in map(str, range(200)) if (await limiter.acquire(lease, asked)).allowed]
    assert len(granted) == 10
    for lease in granted:
        await limiter.settle(lease, asked, [3])
    assert (await limiter.acquire("after", asked)).remaining == [60]


@given(st.lists(st.tuples(st.integers(0, 4_000), st.integers(1, 4)), max_size=40), st.integers(1, 10))
def test_the_wait_that_is_told_is_enough_and_not_a_millisecond_too_long(
    steps: list[tuple[int, int]], cost: int
) -> None:
    async def check() -> None:
        moment = 10**6
        limiter = MemoryLimiter(Clock(monotonic=lambda: (moment + 0.4) / 1000))
        asked = window("t", 10, cost=cost, seconds=18.0)
        for gap, taken in steps:
            moment += gap
            await limiter.acquire(fresh(), [window("t", 10, cost=taken, seconds=18.0)])
        refused = await limiter.acquire("asks", [asked])
        if refused.allowed:
            return
        assert refused.retry_after is not None
        moment += round(refused.retry_after * 1000) - 1
        assert not (await limiter.acquire("asks", [asked])).allowed
        moment += 1
        assert (await limiter.acquire("asks", [asked])).allowed

    asyncio.run(check())
