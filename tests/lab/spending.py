"""Chats of which every token is paid, while gateways and Redis are killed and Redis forgets: who knows of the money.

`python -m benchmarks.chaos --chat` runs it for long, `tests/lab/test_spending.py` for a few seconds. Several gateways
share one Redis and one database. One fault after another: a gateway is killed, Redis is killed (it has its file), or
Redis forgets everything (FLUSHALL), which comes when all gateways run, and leaves them PEACE to tell again what they
hold. Then the provider's own books (`meter.py`) are compared with the ledger, the counters in Redis, and what is listed
as unsettled.

The key has a hard budget, so nothing is let in while Redis is away. A request reserves what its cap costs, and no two
have the same cap: so a reservation says whose it is.
"""

import asyncio
import contextlib
import itertools
import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import psycopg
import psycopg.rows
import redis
import yaml
from msgspec import Struct

from gateway.limits.nodes import Nodes
from gateway.limits.rules import RECORD_SECONDS
from gateway.limits.unsettled import Unsettled, unsettled, unwritten
from tests.e2e.processes import GatewayProcess
from tests.lab.meter import ACTS, KEPT, STREAMED, Meter
from tests.lab.parts import ProductionRedis, supervise
from tests.lab.verdict import counters
from tests.system.process import command

KEY = "sk-fl-spending"
PRICE = 1000
"""Nano-dollars of an output token; input is free."""
CAP = 1000
"""Output tokens that the first request allows; the next allows one more."""
AT_ONCE = 16
PEACE = 1.0
"""Seconds that Redis is left alone after it forgot: every gateway looks four times a second."""
LIFE = 50
"""Answers between two faults: there must be something to lose."""
LATE = 10.0
"""Seconds after the end of a call within which a kill may still cost its settlement: what Redis was away for waits."""
FAULTS = ("gateway", "redis", "flush")
"""One round; the order is thrown."""
_TIMEOUT = 20.0


class Plan(Struct, frozen=True, kw_only=True):
    """One run: so many gateways, a fault each `every` seconds, for `seconds`; the last round is not cut short."""

    gateways: int
    seconds: float
    every: float
    seed: int


class Asked(Struct, kw_only=True):
    """One request: to which gateway, when it was sent and was over, and what became of it."""

    number: int
    gateway: int
    act: str
    began: float
    over: float = 0.0
    status: int = 0
    request: str = ""


class Evidence(Struct, kw_only=True):
    """All sides at the end: what the provider billed, requests, kills by gateway, and rows of the ledger at the end.

    `listed` is what was listed as unsettled before it was closed, `counted` what Redis counted then, and `had` what
    the ledger; `forgotten` what was listed when Redis was about to forget; `left` what Redis counts at last.
    """

    billed: Mapping[int, int]
    asked: Sequence[Asked]
    killed: Sequence[tuple[int, float]]
    faults: Mapping[str, int]
    listed: Sequence[Unsettled]
    forgotten: Sequence[Unsettled]
    counted: Mapping[str, int]
    had: Mapping[str, int]
    rows: Sequence[Mapping[str, Any]]
    left: Mapping[str, int]


class Field:
    """Gateways, Redis and provider of one run, and who asks."""

    def __init__(self, plan: Plan, folder: Path, database: str, dice: random.Random) -> None:
        self.meter = Meter(dice)
        self.redis = ProductionRedis(_made(folder / "redis"))
        self.asked: list[Asked] = []
        self.answered = 0
        self.killed: list[tuple[int, float]] = []
        self.faults: Counter[str] = Counter()
        self.forgotten: list[Unsettled] = []
        self.gateways: Sequence[GatewayProcess] = ()
        self._plan, self._folder, self._database, self._dice = plan, folder, database, dice
        self._numbers = itertools.count(1)

    async def start(self) -> None:
        """Start the servers; the provider runs."""
        await asyncio.to_thread(self.redis.start)
        environment = {**self.environment(), "FAIRLEAD_REPLICAS": str(self._plan.gateways)}
        self.gateways = [
            GatewayProcess(self._folder / name, self._routing(), environment, name)
            for name in (f"gateway-{number}" for number in range(self._plan.gateways))
        ]
        await asyncio.gather(*(asyncio.to_thread(gateway.start) for gateway in self.gateways))

    def environment(self) -> Mapping[str, str]:
        """Where everything is."""
        return {
            "SPENDING_KEY": KEY,
            "FAIRLEAD_DATABASE_URL": self._database,
            "FAIRLEAD_REDIS_URL": self.redis.url,
        }

    def _routing(self) -> str:
        price = {"input": 0, "output": PRICE / 1000}
        targets = [{"provider": name, "model": "metered", "price": price} for name in ("first", "second")]
        clocks = {"headers": "10s", "first_token": "10s", "silence": "10s", "total": "20s"}
        limits = [{"dollars": 1_000_000, "per": "month"}, {"concurrent": 5_000}]
        provider = {"dialect": "openai", "base_url": f"{self.meter.url}/v1"}
        return yaml.safe_dump(
            {
                "providers": {"first": provider, "second": provider},
                "models": {"metered": {"policy": "in_order", "targets": targets, "timeout": clocks}},
                "defaults": {"health": {"failures": 1000, "rest": "10ms"}},
                "keys": [
                    {"name": "spender", "key": "env:SPENDING_KEY", "models": ["*"], "limits": limits},
                ],
            }
        )

    # -- who asks

    async def ask_on(self, http: httpx2.AsyncClient, over: asyncio.Event) -> None:
        """One caller, who asks again as soon as there is an answer."""
        while not over.is_set():
            one = Asked(
                number=next(self._numbers),
                gateway=self._dice.randrange(len(self.gateways)),
                act=self._dice.choice(ACTS),
                began=time.monotonic(),
            )
            self.asked.append(one)
            try:
                await self._ask(http, one)
            except httpx2.HTTPError:
                await asyncio.sleep(0.05)
            one.over = time.monotonic()
            self.answered += one.status == 200
            if one.status != 200:
                await asyncio.sleep(0.02)

    async def _ask(self, http: httpx2.AsyncClient, one: Asked) -> None:
        body = {
            "model": "metered",
            "messages": [{"role": "user", "content": json.dumps({"n": one.number, "act": one.act})}],
            "max_completion_tokens": CAP + one.number,
            "stream": one.act in STREAMED,
        }
        url = f"{self.gateways[one.gateway].url}/v1/chat/completions"
        async with http.stream("POST", url, json=body) as answer:
            one.status, one.request = answer.status_code, answer.headers.get("x-request-id", "")
            said = b""
            async for piece in answer.aiter_bytes():
                said += piece
                if one.act == "leave" and said.count(b" word") == KEPT:
                    return

    # -- what befalls them

    async def harm(self) -> None:
        """Let one round of faults after another happen, until time is over; at the end everything runs."""
        ends = time.monotonic() + self._plan.seconds
        deck: list[str] = []
        while deck or not self.faults or time.monotonic() < ends:
            answered = self.answered
            await asyncio.sleep(self._plan.every)
            while self.answered < answered + LIFE:
                await asyncio.sleep(0.01)
            if not deck:
                deck = [*FAULTS]
                self._dice.shuffle(deck)
            fault = deck.pop()
            self.faults[fault] += 1
            if fault == "flush":
                await self._forget()
            elif fault == "redis":
                os.kill(self.redis.pid, signal.SIGKILL)
            else:
                number = self._dice.randrange(len(self.gateways))
                os.kill(self.gateways[number].pid, signal.SIGKILL)
                self.killed.append((number, time.monotonic()))
        await self.whole()

    async def whole(self) -> None:
        """Wait until everything runs."""
        for part in (self.redis, *self.gateways):
            while not await asyncio.to_thread(part.ready):
                await asyncio.sleep(0.05)

    async def _forget(self) -> None:
        await self.whole()
        await asyncio.sleep(PEACE)
        self.forgotten += await self.listed()
        with redis.Redis.from_url(self.redis.url) as admin:
            admin.flushall()
        await asyncio.sleep(PEACE)

    # -- what is known of it

    async def listed(self) -> Sequence[Unsettled]:
        """All that is unsettled, and all that is not in the ledger."""
        nodes = Nodes(self.redis.url)
        try:
            return [one for ask in (unsettled, unwritten) async for one in ask(nodes, 0.0)]
        finally:
            await nodes.close()

    def age(self) -> None:
        """Let a minute pass for what is listed."""
        with redis.Redis.from_url(self.redis.url) as admin:
            for key in admin.scan_iter("gw:*:l:*"):
                admin.pexpire(key, min(admin.pttl(key), int((RECORD_SECONDS - 61) * 1000)))
            for key in admin.scan_iter("gw:*:u"):
                for lease, told in admin.hgetall(key).items():
                    note = msgspec.msgpack.decode(told)
                    admin.hset(key, lease, msgspec.msgpack.encode({**note, "at": note["at"] - 61}))

    def rows(self) -> Sequence[Mapping[str, Any]]:
        """The ledger."""
        address = self._database.replace("+psycopg", "")
        with psycopg.connect(address) as database:
            cursor = database.cursor(row_factory=psycopg.rows.dict_row)
            return cursor.execute("select * from ledger").fetchall()

    def close(self) -> None:
        """Settle what is listed, as an operator does."""
        words = ("limits", "unsettled", "--older", "60", "--close", "charge")
        done = command(self._folder, *words, more=self.environment())
        assert done.returncode == 0, done.stderr


async def run(plan: Plan, folder: Path, database: str) -> Evidence:
    """The whole of it, on an empty PostgreSQL database, with what the parts write below `folder`."""
    async with _field(plan, folder, database) as field:
        over = asyncio.Event()
        limits = httpx2.Limits(max_connections=AT_ONCE, max_keepalive_connections=AT_ONCE)
        headers = {"authorization": f"Bearer {KEY}"}
        async with httpx2.AsyncClient(timeout=_TIMEOUT, headers=headers, limits=limits, verify=False) as http:
            asking = [asyncio.create_task(field.ask_on(http, over)) for _ in range(AT_ONCE)]
            await field.harm()
            over.set()
            await asyncio.gather(*asking)
        await asyncio.sleep(PEACE)  # what Redis was away for is settled, and the ledger written
        listed, counted = await field.listed(), counters(field.redis.url)
        had = _by_request(field.rows())
        field.age()
        await asyncio.to_thread(field.close)
        return Evidence(
            billed=field.meter.billed,
            asked=field.asked,
            killed=field.killed,
            faults=field.faults,
            listed=listed,
            forgotten=field.forgotten,
            counted=counted,
            had=had,
            rows=field.rows(),
            left=counters(field.redis.url),
        )


@contextlib.asynccontextmanager
async def _field(plan: Plan, folder: Path, database: str) -> AsyncIterator[Field]:
    field = Field(plan, folder, database, random.Random(plan.seed))
    async with field.meter:
        await field.start()
        watching = [asyncio.create_task(supervise(part)) for part in (field.redis, *field.gateways)]
        try:
            yield field
        finally:
            for task in watching:
                task.cancel()
            await asyncio.gather(*watching, return_exceptions=True)


def _by_request(rows: Sequence[Mapping[str, Any]]) -> Counter[str]:
    found: Counter[str] = Counter()
    for row in rows:
        found[row["source"].partition(".")[0]] += row["nano_dollars"]
    return found


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder
