"""`fairlead keys`: keys of the database. A key is printed when it is made and never again."""

import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import typer

from gateway.clock import ulid
from gateway.commands.database import named, with_database
from gateway.config.problems import ConfigError, ConfigProblem, unknown
from gateway.config.settings import Settings, read
from gateway.config.snapshot import Caller, LimitRule, Snapshot
from gateway.config.steering import tags_and_regions
from gateway.service.keys import digest, new_key
from gateway.store import keys as rows
from gateway.store.engine import Database
from gateway.transport.post import check_hook
from gateway.transport.ssrf import RefusedLink


def create(config: Path | None, name: str, told: dict[str, Any]) -> None:
    """Make a key and print it, once. Raises ConfigError for what the routing file does not have."""
    text = new_key()
    told = {**told, "aliases": _aliases(told["aliases"] or ())}
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


def _aliases(written: Sequence[str]) -> dict[str, str]:
    """The pairs in texts of the form NAME=MODEL."""
    pairs = [text.partition("=") for text in written]
    wrong = [f"{name}{sign}{model}" for name, sign, model in pairs if not name or not model]
    if wrong:
        raise ConfigError(
            ConfigProblem("--alias", 0, 0, "", f'"{text}" must be NAME=MODEL, as in gpt-4o=fast')
            for text in wrong
        )
    return {name: model for name, _, model in pairs}


def _check(file: Path, told: dict[str, Any]) -> None:
    """A name that is mistyped here would give a key that can do nothing, or one without any limit."""
    limits, webhook = told["limits"], told["webhook"]
    if not any(told[field] for field in ("limits", "models", "webhook", "aliases", "tags", "region")):
        return
    snapshot = named(file)
    wrong = [*_unknown_models(told, snapshot), *_unknown_places(told, snapshot)]
    if limits and limits not in snapshot.limits:
        wrong.append(("--limits", unknown("limits", limits, snapshot.limits)))
    elif unowned := _caller(told, snapshot.limits.get(limits or "", ())).unowned():
        wrong.append((f"--{unowned}", f'limits "{limits}" count by {unowned}: say which'))
    wrong += [("--webhook", f"cannot be used: {reason}") for reason in _unfit(webhook, snapshot)]
    if wrong:
        raise ConfigError(ConfigProblem(option, 0, 0, "", message) for option, message in wrong)


def _unknown_models(told: dict[str, Any], snapshot: Snapshot) -> Iterator[tuple[str, str]]:
    models, aliases = told["models"] or (), told["aliases"]
    for option, model in [
        *(("--model", one) for one in models),
        *(("--alias", one) for one in aliases.values()),
    ]:
        if not any(snapshot.resolve(model, kind) for kind in ("chat", "embedding", "video")):
            yield option, unknown("model", model, snapshot.routes)
    for alias, model in aliases.items():
        if models and model not in models:
            yield "--alias", f'"{alias}" is "{model}", which is not among its models'


def _unknown_places(told: dict[str, Any], snapshot: Snapshot) -> Iterator[tuple[str, str]]:
    placed = [one.terms for route in snapshot.routes.values() for one in route.targets if one.terms]
    tags, regions = tags_and_regions((sorted(terms.tags), terms.region) for terms in placed)
    for tag in told["tags"] or ():
        if tag not in tags:
            yield "--tag", unknown("tag", tag, tags)
    if told["region"] and told["region"] not in regions:
        yield "--region", unknown("region", told["region"], regions)


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
