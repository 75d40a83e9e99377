"""Redis is killed or hangs while requests come: how long they wait, what is decided, and when it heals."""

import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.faults import Mode, TcpProxy
from tests.running import Running, running
from tests.servers import RedisServer, redis_server  # noqa: F401 - a fixture
from tests.system.line import Line, Reply, chat_request
from tests.system.process import demo, metric, until_async

FIRST_SECONDS = 0.060
"""Longest wait that a Redis which is away may add to a call."""
THEN_SECONDS = 0.005
"""The same, once it is known to be away; 1 ms on an idle machine."""
HEAL_SECONDS = 2.0
ROUNDS = 4
"""A busy machine may delay one round; a gateway that waits too long delays them all."""

REQUEST = chat_request(max_completion_tokens=50)


@asynccontextmanager
async def counted(
    folder: Path, server: RedisServer, limit: int = 1000, **defaults: object
) -> AsyncIterator[tuple[Running, TcpProxy, Line]]:
    """A gateway, one of two, whose key may make so many requests a minute; its way to Redis; a connection."""
    limits = {"limits": [{"requests": limit, "per": "minute"}], "organisation": folder.name}
    async with TcpProxy(server.port) as proxy:
        environment = {"FAIRLEAD_REDIS_URL": f"redis://127.0.0.1:{proxy.port}/0", "FAIRLEAD_REPLICAS": "2"}
        text = demo(key=limits, defaults=defaults)
        async with running(text, folder, environment) as gateway, Line(gateway.url) as line:
            yield gateway, proxy, line


async def timed(line: Line, count: int) -> tuple[Sequence[Reply], Sequence[float]]:
    """Calls one after the other, and how long each took, the quickest first."""
    replies, took = [], []
    for _ in range(count):
        began = time.monotonic()
        replies.append(await line.ask(REQUEST))
        took.append(time.monotonic() - began)
    return replies, sorted(took)


def let_in_by(gateway: Running, backend: str) -> float:
    """How many calls so far were let in by redis, local or open."""
    labels = {"gateway_limit_backend": backend, "gateway_admission_result": "allowed"}
    exposition = gateway.gateway.metrics.exposition().decode()
    return metric(exposition, "gateway_admission_decisions_total", **labels)


async def heals(gateway: Running, line: Line) -> float:
    """Ask until Redis decides again; the seconds that took."""
    began = time.monotonic()

    async def healed() -> bool:
        before = let_in_by(gateway, "redis")
        assert (await line.ask(REQUEST)).status == 200
        return let_in_by(gateway, "redis") > before

    await until_async(healed, 5)
    return time.monotonic() - began


@pytest.mark.parametrize("mode", ["hang", "refuse"])
async def test_nobody_fails_nobody_waits_long_and_it_heals(
    tmp_path: Path,
    redis_server: RedisServer,  # noqa: F811
    mode: Mode,
):
    rounds = []
    async with counted(tmp_path, redis_server) as (gateway, proxy, line):
        for _ in range(ROUNDS):
            usual = (await timed(line, 20))[1][10]
            await proxy.set(mode)
            first, waited_first = await timed(line, 3)
            after, waited_then = await timed(line, 20)
            assert {reply.status for reply in (*first, *after)} == {200}
            await proxy.set("pass")
            took = waited_first[-1] - usual, waited_then[10] - usual, await heals(gateway, line)
            rounds.append(took)
            if took[0] <= FIRST_SECONDS and took[1] <= THEN_SECONDS and took[2] <= HEAL_SECONDS:
                return
    pytest.fail(f"waited first, then, and healed after (seconds): {rounds}")


async def away(proxy: TcpProxy, line: Line) -> None:
    """Redis goes away for good, and the gateway finds out."""
    await proxy.set("refuse")
    for _ in range(3):
        await line.ask(REQUEST)


async def test_local_allows_this_gateways_share_of_the_limit(tmp_path: Path, redis_server: RedisServer):  # noqa: F811
    async with counted(tmp_path, redis_server, limit=20, on_store_error="local") as (gateway, proxy, line):
        await away(proxy, line)
        replies, _ = await timed(line, 20)
        assert {reply.status for reply in replies} == {200, 429}
        assert let_in_by(gateway, "local") == 10


async def test_open_lets_everything_through(tmp_path: Path, redis_server: RedisServer):  # noqa: F811
    async with counted(tmp_path, redis_server, limit=4, on_store_error="open") as (gateway, proxy, line):
        await away(proxy, line)
        replies, _ = await timed(line, 20)
        assert {reply.status for reply in replies} == {200}
        assert "x-ratelimit-limit-requests" not in replies[-1].headers
        assert let_in_by(gateway, "open") >= 20


async def test_closed_refuses_and_says_when_to_come_back(tmp_path: Path, redis_server: RedisServer):  # noqa: F811
    async with counted(tmp_path, redis_server, on_store_error="closed") as (gateway, proxy, line):
        await away(proxy, line)
        (reply,), _ = await timed(line, 1)
        assert reply.status == 503
        assert json.loads(reply.body)["error"]["code"] == "limiter_unavailable"
        assert (reply.headers["retry-after"], reply.headers["retry-after-ms"]) == ("1", "1000")
        await proxy.set("pass")

        async def healed() -> bool:
            return (await line.ask(REQUEST)).status == 200

        await until_async(healed, HEAL_SECONDS + 1)
        assert let_in_by(gateway, "redis") >= 1
