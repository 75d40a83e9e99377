"""The worker's parent process put together: its jobs, its engine and its application, whoever serves that."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from litestar import Litestar

from providers.local.app import build
from providers.local.gpu import Gpus
from providers.local.queue import Queue
from providers.local.runner import Runner
from providers.local.settings import Settings
from providers.local.worker import Worker


class Parent:
    """A worker. Its engine runs as long as a server runs the lifespan of `app`.

    `over` is called when that work ends, by itself too.
    """

    def __init__(self, settings: Settings, command: Sequence[str]) -> None:
        """`command` starts an engine. Opens the data directory: raises InUseError, OSError or sqlite3.Error."""
        self.over: Callable[[], None] = lambda: None
        self._queue = Queue(settings.data_dir)
        self._runner = Runner(self._queue, command, settings.keep)
        self._gpus = Gpus()
        self._working: asyncio.Task[None] | None = None
        worker = Worker(settings, self._queue, self._runner, self._gpus)
        self.app = build(worker, settings.key, [self._at_work])

    @property
    def gave_up(self) -> bool:
        """Whether the engine can never be loaded. Raises what else ended the work."""
        if self._working is None or not self._working.done() or self._working.cancelled():
            return False
        self._working.result()
        return True

    def close(self) -> None:
        """Let go of the data directory."""
        self._queue.close()

    @asynccontextmanager
    async def _at_work(self, _app: Litestar) -> AsyncIterator[None]:
        self._working = asyncio.create_task(self._runner.run())
        watching = asyncio.create_task(self._gpus.watch())
        self._working.add_done_callback(lambda _ended: self.over())
        try:
            yield
        finally:
            for task in (self._working, watching):
                task.cancel()
            await asyncio.gather(self._working, watching, return_exceptions=True)
