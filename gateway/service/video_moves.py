"""Writes down how a job moves: every move is one transaction that only the newest claim may make.

What belongs together is written together: the state, the attempt that led to it, the files that came with
it, the charge, the webhook that tells of the end. Files and reservations outside the database follow after
the commit, and are found again by whoever comes next if the process dies in between.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence

from msgspec import Struct
from msgspec.structs import replace

from gateway.errors import Unavailable
from gateway.service import job_states
from gateway.service.attempts import MESSAGES, pause
from gateway.service.job_states import Standing, follow
from gateway.service.video_ports import VideoParts
from gateway.service.webhooks import notice_of
from gateway.store import jobs, ledger, media_rows, outbox
from gateway.store.engine import Transaction
from gateway.store.jobs import Attempt, Job
from gateway.store.ledger import Entry
from gateway.store.media_rows import MediaRow
from providers.types import VideoUpdate

KEPT = ("video", "thumbnail", "spritesheet")
"""Roles of the files that stay with a completed job; what it was made from goes."""
_AGAIN = 0.2
"""Seconds until a database that was away is tried again."""


class SupersededError(Exception):
    """Somebody else has claimed the job since; nothing was written, and nothing more may be done."""


class Ending(Struct, frozen=True, kw_only=True):
    """How a job ends: `failure` is None when it was delivered, else (code, message) for the client."""

    failure: tuple[str, str] | None = None
    files: Sequence[MediaRow] = ()


class Moves:
    """The only writer of running jobs."""

    def __init__(self, parts: VideoParts) -> None:
        self.figures = parts.figures
        self.clock = parts.clock
        self._database = parts.database
        self._media = parts.media
        self._admission = parts.admission
        self._observe = parts.observe

    async def go(
        self, job: Job, event: str, attempt: Attempt | None = None, *,
        told: VideoUpdate | None = None, release: bool = True,
    ) -> Job:  # fmt: skip
        """Move a job on by an event and give back how it stands now. Raises SupersededError.

        The job carries the other changes; `told` is what the target says of state and progress; `release`
        gives the lease back.
        """
        async with self._database.write() as transaction:
            saved = await _save(transaction, _moved(job, event, told), attempt, release=release)
        self._tell(saved, attempt)
        return saved

    async def answered(
        self, job: Job, event: str, attempt: Attempt, *, told: VideoUpdate | None = None
    ) -> None:
        """The same for what a submit led to, which nobody else knows: a database that is away is waited for.

        Given up, an answer would be a doubt. Should the lease run out meanwhile, the fence says so. Writing
        again what was written before its confirmation got lost changes nothing.
        """
        await _insist(lambda: self.go(job, event, attempt, told=told))

    async def untried(self, job: Job, attempt: Attempt) -> None:
        """The same for a worker that had no slot after all: the job waits again, as if it had not been asked."""
        await _insist(lambda: self._untry(job, attempt))

    async def _untry(self, job: Job, attempt: Attempt) -> None:
        async with self._database.write() as transaction:
            await _save(transaction, _moved(job, "refused", None), None, release=True)
            await jobs.drop_attempt(transaction, job.id, attempt.number)

    async def fail(self, job: Job, code: str, attempt: Attempt | None = None, *, message: str = "") -> None:
        """The end of a job that cannot be delivered; the message is ours unless the request is at fault."""
        failure = (code, message or MESSAGES.get(code, MESSAGES["provider_error"]))
        await self._end(job, "fail", attempt, Ending(failure=failure))

    async def complete(self, job: Job, attempt: Attempt, files: Sequence[MediaRow]) -> None:
        """The end of a job whose files are stored."""
        await self._end(job, "complete", attempt, Ending(files=files))

    async def _end(self, job: Job, event: str, attempt: Attempt | None, ending: Ending) -> None:
        now = self.clock.now()
        failure = ending.failure
        ended = replace(
            _moved(job, event, None),
            error={"code": failure[0], "message": failure[1]} if failure else None,
            completed_at=now,
            expires_at=None if failure else now + self.figures.keep,
            due_at=now,
        )
        async with self._database.write() as transaction:
            saved = await _save(transaction, ended, attempt, release=False)
            names = await media_rows.drop_media(transaction, job.id, () if failure else KEPT)
            await media_rows.add_media(transaction, job.id, ending.files)
            told = notice_of(saved, now)
            if told is not None:
                await outbox.add(transaction, told)
            if saved.video_ms or saved.cost:
                await ledger.add(transaction, [_charge(saved, now)])
        await self._media.remove(names)
        self._tell(saved, attempt)
        self._observe.job_finished(saved)
        await self.settle(saved)

    async def settle(self, job: Job) -> None:
        """Settle what was reserved, and only then let go of the job for good."""
        used = {"video_ms": job.video_ms, "nano_dollars": job.cost or 0}
        charged_at = job.completed_at or math.inf
        if not await self._admission.settle(job.lease, job.held, **used, at=charged_at):
            due = self.clock.now() + pause(job.tries + 1)
            await self.go(replace(job, tries=job.tries + 1, due_at=due), "wait")
            return
        names: list[str] = []
        async with self._database.write() as transaction:
            settled = replace(_moved(job, "settled", None), due_at=None)
            saved = await _save(transaction, settled, None, release=True)
            if saved.deleted_at is not None:
                names = await jobs.purge(transaction, job.id)
        await self._media.remove(names)

    def _tell(self, job: Job, attempt: Attempt | None) -> None:
        if attempt is not None:
            self._observe.job_attempt(job, attempt)


async def _insist(write: Callable[[], Awaitable[object]]) -> None:
    """Write, however long the database is away."""
    while True:
        try:
            await write()
        except Unavailable:
            await asyncio.sleep(_AGAIN)
        else:
            return


async def _save(transaction: Transaction, job: Job, attempt: Attempt | None, *, release: bool) -> Job:
    """Write a job with the attempt that moved it, and give back how it stands. Raises SupersededError."""
    saved = await jobs.save(transaction, job, release=release)
    if saved is None:
        raise SupersededError(job.id)
    if attempt is None:
        return saved
    await jobs.put_attempt(transaction, job.id, attempt)
    others = [other for other in job.attempts if other.number != attempt.number]
    return replace(saved, attempts=(*others, attempt))


def _moved(job: Job, event: str, told: VideoUpdate | None) -> Job:
    before = Standing(state=job.state, phase=job.phase, progress=job.progress)
    state, progress = (told.state, told.progress) if told else (job_states.QUEUED, None)
    after = follow(before, event, state=state, progress=progress)
    waits = job.waiting_since if after.phase == job_states.ACCEPTED else None
    return replace(job, state=after.state, phase=after.phase, progress=after.progress, waiting_since=waits)


def _charge(job: Job, now: float) -> Entry:
    return Entry(
        source=job.id,
        kind="video",
        caller=job.caller,
        organisation=job.organisation,
        project=job.project,
        user=job.user,
        model=job.model,
        target=job.attempts[-1].target,
        nano_dollars=job.cost,
        video_ms=job.video_ms,
        created_at=now,
    )
