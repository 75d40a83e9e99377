"""Orders videos from a fleet whose parts are killed all the time, waits until it is at rest, and judges.

`python -m benchmarks.chaos` runs it for long, `tests/lab/test_chaos.py` for a few seconds, with the waiting for
leases of dead processes cut short.
"""

import asyncio
import contextlib
import os
import random
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psycopg
from msgspec import Struct
from msgspec.structs import replace

from tests.lab.crowd import Crowd
from tests.lab.fleet import Fleet, fleet
from tests.lab.parts import kill
from tests.lab.verdict import Evidence, broken, counters, ends, gather, submits

ORDERING = 0.85
"""The part of the run within which all orders come in."""


class Plan(Struct, frozen=True, kw_only=True):
    """One run: so many `jobs`, a part killed each `every` seconds for `seconds`, then at most `rest` seconds until
    nothing is left to do. `hurry` cuts short what is only waiting."""

    jobs: int
    seconds: float
    every: float
    seed: int
    rest: float
    hurry: bool = False


class Outcome(Struct, frozen=True, kw_only=True):
    """What came of it. `faults` are the promises that were not kept, `rested` is after how many seconds all was
    done, `accepted` how long each order took, `load` the machine's load average at the end."""

    plan: Plan
    killed: Mapping[str, int]
    rested: float
    accepted: Sequence[float]
    load: float
    seen: Evidence
    faults: Sequence[str]

    def report(self) -> str:
        """It for people to read."""
        plan, seen, took = self.plan, self.seen, sorted(self.accepted)
        kills = ", ".join(f"{count} {kind}" for kind, count in sorted(self.killed.items()))
        looks = sum(len(one.looks) for one in seen.orders)
        heard = len({name for name, *_ in seen.told})
        twice = sum(one.begun > 1 for one in seen.submits.values())
        charged = sum(row["nano_dollars"] for row in seen.ledger) / 1e9
        billed = sum(one.bill for one in seen.submits.values()) / 1e9
        told = {
            "seed": f"{plan.seed}; load average {self.load:.1f}",
            "killed": f"{sum(self.killed.values())}, each {plan.every:g} s for {plan.seconds:g} s: {kills}",
            "accepted": f"{len(took)} of {plan.jobs}, after {took[len(took) // 2]:.2f} s at the median, "
            f"{took[-1]:.1f} s at most",
            "ended": ", ".join(f"{count} {end}" for end, count in sorted(ends(seen).items())),
            "at rest": f"{self.rested:.0f} s after the last kill; looked at {looks} times meanwhile",
            "submitted": f"{len(seen.submits)} videos begun in {len(seen.attempts)} attempts, {twice} of them twice",
            "charged": f"{charged:.6f} dollars in {len(seen.ledger)} rows, billed {billed:.6f}",
            "webhooks": f"{heard} of {len(seen.jobs)} heard, in {len(seen.told)} sendings",
        }
        lines = [f"{name:10} {words}" for name, words in told.items()]
        lines += [f"BROKEN: {fault}" for fault in self.faults]
        lines.append(f"{len(self.faults)} promises broken")
        return "\n".join(lines)


async def run(plan: Plan, folder: Path) -> Outcome:
    """The whole of it, with everything that the parts write below `folder`."""
    dice = random.Random(plan.seed)
    async with (
        fleet(folder, dice, plan.jobs) as made,
        contextlib.aclosing(Crowd(made, dice, plan.jobs)) as crowd,
    ):
        ordering = asyncio.create_task(crowd.order_all(plan.seconds * ORDERING))
        beside = [ordering, asyncio.create_task(crowd.look())]
        if plan.hurry:
            beside.append(asyncio.create_task(_forget_leases(made)))
        try:
            killed = await kill(made.kinds, dice, every=plan.every, seconds=plan.seconds)
            began = time.monotonic()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(plan.rest):
                    await _at_rest(made, ordering, hurry=plan.hurry)
                    await crowd.look_at_all()
            rested = time.monotonic() - began
            seen = gather(made, crowd.orders)
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
    seen = replace(seen, submits=submits(made))
    accepted = [one.took for one in crowd.orders if one.id]
    return Outcome(
        plan=plan, killed=killed, rested=rested, accepted=accepted, load=os.getloadavg()[0], seen=seen,
        faults=broken(seen),
    )  # fmt: skip


async def _at_rest(made: Fleet, ordering: "asyncio.Task[None]", *, hurry: bool) -> None:
    """Wait until every order is accepted, every job done, every webhook delivered and nothing reserved."""
    for part in (part for parts in made.kinds.values() for part in parts):
        while not await asyncio.to_thread(part.ready):
            await asyncio.sleep(0.1)
    if hurry:
        await asyncio.to_thread(
            made.rows, "update jobs set leased_until = 0, due_at = 1 where due_at is not null"
        )
    await ordering
    while await asyncio.to_thread(_busy, made):
        if hurry:
            await asyncio.to_thread(made.rows, "update jobs set due_at = 1 where phase = 'uncertain'")
        await asyncio.sleep(0.2)
    if hurry and await asyncio.to_thread(_holding, made):
        await asyncio.to_thread(made.age_reservations)
        os.kill(made.gateways[0].pid, signal.SIGKILL)  # it looks for what nobody settled when it starts
    while await asyncio.to_thread(_holding, made):
        await asyncio.sleep(0.2)


def _busy(made: Fleet) -> bool:
    jobs = made.rows("select id from jobs where phase <> 'done' limit 1")
    return bool(jobs or made.rows("select id from outbox where delivered_at is null limit 1"))


def _holding(made: Fleet) -> bool:
    left = counters(made.redis.url)
    return any(left.get(name) for name in ("slots", "held", "leases"))


async def _forget_leases(made: Fleet) -> None:
    """Let most of the time pass for which a gateway that has just died holds what it worked on."""
    before: Sequence[int] = ()
    while True:
        await asyncio.sleep(0.2)
        now = [gateway.pid for gateway in made.gateways if gateway.alive]
        if now != before:
            with contextlib.suppress(psycopg.Error):
                for table in ("jobs", "outbox"):
                    await asyncio.to_thread(made.forget_leases, table)
                before = now
