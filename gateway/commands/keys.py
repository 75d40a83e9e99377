"""`fairlead keys`: keys of the database. A key is printed when it is made and never again."""

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from gateway.clock import ulid
from gateway.commands.database import named, with_database
from gateway.config.problems import ConfigError, ConfigProblem, unknown
from gateway.config.settings import Settings, read
from gateway.config.snapshot import Caller, LimitRule, Snapshot
from gateway.service.keys import digest, new_key
from gateway.store import keys as rows
from gateway.store.engine import Database
from gateway.transport.post import check_hook
from gateway.transport.ssrf import RefusedLink


def create(config: Path | None, name: str, told: dict[str, Any]) -> None:
    """Make a key and print it, once. Raises ConfigError for models or limits the routing file does not have."""
    text = new_key()
    _check(read(os.environ, config).config, told)

    async def work(settings: Settings, database: Database) -> str:
        now = time.time()
        key = rows.StoredKey(
            id=f"key_{ulid(now)}",
            name=name,
            digest=digest(settings.pepper.reveal().encode(), text.encode()),
            last4=text[-4:],
            settings={field: value for field, value in told.items() if value},
            created_at=now,
        )
        async with database.write() as transaction:
            await rows.create(transaction, key)
        return key.id

    identity = with_database(config, work)
    sys.stdout.write(f"{text}\n")
    sys.stderr.write(f"{identity} ({name}): shown this once; keep it safe.\n")


def _check(file: Path, told: dict[str, Any]) -> None:
    """A name that is mistyped here would give a key that can do nothing, or one without any limit."""
    limits, models, webhook = told["limits"], told["models"] or (), told["webhook"]
    if not limits and not models and not webhook:
        return
    snapshot = named(file)
    wrong = [
        ("--model", unknown("model", model, snapshot.routes))
        for model in models
        if not any(snapshot.resolve(model, kind) for kind in ("chat", "embedding", "video"))
    ]
    if limits and limits not in snapshot.limits:
        wrong.append(("--limits", unknown("limits", limits, snapshot.limits)))
    elif unowned := _caller(told, snapshot.limits.get(limits or "", ())).unowned():
        wrong.append((f"--{unowned}", f'limits "{limits}" count by {unowned}: say which'))
    wrong += [("--webhook", f"cannot be used: {reason}") for reason in _unfit(webhook, snapshot)]
    if wrong:
        raise ConfigError(ConfigProblem(option, 0, 0, "", message) for option, message in wrong)


def _caller(told: dict[str, Any], limits: Sequence[LimitRule]) -> Caller:
    organisation, project, user = (told[name] or "" for name in ("organisation", "project", "user"))
    return Caller(id="", name="", limits=limits, organisation=organisation, project=project, user=user)


def _unfit(webhook: str | None, snapshot: Snapshot) -> list[str]:
    """What is wrong with a URL, as far as that can be said without looking its host up."""
    networks = snapshot.webhook_networks
    try:
        if webhook:
            check_hook(webhook, networks)
    except RefusedLink as error:
        return [error.reason]
    return []


def show(config: Path | None) -> None:
    """One line per key: id, state, last four characters, name."""

    async def work(_settings: Settings, database: Database) -> list[rows.StoredKey]:
        async with database.read() as transaction:
            return await rows.list_all(transaction)

    for key in with_database(config, work):
        state = "valid" if key.revoked_at is None else "revoked"
        sys.stdout.write(f"{key.id}  {state:7}  ...{key.last4}  {key.name}\n")


def rotate(config: Path | None, identity: str) -> None:
    """Give a key a new text and print it, once."""
    text = new_key()

    async def work(settings: Settings, database: Database) -> bool:
        made = digest(settings.pepper.reveal().encode(), text.encode())
        async with database.write() as transaction:
            return await rows.rotate(transaction, identity, made, text[-4:])

    _found(with_database(config, work), identity)
    sys.stdout.write(f"{text}\n")


def revoke(config: Path | None, identity: str) -> None:
    """End a key for good."""

    async def work(_settings: Settings, database: Database) -> bool:
        async with database.write() as transaction:
            return await rows.revoke(transaction, identity, time.time())

    _found(with_database(config, work), identity)
    sys.stdout.write(f"{identity} is revoked\n")


def _found(found: bool, identity: str) -> None:
    if not found:
        sys.stderr.write(
            f"There is no valid key with the id `{identity}`; `fairlead keys list` shows them.\n"
        )
        raise typer.Exit(1)
