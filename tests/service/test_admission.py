"""Looking at what is left of a key's limits takes nothing of it, in this process and in Redis."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest

from gateway.clock import SYSTEM
from gateway.config.snapshot import Caller, LimitRule
from gateway.limits.memory import MemoryLimiter
from gateway.limits.rules import Limiter
from gateway.limits.template import Costs
from gateway.service.admission import Admission
from tests.limits.asked import fresh, limiter
from tests.servers import RedisServer, redis_server  # noqa: F401

RULES = (
    LimitRule(dimension="requests", limit=3, per="minute"),
    LimitRule(dimension="tokens", limit=1000, per="hour"),
    LimitRule(dimension="concurrent", limit=1),
    LimitRule(dimension="dollars", limit=5_000, per="day"),
)
NEEDED = Costs(requests=1, tokens=400, nano_dollars=700)


@asynccontextmanager
async def counted_in(where: str, server: RedisServer) -> AsyncIterator[Limiter]:
    if where == "process":
        yield MemoryLimiter()
    else:
        async with limiter(server.url) as asker:
            yield asker


async def _nothing_spent(_whose: Mapping[str, str], _since: float) -> int:
    return 300


@pytest.mark.parametrize("where", ["process", "redis"])
async def test_headroom_is_told_and_not_taken(redis_server: RedisServer, where: str):  # noqa: F811
    async with counted_in(where, redis_server) as asker:
        admission = Admission(asker, _nothing_spent, SYSTEM)
        caller = Caller(id=fresh("key"), name="k", limits=RULES)

        async def left() -> dict[str, tuple[int, int]]:
            rooms = await admission.headroom(caller, "m", fresh("look"), NEEDED)
            return {room.dimension.name: (room.left, room.dimension.cost) for room in rooms}

        untouched = {"requests": (3, 1), "tokens": (1000, 400), "concurrent": (1, 1), "dollars": (4700, 700)}
        for _ in range(5):
            assert await left() == untouched
        grant = await admission.admit(caller, "m", fresh("lease"), NEEDED, SYSTEM.monotonic())
        held = {"requests": (2, 1), "tokens": (600, 400), "concurrent": (0, 1), "dollars": (4000, 700)}
        assert await left() == held
        await admission.settle(grant, Costs(requests=1, tokens=10, nano_dollars=100))
        settled = {"requests": (2, 1), "tokens": (990, 400), "concurrent": (1, 1), "dollars": (4600, 700)}
        async with asyncio.timeout(5):
            while await left() != settled:
                await asyncio.sleep(0.01)


async def test_a_key_without_limits_has_none_to_tell():
    admission = Admission(MemoryLimiter(), _nothing_spent, SYSTEM)
    assert await admission.headroom(Caller(id="free", name="free"), "m", "look", NEEDED) == ()
