"""The story of a video job as its owner lives it: accepted, looked at, listed, fetched, remixed, deleted.

Accepting writes everything that is owed to the client in one transaction and touches no provider; making
the video is the runner's business. All verbs read our own database only, and answer the same for a job that
never was and for somebody else's.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from gateway.clock import ulid
from gateway.config.snapshot import Caller, Route
from gateway.errors import Conflict, GatewayError, InvalidRequest, NotFound
from gateway.routing import video
from gateway.service import job_states, video_cache
from gateway.service.access import allowed_route
from gateway.service.admission import JOB_LEASE
from gateway.service.characters import Characters
from gateway.service.video_content import VARIANTS, Content, Contents
from gateway.service.video_links import Link, content_url
from gateway.service.video_ports import VideoParts
from gateway.service.video_repeats import Origin, Repeats
from gateway.service.video_request import (
    CHARACTER,
    FIRST_FRAME,
    Ask,
    Change,
    Wish,
    ask_of,
    field_name,
    seconds_shown,
    stored_roles,
    wanted,
    with_files,
)
from gateway.service.video_routes import complete, drawn_for
from gateway.service.video_sources import Sources
from gateway.store import jobs
from gateway.store.engine import undoing
from gateway.store.jobs import Job
from gateway.store.media_rows import MediaRow
from gateway.transport.ssrf import RefusedLink

CHECK_SECONDS = 5.0
"""How long looking at a callback_url, or at a link, may take."""


class Videos:
    """All verbs on video jobs. One per process; holds no state of its own. `wake` rouses the runner."""

    def __init__(self, parts: VideoParts, wake: Callable[[], None]) -> None:
        self._parts = parts
        self._sources = Sources(parts)
        self._characters = Characters(parts)
        self._contents = Contents(parts)
        self._wake = wake
        self._repeats = Repeats(parts)

    async def create(self, caller: Caller, wish: Wish, origin: Origin) -> Job:
        """A new job, or the one that this request, repeated, already made."""
        wish = await self._found(caller, wish)
        fingerprint = wish.fingerprint()
        known = await self._repeats.known(caller, fingerprint, origin)
        if known is not None:
            return known
        snapshot = self._parts.snapshot()
        route = allowed_route(snapshot, caller, wish.ask.model, "video")
        await self._check_links(wish.ask)
        now = self._parts.clock.now()
        ask = complete(snapshot, route, caller, drawn_for(route, wish.ask, ulid(now)), now)
        await self._check_callback(ask)
        await self._parts.moderator.check(route, ask.said(), "prompt")
        wish = replace(wish, ask=ask)
        if origin.cache:
            wish = replace(wish, cache_key=self._parts.results.key(caller, route, wish))
            hit = await self._hit(caller, wish, fingerprint, origin)
            if hit is not None:
                return hit
        return await self._admitted(caller, wish, fingerprint, origin, route)

    async def _found(self, caller: Caller, wish: Wish) -> Wish:
        """The wish with the files that it only names. Raises InvalidRequest for one that is not there."""
        if wish.filed:
            wish = with_files(wish, await self._sources.pictures(caller, wish.filed))
        if wish.characters:
            clips = await self._characters.clips(caller, wish.characters)
            wish = with_files(wish, [(CHARACTER, clip) for clip in clips])  # given to providers as references
        return replace(wish, filed=(), characters=())

    async def _hit(self, caller: Caller, wish: Wish, fingerprint: bytes, origin: Origin) -> Job | None:
        """A job that is complete at once with what this request made before; None when it made nothing."""
        parts, now = self._parts, self._parts.clock.now()
        found = await video_cache.find(parts, caller, wish.cache_key or b"")
        if found is None:
            return None
        lease, copies = f"{JOB_LEASE}{ulid(now)}", [row.name for row in found.media]
        async with undoing(lambda: parts.media.remove(copies)):
            held = await parts.admission.admit(
                caller, model=found.model, video_ms=0, nano_dollars=0, lease=lease
            )
            await parts.admission.settle(lease, held, video_ms=0, nano_dollars=0)  # it was a request, no more
            job = self._job(caller, self._told(wish, caller, origin), fingerprint, lease)
            job = video_cache.answered(job, found, now, parts.figures.keep)
            use = await self._repeats.write(caller, job, origin)
        if use.job != job.id:
            await parts.media.remove(copies)
            return await self._repeats.replay(caller, use, fingerprint)
        parts.observe.job_cached(job)
        self._wake()
        return job

    async def remix(self, caller: Caller, job: str, said: Mapping[str, Any], origin: Origin) -> Job:
        """A new job that starts from a finished one, at the target that made it; `said` replaces parts of its ask."""
        source = await self.get(caller, job)
        made = source.attempts[-1] if source.attempts else None
        if source.state != job_states.COMPLETED or made is None or made.operation is None:
            raise Conflict(
                f"The video `{job}` is {source.state}; only a completed one can be remixed.",
                code="video_not_ready",
                retry=False,
            )
        if not self._remixes(source.model, made.target):
            message = f"`{made.provider}` made the video `{job}` and cannot remix; create a new one instead."
            raise InvalidRequest(message, code="unsupported_parameter", param="video_id")
        ask = ask_of(source)
        ask = replace(
            ask, **said, operation="remix", remixed_from=job, home=made.target,
            seconds=seconds_shown(ask), source_seconds=0.0, source=made.operation, link=None, links=(), inputs=(),
            base_url="", trace="",
        )  # fmt: skip
        return await self.create(caller, Wish(ask=ask), origin)

    async def change(self, caller: Caller, change: Change, origin: Origin) -> Job:
        """A new job that edits or extends one of the caller's videos, one that came along, or one behind a link."""
        ours = None if change.source.id is None else await self.get(caller, change.source.id)
        async with self._sources.begun(change, ours) as wish:
            return await self.create(caller, wish, origin)

    def _remixes(self, model: str, target: str) -> bool:
        """Whether a target can make variations; one that is not configured any more is found out later."""
        route = self._parts.snapshot().resolve(model, "video")
        made = next((one for one in route.targets if one.id == target), None) if route else None
        return made is None or "remix" in made.target.video.operations

    async def get(self, caller: Caller, job: str) -> Job:
        """One of the caller's jobs. Raises NotFound."""
        async with self._parts.database.read() as transaction:
            found = await jobs.get(transaction, caller.id, job)
        if found is None:
            raise _not_found()
        return found

    async def page(
        self, caller: Caller, *, after: str | None, limit: int, newest_first: bool
    ) -> tuple[Sequence[Job], bool]:
        """Up to `limit` of the caller's jobs by creation, and whether there are more behind them."""
        async with self._parts.database.read() as transaction:
            found = await jobs.page(
                transaction, caller.id, after=after, limit=limit + 1, newest_first=newest_first
            )
        return found[:limit], len(found) > limit

    async def delete(self, caller: Caller, job: str) -> None:
        """Forget a job and its files. One that still runs is cancelled, where its target can do that."""
        names: list[str] = []
        async with self._parts.database.write() as transaction:
            found = await jobs.mark_deleted(transaction, caller.id, job, self._parts.clock.now())
            if found is None:
                raise _not_found()
            if found.phase == job_states.DONE:
                names = await jobs.purge(transaction, job)
        await self._parts.media.remove(names)
        self._wake()

    async def content(self, caller: Caller, job: str, variant: str) -> Content:
        """The finished bytes, open for reading. Raises NotFound, Conflict while they are not there yet."""
        if variant not in VARIANTS:
            allowed = ", ".join(VARIANTS)
            raise InvalidRequest(f"`variant` is {variant[:40]!r}; allowed: {allowed}.", param="variant")
        return await self._contents.open(await self.get(caller, job), variant)

    async def linked(self, job: str, variant: str, link: Link) -> Content | None:
        """The same for whoever holds a link, whose key is not asked for; None when the link does not open it."""
        if not self._parts.links.opens(job, variant, link):
            return None
        async with self._parts.database.read() as transaction:
            found = await jobs.get_any(transaction, job)
        if found is None:
            raise _not_found()
        return await self._contents.open(found, variant)

    def link(self, job: Job, base_url: str) -> str | None:
        """A signed URL of this job's video, for a client that found us under `base_url`; None when there is none."""
        if job.state != job_states.COMPLETED:
            return None
        public = self._parts.snapshot().public_url or base_url
        return self._parts.links.sign(content_url(public, job.id), job.id, job.expires_at)

    async def _admitted(
        self, caller: Caller, wish: Wish, fingerprint: bytes, origin: Origin, route: Route
    ) -> Job:
        """Reserve, write down, and give back what was reserved if somebody was faster."""
        parts, lease = self._parts, f"{JOB_LEASE}{ulid(self._parts.clock.now())}"
        ask = wanted(wish.ask, parts.clock.now())
        try:
            held = await parts.admission.admit(
                caller,
                model=route.model,
                video_ms=round(ask.seconds * 1000),
                nano_dollars=video.dearest(video.eligible(route, ask), ask),
                lease=lease,
            )
        except GatewayError:
            known = await self._repeats.known(
                caller, fingerprint, origin
            )  # the limit may be used up by our own twin
            if known is None:
                raise
            return known
        job = replace(self._job(caller, self._told(wish, caller, origin), fingerprint, lease), held=held)
        try:
            job = replace(job, media=await self._store(wish))
        except BaseException:
            await self._undo(job)
            raise
        async with undoing(lambda: self._undo(job)):
            use = await self._repeats.write(caller, job, origin)
        if use.job != job.id:
            await self._undo(job)
            return await self._repeats.replay(caller, use, fingerprint)
        parts.observe.job_accepted(job)
        self._wake()
        return job

    async def _undo(self, job: Job) -> None:
        """Let go of what there is for a job that is certainly not written down."""
        await self._parts.media.remove(row.name for row in job.media)
        await self._parts.admission.settle(job.lease, job.held, video_ms=0, nano_dollars=0)

    async def _check_links(self, ask: Ask) -> None:
        """Refuse links to pictures that lead inside, although it is the provider that will follow them."""
        links = [(FIRST_FRAME, ask.link)] if ask.link else []
        for role, link in (*links, *ask.links):
            try:
                await self._parts.fetcher.check(link, seconds=CHECK_SECONDS)
            except RefusedLink as error:
                name = field_name(ask.surface, role)
                raise InvalidRequest(f"`{name}` cannot be used: {error.reason}.", param=name) from error

    async def _check_callback(self, ask: Ask) -> None:
        """Refuse at once what could never be delivered; the sending judges again."""
        if ask.callback_url is None:
            return
        networks = self._parts.snapshot().webhook_networks
        try:
            await self._parts.poster.check(ask.callback_url, seconds=CHECK_SECONDS, allow_networks=networks)
        except RefusedLink as error:
            message = f"`callback_url` cannot be used: {error.reason}."
            raise InvalidRequest(message, param="callback_url") from error

    def _told(self, wish: Wish, caller: Caller, origin: Origin) -> Wish:
        """The wish with the place where its end is to be told: the request's, else that of its key."""
        url = wish.ask.callback_url or caller.hook.url
        base_url = self._parts.snapshot().public_url or origin.base_url
        told = replace(wish.ask, callback_url=url, base_url=base_url, trace=origin.trace)
        return replace(wish, ask=told) if url else wish

    async def _store(self, wish: Wish) -> Sequence[MediaRow]:
        rows: list[MediaRow] = []
        try:
            for role, file in zip(stored_roles(wish.ask.inputs), wish.files, strict=True):
                stored = await self._parts.media.write(file.chunks(), file.size)
                rows.append(
                    MediaRow(
                        name=stored.name, role=role, mime=file.mime or "", size=stored.size,
                        sha256=stored.sha256, created_at=self._parts.clock.now(),
                    )
                )  # fmt: skip
        except BaseException:
            await self._parts.media.remove(row.name for row in rows)
            raise
        return rows

    def _job(self, caller: Caller, wish: Wish, fingerprint: bytes, lease: str) -> Job:
        now, longest = self._parts.clock.now(), self._parts.figures.deadline
        return Job(
            id=f"video_{ulid(now)}",
            caller=caller.id,
            organisation=caller.organisation,
            project=caller.project,
            user=caller.user,
            fingerprint=fingerprint,
            model=wish.ask.model,
            request=msgspec.to_builtins(wish.ask),
            lease=lease,
            held=None,
            state=job_states.QUEUED,
            phase=job_states.ACCEPTED,
            warnings=[f"`{name[:64]}` is not a field of this call and was ignored" for name in wish.ignored],
            created_at=now,
            deadline_at=now + min(wish.ask.deadline or longest, longest),
            due_at=now,
            cache_key=wish.cache_key,
        )


def _not_found() -> NotFound:
    return NotFound("There is no video with this id.", code="video_not_found", param="video_id")
