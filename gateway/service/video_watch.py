"""From an operation at a provider to a stored file: poll, understand what is told, fetch the bytes.

A poll that fails says nothing about the video: only the job's deadline ends it. A video counts as made when
its bytes are in our own store and look like a video, never because somebody says so.
"""

from collections.abc import Callable, Mapping, Sequence

import msgspec
from msgspec.structs import replace

from gateway.config.snapshot import RouteTarget
from gateway.routing import video
from gateway.routing.workers import is_worker
from gateway.service import attempts as rules
from gateway.service.attempts import Place
from gateway.service.sniff import PICTURES, VIDEOS, media_type
from gateway.service.video_calls import Source
from gateway.service.video_calls import ask as call
from gateway.service.video_content import VIDEO
from gateway.service.video_moves import Moves
from gateway.service.video_provenance import Studio, provenance_of
from gateway.service.video_request import SOURCE, Ask, ask_of, seconds_shown, wanted
from gateway.service.video_submit import RECALLED, Tools
from gateway.store import jobs
from gateway.store.engine import Database
from gateway.store.jobs import Attempt, Job
from gateway.store.media import Draft, OverLimitError
from gateway.store.media_rows import MediaRow
from providers.adapter import VideoAdapter, VideoInline
from providers.errors import ErrorKind, ProviderError
from providers.types import HttpRequest, Json, Target, VideoUpdate

MAX_VIDEO = 4 * 1024**3
MAX_STILL = 8 * 1024**2
_NO_PROVIDER_PAUSE = 2.0
_WORKER_PAUSE = 2.0
"""Longest pause, in seconds, between two questions to a worker that does not answer."""
_FEW_FRAMES = 0.2
"""Seconds by which a video may be longer than what was asked for and billed, as 5.04 for 5."""
_STILLS: Mapping[str, Sequence[str]] = dict.fromkeys(("openai", "worker"), ("thumbnail", "spritesheet"))
"""The variants of a dialect's content beside the video itself (VIDEO_WIRE 1.5); most have none."""


_PASSING = (ErrorKind.UNAVAILABLE, ErrorKind.TIMEOUT, ErrorKind.OVERLOADED, ErrorKind.RATE_LIMITED)
"""Why a file cannot be fetched that may be there again later."""


class _Hold:
    """An operation and how to speak of it."""

    def __init__(self, attempt: Attempt, operation: Json, place: Place, adapter: VideoAdapter) -> None:
        self.attempt = attempt
        self.operation = operation
        self.place = place
        self.adapter = adapter


class Watching:
    """The steps of a job that a target works on."""

    def __init__(self, tools: Tools, moves: Moves, database: Database) -> None:
        self._tools = tools
        self._moves = moves
        self._database = database

    async def running(self, job: Job) -> None:
        """Ask how far it is and act on the answer."""
        moves, now = self._moves, self._moves.clock.now()
        attempt, hold = job.attempts[-1], self._hold(job)
        if now >= job.deadline_at:
            if hold is not None:
                await self._cancel(hold)
            code = "generation_timeout" if job.deleted_at is None else "cancelled"
            return await moves.fail(job, code, replace(attempt, ended_at=now, error_code=code))
        if hold is None:
            await moves.go(replace(job, due_at=self._later(job, _NO_PROVIDER_PAUSE)), "progress")
            return None
        try:
            update = await self._ask(hold)
        except ProviderError as error:
            if self._is_left(job, hold):
                return await self._lost(job, attempt, rules.WORKER_AWAY)
            if self._is_late(job, hold):
                return await self._overtaken(job, hold, attempt)
            longest = _WORKER_PAUSE if is_worker(hold.place.target) else rules.MAX_PAUSE
            wait = max(min(longest, rules.pause(job.tries + 1)), error.retry_after or 0.0)
            await moves.go(replace(job, tries=job.tries + 1, due_at=self._later(job, wait)), "progress")
            return None
        return await self._told(job, hold, update)

    async def downloading(self, job: Job) -> None:
        """Fetch the bytes and finish, or try again later, or count the video as lost."""
        attempt, hold = job.attempts[-1], self._hold(job)
        if job.deleted_at is not None:
            return await self._charge_and_cancel(job, attempt)
        error: ProviderError | None = None
        if hold is not None:
            try:
                files = await self._files(job, await self._fresh(hold) if job.tries else hold)
            except ProviderError as failed:
                error = failed
            else:
                ended = replace(attempt, ended_at=self._moves.clock.now())
                return await self._moves.complete(_charged(job, attempt), ended, files)
        tries, now = job.tries + 1, self._moves.clock.now()
        enough = tries >= self._moves.figures.download_tries
        if error is not None and error.kind in _PASSING:  # made and paid for: waited for as long as may be
            enough = enough and now >= job.deadline_at
        if enough or (error and error.kind is ErrorKind.NOT_FOUND):
            return await self._lost(job, attempt, "result_unavailable")
        due = now + rules.pause(tries)
        await self._moves.go(replace(job, tries=tries, due_at=due), "wait")
        return None

    async def call_off(self, attempt: Attempt) -> None:
        """Tell a worker that is back that this was made elsewhere meanwhile."""
        place = rules.locate(self._tools.snapshot(), "", attempt)
        adapter = self._tools.adapters.get(attempt.dialect)
        if place is not None and adapter is not None and attempt.operation is not None:
            await self._cancel(_Hold(attempt, attempt.operation, place, adapter))

    def _is_left(self, job: Job, hold: _Hold) -> bool:
        """Whether its worker is away and somebody else could make it; alone, a worker is waited for."""
        fleet, url = self._tools.queue.fleet, hold.place.target.base_url
        if not is_worker(hold.place.target) or not fleet.is_away(url) or job.deleted_at is not None:
            return False
        return self._has_others(job, lambda one: is_worker(one.target) and fleet.is_away(one.target.base_url))

    def _is_late(self, job: Job, hold: _Hold) -> bool:
        """Whether it took longer than its target may, and somebody else could make it."""
        longest, now = hold.place.timeouts.generation, self._moves.clock.now()
        if longest is None or now - hold.attempt.started_at < longest or job.deleted_at is not None:
            return False
        return self._has_others(job, lambda one: one.id == hold.attempt.target)

    def _has_others(self, job: Job, left_out: Callable[[RouteTarget], bool]) -> bool:
        route, now = self._tools.snapshot().resolve(job.model, "video"), self._moves.clock.now()
        others = video.order(route, wanted(ask_of(job), now), self._tools.dice) if route else []
        choice = rules.choose([one for one in others if not left_out(one)], job.attempts[:-1], now)
        return choice.target is not None or choice.wait_until is not None

    async def _overtaken(self, job: Job, hold: _Hold, attempt: Attempt) -> None:
        """Another target is to make it: this one is told to stop, where it can be told."""
        await self._cancel(hold)
        return await self._lost(job, attempt, "generation_timeout")

    async def _ask(self, hold: _Hold) -> VideoUpdate:
        """What the provider says, in as many places as it says it. Raises ProviderError."""
        update = await self._asked(hold, hold.operation)
        if update.follow and update.operation is not None:
            update = await self._asked(hold, update.operation)
        return update

    async def _asked(self, hold: _Hold, operation: Json) -> VideoUpdate:
        request = hold.adapter.video_poll(operation, await self._target(hold))
        response = await call(self._tools.upstream, request, hold.place.timeouts)
        update = hold.adapter.video_update(response)
        if update.operation is None:
            return update
        return replace(update, operation={**operation, **update.operation})

    async def _target(self, hold: _Hold) -> Target:
        """Where its provider is called, with a credential that is good now. Raises ProviderError."""
        return await self._tools.tokens.ready(hold.place.target)

    async def _fresh(self, hold: _Hold) -> _Hold:
        """The same operation with the file's present link: those that providers give out run out."""
        update = await self._ask(hold)
        if update.state != "completed" or update.operation is None:
            return hold
        return _Hold(hold.attempt, update.operation, hold.place, hold.adapter)

    def _later(self, job: Job, wait: float) -> float:
        """When to look again: after a wait, but not later than the deadline."""
        return min(self._moves.clock.now() + wait, job.deadline_at)

    def _hold(self, job: Job) -> _Hold | None:
        """None when the operation's provider is not configured any more."""
        attempt = job.attempts[-1]
        place = rules.locate(self._tools.snapshot(), job.model, attempt)
        adapter = self._tools.adapters.get(attempt.dialect)
        if place is None or adapter is None or attempt.operation is None:
            return None
        return _Hold(attempt, attempt.operation, place, adapter)

    async def _told(self, job: Job, hold: _Hold, update: VideoUpdate) -> None:
        now = self._moves.clock.now()
        attempt = hold.attempt
        if update.operation not in (None, attempt.operation):
            attempt = replace(attempt, operation=update.operation)
        age = now - attempt.started_at
        if update.state in ("completed", "failed"):
            self._tools.queue.hurry()
        if update.state == "completed":
            return await self._rendered(job, attempt, update)
        if update.state == "failed":
            return await self._failed(job, attempt, update)
        grace = 0.0 if is_worker(hold.place.target) else self._moves.figures.gone_grace
        if update.state == "gone" and (age >= grace or job.deleted_at):
            if attempt.operation and attempt.operation.get(RECALLED):
                return await self._unsure(job, attempt)
            return await self._lost(job, attempt, rules.JOB_LOST)
        if job.deleted_at is not None and await self._cancel(hold):
            return await self._moves.fail(
                job, "cancelled", replace(attempt, ended_at=now, error_code="cancelled")
            )
        if self._is_late(job, hold):
            await self._overtaken(job, hold, attempt)
        else:
            wait = rules.poll_after(age, update.retry_after, self._moves.figures.poll)
            changed = attempt if attempt is not hold.attempt else None
            job = replace(job, tries=0, due_at=self._later(job, wait))
            await self._moves.go(job, "progress", changed, told=update)
        return None

    async def _rendered(self, job: Job, attempt: Attempt, update: VideoUpdate) -> None:
        output = msgspec.to_builtins(update.output) if update.output else {}
        told, ask = update.output.seconds if update.output else None, ask_of(job)
        seconds = told or seconds_shown(ask)
        attempt = replace(attempt, cost=_cost(attempt, update, _anew(ask, seconds)))
        job = replace(job, tries=0, output={**output, "seconds": seconds})
        if job.deleted_at is not None:
            return await self._charge_and_cancel(job, attempt)
        job = await self._moves.go(job, "rendered", attempt, told=update, release=False)
        return await self.downloading(job)

    async def _failed(self, job: Job, attempt: Attempt, update: VideoUpdate) -> None:
        code = update.code or ("invalid_request" if update.blamed else "provider_error")
        attempt = replace(attempt, cost=update.cost)
        if update.blamed or code == "cancelled" or job.deleted_at is not None:
            ended = replace(attempt, ended_at=self._moves.clock.now(), error_code=code)
            message = update.message if update.blamed else ""
            return await self._moves.fail(replace(job, cost=update.cost), code, ended, message=message)
        return await self._lost(job, attempt, code)

    async def _lost(self, job: Job, attempt: Attempt, code: str) -> None:
        """This target will not deliver, and it is not the request's fault: the next one is asked."""
        now = self._moves.clock.now()
        ended = replace(attempt, ended_at=now, error_code=code)
        if code == rules.JOB_LOST:
            ended = replace(ended, retry_at=rules.ask_again_after_loss(job.attempts, now))
        elif code == rules.WORKER_AWAY:
            ended = replace(ended, retry_at=now)
        await self._moves.go(replace(job, tries=0, due_at=now), "lost", ended)

    async def _unsure(self, job: Job, attempt: Attempt) -> None:
        """The provider says that it was asked before, but does not find it: nobody is asked again."""
        code = "submit_uncertain"
        ended = replace(attempt, ended_at=self._moves.clock.now(), error_code=code)
        await self._moves.fail(job, code, ended)

    async def _cancel(self, hold: _Hold) -> bool:
        """Stop the operation, where the dialect can; whether it is stopped for certain."""
        dialect = self._tools.cancels.get(hold.attempt.dialect)
        if dialect is None:
            return False
        try:
            request = dialect.video_cancel(hold.operation, await self._target(hold))
            response = await call(self._tools.upstream, request, hold.place.timeouts)
        except ProviderError:
            return False
        return response.status < 300

    async def _charge_and_cancel(self, job: Job, attempt: Attempt) -> None:
        """It was made before it could be stopped: nobody wants the bytes, but they cost what they cost."""
        ended = replace(attempt, ended_at=self._moves.clock.now(), error_code="cancelled")
        await self._moves.fail(_charged(job, attempt), "cancelled", ended)

    async def _files(self, job: Job, hold: _Hold) -> list[MediaRow]:
        tools, place = self._tools, hold.place
        source = Source(tools.upstream, tools.fetcher, hold.adapter, place.target.base_url, place.timeouts)
        request = hold.adapter.video_content(hold.operation, await self._target(hold))
        inline = tools.inlines.get(hold.attempt.dialect) if hold.operation.get("inline") else None
        files = [await self._stored(job, source, request, "video", inline)]
        for variant in _STILLS.get(hold.attempt.dialect, ()):
            still = replace(request, url=f"{request.url}?variant={variant}")
            try:
                files.append(await self._stored(job, source, still, variant))
            except ProviderError:
                break  # nice to have; not worth a delay
        return files

    async def _stored(
        self, job: Job, source: Source, request: HttpRequest, role: str, inline: VideoInline | None = None
    ) -> MediaRow:
        tools = self._tools
        limit, allowed = (MAX_VIDEO, VIDEOS) if role == "video" else (MAX_STILL, PICTURES)
        try:
            async with tools.media.draft(limit) as draft:
                if inline is None:
                    await source.fetch(request, draft)
                else:
                    await source.unpack(request, draft, inline.video_bytes)
                mime = media_type(draft.head)
                if mime not in allowed:
                    raise ProviderError(ErrorKind.PROTOCOL, f"What came is not a {role}.")
                told = await self._provenance(draft, mime, job) if role == "video" else None
                stored = await draft.keep()
        except OverLimitError as error:
            raise ProviderError(ErrorKind.PROTOCOL, f"The {role} is larger than {limit} bytes.") from error
        return MediaRow(
            name=stored.name, role=role, mime=mime, size=stored.size, sha256=stored.sha256,
            created_at=self._moves.clock.now(), provenance=told,
        )  # fmt: skip

    async def _provenance(self, draft: Draft, mime: str, job: Job) -> Json:
        """Where a video comes from; of one that was made from another, that other is told where it is still here."""
        tools, before, row = self._tools, ask_of(job).remixed_from, job.file(SOURCE)
        if row is None and before is not None and tools.workshop.signing is not None:
            async with self._database.read() as transaction:
                source = await jobs.get(transaction, job.caller, before)
            row = source.file(VIDEO) if source else None
        studio = Studio(workshop=tools.workshop, media=tools.media, made_from=row)
        return await provenance_of(draft, mime, job, studio)


def _anew(ask: Ask, seconds: float) -> float:
    """How much of a video of so many seconds was made for this job: less what an extension began with."""
    asked = ask.seconds
    if asked and any(abs(asked + rest - seconds) < _FEW_FRAMES for rest in (0.0, ask.source_seconds)):
        return asked
    return seconds


def _cost(attempt: Attempt, update: VideoUpdate, seconds: float) -> int | None:
    """What so many seconds of video cost: what the provider charges, or a GPU's time, or the price per second."""
    worked = update.output.gpu_seconds if update.output else None
    if update.cost is not None:
        return update.cost
    if attempt.gpu_price is not None and worked is not None:
        return video.cost(attempt.gpu_price, worked)
    return video.cost(attempt.price, seconds)


def _charged(job: Job, attempt: Attempt) -> Job:
    seconds = _anew(ask_of(job), (job.output or {}).get("seconds") or 0.0)
    return replace(job, cost=attempt.cost, video_ms=round(seconds * 1000))
