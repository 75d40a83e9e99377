"""The line of jobs that wait for a slot at a worker: who is next, who goes elsewhere, and when each will be done.

Theory of operation
-------------------
The line is in the database: jobs whose `waiting_since` is set, in the order `jobs.waiting` gives them. Every
process draws up the same plan for its first LINE jobs from the same rows and from what the workers say
(`gateway/routing/slots.py`), again whenever a worker may have got free. A job whose turn has come, or that must
go elsewhere, is made due; whoever claims it asks `choose`, which looks at the worker once more before it gives
the job away. Two processes may still meet at one worker: it refuses the second job, which waits on here as if
it had not been asked.

A job beyond the first LINE has no turn of its own; when it arrives, the end of the plan tells how long it will
take at least. Each is looked at again at the last moment at which it could begin in time.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from msgspec import Struct

from gateway.config.snapshot import Route, RouteTarget
from gateway.routing import video
from gateway.routing.policies import Dice
from gateway.routing.slots import Option, Turn, Waiting, plan
from gateway.routing.workers import is_worker
from gateway.service import attempts as rules
from gateway.service.attempts import Choice
from gateway.service.fleet import EVERY, Fleet
from gateway.service.video_ports import VideoParts
from gateway.service.video_request import ask_of, wanted
from gateway.store import jobs
from gateway.store.jobs import Attempt, Job

LINE = 100
"""How many of those who wait are planned for."""
AGAIN = 300.0
"""Seconds after which a job that waits is looked at again, whatever the plan says."""
_SHORTEST = 0.2
_NEWS = 0.1
"""By what share of the rest an ETA must change to be written down."""


class _Lanes(Struct, frozen=True, kw_only=True):
    """Where a job may go: workers that come before anybody else who could be asked now, and all the others.

    `elsewhere` says whether there is such a one.
    """

    own: Sequence[RouteTarget]
    rest: Sequence[RouteTarget]
    elsewhere: bool


class VideoQueue:
    """The line as one process sees it."""

    def __init__(self, parts: VideoParts, fleet: Fleet, dice: Dice) -> None:
        self.fleet = fleet
        self._parts = parts
        self._dice = dice
        self._line: dict[str, Waiting] = {}
        self._soonest: float | None = None
        self._hurry = asyncio.Event()

    def hurry(self) -> None:
        """A worker has got free."""
        self._hurry.set()

    async def rest(self) -> None:
        """Until the next look is due: sooner when somebody waits for a worker that is about to get free."""
        pause = EVERY if self._soonest is None else min(EVERY, max(_SHORTEST, self._soonest))
        with suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await self._hurry.wait()
        self._hurry.clear()

    async def choose(self, job: Job, route: Route, order: Sequence[RouteTarget]) -> Choice:
        """Who of the ordered targets is asked next, or how long to wait. A worker is only chosen with a slot."""
        now = self._parts.clock.now()
        lanes = _lanes(order, job.attempts, now)
        if not lanes.own:
            return rules.choose(lanes.rest, job.attempts, now)
        await self.fleet.meet(one.target.base_url for one in lanes.own)
        waiting = _waiting(job, route, lanes, now)
        turn = plan([*self._others(job.id), waiting], self.fleet.berths())[job.id]
        if job.id in self._line or len(self._line) < LINE:
            self._line[job.id] = waiting
        if turn.spill:
            self._line.pop(job.id, None)
            return rules.choose(lanes.rest, job.attempts, now)
        if turn.now and turn.target is not None and await self.fleet.take(turn.target.target.base_url):
            self._line.pop(job.id, None)
            return Choice(target=turn.target, eta=turn.eta)
        patience = self._parts.figures.patience
        if turn.target is None and all(
            self.fleet.is_away(one.target.base_url, patience) for one in lanes.own
        ):
            return Choice()
        return Choice(wait_until=_again(waiting, turn, now), in_line=True, eta=turn.eta)

    def _others(self, job: str) -> list[Waiting]:
        """Those before a job in the line: all, for one that is not in it yet."""
        names = list(self._line)
        return [self._line[name] for name in names[: names.index(job) if job in self._line else None]]

    async def advance(self) -> bool:
        """Look at the workers and at the line; whether anybody was made due."""
        await self.fleet.look()
        if not self.fleet.known:
            self._line, self._soonest = {}, None
            return False
        async with self._parts.database.read() as transaction:
            found = await jobs.waiting(transaction, LINE)
        now = self._parts.clock.now()
        placed = [(job, self._placed(job, now)) for job in found]
        self._line = {job.id: one for job, one in placed if one is not None}
        turns = plan(list(self._line.values()), self.fleet.berths())
        due = [job.id for job, one in placed if one is None or turns[job.id].now or turns[job.id].spill]
        begins = [turn.begin for turn in turns.values() if turn.begin is not None]
        self._soonest = min(begins, default=None)
        etas = {job.id: told for job in found if (told := _news(job, turns.get(job.id), now)) is not None}
        if not due and not etas:
            return False
        async with self._parts.database.write() as transaction:
            await jobs.tell_etas(transaction, etas)
            return await jobs.rouse(transaction, due, now)

    def _placed(self, job: Job, now: float) -> Waiting | None:
        """A job with where it may go; None when that is no worker any more."""
        route = self._parts.snapshot().resolve(job.model, "video")
        if route is None:
            return None
        lanes = _lanes(video.order(route, wanted(ask_of(job), now), self._dice), job.attempts, now)
        return _waiting(job, route, lanes, now) if lanes.own else None


def _lanes(order: Sequence[RouteTarget], attempts: Sequence[Attempt], now: float) -> _Lanes:
    last = {attempt.target: attempt for attempt in attempts}
    own: list[RouteTarget] = []
    rest: list[RouteTarget] = []
    elsewhere = False
    for target in order:
        at = last[target.id].retry_at if target.id in last else now
        ready = at is not None and at <= now
        if not (is_worker(target.target) and ready):
            rest.append(target)
            elsewhere = elsewhere or ready
        elif not elsewhere:
            own.append(target)
    return _Lanes(own=own, rest=rest, elsewhere=elsewhere)


def _waiting(job: Job, route: Route, lanes: _Lanes, now: float) -> Waiting:
    asked = wanted(ask_of(job), now)
    by = job.deadline_at
    if route.latency_budget is not None:
        by = min(by, job.created_at + route.latency_budget)
    options = [Option(target=target, run=video.run(target, asked)) for target in lanes.own]
    return Waiting(id=job.id, options=options, latest=by - now if lanes.elsewhere else None)


def _again(waiting: Waiting, turn: Turn, now: float) -> float:
    """When a job that waits is looked at again: when it would have to begin at the latest to be done in time."""
    if waiting.latest is None or turn.begin is None or turn.eta is None:
        return now + AGAIN
    return now + min(AGAIN, max(1.0, waiting.latest - (turn.eta - turn.begin)))


def _news(job: Job, turn: Turn | None, now: float) -> float | None:
    """When a job will be done, if that is not what was written down."""
    if turn is None or turn.eta is None:
        return None
    told = now + turn.eta
    near = max(1.0, _NEWS * turn.eta)
    return None if job.eta_at is not None and abs(job.eta_at - told) < near else told
