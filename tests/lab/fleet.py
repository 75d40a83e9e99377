"""Two gateways on one PostgreSQL and one Redis, a real worker, a provider that knows no repeats, and who is told.

All that may be killed are processes; the provider and the receiver of webhooks are outside of the fleet and live.
"""

import asyncio
import contextlib
import json
import random
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, LiteralString

import psycopg
import psycopg.rows
import psycopg.sql
import redis
import yaml
from standardwebhooks import Webhook, WebhookVerificationError

from gateway.config.snapshot import Caller
from gateway.limits.rules import RECORD_SECONDS
from gateway.service.video_sweep import UNWRITTEN_AGE
from gateway.service.webhooks import secrets_of
from tests.e2e.processes import GatewayProcess
from tests.lab.parts import ProductionPostgres, ProductionRedis, WorkerProcess, supervise
from tests.servers import Server, free_port
from tests.service.receiver import OK, Receiver
from tests.service.video_provider import MP4, Provider
from tests.transport.faulty import Peer

KEY = "sk-fl-chaos"
CALLER = "crowd"
PEPPER = "a pepper that both gateways share"
SECONDS = 1
PRICES: Mapping[str, int] = {"studio": 4_000_000, "agency": 7_000_000}
"""Nano-dollars that one second costs at the worker, and at the provider that knows no repeats."""
MODELS: Mapping[str, Sequence[str]] = {
    "own": ["studio"],
    "bought": ["agency"],
    "either": ["agency", "studio"],
}
"""Whom each model's videos are asked of, in that order."""
_MODEL_OF = {"studio": "testcard", "agency": "plain"}
_ERROR = re.compile(r"^[ |]*([A-Za-z_][\w.]*(?:Error|Exception|Unavailable|Exit)\b.*)$", re.MULTILINE)
_PLENTY = [
    {"video_jobs": 5_000},
    {"dollars": 1_000, "per": "day", "on_store_error": "local"},
    {"video_seconds": 100_000, "per": "day"},
]
_SKIP: LiteralString = "update {} set leased_until = due_at + 3 where leased_until > due_at + 3"


class Fleet:
    """All of them. `kinds` are the parts that may be killed, `told` the webhooks in the order they came: id, job,
    status, and whether the signature was good when it came, for it is good for five minutes."""

    def __init__(self, folder: Path, agency: Provider, hook: Receiver) -> None:
        self.agency = agency
        self.hook = hook
        self.redis, self.postgres = (
            ProductionRedis(_made(folder / "redis")),
            ProductionPostgres(_made(folder / "postgres")),
        )
        self.worker = WorkerProcess(_made(folder / "worker"))
        self.told: list[tuple[str, str, str, bool]] = []
        hook.always(self._hear)
        self._folder = folder
        self._database = ""
        self.gateways: Sequence[GatewayProcess] = ()

    @property
    def kinds(self) -> Mapping[str, Sequence[Server]]:
        """What may be killed, by what it is."""
        return {
            "gateway": self.gateways,
            "worker": [self.worker],
            "redis": [self.redis],
            "postgresql": [self.postgres],
        }

    @property
    def secret(self) -> str:
        """What webhooks are signed with."""
        return secrets_of(Caller(id=CALLER, name=CALLER), PEPPER.encode())[0]

    @property
    def media(self) -> Path:
        """Where the gateways keep videos."""
        return self.gateways[0].data_dir / "media"

    async def start(self) -> None:
        """Start everything, all at once where that is possible, and return when all of it answers."""
        await _all(server.start for server in (self.redis, self.postgres))
        self._database = self.postgres.create_database()
        self.worker.port = free_port()
        environment = {
            "CHAOS_KEY": KEY,
            "FAIRLEAD_DATABASE_URL": self._database,
            "FAIRLEAD_REDIS_URL": self.redis.url,
            "FAIRLEAD_REPLICAS": "2",
            "FAIRLEAD_KEY_PEPPER": PEPPER,
        }
        text = self._routing()
        self.gateways = [GatewayProcess(self._folder, text, environment, name) for name in ("one", "other")]
        await _all(part.start for part in (self.worker, *self.gateways))

    async def _hear(self, peer: Peer) -> None:
        assert peer.request is not None
        headers, body = dict(peer.request.headers), peer.request.body
        event = json.loads(body)
        try:
            Webhook(self.secret).verify(body, headers)
        except WebhookVerificationError:
            good = False
        else:
            good = headers["webhook-id"] == event["id"]
        self.told.append((headers["webhook-id"], event["job_id"], event["status"], good))
        await OK(peer)

    def _routing(self) -> str:
        at = {"studio": self.worker.url, "agency": f"{self.agency.url}/v1"}
        return yaml.safe_dump(
            {
                "providers": {
                    name: {"dialect": "openai", "kind": "video", "base_url": url} for name, url in at.items()
                },
                "defaults": {"webhook_networks": ["127.0.0.0/8"]},
                "models": {
                    model: {
                        "kind": "video",
                        "policy": "in_order",
                        "targets": [
                            {
                                "provider": one,
                                "model": _MODEL_OF[one],
                                "price": {"per_second": PRICES[one] / 1e9},
                            }
                            for one in asked
                        ],
                    }
                    for model, asked in MODELS.items()
                },
                "limits": {"plenty": _PLENTY},
                "keys": [{"name": CALLER, "key": "env:CHAOS_KEY", "models": ["*"], "limits": "plenty"}],
            }
        )

    def rows(self, statement: LiteralString | psycopg.sql.Composed) -> list[Any]:
        """Run one statement on the database itself; the rows it gives, as mappings."""
        address = self._database.replace("+psycopg", "")
        with psycopg.connect(address, autocommit=True, connect_timeout=5) as database:
            done = database.cursor(row_factory=psycopg.rows.dict_row).execute(statement)
            return done.fetchall() if done.description else []

    def forget_leases(self, table: str) -> None:
        """Let most of the time pass for which a process that has just died holds its rows of a table."""
        self.rows(psycopg.sql.SQL(_SKIP).format(psycopg.sql.Identifier(table)))

    def age_reservations(self) -> None:
        """Let so much time pass for what is reserved in Redis that whoever finds it may ask whose it is."""
        with redis.Redis.from_url(self.redis.url) as client:
            for key in client.scan_iter("gw:*:l:*"):
                client.pexpire(key, int((RECORD_SECONDS - UNWRITTEN_AGE - 1) * 1000))

    def surprises(self) -> Counter[str]:
        """What the gateways were surprised by: the error of each traceback in their logs."""
        found: Counter[str] = Counter()
        for gateway in self.gateways:
            for part in gateway.said().split("Traceback (most recent call last):\n")[1:]:
                error = _ERROR.search(part)
                found[error[1][:200] if error else "a traceback"] += 1
        return found


@contextlib.asynccontextmanager
async def fleet(folder: Path, dice: random.Random, jobs: int) -> AsyncIterator[Fleet]:
    """All of them running under supervisors, from start to end; the provider's mishaps are thrown with `dice`."""
    agency = Provider(polls=3, film=MP4[:20_000])
    agency.submit = dice.choices(["ok", "lose", (503, "busy"), (429, "busy")], [90, 2, 4, 4], k=3 * jobs)
    agency.poll = dice.choices(["ok", 500, "fail"], [94, 4, 2], k=20 * jobs)
    agency.content = dice.choices(["ok", "cut", 500], [90, 5, 5], k=5 * jobs)
    async with agency, Receiver() as hook:
        made = Fleet(folder, agency, hook)
        await made.start()
        parts = [part for parts in made.kinds.values() for part in parts]
        watching = [asyncio.create_task(supervise(part)) for part in parts]
        try:
            yield made
        finally:
            for task in watching:
                task.cancel()
            await asyncio.gather(*watching, return_exceptions=True)


async def _all(works: Iterable[Callable[[], None]]) -> None:
    """Do several things that wait, at once."""
    await asyncio.gather(*(asyncio.to_thread(work) for work in works))


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder
