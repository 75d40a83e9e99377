"""Looks at the workers of the configuration now and then, and knows what each told last.

What a worker can make counts until it tells something else, also while it does not answer. How busy it is counts
only as long as it answers: one that has not for a while is away, and gets nothing.
"""

import asyncio
from collections.abc import Callable, Mapping

from msgspec import Struct
from msgspec.structs import replace

from gateway.clock import Clock
from gateway.config.snapshot import ProviderRow, Snapshot, Timeouts
from gateway.routing.workers import discover, workers
from gateway.service.rounds import went_well
from gateway.service.video_calls import ask
from gateway.transport.client import Upstream
from providers.adapter import VideoWorker
from providers.errors import ProviderError
from providers.types import VideoLimits, WorkerStatus

EVERY = 1.0
"""Seconds between two looks at a worker."""
_PATIENCE = Timeouts(connect=1.0, headers=2.0)


class Sight(Struct):
    """What is known of one worker. `heard` and `since` are monotonic seconds: its last answer, the first question."""

    since: float
    status: WorkerStatus | None = None
    heard: float | None = None


class Fleet:
    """The workers of one process's configuration. `dialects` maps the dialects that can be looked at to modules."""

    def __init__(
        self,
        upstream: Upstream,
        configured: Callable[[], Snapshot],
        dialects: Mapping[str, VideoWorker],
        clock: Clock,
    ) -> None:
        self._upstream = upstream
        self._configured = configured
        self._dialects = dialects
        self._clock = clock
        self._sights: dict[str, Sight] = {}
        self._looking: dict[str, asyncio.Task[None]] = {}
        self._made: tuple[Snapshot, Snapshot] | None = None

    def snapshot(self) -> Snapshot:
        """The configuration in force with what the workers told."""
        configured = self._configured()
        if self._made is None or self._made[0] is not configured:
            statuses = {url: sight.status for url, sight in self._sights.items()}
            told = {url: status for url, status in statuses.items() if status is not None and status.models}
            self._made = (configured, discover(configured, told))
        return self._made[1]

    def away(self, url: str) -> float:
        """For how many seconds a worker has not answered; 0 while it does."""
        sight = self._sights.get(url)
        if sight is None:
            return 0.0
        silent = self._clock.monotonic() - (sight.since if sight.heard is None else sight.heard)
        return silent if silent > 2 * EVERY or sight.heard is None else 0.0

    async def look(self) -> None:
        """Ask every worker once, and forget those that are not configured any more.

        One that takes long to answer is not waited for, nor asked again until it has.
        """
        rows = workers(self._configured())
        for url in self._sights.keys() - rows.keys():
            del self._sights[url]
            self._made = None
        for url in rows.keys() - self._looking.keys():
            task = self._looking[url] = asyncio.create_task(self.look_at(rows[url]))
            task.add_done_callback(lambda _, url=url: self._looking.pop(url))  # type: ignore[misc] # bound early
        if self._looking:
            await asyncio.wait(self._looking.values(), timeout=EVERY)

    async def look_at(self, row: ProviderRow) -> None:
        """Ask one worker; one that does not answer keeps what it told before."""
        sight = self._sights.setdefault(row.base_url, Sight(since=self._clock.monotonic()))
        dialect = self._dialects[row.dialect]
        try:
            request = dialect.worker_look(row.target("", {}, VideoLimits()))
            status = dialect.worker_status(await ask(self._upstream, request, _PATIENCE))
        except ProviderError:
            return
        if not status.models and sight.status is not None:
            status = replace(status, models=sight.status.models)  # its engine is being started again
        if sight.status is None or sight.status.models != status.models:
            self._made = None
        sight.status, sight.heard = status, self._clock.monotonic()

    async def keep(self) -> None:
        """Look at all of them again and again, until cancelled."""
        try:
            while True:
                await went_well(self.look)
                await asyncio.sleep(EVERY)
        finally:
            for task in self._looking.values():
                task.cancel()
