"""Everything fails at once: providers, Redis, PostgreSQL and the ways to them. What must hold is checked after."""

import asyncio
import random
from pathlib import Path

from tests.faults import Mode, TcpProxy, redis_at
from tests.lab.callers import Heard
from tests.lab.history import check, history
from tests.lab.killer import killing
from tests.lab.speech import FAILURES
from tests.lab.stage import Lab, laboratory
from tests.lab.upstream import HTML, Act
from tests.servers import PostgresServer, RedisServer, postgres_server, redis_server  # noqa: F401 - fixtures
from tests.system.process import metric

REQUESTS = 400
AT_ONCE = 16
CIRCLE = [("openai", "anthropic"), ("anthropic", "gemini"), ("gemini", "openai")]
WEATHER: tuple[Mode, ...] = ("pass", "delay", "hang", "reset", "refuse")


def mishap(dice: random.Random) -> Act:
    """What a provider does: most often nothing special."""
    kept, size = dice.randrange(60), dice.randrange(2_000)
    then = dice.choice(("close", "reset", "stall"))
    acts = [
        Act(error=dice.choice(list(FAILURES)), retry_after=dice.choice((None, 0.1))),
        Act(error="busy", tokens=kept, then="error"),
        Act(tokens=kept, then=then),
        Act(size=size, then=then),
        Act(body=dice.choice((HTML, b"", b"{}"))),
        Act(junk_at=[kept]),
        Act(marked=False),
        Act(first_after=dice.choice((0.02, 20.0))),
        Act(length=10),
    ]
    return dice.choice(acts) if dice.random() < 0.4 else Act(every=dice.choice((0.0, 0.001)))


async def change_weather(proxies: list[TcpProxy], dice: random.Random) -> None:
    """Let the ways to the servers fail and heal until cancelled."""
    while True:
        await asyncio.sleep(dice.uniform(0.02, 0.2))
        await dice.choice(proxies).set(dice.choice(WEATHER))


async def crowd(lab: Lab, dice: random.Random) -> None:
    """So many callers, each asking again as soon as it was answered."""
    left = iter(range(REQUESTS))

    async def caller() -> None:
        for _ in left:
            await dice.choice(lab.cases).ask()

    await asyncio.gather(*(caller() for _ in range(AT_ONCE)))


def refused(one: Heard) -> bool:
    """Whether the gateway itself could not serve the request; no fault here is a reason for that."""
    return one.error is not None and one.error["code"] in ("internal_error", "service_unavailable")


async def test_whatever_fails_every_request_ends_and_the_books_are_right(
    tmp_path: Path,
    redis_server: RedisServer,  # noqa: F811
    postgres_server: PostgresServer,  # noqa: F811
) -> None:
    dice = random.Random(20)
    clocks = {"headers": "300ms", "first_token": "300ms", "silence": "300ms", "total": "2s"}
    plenty = {
        "limits": [
            {"requests": 100_000, "per": "minute"},
            {"concurrent": 1000},
            {"dollars": 5, "per": "day", "on_store_error": "local"},
        ]
    }
    async with TcpProxy(redis_server.port) as redis, TcpProxy(postgres_server.port) as postgres:
        database = postgres_server.create_database().replace(
            f":{postgres_server.port}/", f":{postgres.port}/"
        )
        environment = {"FAIRLEAD_REDIS_URL": redis_at(redis), "FAIRLEAD_DATABASE_URL": database}
        async with laboratory(
            tmp_path,
            pairs=CIRCLE,
            route={"on_cut": "continue", "timeout": clocks, "health": {"failures": 5, "rest": "100ms"}},
            key={"organisation": tmp_path.name, **plenty},
            environment=environment,
        ) as lab:
            for up in (up for case in lab for up in case.targets):
                up.plays(*(mishap(dice) for _ in range(REQUESTS)))
            weather = asyncio.create_task(change_weather([redis, postgres], dice))
            async with killing([redis_server, postgres_server], dice, every=1.0) as victims:
                await crowd(lab, dice)
            weather.cancel()
            for proxy in (redis, postgres):
                await proxy.set("pass")
            seen = await history(lab)
            check(seen, calls_per_request=3)
            assert not any(map(refused, seen.heard))
            assert sum(one.done for one in seen.heard) > REQUESTS / 2
            exposition = lab.gateway.gateway.metrics.exposition().decode()
            assert metric(exposition, "gateway_target_in_flight") == 0
            assert metric(exposition, "http_server_active_requests") == 0
            assert victims
