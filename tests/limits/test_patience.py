"""Nobody waits for a Redis that is away: 60 ms for the first, nothing for the rest, and it heals by itself."""

import asyncio
import statistics
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack

import pytest

from gateway.limits.connection import TIMEOUT
from gateway.limits.rules import Dimension, Limiter, Verdict
from tests.faults import FAULTS, Mode, TcpProxy, redis_at
from tests.limits.asked import ask, fresh, heal, limiter, slots, window
from tests.servers import RedisServer, redis_server  # noqa: F401


async def timed(asker: Limiter, asked: Sequence[Dimension]) -> tuple[float, Verdict | None]:
    """One request: how many seconds the limiter took, and its verdict."""
    began = time.perf_counter()
    verdict = await ask(asker, asked)
    return time.perf_counter() - began, verdict


@pytest.mark.parametrize("fault", FAULTS)
async def test_nobody_waits_for_a_redis_that_is_away(redis_server: RedisServer, fault: Mode) -> None:  # noqa: F811
    async with TcpProxy(redis_server.port) as proxy, AsyncExitStack() as stack:
        askers = {
            mode: await stack.enter_async_context(limiter(redis_at(proxy, TIMEOUT), mode))
            for mode in ("local", "open", "closed")
        }
        asked = {mode: [window(fresh(), 10**6), slots(fresh(), 10**6)] for mode in askers}
        for mode, asker in askers.items():
            await heal(asker, asked[mode])
        await proxy.set(fault)
        for mode, asker in askers.items():
            first = [await timed(asker, asked[mode]) for _ in range(3)]
            later = [await timed(asker, asked[mode]) for _ in range(200)]
            backends = {None if verdict is None else verdict.backend for _, verdict in first + later}
            assert backends == {None if mode == "closed" else mode}
            assert min(seconds for seconds, _ in first) <= 0.060
            assert max(seconds for seconds, _ in first) <= 2.0, "a busy machine may add a little"
            assert statistics.median(seconds for seconds, _ in later) <= 0.001
        await proxy.set("pass")
        healed = await asyncio.gather(*(heal(asker, asked[mode]) for mode, asker in askers.items()))
        assert max(healed) <= 5.0, "a second, and what a busy machine adds"


@pytest.mark.parametrize("fault", FAULTS)
async def test_many_requests_at_once_fail_together_not_one_after_another(
    redis_server: RedisServer,  # noqa: F811
    fault: Mode,
) -> None:
    asked = [window(fresh(), 10**6)]
    async with TcpProxy(redis_server.port) as proxy, limiter(redis_at(proxy, TIMEOUT), "local") as asker:
        await heal(asker, asked)
        await proxy.set(fault)
        answers = await asyncio.gather(*(timed(asker, asked) for _ in range(100)))
        assert max(seconds for seconds, _ in answers) <= 2.5, "a hundred times 50 ms would be 5 s"
