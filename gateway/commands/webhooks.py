"""`fairlead webhooks`: what became of them, one of them again, and what a key's are signed with."""

import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import typer
from msgspec.structs import replace

from gateway.commands.database import named, with_database
from gateway.config.settings import Settings
from gateway.config.snapshot import Caller
from gateway.service.keys import hook_of
from gateway.service.webhooks import secrets_of
from gateway.store import keys, outbox
from gateway.store.engine import Database
from gateway.store.outbox import Notice


def show(config: Path | None, state: str | None, limit: int) -> None:
    """One line each: id, state, tries, event, video, host, and why the last try failed."""

    async def work(_settings: Settings, database: Database) -> list[Notice]:
        async with database.read() as transaction:
            return await outbox.page(transaction, state, limit)

    for one in with_database(config, work):
        host = urlsplit(one.url).hostname  # the rest of a URL may hold a secret of its owner's
        told = f"{one.id}  {one.state:9}  {one.tries:2}  {one.event}  {one.job}  {host}"
        sys.stdout.write("  ".join(filter(None, (told, one.reason))) + "\n")


def replay(config: Path | None, identity: str) -> None:
    """Make one due again; whichever gateway runs sends it."""

    async def work(_settings: Settings, database: Database) -> bool:
        async with database.write() as transaction:
            return await outbox.replay(transaction, identity, time.time())

    if not with_database(config, work):
        _refuse(f"There is no webhook `{identity}`; `fairlead webhooks list` shows them.")
    sys.stdout.write(f"{identity} is sent again\n")


def secret(config: Path | None, key: str, *, rotate: bool) -> None:
    """Print the newest secret of a key, of the database or of the routing file."""

    async def work(settings: Settings, database: Database) -> tuple[Settings, Caller | None]:
        async with database.write() as transaction:
            found = await keys.find(transaction, key)
            if found is None:
                return settings, _of_the_file(settings.config, key)
            caller = Caller(id=found.id, name=found.name, hook=hook_of(found))
            if rotate:
                turn = caller.hook.rotation + 1
                await keys.change(transaction, key, {**found.settings, "webhook_rotation": turn})
                caller = replace(caller, hook=replace(caller.hook, rotation=turn))
        return settings, caller

    settings, caller = with_database(config, work)
    if caller is None:
        _refuse(f"There is no key `{key}`; `fairlead keys list` shows those of the database.")
    elif caller.hook.secrets or (rotate and caller.id == caller.name):
        _refuse(f"The secrets of `{key}` are those that the routing file names as `webhook.secrets`.")
    else:
        sys.stdout.write(f"{secrets_of(caller, settings.pepper.reveal().encode())[0]}\n")


def _of_the_file(file: Path, name: str) -> Caller | None:
    return next((row.caller for row in named(file).keys if row.caller.id == name), None)


def _refuse(message: str) -> None:
    sys.stderr.write(f"{message}\n")
    raise typer.Exit(1)
