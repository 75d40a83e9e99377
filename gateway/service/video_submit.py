"""From acceptance to an operation at a provider: choose a target, ask it, and understand what it answered.

The order of writes is what keeps a video from being paid for twice: the attempt is on disk before the call
goes out, so whoever finds a job in the phase `submitting` knows that the call may have been heard.
"""

from collections.abc import Callable, Mapping

from msgspec import Struct
from msgspec.structs import replace

from gateway.config.snapshot import RouteTarget, Snapshot
from gateway.media.workshop import Workshop
from gateway.routing import video
from gateway.routing.policies import Dice
from gateway.routing.workers import is_worker
from gateway.service import attempts as rules
from gateway.service.attempts import SUBMIT, Place
from gateway.service.tokens import Tokens
from gateway.service.video_calls import ask as call
from gateway.service.video_links import Links
from gateway.service.video_moves import Moves
from gateway.service.video_queue import VideoQueue
from gateway.service.video_request import FIRST_FRAME, Ask, ask_of, stored_roles, wanted
from gateway.store.jobs import Attempt, Job
from gateway.store.media import MediaStore, whole
from gateway.transport.client import Upstream
from gateway.transport.fetch import Fetcher
from providers.adapter import (
    DUPLICATE_SUBMIT,
    VideoAdapter,
    VideoCancel,
    VideoInline,
    VideoRecall,
    VideoSearch,
)
from providers.errors import ErrorKind, ProviderError
from providers.types import HttpRequest, HttpResponse, Media, VideoRequest, VideoUpdate

RECALLED = "recalled"
"""In an operation: it is known by our token alone, from a provider that says it heard the submit before."""


class Tools(Struct, frozen=True, kw_only=True):
    """What the steps of a job work with.

    `adapters`, `cancels`, `recalls`, `searches` and `inlines` map dialect names to modules.
    """

    upstream: Upstream
    fetcher: Fetcher
    adapters: Mapping[str, VideoAdapter]
    cancels: Mapping[str, VideoCancel]
    recalls: Mapping[str, VideoRecall]
    searches: Mapping[str, VideoSearch]
    inlines: Mapping[str, VideoInline]
    snapshot: Callable[[], Snapshot]
    media: MediaStore
    workshop: Workshop
    queue: VideoQueue
    tokens: Tokens
    links: Links
    dice: Dice


class _Call(Struct, frozen=True, kw_only=True):
    """One submit, ready to go out. `repeat`: the same was perhaps heard before."""

    token: str
    request: HttpRequest
    adapter: VideoAdapter
    place: Place
    repeat: bool = False


class Submitting:
    """The steps of a job that no target works on yet."""

    def __init__(self, tools: Tools, moves: Moves) -> None:
        self._tools = tools
        self._moves = moves

    async def accepted(self, job: Job) -> None:
        """Choose a target and ask it, or wait for one that rests, or give up."""
        moves, now = self._moves, self._moves.clock.now()
        if job.deleted_at is not None:
            return await moves.fail(job, "cancelled")
        last = job.attempts[-1].error_code if job.attempts else None
        if now >= job.deadline_at:
            return await moves.fail(job, last or "generation_timeout")
        route = self._tools.snapshot().resolve(job.model, "video")
        if route is None:
            return await moves.fail(job, "no_route")
        order = video.order(route, wanted(ask_of(job), now), self._tools.dice)
        choice = await self._tools.queue.choose(job, route, order)
        eta_at = None if choice.eta is None else now + choice.eta
        if choice.target is not None:
            return await self._hand_over(replace(job, eta_at=eta_at), choice.target, choice.eta)
        if choice.wait_until is None:
            return await moves.fail(job, last or "no_route")
        due = min(choice.wait_until, job.deadline_at)
        waits = None if not choice.in_line else job.waiting_since or now
        await moves.go(replace(job, due_at=due, waiting_since=waits, eta_at=eta_at), "wait")
        return None

    async def _hand_over(self, job: Job, target: RouteTarget, seconds: float | None) -> None:
        """Ask the target; a worker's slot, for so many seconds, is ours until it knows the job or has refused it."""
        try:
            await self._begin(job, target)
        finally:
            self._tools.queue.fleet.taken(target.target.base_url, seconds)

    async def submitting(self, job: Job) -> None:
        """Somebody was asking a target and did not get to write down how it ended."""
        attempt = job.attempts[-1]
        place = rules.locate(self._tools.snapshot(), job.model, attempt)
        adapter = self._tools.adapters.get(attempt.dialect)
        in_time = self._moves.clock.now() < job.deadline_at
        if place is None or adapter is None or not in_time or not rules.recognises_repeats(place.target):
            return await self._doubt(job, attempt)
        try:
            place = replace(place, target=await self._tools.tokens.ready(place.target))
            request = await self._request(job, adapter, place, attempt)
        except ProviderError as error:
            return await self._again(job, attempt, error)
        made = _Call(token=_token(job, attempt), request=request, adapter=adapter, place=place, repeat=True)
        return await self._submit(job, attempt, made)

    async def _begin(self, job: Job, target: RouteTarget) -> None:
        """Prepare the call; only when that worked is the attempt written down and made."""
        last = job.attempts[-1] if job.attempts else None
        again = last is not None and last.target == target.id and last.certainty == rules.NOT_CREATED
        attempt = Attempt(
            number=len(job.attempts) + (not again),  # a target that keeps refusing is one attempt
            target=target.id,
            provider=target.target.provider,
            provider_model=target.target.model,
            dialect=target.target.dialect,
            base_url=target.target.base_url,
            certainty=rules.UNKNOWN,
            started_at=self._moves.clock.now(),
            price=video.rate(target, wanted(ask_of(job), self._moves.clock.now())),
            gpu_price=target.price.gpu_second if target.price else None,
        )
        try:
            ready = await self._tools.tokens.ready(target.target)
            place = Place(target=ready, timeouts=target.timeouts)
            adapter = self._tools.adapters.get(attempt.dialect)
            if adapter is None:
                message = f"No video dialect `{attempt.dialect}`."
                raise ProviderError(ErrorKind.UNSUPPORTED, message, sent=False)
            request = await self._request(job, adapter, place, attempt)
        except ProviderError as error:
            return await self._refused(job, attempt, error, event="wait")
        job = await self._moves.go(job, "submit", attempt, release=False)
        made = _Call(token=_token(job, attempt), request=request, adapter=adapter, place=place)
        return await self._submit(job, attempt, made)

    async def _submit(self, job: Job, attempt: Attempt, made: _Call) -> None:
        place, now = made.place, self._moves.clock.now
        try:
            response = await call(self._tools.upstream, made.request, place.timeouts, fresh=True)
            update = self._answered(made, response)
            if update.operation is None:
                raise ProviderError(ErrorKind.PROTOCOL, "The provider did not say which operation it began.")
        except ProviderError as error:
            if is_worker(place.target) and SUBMIT[error.kind].busy:
                return await self._no_slot(job, attempt, error)
            in_doubt = made.repeat or rules.certainty(error) == rules.UNKNOWN
            if not in_doubt or SUBMIT[error.kind].final:
                return await self._refused(job, attempt, error, event="refused")
            if not rules.recognises_repeats(place.target):
                return await self._doubt(job, attempt)
            return await self._again(job, attempt, error)
        told = _warnings(made.request, attempt.provider)
        operation = {**made.request.operation, **update.operation}
        begun = replace(attempt, certainty=rules.CREATED, operation=operation)
        due = now() + rules.poll_after(0.0, update.retry_after, self._moves.figures.poll)
        warnings = list(dict.fromkeys([*job.warnings, *told]))
        await self._moves.answered(
            replace(job, due_at=due, tries=0, warnings=warnings), "created", begun, told=update
        )
        return None

    async def _no_slot(self, job: Job, attempt: Attempt, error: ProviderError) -> None:
        """Another gateway was faster: the job waits in line as before, and nothing is held against anyone."""
        now = self._moves.clock.now()
        due = min(now + max(rules.pause(1), error.retry_after or 0.0), job.deadline_at)
        await self._moves.untried(replace(job, due_at=due, tries=0, waiting_since=now), attempt)

    async def _again(self, job: Job, attempt: Attempt, error: ProviderError) -> None:
        """Ask the same target once more, later: it recognises repeats."""
        wait = max(rules.pause(job.tries + 1), error.retry_after or 0.0)
        later = replace(job, tries=job.tries + 1, due_at=self._moves.clock.now() + wait)
        await self._moves.answered(later, "submit", attempt)

    def _answered(self, made: _Call, response: HttpResponse) -> VideoUpdate:
        """What the answer to a submit says. Raises ProviderError, unless it only says that it was heard before."""
        if response.status < 300:
            return made.adapter.video_created(response)
        error = made.adapter.error(response)
        recall = self._tools.recalls.get(made.place.target.dialect)
        if recall is None or error.code != DUPLICATE_SUBMIT:
            raise error
        return VideoUpdate(state="queued", operation={RECALLED: True, **recall.video_recall(made.token)})

    async def _refused(self, job: Job, attempt: Attempt, error: ProviderError, *, event: str) -> None:
        """Certainly nothing was started: fail if the request is at fault, else look for the next target."""
        now = self._moves.clock.now()
        reading = SUBMIT[error.kind]
        away = min(job.created_at + self._moves.figures.patience, job.deadline_at)
        patience = rules.Patience(busy=job.deadline_at, away=away)
        refusals = job.tries + 1
        over = replace(
            attempt,
            certainty=rules.NOT_CREATED,
            ended_at=now,
            error_code=reading.code,
            retry_at=rules.retry_at(error, refusals, now, patience),
        )
        if reading.final:
            return await self._moves.fail(job, reading.code, over, message=error.message)
        warnings = list(job.warnings)
        if error.kind is ErrorKind.UNSUPPORTED and error.param:
            warnings.append(f"{attempt.provider} cannot be told `{error.param}`")
        waiting = replace(job, due_at=now, tries=refusals, warnings=warnings)
        await self._moves.answered(waiting, event, over)
        return None

    async def _doubt(self, job: Job, attempt: Attempt) -> None:
        due = self._moves.clock.now() + min(rules.pause(1), self._moves.figures.uncertain)
        doubtful = replace(attempt, error_code="submit_uncertain")
        await self._moves.go(replace(job, tries=0, due_at=due), "doubt", doubtful)

    async def _request(self, job: Job, adapter: VideoAdapter, place: Place, attempt: Attempt) -> HttpRequest:
        """The submit of this attempt: the same bytes' worth of request each time it is made."""
        media = await self._media(job, ask_of(job))
        return adapter.video_create(replace(request_of(job, attempt, self._tools), media=media), place.target)

    async def _media(self, job: Job, asked: Ask) -> list[Media]:
        media = _linked(asked)
        for role, stored in zip(asked.inputs, stored_roles(asked.inputs), strict=True):
            row = job.file(stored)
            if row is None:
                raise ProviderError(ErrorKind.INVALID_REQUEST, "An uploaded file is gone.", sent=False)
            file = await self._tools.media.open(row.name)
            try:
                media.append(Media(role=role, mime=row.mime, data=await whole(file, row.size)))
            finally:
                file.close()
        return media


def request_of(job: Job, attempt: Attempt, tools: Tools) -> VideoRequest:
    """What this attempt asks a target for; uploaded media are named, but come without their bytes."""
    asked = ask_of(job)
    return VideoRequest(
        model=asked.model,
        prompt=asked.prompt,
        operation=asked.operation,
        seconds=None if asked.operation == "edit" else asked.seconds,
        size=None if asked.operation in ("edit", "extend") else asked.size,
        seed=asked.seed,
        negative_prompt=asked.negative_prompt,
        style_preset=asked.style_preset,
        camera_movement=asked.camera_movement,
        audio=asked.audio,
        strength=asked.strength,
        media=[*_linked(asked), *(Media(role=role, mime="") for role in asked.inputs)],
        source=asked.source,
        token=_token(job, attempt),
        hook=_hook(job, attempt, tools),
    )


def _linked(asked: Ask) -> list[Media]:
    first = [Media(role=FIRST_FRAME, mime="", url=asked.link)] if asked.link else []
    return first + [Media(role=role, mime="", url=link) for role, link in asked.links]


def _hook(job: Job, attempt: Attempt, tools: Tools) -> str:
    """Where the provider may tell that the video is done; nowhere without a public https:// address."""
    public = tools.snapshot().public_url or ""
    return tools.links.hook(public, job.id, attempt.number) if public.startswith("https://") else ""


def _token(job: Job, attempt: Attempt) -> str:
    return f"{job.id}-{attempt.number}"


def _warnings(request: HttpRequest, provider: str) -> list[str]:
    """What became of fields that the provider does not have."""
    folded = [f"`{name}` was written into the prompt for {provider}" for name in request.folded]
    return folded + [f"`{name}` could not be passed on to {provider}" for name in request.dropped]
