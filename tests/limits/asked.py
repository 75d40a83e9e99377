"""What the tests of the limiters ask for, and how they wait for an answer."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from gateway.errors import Unavailable
from gateway.limits.memory import MemoryLimiter
from gateway.limits.redis_store import RedisLimiter
from gateway.limits.rules import BUDGET, CONCURRENT, LEASE_SECONDS, WINDOW, Dimension, Limiter, Verdict

_NUMBERS = itertools.count()


def fresh(word: str = "t") -> str:
    """A name no other test uses: a tenant, or a lease."""
    return f"{word}{next(_NUMBERS)}"


@asynccontextmanager
async def limiter(url: str, mode: str = "closed", replicas: int = 1) -> AsyncIterator[RedisLimiter]:
    """A limiter on that Redis, closed at the end."""
    made = RedisLimiter(url, MemoryLimiter(), lambda: mode, replicas=replicas)
    try:
        yield made
    finally:
        await made.close()


def window(tenant: str, limit: int, cost: int = 1, seconds: float = 60.0) -> Dimension:
    """A limit on requests in a sliding window."""
    key = f"gw:{{{tenant}}}:w:key:k:requests:minute"
    return Dimension(
        name="requests",
        kind=WINDOW,
        key=key,
        limit=limit,
        cost=cost,
        window=seconds,
        buckets=60,
        per="minute",
    )


def slots(tenant: str, limit: int) -> Dimension:
    """A limit on what is open at the same time."""
    return Dimension(
        name="concurrent",
        kind=CONCURRENT,
        key=f"gw:{{{tenant}}}:c:key:k",
        limit=limit,
        cost=1,
        window=LEASE_SECONDS,
    )


def budget(tenant: str, limit: int, cost: int) -> Dimension:
    """A limit on money in a calendar day."""
    key = f"gw:{{{tenant}}}:b:key:k:dollars:day:2026-11-20"
    return Dimension(name="dollars", kind=BUDGET, key=key, limit=limit, cost=cost, window=3600.0, per="day")


async def until(true: Callable[[], Awaitable[bool]], seconds: float) -> float:
    """Ask until it is true, and return how many seconds that took; fail after `seconds`."""
    began = time.monotonic()
    while not await true():
        assert time.monotonic() - began < seconds, f"not true after {seconds} s"
        await asyncio.sleep(0.01)
    return time.monotonic() - began


async def ask(asker: Limiter, asked: Sequence[Dimension]) -> Verdict | None:
    """One request's verdict, None for Unavailable."""
    try:
        return await asker.acquire(fresh("lease"), asked)
    except Unavailable:
        return None


async def heal(asker: Limiter, asked: Sequence[Dimension]) -> float:
    """Seconds until Redis decides again."""

    async def decided() -> bool:
        verdict = await ask(asker, asked)
        return verdict is not None and verdict.backend == "redis"

    return await until(decided, 10.0)
