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
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

from gateway.errors import Unavailable
from gateway.service import job_states
from gateway.service.attempts import WORKER_AWAY
from gateway.service.courier import Courier
from gateway.service.rounds import went_well
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


class Runner:
    """Runs the jobs of one process: `run` beside everything else, `stop` to end it in order."""

    def __init__(self, parts: VideoParts, tools: Tools) -> None:
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
        self._running: dict[str, tuple[int, asyncio.Task[None]]] = {}
        self._woken = asyncio.Event()
        self._over = asyncio.Event()
        self._over.set()
        self._stopping = False

    def wake(self) -> None:
        """There is something new to do."""
        self._woken.set()

    async def run(self) -> None:
        """Work until `stop`; a database that is away is waited for."""
        self._over.clear()
        sending = asyncio.create_task(self._courier.run())
        rounds = (self._keep_leases(), self._keep_tidy(), self._keep_line())
        beside = [sending, *map(asyncio.create_task, rounds)]
        try:
            while not self._stopping:
                if not await went_well(self._look):
                    await self._sleep(1.0)
            sending.cancel()
            await asyncio.gather(*self._tasks(), return_exceptions=True)
        finally:
            self._stopping = True
            for task in (*beside, *self._tasks()):
                task.cancel()
            await asyncio.gather(*beside, *self._tasks(), self._queue.fleet.stop(), return_exceptions=True)
            self._over.set()

    async def stop(self, grace: float = 30.0) -> None:
        """Claim nothing more and let the steps in hand finish; those still running after `grace` are cut.

        Returns with every lease given back, so that another process can go on at once.
        """
        self._stopping = True
        self.wake()
        try:
            async with asyncio.timeout(grace):
                await self._over.wait()
        except TimeoutError:
            for task in self._tasks():
                task.cancel()
            await self._over.wait()

    def _tasks(self) -> list[asyncio.Task[None]]:
        return [*(task for _, task in self._running.values()), *self._courier.tasks]

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
                self._start(job)
            await self._sleep(0.0 if claimed else _BREATH)
        elif room > 0 and due is not None:
            await self._sleep(min(IDLE, max(due - now, _BREATH)))
        else:
            await self._sleep(IDLE)

    async def _sleep(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._woken.wait()

    def _start(self, job: Job) -> None:
        if job.id in self._running:  # we let our own lease lapse: the older step is void
            self._running[job.id][1].cancel()
        task = asyncio.create_task(self._step(job))
        self._running[job.id] = (job.fence, task)
        task.add_done_callback(lambda _: self._ended(job))

    def _ended(self, job: Job) -> None:
        held = self._running.get(job.id)
        if held is not None and held[0] == job.fence:
            del self._running[job.id]
        self.wake()
        self._courier.wake()

    async def _step(self, job: Job) -> None:
        try:
            await self._steps[job.phase](job)
        except SupersededError:
            log.info("video job %s was taken over by another process", job.id)
        except Unavailable:
            log.warning("a store went away during a step of video job %s", job.id)
        except asyncio.CancelledError:
            if self._stopping:
                await self._release(job)
            raise
        except Exception:  # the runner's one edge: a bug in one step must not end all jobs
            log.exception("a step of video job %s failed in phase %s", job.id, job.phase)

    async def _release(self, job: Job) -> None:
        with suppress(Unavailable):
            async with self._parts.database.write() as transaction:
                await jobs.renew(transaction, {job.id: job.fence}, 0.0)

    async def _keep_leases(self) -> None:
        while True:
            await asyncio.sleep(self._parts.figures.renew)
            await went_well(self._renew)

    async def _renew(self) -> None:
        held = {job: fence for job, (fence, _) in self._running.items()}
        if not held:
            return
        until = self._parts.clock.now() + self._parts.figures.lease
        async with self._parts.database.write() as transaction:
            ours = await jobs.renew(transaction, held, until)
        for job in held.keys() - ours:
            self._drop(job, held[job])

    def _drop(self, job: str, fence: int) -> None:
        """Somebody else has this job by now: whatever we still did for it would be for nothing."""
        running = self._running.get(job)
        if running is not None and running[0] == fence:
            running[1].cancel()

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
