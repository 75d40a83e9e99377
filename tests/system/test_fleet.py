"""Four gateways and one Redis: a limit holds over all of them, however hard they are pressed."""

import asyncio
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.servers import RedisServer, redis_server  # noqa: F401 - a fixture
from tests.system.line import Line, chat_request
from tests.system.process import Serving, demo, replaced

GATEWAYS = 4
SECONDS = 4.0
WINDOW = 60.0
LIMIT = 1000
PAUSE = 0.1
"""Seconds a client takes after it was refused: the machine must have some time for Redis too."""
CONNECTIONS = (16, 16, 8, 4, 2)
"""To each gateway, by round: the machine may be too slow for Redis to answer in time under the first ones."""
ROUNDS = {f"ROUND_{number}": f"sk-fl-fleet-{number}" for number in range(len(CONNECTIONS))}
"""A key for each round."""


async def press(url: str, key: str, ends: float, told: "History") -> None:
    """Ask on one connection until time is over; note when each admitted call was sent and answered."""
    request = chat_request(key=key, max_completion_tokens=50)
    async with Line(url) as line:
        while (sent := time.monotonic()) < ends:
            reply = await line.ask(request)
            if reply.status == 200:
                told.admitted.append((sent, time.monotonic()))
            else:
                assert reply.status == 429, reply
                told.refused += 1
                await asyncio.sleep(PAUSE)


@dataclass
class History:
    """What the clients saw."""

    admitted: list[tuple[float, float]] = field(default_factory=list)
    refused: int = 0


def most_for_certain(history: Sequence[tuple[float, float]], window: float) -> int:
    """The most calls that were certainly admitted within one trailing window.

    A call was admitted at some time between its sending and its answer. Those that were sent after a window
    began and answered before it ended lie in it for certain, whatever the clocks of the gateways say.
    """
    return max(
        (sum(start <= sent and done <= start + window for sent, done in history) for start, _ in history),
        default=0,
    )


def fleet_config(folder: Path) -> str:
    """A routing file with one limited key for each round."""
    rows = [
        {"name": name, "key": f"env:{name}", "organisation": f"{folder.name}-{name}", "limits": "tight"}
        for name in ROUNDS
    ]
    return replaced(demo(), keys=rows, limits={"tight": [{"requests": LIMIT, "per": "minute"}]})


async def pressed(fleet: Sequence[Serving], key: str, connections: int) -> History:
    """Press every gateway on this many connections at once."""
    told = History()
    ends = time.monotonic() + SECONDS
    await asyncio.gather(*(press(one.url, key, ends, told) for one in fleet for _ in range(connections)))
    return told


async def test_no_window_ever_holds_more_than_the_limit(tmp_path: Path, redis_server: RedisServer):  # noqa: F811
    more = {"FAIRLEAD_REDIS_URL": redis_server.url, "FAIRLEAD_REPLICAS": str(GATEWAYS), **ROUNDS}
    with ExitStack() as stack:
        folders = [tmp_path / str(number) for number in range(GATEWAYS)]
        starting = [Serving(folder, fleet_config(tmp_path), more=more, wait=False) for folder in folders]
        fleet = [stack.enter_context(gateway) for gateway in starting]
        for gateway in fleet:
            gateway.ready()
        for key, connections in zip(ROUNDS.values(), CONNECTIONS, strict=True):
            lost = sum(gateway.err.count("Redis") for gateway in fleet)
            told = await pressed(fleet, key, connections)
            if lost == sum(gateway.err.count("Redis") for gateway in fleet):
                break  # else this machine was too busy for Redis to answer in time, and each counted alone
        else:
            pytest.fail("Redis was away in every round")
    sys.stdout.write(f"{len(told.admitted)} admitted, {told.refused} refused of a limit of {LIMIT}\n")
    assert told.refused, "the gateways were never pressed to their limit"
    assert most_for_certain(told.admitted, WINDOW) <= LIMIT
    assert len(told.admitted) >= 0.9 * LIMIT
