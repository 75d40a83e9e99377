"""One process of a storm on a shared Redis: asks as fast as it is let, and says what it was granted.

Run as `python -m tests.limits.storm URL LIMIT WINDOW SECONDS`. Prints a line when it is ready, reads the Unix
time to begin at, and prints a JSON list with two moments for each admitted request: when it was sent, and
when the answer was read.
"""

import asyncio
import json
import random
import sys
import time

from msgspec import structs

from gateway.errors import Unavailable
from gateway.limits.memory import MemoryLimiter
from gateway.limits.redis_store import RedisLimiter
from gateway.limits.rules import Dimension
from tests.limits.asked import budget, slots, window

COROUTINES = 16
PRICE = 700
Moments = list[tuple[float, float]]


def dimensions(limit: int, seconds: float) -> list[Dimension]:
    """Four dimensions, of which the requests and sometimes the slots are in the way."""
    requests = window("storm", limit, seconds=seconds)
    key = "gw:{storm}:w:key:k:tokens:minute"
    tokens = structs.replace(requests, name="tokens", key=key, limit=2**40, cost=500)
    return [requests, tokens, slots("storm", 40), budget("storm", 2**50, 1000)]


async def ask(limiter: RedisLimiter, asked: list[Dimension], name: str, until: float) -> Moments:
    """What one client is admitted. It asks again a little sooner than it was told to."""
    admitted: Moments = []
    number = 0
    while (sent := time.time()) < until:
        number += 1
        lease = f"{name}-{number}"
        try:
            verdict = await limiter.acquire(lease, asked)
        except Unavailable:
            await asyncio.sleep(0.05)
            continue
        if verdict.allowed:
            admitted.append((sent, time.time()))
            await asyncio.sleep(random.random() * 0.01)
            await limiter.settle(lease, asked, [1, random.randint(0, 500), 1, PRICE])
        else:
            await asyncio.sleep(min(verdict.retry_after or 0.0, random.random() * 0.03))
    return admitted


async def storm(url: str, limit: int, seconds: float, begin: float, lasts: float) -> Moments:
    """Everything this process was admitted."""
    limiter = RedisLimiter(url, MemoryLimiter(), lambda: "closed")
    asked = dimensions(limit, seconds)
    await asyncio.sleep(max(0.0, begin - time.time()))
    names = [f"{random.getrandbits(64):x}" for _ in range(COROUTINES)]
    parts = await asyncio.gather(*(ask(limiter, asked, name, begin + lasts) for name in names))
    while limiter.unsettled:
        await asyncio.sleep(0.05)
    await limiter.close()
    return [moment for part in parts for moment in part]


if __name__ == "__main__":
    url, limit, seconds, lasts = sys.argv[1:]
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    begin = float(sys.stdin.readline())
    json.dump(asyncio.run(storm(url, int(limit), float(seconds), begin, float(lasts))), sys.stdout)
