"""Keeps one engine process alive and feeds it one job after another.

Theory of operation. Everything runs on the event loop and follows from two events: a line from the engine,
and `feed`, called whenever a job may have become available. While the engine works, the parent only listens.
End of file means that the engine is gone, whatever the reason: the queue decides what becomes of its job,
and a new engine is started. `abandon` calls a job off: the engine leaves it where it is and is free for the
next job, its model still loaded; one that has not heard it after `GRACE` seconds is killed. An engine
that dies before it is ready is started again after a growing pause, unless its exit status says that it would
die again (`CANNOT_LOAD`); one that says nothing for `SILENCE` seconds in the middle of a job is taken for hung
and killed.

An engine may write the file of one job while it works on the next. When it dies then, nobody knows which of
the two it was: so a job that was tried before is worked on with no other at its file.
"""

import asyncio
import logging
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from typing import cast

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from providers.local.engine import (
    CANNOT_LOAD,
    CallOff,
    Done,
    Failed,
    Filed,
    Freed,
    Progress,
    Ready,
    Report,
    Task,
)
from providers.local.estimate import REMEMBERED, Pace
from providers.local.queue import Job, Queue

SILENCE = 600.0
GRACE = 10.0  # seconds: longer than most operations, shorter than loading a model again
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 10.0

log = logging.getLogger("fairlead.worker")


class Running(Struct):
    """The job the engine works on. `started` and `heard` are on the monotonic clock, `took` is seconds."""

    job: Job
    started: float
    heard: float
    percent: int = 0
    took: float | None = None


class Runner:
    """The engine as the rest of the worker sees it.

    `ready` is what the engine said of itself; it stays known while an engine is being replaced, and is None
    until the first one is loaded and after one could not be. `idle` says whether one is loaded and has
    nothing to do.
    """

    def __init__(self, queue: Queue, command: Sequence[str], keep: float) -> None:
        """`command` starts an engine's process; ended jobs are deleted after `keep` seconds."""
        self.ready: Ready | None = None
        self.running: Running | None = None
        self._writing: Running | None = None
        self.idle = False
        self.restarts = 0
        self._queue = queue
        self._command = command
        self._keep = keep
        self._pace = Pace()
        self._warm: set[str] = set()
        for job in reversed(queue.last_completed(REMEMBERED)):
            if job.output is not None and job.output.gpu_seconds is not None:
                self._pace.observe(job.order, job.output.gpu_seconds, steps=job.output.steps)
        self._engine: Process | None = None
        self._patience: asyncio.TimerHandle | None = None

    async def run(self) -> None:
        """Work until cancelled, or until the engine says that it can never be loaded.

        Then the engine is gone and its job waits to be taken again.
        """
        pause = 0.0
        self._queue.recover(int(time.time()))
        try:
            while True:
                was_ready, status = await self._one_life()
                if was_ready:
                    pause = 0.0
                elif status == CANNOT_LOAD:
                    log.error("the engine cannot be loaded: it is not tried again, and the jobs are kept")
                    return
                else:
                    self.ready = None
                    pause = min(max(2 * pause, _FIRST_PAUSE), _LONGEST_PAUSE)
                self._queue.recover(int(time.time()))
                self.restarts += 1
                await asyncio.sleep(pause)
        finally:
            self._queue.give_back()

    def feed(self) -> None:
        """Give the engine the next job, if it has none and one waits."""
        if not self.idle or self._engine is None:
            return
        job = self._queue.take(untried=self._writing is not None)
        if job is None:
            return
        now = time.monotonic()
        self.idle, self.running = False, Running(job=job, started=now, heard=now)
        task = Task(id=job.id, order=job.order, folder=str(self._queue.folder(job)))
        self._say(task)

    def abandon(self, job: Job) -> None:
        """Stop the engine's work on this job, if it is at it; the queue must have ended the job already."""
        if self.running is not None and self.running.job.id == job.id and self._engine is not None:
            log.info("%s is cancelled", job.id)
            self._say(CallOff(id=job.id))
            self._patience = asyncio.get_running_loop().call_later(GRACE, self._lose_patience, self._engine)
            self.running = None
        elif self._writing is not None and self._writing.job.id == job.id:
            self._say(CallOff(id=job.id))
            self._writing = None

    def percent(self, job: Job) -> int:
        """How far a job in progress is, 0 to 99."""
        at = (one for one in (self.running, self._writing) if one is not None and one.job.id == job.id)
        return next((one.percent for one in at), 0)

    def rate(self, model: str) -> float | None:
        """Seconds of work per megapixel and second of video, as the last jobs of a model took.

        Before its first job is done, what that has come to so far; None where there is none.
        """
        known, running = self._pace.rate(model), self.running
        if known is not None or running is None or running.job.order.model != model:
            return known
        left = self.slot_free_in()
        whole = None if left is None else time.monotonic() - running.started + left
        return None if whole is None else whole / self._pace.effort(running.job.order)

    def slot_free_in(self) -> float | None:
        """Seconds until the running job is done, 0 when there is none, None when that is not known."""
        if self.running is None:
            return 0.0
        elapsed = time.monotonic() - self.running.started
        return self._pace.remaining(self.running.job.order, self.running.percent, elapsed)

    def done_in(self, last: Job | None = None) -> float | None:
        """Seconds until `last`, or else everything accepted so far, is done; None when that is not known."""
        if last is not None and self._writing is not None and self._writing.job.id == last.id:
            return 0.0
        waits = [self.slot_free_in()]
        if last is None or self.running is None or self.running.job.id != last.id:
            for job in self._queue.waiting():
                rate = self.rate(job.order.model)
                waits.append(None if rate is None else rate * self._pace.effort(job.order))
                if last is not None and job.id == last.id:
                    break
        known = [wait for wait in waits if wait is not None]
        return sum(known) if len(known) == len(waits) else None

    def _say(self, word: Task | CallOff) -> None:
        if self._engine is not None:
            cast("asyncio.StreamWriter", self._engine.stdin).write(msgspec.json.encode(word) + b"\n")

    def _lose_patience(self, engine: Process) -> None:
        log.warning("the engine did not stop within %d s and is replaced", GRACE)
        engine.kill()

    def _calm_down(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    async def _one_life(self) -> tuple[bool, int]:
        """Start an engine and listen to it until it is gone; whether it ever was ready, and its exit status."""
        engine = await asyncio.create_subprocess_exec(*self._command, stdin=PIPE, stdout=PIPE)
        self._engine = engine
        was_ready = False
        try:
            while line := await self._next_line(engine):
                was_ready = True
                self._hear(msgspec.json.decode(line, type=Report))
            status = await engine.wait()
            log.info("the engine ended with status %s", status)
        finally:
            self._calm_down()
            self._engine, self.idle, self.running, self._writing = None, False, None, None
            self._warm.clear()
            if engine.returncode is None:
                engine.kill()
                await engine.wait()
        return was_ready, status

    async def _next_line(self, engine: Process) -> bytes:
        """One report, empty at the end of the engine; a hung engine is killed here."""
        reports = cast("asyncio.StreamReader", engine.stdout)
        while True:
            try:
                async with asyncio.timeout(SILENCE):
                    line = await reports.readline()
                    return line if line.endswith(b"\n") else b""  # half a line: it died while writing
            except TimeoutError:
                if self.running is not None and time.monotonic() - self.running.heard > SILENCE:
                    log.warning("the engine said nothing for %d s and is killed", SILENCE)
                    engine.kill()

    def _hear(self, report: Report) -> None:
        if isinstance(report, Progress):
            if self.running is not None:
                self.running.percent, self.running.heard = report.percent, time.monotonic()
            return
        if isinstance(report, Filed):
            self._end(self._writing, report.ended)
            self._writing = None
        else:
            self._advance(report)
            self.idle = True
        self.feed()

    def _advance(self, report: Ready | Done | Failed | Freed) -> None:
        """The engine can take a job."""
        if isinstance(report, Ready):
            self.ready = report
            self._pace.meet(report.models)
            log.info("the engine is ready: %s", ", ".join(model.id for model in report.models))
            return
        working, self.running = self.running, None
        if working is None:  # it was called off
            self._calm_down()
        else:
            working.took = time.monotonic() - working.started
        if isinstance(report, Freed):
            self._writing = working
        else:
            self._end(working, report)

    def _end(self, ended: Running | None, report: Done | Failed) -> None:
        """A job is at its end, or what is left of one that was called off."""
        now = int(time.time())
        if ended is None:
            self._queue.sweep_folders()
        elif isinstance(report, Done):
            order, took = ended.job.order, ended.took or 0.0
            self._queue.complete(ended.job.id, replace(report.output, gpu_seconds=round(took, 3)), now)
            first = order.model not in self._warm
            self._pace.observe(order, took, steps=report.output.steps, first=first)
            self._warm.add(order.model)
            log.info("%s completed in %.2f s", ended.job.id, took)
        else:
            self._queue.fail(ended.job.id, report.code, report.message, now)
            log.info("%s failed: %s", ended.job.id, report.code)
        self._queue.expire(now - int(self._keep))
