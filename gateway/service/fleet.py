"""Looks at the workers of the configuration now and then, and knows what each told last.

What a worker can make counts until it tells something else, also while it does not answer. How busy it is counts
only as long as it answers: one that has not for a while is away, and gets nothing.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping

from msgspec import Struct
from msgspec.structs import replace

from gateway.clock import Clock
from gateway.config.snapshot import ProviderRow, Snapshot, Timeouts
from gateway.routing.slots import Berth
from gateway.routing.workers import discover, workers
from gateway.service.rounds import went_well
from gateway.service.video_calls import ask
from gateway.transport.client import Upstream
from providers.adapter import VideoWorker
from providers.errors import ProviderError
from providers.types import VideoLimits, WorkerStatus

EVERY = 1.0
"""Seconds between two looks at a worker."""
AWAY = 10.0
"""Seconds of silence after which a worker is away: long enough for one that is started again."""
_CLOCKS = Timeouts(connect=1.0, headers=2.0)


class Sight(Struct):
    """What is known of one worker.

    `heard` and `since` are monotonic seconds: its last answer, the first question. `handing` counts the jobs that
    are being handed over and that it does not know of yet.
    """

    since: float
    status: WorkerStatus | None = None
    heard: float | None = None
    handing: int = 0


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
        self._looking: dict[str, asyncio.Task[bool]] = {}
        self._back: set[str] = set()
        self._made: tuple[Snapshot, Snapshot] | None = None

    def snapshot(self) -> Snapshot:
        """The configuration in force with what the workers told."""
        configured = self._configured()
        if self._made is None or self._made[0] is not configured:
            statuses = {url: sight.status for url, sight in self._sights.items()}
            told = {url: status for url, status in statuses.items() if status is not None and status.models}
            self._made = (configured, discover(configured, told))
        return self._made[1]

    @property
    def known(self) -> bool:
        """Whether there are any."""
        return bool(self._sights)

    def is_away(self, url: str, seconds: float | None = None) -> bool:
        """Whether a worker has not answered for so many seconds, AWAY by default."""
        return self._silence(url) >= (AWAY if seconds is None else seconds)

    def _silence(self, url: str) -> float:
        """For how many seconds it has not answered; 0 for one that was never asked."""
        sight = self._sights.get(url)
        if sight is None:
            return 0.0
        return self._clock.monotonic() - (sight.since if sight.heard is None else sight.heard)

    def berths(self) -> Mapping[str, Berth]:
        """The workers that answer, with what each has to offer; one that has just fallen silent has no slot."""
        found = {}
        for url, sight in self._sights.items():
            silent = self._silence(url)
            if sight.status is None or silent >= AWAY:
                continue
            slots = sight.status.free_slots - sight.handing if silent < 3 * EVERY else 0
            left = sight.status.free_in
            found[url] = Berth(slots=slots, free_in=None if left is None else max(0.0, left - silent))
        return found

    async def meet(self, urls: Iterable[str]) -> None:
        """Look at those of these workers that were never looked at."""
        new = set(urls) - self._sights.keys()
        rows = workers(self._configured()) if new else {}
        await asyncio.gather(*(self.look_at(rows[url]) for url in new & rows.keys()))

    async def take(self, url: str) -> bool:
        """Whether a worker has a slot, as it says right now; if so it is the caller's until `taken`."""
        row, sight = workers(self._configured()).get(url), self._sights.get(url)
        if row is None or sight is None:
            return False
        sight.handing += 1
        try:
            heard = await self.look_at(row)
        except BaseException:
            sight.handing -= 1
            raise
        if heard and sight.status is not None and sight.status.free_slots >= sight.handing:
            return True
        sight.handing -= 1
        return False

    def taken(self, url: str, seconds: float | None) -> None:
        """The worker knows by now of the job in its slot; until it tells, it has one less for these seconds."""
        sight = self._sights.get(url)
        if sight is None or sight.status is None or not sight.handing:
            return
        sight.handing -= 1
        sight.status = replace(sight.status, free_slots=sight.status.free_slots - 1, free_in=seconds)

    async def keep(self) -> None:
        """Look until cancelled, for a process that gives nobody a job but says what can be made."""
        try:
            while True:
                await went_well(self.look)
                await asyncio.sleep(EVERY)
        finally:
            await self.stop()

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

    async def look_at(self, row: ProviderRow) -> bool:
        """Ask one worker, and tell whether it answered; one that does not keeps what it told before."""
        sight = self._sights.setdefault(row.base_url, Sight(since=self._clock.monotonic()))
        dialect = self._dialects[row.dialect]
        try:
            request = dialect.worker_look(row.target("", {}, VideoLimits()))
            status = dialect.worker_status(await ask(self._upstream, request, _CLOCKS))
        except ProviderError:
            return False
        if sight.heard is None or self.is_away(row.base_url):
            self._back.add(row.base_url)
        if not status.models and sight.status is not None:
            status = replace(status, models=sight.status.models)  # its engine is being started again
        if sight.status is None or sight.status.models != status.models:
            self._made = None
        sight.status, sight.heard = status, self._clock.monotonic()
        return True

    def returned(self) -> set[str]:
        """The workers that answer again, or for the first time, since this was asked last."""
        back, self._back = self._back, set()
        return back

    async def stop(self) -> None:
        """Wait for nobody any more."""
        looking = list(self._looking.values())
        for task in looking:
            task.cancel()
        await asyncio.gather(*looking, return_exceptions=True)
