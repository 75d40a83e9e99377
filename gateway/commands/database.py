"""What commands look things up in: the gateway's own database, and the names of the routing file."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from gateway.config.compile import Source, compile_config
from gateway.config.problems import ConfigError, ConfigProblem
from gateway.config.settings import Settings, read
from gateway.config.snapshot import Snapshot
from gateway.config.vault import TrustingVault
from gateway.store.engine import Database
from gateway.store.migrate import migrate

T = TypeVar("T")


def with_database(config: Path | None, work: Callable[[Settings, Database], Awaitable[T]]) -> T:
    """What `work` gives, done with the settings in force and their database."""
    settings = read(os.environ, config)

    async def run() -> T:
        database = Database(settings.database_url.reveal())
        try:
            await migrate(database)
            return await work(settings, database)
        finally:
            await database.close()

    return asyncio.run(run())


def named(file: Path) -> Snapshot:
    """The names a routing file gives, its secrets left alone. Raises ConfigError."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([ConfigProblem(str(file), 0, 0, "", f"cannot be read: {error}")]) from error
    return compile_config(Source(text, str(file), os.environ, time.time()), vault=TrustingVault())
