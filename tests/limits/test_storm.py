"""Four processes of sixteen clients each against one real Redis: not one over in any trailing window."""

import asyncio
import json
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from msgspec import structs

from gateway.limits.rules import WINDOW
from tests.limits.asked import fresh, limiter, until
from tests.limits.storm import COROUTINES, PRICE, Moments, dimensions
from tests.servers import RedisServer, running

PROCESSES = 4
LIMIT = 150
WINDOW_SECONDS = 0.5
LASTS = 3.0


async def processes(url: str) -> list[Moments]:
    """What each process was admitted. All begin at the same moment, once all are ready."""
    command = [sys.executable, "-m", "tests.limits.storm", url, str(LIMIT), str(WINDOW_SECONDS), str(LASTS)]
    async with AsyncExitStack() as stack:
        storms = [await stack.enter_async_context(process(*command)) for _ in range(PROCESSES)]
        for storm in storms:
            assert storm.stdout is not None
            assert await storm.stdout.readline() == b"ready\n"
        begin = b"%f\n" % (time.time() + 0.2)
        said = await asyncio.gather(*(storm.communicate(begin) for storm in storms))
    return [[(sent, read) for sent, read in json.loads(out)] for out, _ in said]


@asynccontextmanager
async def process(*command: str) -> AsyncIterator[Process]:
    """A process that does not outlive the test."""
    running = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE)
    try:
        yield running
    finally:
        if running.returncode is None:
            running.kill()
            await running.wait()


def most_in_a_window(admitted: Moments) -> int:
    """The most requests that were surely decided within one window: sent after its start, read before its end."""
    starts = sorted(sent for sent, _ in admitted)
    return max(
        sum(start <= sent and read < start + WINDOW_SECONDS for sent, read in admitted) for start in starts
    )


async def test_no_trailing_window_holds_more_than_the_limit_over_four_processes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked = dimensions(LIMIT, WINDOW_SECONDS)
    with running(RedisServer) as server:
        async with limiter(server.url) as looker:
            await looker.seed(asked[3], 0)
            parts = await processes(server.url)
            admitted = [moment for part in parts for moment in part]
            nothing = [structs.replace(dimension, cost=0) for dimension in asked if dimension.kind != WINDOW]

            async def settled() -> bool:
                verdict = await looker.acquire(fresh("look"), nothing)
                return list(verdict.remaining) == [40, 2**50 - PRICE * len(admitted)]

            await until(settled, 3.0)
    most, used = most_in_a_window(admitted), len(admitted) / (LIMIT * LASTS / WINDOW_SECONDS)
    with capsys.disabled():
        clients = PROCESSES * COROUTINES
        sys.stdout.write(f"\n{clients} clients: at most {most} of {LIMIT} in a window, {used:.1%} used\n")
    assert all(parts)
    assert most <= LIMIT
    assert used >= 0.95
