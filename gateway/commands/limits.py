"""`fairlead limits`: what the limiter holds, for people to see, and an end to what nobody will settle."""

import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import msgspec
import typer

from gateway.commands.database import with_database
from gateway.config.settings import read
from gateway.limits import words
from gateway.limits.connection import StoreError
from gateway.limits.nodes import Nodes
from gateway.limits.rules import LEASE_SECONDS
from gateway.limits.unsettled import HEDGE_KIND, Unsettled, close, unsettled, unwritten
from gateway.service.job_states import OPEN
from gateway.store import jobs, ledger
from gateway.store.engine import Database
from gateway.store.ledger import Entry

CHARGE = "charge"
UNSETTLED = "unsettled"
"""The kind of a ledger row that says what was reserved, because nobody knows what was used."""


def show_unsettled(config: Path | None, older: float, closing: str | None) -> None:
    """One line per reservation that nobody settled: its id, since when nobody renewed it, what it holds.

    With `closing` (charge or release) each is settled, but for those of videos that are not finished. What is settled
    and not in the ledger is listed too, and entered there in either case: it is known to be spent.
    """
    if closing and older < LEASE_SECONDS:
        raise typer.BadParameter(
            f"What was renewed in the last {LEASE_SECONDS:g} s may belong to a request that runs.",
            param_hint="--older",
        )

    url = read(os.environ, config).redis_url
    if url is None:
        sys.stderr.write(
            "Limits are counted in the gateway's process, so nothing is left of one that ended. "
            "With FAIRLEAD_REDIS_URL they are counted in Redis.\n"
        )
        return
    redis = Nodes(url.reveal())
    try:
        if closing is None:
            count = asyncio.run(_show(redis, older, _left))
        else:
            count = with_database(
                config, lambda _, database: _show(redis, older, _Closer(redis, database, closing))
            )
    except StoreError as error:
        sys.stderr.write(f"Redis at {redis.address} cannot be asked: {error}\n")
        raise typer.Exit(1) from error
    sys.stderr.write(f"{count} unsettled, not renewed for {older:g} s or more\n")


async def _show(redis: Nodes, older: float, then: Callable[[Unsettled], Awaitable[str]]) -> int:
    count = 0
    try:
        for ask in (unwritten, unsettled):
            async for found in ask(redis, older):
                count += 1
                sys.stdout.write(f"{found.sentence()}{await then(found)}\n")
    finally:
        await redis.close()
    return count


async def _left(_one: Unsettled) -> str:
    return ""


class _Closer:
    """Settles what nobody will: `closing` is what happens to that of which the ledger has nothing."""

    def __init__(self, redis: Nodes, database: Database, closing: str) -> None:
        self._redis = redis
        self._database = database
        self._closing = closing

    async def __call__(self, one: Unsettled) -> str:
        """Close one, and say what it was booked with."""
        async with self._database.write() as transaction:
            if one.lease in {lease for lease, _ in await jobs.held(transaction, OPEN)}:
                return "  left: the video is not finished"
            booked = {**await ledger.booked(transaction, one.request)}
            booked.pop(UNSETTLED, None)  # which says nothing of the request's other reservations
            begun = (await ledger.booked(transaction, one.lease)).get(UNSETTLED)
            nano = _known(one, booked) if begun is None else begun
            lost = one.nano_dollars if not booked and begun is None and self._closing == CHARGE else 0
            if one.spent:  # whatever anybody wishes, and all of it
                nano, lost = one.nano_dollars, one.nano_dollars - _known(one, booked) - (begun or 0)
            if lost > 0:
                nano = one.nano_dollars
                await ledger.add(transaction, [_entry(one, time.time() - one.age, lost)])
        await close(self._redis, one, nano)
        why = "as the ledger has it" if booked else "the ledger had nothing of it"
        return f"  closed with {words.amount('dollars', nano)}: {why}"


def _known(one: Unsettled, booked: Mapping[str, int]) -> int:
    """What the ledger has of the part of a request that this reservation is for."""
    if "." in one.lease:
        return 0  # a difference that was held beside: the request's own reservation is settled with the whole
    return sum(nano for kind, nano in booked.items() if (kind == HEDGE_KIND) is one.hedge)


def _entry(one: Unsettled, at: float, nano_dollars: int) -> Entry:
    whose = {"caller": "", "organisation": "", "model": "", **one.owner()}
    what = {"source": one.lease, "kind": UNSETTLED, "target": "", "nano_dollars": nano_dollars}
    return msgspec.convert({**whose, **what, "created_at": at}, Entry)
