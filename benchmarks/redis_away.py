"""What Redis being away costs: `python -m benchmarks.redis_away` prints one line per mode and fault.

A private redis-server is stopped (hung), killed, or killed and started at once, while 500 requests a second
ask one limiter. Told are: the longest wait of the first three requests after the fault and the 99th
percentile of those after them until Redis is back, how soon Redis decides again once it is back, and how
many were admitted of how many there were, against the limit.
"""

import asyncio
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

from msgspec import Struct

from benchmarks.processes import free_port, redis_server
from gateway.errors import Unavailable
from gateway.limits.memory import MemoryLimiter
from gateway.limits.redis_store import RedisLimiter
from gateway.limits.rules import WINDOW, Dimension

RATE = 500
BEFORE, AWAY, AFTER = 0.5, 1.5, 3.0
LIMIT = 1_500
MODES = ("local", "open", "closed")
FAULTS = ("hung", "dead", "restarted")


class Answer(Struct, frozen=True):
    """One request: when it was asked, how long that took (seconds), and who decided what."""

    asked: float
    took: float
    by: str
    allowed: bool


async def _ask(limiter: RedisLimiter, number: int, answers: list[Answer]) -> None:
    rule = Dimension(
        name="requests", kind=WINDOW, key="gw:{bench}:w", limit=LIMIT, cost=1, window=60.0, buckets=60
    )
    began = time.perf_counter()
    try:
        verdict = await limiter.acquire(f"{id(limiter)}-{number}", [rule])
        by, allowed = verdict.backend, verdict.allowed
    except Unavailable:
        by, allowed = "503", False
    answers.append(Answer(began, time.perf_counter() - began, by, allowed))
    if allowed:
        await limiter.settle(f"{id(limiter)}-{number}", [rule], [1])


async def _load(limiter: RedisLimiter, answers: list[Answer], seconds: float) -> None:
    """Ask at the given rate, whether answers come or not."""
    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(int(RATE * seconds)):
            group.create_task(_ask(limiter, number, answers))
            await asyncio.sleep(max(0.0, began + number / RATE - time.perf_counter()))


async def _one(folder: Path, mode: str, fault: str) -> str:
    port = free_port()
    server = redis_server(folder, port)
    limiter = RedisLimiter(f"redis://127.0.0.1:{port}/0", MemoryLimiter(), lambda: mode)
    answers: list[Answer] = []
    try:
        load = asyncio.create_task(_load(limiter, answers, BEFORE + AWAY + AFTER))
        await asyncio.sleep(BEFORE)
        fell = time.perf_counter()
        os.kill(server.pid, signal.SIGSTOP if fault == "hung" else signal.SIGKILL)
        if fault != "restarted":
            await asyncio.sleep(AWAY)
        if fault == "hung":
            os.kill(server.pid, signal.SIGCONT)
        else:
            server.stop()
            server = await asyncio.to_thread(redis_server, folder, port)
        back = time.perf_counter()
        await load
    finally:
        await limiter.close()
        server.stop()
    return _line(answers, mode, fault, (fell, back))


def _line(answers: list[Answer], mode: str, fault: str, times: tuple[float, float]) -> str:
    fell, back = times
    away = sorted((one for one in answers if fell <= one.asked < back), key=lambda one: one.asked)
    first, rest = away[:3], sorted(one.took for one in away if one.asked > fell + 0.2)
    healed = (
        min((one.asked for one in answers if one.by == "redis" and one.asked >= back), default=back + 99)
        - back
    )
    refused = sum(one.by == "503" for one in answers)
    return (
        f"{mode:7}{fault:10} first {max((one.took for one in first), default=0) * 1000:6.1f} ms   "
        f"then p99 {(rest[int(len(rest) * 0.99)] if rest else 0) * 1000:6.2f} ms   healed {healed:5.2f} s   "
        f"503 {refused:4}   admitted {sum(one.allowed for one in answers)} of {len(answers)}, limit {LIMIT}\n"
    )


def main() -> None:
    """Print a line for each mode and fault."""
    for fault in FAULTS:
        for mode in MODES:
            with tempfile.TemporaryDirectory() as name:
                sys.stdout.write(asyncio.run(_one(Path(name), mode, fault)))
                sys.stdout.flush()


if __name__ == "__main__":
    main()
