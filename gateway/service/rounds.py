"""Work that goes on beside the requests: looked for round by round, done in steps under leases, ended in order."""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Mapping, Sequence
from contextlib import suppress
from typing import Generic, TypeVar

from gateway.errors import Unavailable

log = logging.getLogger("fairlead.runner")

Key = TypeVar("Key", bound=Hashable)
Held = TypeVar("Held")


async def went_well(work: Callable[[], Awaitable[None]]) -> bool:
    """Do it once; what goes wrong is logged, told as false, and the next round comes."""
    try:
        await work()
    except Unavailable:
        log.warning("a store does not answer; jobs and batches wait")
    except Exception:  # a bug here must not end all the work
        log.exception("the work on jobs and batches met an error")
    else:
        return True
    return False


class Rounds(ABC, Generic[Key, Held]):
    """Looks for work until `stop`, and makes each step of it as a task of its own, whose lease it keeps.

    What a step works on is `held` under its key. A `lease` of so many seconds is renewed every `renew`; a step whose
    lease somebody else has by now is cancelled, since what it still did would be for nothing.
    """

    def __init__(self, *, lease: float, renew: float) -> None:
        self._lease = lease
        self._every = renew
        self._running: dict[Key, tuple[Held, asyncio.Task[None]]] = {}
        self._woken = asyncio.Event()
        self._over = asyncio.Event()
        self._over.set()
        self._stopping = False

    @abstractmethod
    async def _look(self) -> None:
        """Take what is due and begin it, or sleep until something is."""

    @abstractmethod
    async def _step(self, held: Held) -> None:
        """Make the next step of what is held."""

    @abstractmethod
    async def _renewed(self, held: Mapping[Key, Held], lease: float) -> set[Key]:
        """Keep leases for so many seconds, or give them back with 0.0; the keys of those that are still ours."""

    async def _stumbled(self, held: Held) -> None:
        """After a step that failed in a way nobody expected: without more it is made again when its lease is over."""

    def _beside(self) -> Sequence[Coroutine[None, None, None]]:
        """What else goes on until the last step is made."""
        return ()

    def _closed(self) -> None:
        """Nothing more is taken; the steps in hand are being finished."""

    async def _let_go(self) -> None:
        """The last thing before it is over."""

    def _tasks(self) -> list[asyncio.Task[None]]:
        """What is in hand."""
        return [task for _, task in self._running.values()]

    def wake(self) -> None:
        """There is something new to do."""
        self._woken.set()

    async def run(self) -> None:
        """Work until `stop`; a database that is away is waited for."""
        self._over.clear()
        beside = [asyncio.create_task(work) for work in (self._keep_leases(), *self._beside())]
        try:
            while not self._stopping:
                if not await went_well(self._look):
                    await self._sleep(1.0)
            self._closed()
            await asyncio.gather(*self._tasks(), return_exceptions=True)
        finally:
            self._stopping = True
            for task in (*beside, *self._tasks()):
                task.cancel()
            await asyncio.gather(*beside, *self._tasks(), self._let_go(), return_exceptions=True)
            self._over.set()

    async def stop(self, grace: float = 30.0) -> None:
        """Take nothing more and let the steps in hand finish; those still running after `grace` are cut.

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

    async def _sleep(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._woken.wait()

    def _take(self, key: Key, held: Held) -> None:
        if key in self._running:  # we let our own lease lapse: the older step is void
            self._running[key][1].cancel()
        task = asyncio.create_task(self._made(key, held))
        self._running[key] = (held, task)
        task.add_done_callback(lambda _: self._ended(key, held))

    def _ended(self, key: Key, held: Held) -> None:
        if key in self._running and self._running[key][0] is held:
            del self._running[key]
        self.wake()

    async def _made(self, key: Key, held: Held) -> None:
        try:
            await self._step(held)
        except Unavailable:
            log.warning("a store went away during a step of %s", key)
        except asyncio.CancelledError:
            if self._stopping:
                with suppress(Unavailable):
                    await self._renewed({key: held}, 0.0)
            raise
        except Exception:  # the one edge: a bug in one step must not end all of them
            log.exception("a step of %s failed", key)
            await self._stumbled(held)

    async def _keep_leases(self) -> None:
        while True:
            await asyncio.sleep(self._every)
            await went_well(self._renew_all)

    async def _renew_all(self) -> None:
        held = {key: one for key, (one, _) in self._running.items()}
        if not held:
            return
        for key in held.keys() - await self._renewed(held, self._lease):
            running = self._running.get(key)
            if running is not None and running[0] is held[key]:
                running[1].cancel()
