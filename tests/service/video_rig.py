"""Puts the video stories together on a database, with the real transport and providers of the test's own."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from gateway.clock import SYSTEM, Clock
from gateway.config.snapshot import (
    NANO,
    Caller,
    HealthRule,
    Price,
    Retries,
    Route,
    RouteTarget,
    Snapshot,
    Timeouts,
)
from gateway.errors import LimitExceeded
from gateway.media.workshop import Workshop
from gateway.service.fleet import Fleet
from gateway.service.hooks import Hooks
from gateway.service.moderation import Moderator
from gateway.service.runner import Runner
from gateway.service.signers import Signers
from gateway.service.tokens import Tokens
from gateway.service.video_links import Links
from gateway.service.video_ports import Figures, Observe, VideoParts
from gateway.service.video_queue import VideoQueue
from gateway.service.video_repeats import Origin
from gateway.service.video_request import VIDEOS, Wish, read
from gateway.service.video_results import Results
from gateway.service.video_submit import Tools
from gateway.service.videos import Videos
from gateway.store.engine import Database
from gateway.store.jobs import Attempt, Job
from gateway.store.media import MediaStore
from gateway.store.media_files import Directory
from gateway.store.migrate import migrate
from gateway.transport.client import Upstream
from gateway.transport.dial import Dialer
from gateway.transport.fetch import Fetcher
from gateway.transport.post import Poster
from providers.types import Target, VideoLimits
from providers.video import (
    VIDEO,
    VIDEO_ASKING,
    VIDEO_CANCEL,
    VIDEO_INLINE,
    VIDEO_RECALL,
    VIDEO_SEARCH,
    VIDEO_SIGNED,
    VIDEO_WORKER,
)

ANN = Caller(id="ann", name="ann", organisation="acme")
BOB = Caller(id="bob", name="bob")
SECRETS = {"ann": ["whsec_" + "QW5u" * 10], "bob": ["whsec_" + "Qm9i" * 10, "whsec_" + "Qm9v" * 10]}
"""What the webhooks of each are signed with, by the caller's id."""
PATIENT = Timeouts(connect=10.0, headers=30.0, silence=30.0)
"""No machine is so busy that a provider on loopback seems to hang."""


def target(
    name: str, url: str, *, model: str = "m", price: float | None = 0.1, repeats: bool = False, **limits: Any
) -> RouteTarget:
    """A video target `name/model` at a provider's address; `price` in USD per second."""
    return RouteTarget(
        id=f"{name}/{model}",
        target=Target(
            provider=name, dialect="openai", base_url=f"{url}/v1", model=model,
            video=VideoLimits(idempotent_submit=repeats, **{"operations": ("generate", "remix"), **limits}),
        ),
        price=None if price is None else Price(per_second=round(price * NANO)),
        timeouts=PATIENT,
        health=HealthRule(),
    )  # fmt: skip


def snapshot(*targets: RouteTarget, policy: str = "in_order", model: str = "sora-2", **more: Any) -> Snapshot:
    """A configuration with one video model."""
    route = Route(
        model=model, kind="video", policy=policy, targets=targets, retries=Retries(), timeouts=PATIENT
    )
    return Snapshot(etag="1", generation=1, routes={model: route}, keys=[], limits={}, **more)


@dataclass
class Door:
    """An admission that keeps books: what is held, and what was settled, by lease. While it is `away` it cannot
    be told of a settlement. Leases in `old` were granted long ago."""

    room: int = 10**9
    away: bool = False
    held: dict[str, int] = field(default_factory=dict)
    settled: dict[str, tuple[int, int]] = field(default_factory=dict)
    old: set[str] = field(default_factory=set)

    async def admit(
        self, caller: Caller, *, model: str, video_ms: int, nano_dollars: int | None, lease: str
    ) -> Any:
        await asyncio.sleep(0)
        if len(self.held) >= self.room:
            raise LimitExceeded("enough")
        self.held[lease] = video_ms
        return {"caller": caller.id, "model": model, "video_ms": video_ms, "nano_dollars": nano_dollars}

    async def settle(
        self, lease: str, held: Any, *, video_ms: int, nano_dollars: int, at: float = math.inf
    ) -> bool:
        assert held["video_ms"] >= 0 < at
        if self.away:
            return False
        if self.held.pop(lease, None) is not None:
            self.settled[lease] = (video_ms, nano_dollars)
        return True

    async def unsettled(self, older: float) -> Mapping[str, Any]:
        assert older > 0
        return {lease: {"video_ms": self.held[lease]} for lease in self.old & self.held.keys()}


@dataclass
class Notes(Observe):
    """Everything that was observed."""

    accepted: list[Job] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    finished: list[Job] = field(default_factory=list)

    def job_accepted(self, job: Job) -> None:
        self.accepted.append(job)

    def job_attempt(self, job: Job, attempt: Attempt) -> None:
        assert attempt in job.attempts
        self.attempts.append(attempt)

    def job_finished(self, job: Job) -> None:
        self.finished.append(job)


@dataclass
class Hasty:
    """A clock that can be put forward; leases of a rig that uses it must be long."""

    ahead: float = 0.0

    @property
    def clock(self) -> Clock:
        return Clock(now=lambda: time.time() + self.ahead)


@dataclass
class Rig:
    """The stories, and what they stand on."""

    videos: Videos
    runner: Runner
    parts: VideoParts
    door: Door
    notes: Notes
    config: dict[str, Snapshot]
    hooks: Hooks

    async def create(
        self, caller: Caller = ANN, *, key: str | None = None, retries: int = 0, **fields: Any
    ) -> Job:
        """A job from fields as a client writes them."""
        return await self.videos.create(
            caller, wish(**fields), Origin(route="videos", key=key, retries=retries)
        )

    async def until(self, job: Job, holds: Callable[[Job], bool], seconds: float = 15.0) -> Job:
        """The job, once something holds of it."""
        async with asyncio.timeout(seconds):
            while True:
                found = await self.videos.get(BOB if job.caller == BOB.id else ANN, job.id)
                if holds(found):
                    return found
                await asyncio.sleep(0.02)

    async def over(self, job: Job, seconds: float = 15.0) -> Job:
        """The job, once it is completed or failed."""
        return await self.until(job, lambda one: one.state in ("completed", "failed"), seconds)

    async def hurry(self, job: Job, clock: "Hasty") -> Job:
        """The job once it is done with, with pauses that pass at once."""

        def done(found: Job) -> bool:
            if found.phase != "done":
                clock.ahead += 1.0
                self.runner.wake()
            return found.phase == "done"

        return await self.until(job, done)

    async def rows(self, sql: str) -> Sequence[Any]:
        """What the database itself says."""
        async with self.parts.database.read() as transaction:
            return (await transaction.exec_driver_sql(sql)).all()


def wish(**fields: Any) -> Wish:
    """What `POST /v1/videos` makes of these fields."""
    return read(VIDEOS, {"model": "sora-2", "prompt": "A red kite", **fields})


@asynccontextmanager
async def rig(
    folder: Path,
    config: Snapshot,
    *,
    url: str = "",
    running: bool = True,
    clock: Clock = SYSTEM,
    fetcher: Fetcher | None = None,
    dialer: Dialer | None = None,
    workshop: Workshop | None = None,
    **figures: Any,
) -> AsyncIterator[Rig]:
    """The stories on a database (SQLite in the folder by default), with the runner at work or not."""
    media = MediaStore(folder / "media", Directory(folder / "media"))
    database = Database(url or f"sqlite+aiosqlite:///{folder}/jobs.db")
    await migrate(database)
    door, notes, configs = Door(), Notes(), {"now": config}
    upstream = Upstream()
    fleet = Fleet(upstream, lambda: configs["now"], VIDEO_WORKER, clock)
    parts = VideoParts(
        database=database, media=media, workshop=workshop or Workshop(), admission=door,
        snapshot=fleet.snapshot, results=Results(b"pepper"),
        links=Links(b"pepper", clock), poster=Poster(dialer or Dialer()), moderator=Moderator(upstream),
        fetcher=fetcher or Fetcher(Dialer(None)),
        secrets_of=lambda caller: SECRETS.get(caller, ()), observe=notes,
        figures=Figures(**{"poll": 0.05, **figures}), clock=clock,
    )  # fmt: skip
    tools = tools_of(upstream, parts, fleet=fleet)
    if fetcher is not None:
        tools = replace(tools, fetcher=fetcher)
    runner = Runner(parts, tools)
    hooks = Hooks(parts, Signers(upstream, VIDEO_SIGNED, clock), VIDEO_ASKING, runner.wake)
    task = asyncio.create_task(runner.run()) if running else None
    try:
        yield Rig(Videos(parts, runner.wake), runner, parts, door, notes, configs, hooks)
    finally:
        await runner.stop(grace=5.0)
        if task is not None:
            await task
        await upstream.close()
        await database.close()


def tools_of(
    upstream: Upstream, parts: VideoParts, adapters: Mapping[str, Any] = VIDEO, fleet: Fleet | None = None
) -> Tools:
    """The tools of a runner with dice that always show the same."""
    fleet = fleet or Fleet(upstream, parts.snapshot, VIDEO_WORKER, parts.clock)
    return Tools(
        upstream=upstream, fetcher=Fetcher(Dialer(None)), adapters=adapters, cancels=VIDEO_CANCEL,
        recalls=VIDEO_RECALL, searches=VIDEO_SEARCH, inlines=VIDEO_INLINE, snapshot=parts.snapshot, media=parts.media,
        workshop=parts.workshop, tokens=Tokens(upstream, parts.clock), links=parts.links, dice=lambda: 0.5,
        queue=VideoQueue(parts, fleet, lambda: 0.5),
    )  # fmt: skip
