"""The parts of a fleet as processes under a supervisor, and whoever kills them: what dies is started again at once.

Nobody waits until a part answers before it may be killed again, as nobody does outside of tests.
"""

import asyncio
import contextlib
import http.client
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.servers import PostgresServer, RedisServer, Server

RESTART_SECONDS = 0.1
"""How long a supervisor waits before it starts what has ended, as systemd does unless told otherwise."""


class ProductionRedis(RedisServer):
    """Redis as an operator runs it who wants to keep what it was told."""

    appendfsync = "everysec"


class ProductionPostgres(PostgresServer):
    """PostgreSQL as an operator runs it: every commit is on disk, and checkpoints are often enough that what
    has to be read again after a crash is little."""

    durability: Mapping[str, str] = {"checkpoint_timeout": "30s", "recovery_init_sync_method": "syncfs"}


class WorkerProcess(Server):
    """A video worker with the testcard engine. `url` ends in `/v1`, as a provider's `base_url` does."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def table(self) -> Path:
        """Its jobs, as an SQLite file."""
        return self.directory / "data" / "jobs.sqlite"

    def _command(self, port: int) -> Sequence[str]:
        options = ["--port", str(port), "--data-dir", str(self.directory / "data"), "--queue-size", "10000"]
        return [sys.executable, "-m", "providers.local", *options]

    def _serves(self) -> str:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
        try:
            connection.request("GET", "/readyz")
            return str(self.directory) if connection.getresponse().status == 200 else ""
        finally:
            connection.close()


@contextlib.contextmanager
def ground() -> Iterator[Path]:
    """A directory for parts, gone at the end; PostgreSQL, which must not be root, may pass through it."""
    with tempfile.TemporaryDirectory(prefix="fairlead-test-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o711)
        yield Path(name).resolve()


async def supervise(part: Server) -> None:
    """Start a part again whenever it ends, until cancelled; it is gone then."""
    try:
        while True:
            while part.alive:
                await asyncio.sleep(0.02)
            part.kill9()  # nothing is left to kill but who watches over it
            await asyncio.sleep(RESTART_SECONDS)
            part.launch()
    finally:
        part.kill9()


async def kill(
    kinds: Mapping[str, Sequence[Server]], dice: random.Random, *, every: float, seconds: float
) -> Counter[str]:
    """Kill a living part of one kind or another each `every` seconds; how many of each kind it were."""
    killed: Counter[str] = Counter()
    began = time.monotonic()
    while (now := time.monotonic()) < began + seconds:
        await asyncio.sleep(every - (now - began) % every)
        kind = dice.choice(list(kinds))
        alive = [part for part in kinds[kind] if part.alive]
        if alive:
            os.kill(dice.choice(alive).pid, signal.SIGKILL)
            killed[kind] += 1
    return killed
