"""Small builders for rows, so that a test states only what it is about."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from gateway.store.engine import Database
from gateway.store.jobs import Attempt, Job
from gateway.store.ledger import Entry
from gateway.store.migrate import migrate

NOW = 1_800_000_000.0


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Database]:
    """The database with its schema."""
    database = Database(url)
    try:
        await migrate(database)
        yield database
    finally:
        await database.close()


def job(name: str = "a", **changes: Any) -> Job:
    """A job `video_<name>` of the caller `ann` that is due at NOW."""
    values: dict[str, Any] = {
        "id": f"video_{name}",
        "caller": "ann",
        "organisation": "acme",
        "fingerprint": b"\x80" * 32,
        "model": "sora-2",
        "request": {"prompt": "A red kite"},
        "lease": f"lease_{name}",
        "held": [],
        "state": "queued",
        "phase": "accepted",
        "created_at": NOW,
        "deadline_at": NOW + 3600,
        "due_at": NOW,
    }
    return Job(**(values | changes))


def attempt(number: int = 1, **changes: Any) -> Attempt:
    """An attempt at the target `one/m`."""
    values: dict[str, Any] = {
        "number": number,
        "target": "one/m",
        "provider": "one",
        "provider_model": "m",
        "dialect": "openai",
        "base_url": "http://127.0.0.1:1/v1",
        "certainty": "unknown",
        "started_at": NOW,
    }
    return Attempt(**(values | changes))


def entry(source: str, nano_dollars: int | None = 5, **changes: Any) -> Entry:
    """A charge to the caller `ann`."""
    values: dict[str, Any] = {
        "source": source,
        "kind": "chat",
        "caller": "ann",
        "organisation": "acme",
        "model": "fast",
        "target": "one/m",
        "nano_dollars": nano_dollars,
        "created_at": NOW,
    }
    return Entry(**(values | changes))
