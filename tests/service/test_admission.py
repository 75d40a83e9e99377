"""Looking at what is left of a key's limits takes nothing of it, in this process and in Redis."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from gateway.clock import SYSTEM
from gateway.config.snapshot import Caller, LimitRule
from gateway.errors import Unavailable
from gateway.limits.memory import MemoryLimiter
from gateway.limits.rules import Dimension, Limiter
from gateway.limits.template import Costs
from gateway.service.admission import Admission, Grant, JobAdmission
from tests.limits.asked import fresh, limiter
from tests.servers import RedisServer, redis_server  # noqa: F401

RULES = (
    LimitRule(dimension="requests", limit=3, per="minute"),
    LimitRule(dimension="tokens", limit=1000, per="hour"),
    LimitRule(dimension="concurrent", limit=1),
    LimitRule(dimension="dollars", limit=5_000, per="day"),
)
NEEDED = Costs(requests=1, tokens=400, nano_dollars=700)
JOBS = (
    LimitRule(dimension="requests", limit=9, per="minute"),
    LimitRule(dimension="video_jobs", limit=3),
    LimitRule(dimension="video_seconds", limit=60_000, per="day"),
    LimitRule(dimension="dollars", limit=5_000, per="day"),
)


@asynccontextmanager
async def counted_in(where: str, server: RedisServer) -> AsyncIterator[Limiter]:
    if where == "process":
        yield MemoryLimiter()
    else:
        async with limiter(server.url) as asker:
            yield asker


async def _nothing_spent(_budget: object, _whose: object, _before: float) -> int:
    return 300


async def test_the_ledger_is_read_once_for_all_who_need_the_same_budget():
    reads, goes_on = [], asyncio.Event()

    async def spent(budget: Dimension, _whose: object, _before: float) -> int:
        reads.append(budget.per)
        await goes_on.wait()
        return 300

    rules = [LimitRule(dimension="dollars", limit=8_000, per=per) for per in ("day", "month")]
    admission = Admission(MemoryLimiter(), spent, SYSTEM)
    caller = Caller(id=fresh("key"), name="k", limits=rules)
    impatient, *patient = (
        asyncio.create_task(admission.admit(caller, "m", fresh("lease"), NEEDED, SYSTEM.monotonic()))
        for _ in range(12)
    )
    while not reads:
        await asyncio.sleep(0)
    impatient.cancel()
    goes_on.set()
    ended = await asyncio.gather(*patient, return_exceptions=True)
    assert reads == ["day", "month"]
    assert sum(isinstance(one, Grant) for one in ended) == 11, "8,000 less 300, in pieces of 700"


async def test_a_ledger_that_cannot_be_read_is_asked_again_by_the_next():
    told: list[Exception | int] = [Unavailable("The ledger is away."), 300]

    async def spent(_budget: object, _whose: object, _before: float) -> int:
        match told.pop(0):
            case int(nano_dollars):
                return nano_dollars
            case error:
                raise error

    admission = Admission(MemoryLimiter(), spent, SYSTEM)
    caller = Caller(id=fresh("key"), name="k", limits=RULES)
    with pytest.raises(Unavailable):
        await admission.admit(caller, "m", fresh("lease"), NEEDED, SYSTEM.monotonic())
    assert (await admission.admit(caller, "m", fresh("lease"), NEEDED, SYSTEM.monotonic())).verdict.allowed


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


async def test_whoever_finds_what_a_dead_process_reserved_for_a_job_can_give_it_back(
    redis_server: RedisServer,  # noqa: F811
) -> None:
    caller = Caller(id=fresh(), name="one", limits=JOBS)
    wanted = Costs(concurrent=0, nano_dollars=700, video_ms=4000, video_jobs=1)

    def door(limiter: Limiter) -> tuple[Admission, JobAdmission]:
        admission = Admission(limiter, _nothing_spent, SYSTEM)
        return admission, JobAdmission(admission, limiter, SYSTEM, unknown_price_ok=lambda: False)

    async with limiter(redis_server.url) as dead, limiter(redis_server.url) as alive:
        whole, other = door(alive)
        before = [room.left for room in await whole.headroom(caller, "sora", fresh(), wanted)]
        lease = f"video_{fresh()}"
        await door(dead)[1].admit(caller, model="sora", video_ms=4000, nano_dollars=700, lease=lease)
        held = (await other.unsettled(0.0))[lease]
        assert lease not in await other.unsettled(60.0)
        assert await other.settle(lease, held, video_ms=0, nano_dollars=0)
        after = [room.left for room in await whole.headroom(caller, "sora", fresh(), wanted)]
        assert after == [before[0] - 1, *before[1:]]  # it was a request, whatever became of it
        assert lease not in await other.unsettled(0.0)
