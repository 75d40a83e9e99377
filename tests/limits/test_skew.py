"""A gateway whose host's clock is wrong counts in the same windows and the same day as all the others."""

import time

import pytest

from gateway.clock import Clock
from gateway.config.snapshot import NANO, Caller, LimitRule
from gateway.errors import LimitExceeded
from gateway.limits.memory import MemoryLimiter
from gateway.limits.redis_store import RedisLimiter
from gateway.limits.template import Costs
from gateway.service.admission import Admission
from tests.limits.asked import fresh, window
from tests.servers import RedisServer, redis_server  # noqa: F401
from tests.system.test_limits import clear_of_midnight

HOUR, DAY = 3600.0, 86_400.0
RULES = (
    LimitRule(dimension="requests", limit=40, per="minute"),
    LimitRule(dimension="dollars", limit=30 * NANO, per="day"),
)


@pytest.mark.parametrize("skew", [-DAY, -HOUR, HOUR, DAY])
async def test_a_host_with_a_wrong_clock_changes_nothing(redis_server: RedisServer, skew: float) -> None:  # noqa: F811
    await clear_of_midnight()
    wrong = Clock(now=lambda: time.time() + skew, monotonic=lambda: time.monotonic() + skew)
    who, costs = Caller(id=fresh("k"), name="k", limits=RULES), Costs(nano_dollars=NANO)
    limiters = [
        RedisLimiter(redis_server.url, MemoryLimiter(clock), lambda: "closed") for clock in (Clock(), wrong)
    ]
    doors = [
        Admission(limiter, nothing_spent, clock)
        for limiter, clock in zip(limiters, (Clock(), wrong), strict=True)
    ]
    keys, admitted = set(), 0
    try:
        for limiter in limiters:
            await limiter.acquire(fresh("lease"), [window(fresh(), 1)])
            assert abs(limiter.now() - time.time()) < 1
        for number in range(60):
            try:
                grant = await doors[number % 2].admit(who, "fast", fresh("lease"), costs, 0.0)
            except LimitExceeded:
                continue
            admitted += 1
            keys |= {dimension.key for dimension in grant.dimensions}
    finally:
        for limiter in limiters:
            await limiter.close()
    assert admitted == 30
    assert len(keys) == 2, "one window, one day"


async def nothing_spent(_whose: object, _since: float) -> int:
    return 0
