"""Moves video jobs on, one step at a time, until nothing is left to do. Any number may share a database.

Theory of operation
-------------------
A job's row says when it is due and who holds it. The runner asks the database when the next job is due and
sleeps until then, or until `wake` says that there is a new one, or until IDLE is over, since another process
may have accepted one. What is due it claims under a lease, at most `concurrency` jobs at a time, and makes
one step of each as a task of its own: choose and ask a target, poll once, fetch the file. A step ends with
the job written down, due again later, and the lease given back; between steps a job costs nothing, so ten
thousand waiting jobs are ten thousand rows and no task.

Leases of running steps are renewed. Whoever cannot renew (the process was stopped for a while, the database
was away) has perhaps lost the job to somebody else: its step is cancelled, and whatever it still tried to
write would be refused by the fence. A process that dies just leaves its leases to run out.

What is to be told of a job that ended lies in the outbox from the moment it ended; the courier, which runs
beside, sends it.

A step that fails in a way nobody expected is logged and keeps its lease, so the job is looked at again when
the lease has run out, and not in a tight loop.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence

from gateway.service import job_states
from gateway.service.attempts import WORKER_AWAY
from gateway.service.courier import Courier
from gateway.service.rounds import Rounds, went_well
from gateway.service.video_doubt import Doubts
from gateway.service.video_moves import Moves, SupersededError
from gateway.service.video_ports import VideoParts
from gateway.service.video_submit import Submitting, Tools
from gateway.service.video_sweep import sweep
from gateway.service.video_watch import Watching
from gateway.store import jobs
from gateway.store.jobs import Job

log = logging.getLogger("fairlead.runner")

IDLE = 2.0
"""Longest sleep, in seconds, before the database is asked again."""
LEFT_BEHIND = 86_400.0
"""For how long, in seconds, a worker that went away may have kept what was made elsewhere meanwhile."""
_BREATH = 0.02

Step = Callable[[Job], Awaitable[None]]


class Runner(Rounds[str, Job]):
    """Runs the jobs of one process: `run` beside everything else, `stop` to end it in order."""

    def __init__(self, parts: VideoParts, tools: Tools) -> None:
        super().__init__(lease=parts.figures.lease, renew=parts.figures.renew)
        moves = Moves(parts)
        submitting, watching = Submitting(tools, moves), Watching(tools, moves, parts.database)
        self._watching = watching
        self._steps: Mapping[str, Step] = {
            job_states.ACCEPTED: submitting.accepted,
            job_states.SUBMITTING: submitting.submitting,
            job_states.UNCERTAIN: Doubts(tools, moves, parts.database).uncertain,
            job_states.RUNNING: watching.running,
            job_states.DOWNLOADING: watching.downloading,
            job_states.SETTLING: moves.settle,
        }
        self._parts = parts
        self._courier = Courier(parts, tools.dice)
        self._queue = tools.queue

    def _beside(self) -> Sequence[Coroutine[None, None, None]]:
        return (self._courier.run(), self._keep_tidy(), self._keep_line())

    def _closed(self) -> None:
        self._courier.close()

    async def _let_go(self) -> None:
        await self._queue.fleet.stop()

    def _tasks(self) -> list[asyncio.Task[None]]:
        return [*super()._tasks(), *self._courier.tasks]

    async def _look(self) -> None:
        """Claim what is due, or sleep until something is."""
        self._woken.clear()
        parts, now = self._parts, self._parts.clock.now()
        room = parts.figures.concurrency - len(self._running)
        async with parts.database.read() as transaction:
            due = await jobs.next_due(transaction)
        if room > 0 and due is not None and due <= now:
            async with parts.database.write() as transaction:
                claimed = await jobs.claim(transaction, now, now + parts.figures.lease, room)
            for job in claimed:
                self._take(job.id, job)
            await self._sleep(0.0 if claimed else _BREATH)
        elif room > 0 and due is not None:
            await self._sleep(min(IDLE, max(due - now, _BREATH)))
        else:
            await self._sleep(IDLE)

    def _ended(self, key: str, held: Job) -> None:
        super()._ended(key, held)
        self._courier.wake()

    async def _step(self, held: Job) -> None:
        try:
            await self._steps[held.phase](held)
        except SupersededError:
            log.info("video job %s was taken over by another process", held.id)

    async def _renewed(self, held: Mapping[str, Job], lease: float) -> set[str]:
        until = self._parts.clock.now() + lease if lease else 0.0
        fences = {job: one.fence for job, one in held.items()}
        async with self._parts.database.write() as transaction:
            return await jobs.renew(transaction, fences, until)

    async def _keep_line(self) -> None:
        while True:
            await went_well(self._advance)
            await self._queue.rest()

    async def _advance(self) -> None:
        if await self._queue.advance():
            self.wake()
        for url in self._queue.fleet.returned():
            since = self._parts.clock.now() - LEFT_BEHIND
            async with self._parts.database.read() as transaction:
                left = await jobs.left_at(transaction, url, WORKER_AWAY, since)
            for attempt in left:
                await self._watching.call_off(attempt)

    async def _keep_tidy(self) -> None:
        while True:
            await went_well(lambda: sweep(self._parts))
            await asyncio.sleep(self._parts.figures.sweep)
