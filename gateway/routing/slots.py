"""Who of those who wait for workers is next, where, and when they will be done (pure).

Theory of operation
-------------------
Jobs are handed to a worker when it has a slot and not before, so that they can still go elsewhere: to another
worker that gets free sooner, or to a target that is not a worker (a cloud) when all of them would take too long.

The plan is drawn up by list scheduling: one job after another, in the order in which they wait, gets the worker
that would finish it first, counting what waits before it. Whose worker has a slot begins now; the others wait
with an ETA. A worker that is slow is thus given what the quick ones would finish later, and nothing else.

What is not known is never held against anyone: a worker that never made a video is taken to need no time, one
that is busy and cannot say for how long is waited for, and only a known ETA makes a job go elsewhere.
"""

import math
from collections.abc import Mapping, Sequence

from msgspec import Struct

from gateway.config.snapshot import RouteTarget


class Berth(Struct, frozen=True, kw_only=True):
    """What a worker that answers has: `slots` that are free now, and seconds until its next one; None: not known."""

    slots: int
    free_in: float | None


class Option(Struct, frozen=True, kw_only=True):
    """A worker's target that could make a job, and the seconds that would take it; None when not known."""

    target: RouteTarget
    run: float | None


class Waiting(Struct, frozen=True, kw_only=True):
    """A job that waits. `options` in order of preference.

    `latest` is in how many seconds it must be done to be worth the wait; None when it can go nowhere else.
    """

    id: str
    options: Sequence[Option]
    latest: float | None = None


class Turn(Struct, frozen=True, kw_only=True):
    """What becomes of a job: it begins `now` at the target, or waits for it, or goes elsewhere (`spill`).

    `eta` is the seconds until it will be done, None when not known or not at a worker.
    """

    target: RouteTarget | None = None
    now: bool = False
    spill: bool = False
    begin: float | None = None
    eta: float | None = None


def plan(line: Sequence[Waiting], berths: Mapping[str, Berth]) -> dict[str, Turn]:
    """A turn for each that waits, by id. `berths` are the workers that answer, by base URL."""
    slots = {url: berth.slots for url, berth in berths.items()}
    free: dict[str, float | None] = {
        url: 0.0 if berth.slots > 0 else berth.free_in for url, berth in berths.items()
    }
    turns: dict[str, Turn] = {}
    for one in line:
        turn = turns[one.id] = _turn(one, slots, free)
        if turn.target is None or turn.spill:
            continue
        url = turn.target.target.base_url
        slots[url] -= turn.now
        if slots[url] <= 0:
            free[url] = turn.eta
    return turns


def _turn(one: Waiting, slots: Mapping[str, int], free: Mapping[str, float | None]) -> Turn:
    here = [option for option in one.options if option.target.target.base_url in free]
    if not here:
        return Turn(spill=one.latest is not None)

    def finish(option: Option) -> float:
        begin = free[option.target.target.base_url]
        return math.inf if begin is None else begin + (option.run or 0.0)

    best = min(here, key=finish)
    url, soonest = best.target.target.base_url, finish(best)
    begin = free[url]
    return Turn(
        target=best.target,
        now=slots[url] > 0,
        spill=one.latest is not None and one.latest < soonest < math.inf,
        begin=begin,
        eta=None if begin is None or best.run is None else soonest,
    )
