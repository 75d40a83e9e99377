"""The configuration in force: one attribute to read, replaced in one assignment when the file changes.

Theory of operation
-------------------
`current` is a frozen snapshot. Whoever needs configuration reads the attribute once and keeps what it got: a
request ends on the snapshot it began with.

A new text is compiled beside the running configuration, in a thread, and only a text that compiles is put in
force. One that does not changes nothing: its problems are logged with file, line and field and passed to
`on_reload`. Every text that was put in force is also kept in the data directory; when the file is broken at
the start, that copy is used instead, and said so. A file that is not there at the start is always an error,
because then the path is more likely wrong than the file.

Directories are watched rather than the file, since editors and Kubernetes put a new file in the place of the
old one. Whatever happened there, the file is read again and compared with what was read last; the same is
done every few seconds for file systems that tell nothing.
"""

import asyncio
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import TypeAlias

import msgspec

from gateway.clock import SYSTEM, Clock
from gateway.config.compile import Source, compile_config
from gateway.config.problems import ConfigError, ConfigProblem
from gateway.config.snapshot import Snapshot

log = logging.getLogger("fairlead.config")

ACCEPTED, REJECTED = "accepted", "rejected"
KEPT_NAME = "last-good.yaml"
_DEBOUNCE_MS = 100
_LOOK_EVERY_MS = 2000

OnReload: TypeAlias = Callable[[str, Sequence[ConfigProblem]], None]
"""Told of every attempt to put a text in force: ACCEPTED or REJECTED, and what was wrong with it."""


def _ignore(_result: str, _problems: Sequence[ConfigProblem]) -> None:
    pass


class Live:
    """Holds the current snapshot. Made once at the start; raises ConfigError when there is nothing to run on.

    `data_dir` is where the last good text is kept; None keeps none.
    """

    def __init__(
        self,
        path: Path,
        environment: Mapping[str, str],
        data_dir: Path | None = None,
        on_reload: OnReload = _ignore,
        clock: Clock = SYSTEM,
    ) -> None:
        self.path = path
        self._environment = environment
        self._kept = data_dir / KEPT_NAME if data_dir else None
        self._on_reload = on_reload
        self._clock = clock
        self._seen: str | ConfigProblem = self._read()
        self.current: Snapshot = self._first()

    def replace(self, text: str) -> Snapshot:
        """Put `text` in force. Raises ConfigError, and then nothing has changed."""
        try:
            return self._accept(text, self._compiled(text, str(self.path)))
        except ConfigError as error:
            self._reject(error)
            raise

    async def follow(self) -> None:
        """Put every change of the file in force, until cancelled."""
        from watchfiles import awatch  # noqa: PLC0415 - brings anyio's machinery: only a server needs it

        folders = {self.path.absolute().parent, self.path.resolve().parent}
        while True:
            await self._look()
            changes = awatch(
                *folders,
                watch_filter=None,
                debounce=_DEBOUNCE_MS,
                rust_timeout=_LOOK_EVERY_MS,
                yield_on_timeout=True,
                recursive=False,
            )
            try:
                async with aclosing(changes):
                    async for _ in changes:
                        await self._look()
            except (OSError, RuntimeError) as error:  # a folder is gone, or the system has no watches left
                log.debug("%s cannot be watched, and is looked at now and then: %s", self.path, error)
                await asyncio.sleep(_LOOK_EVERY_MS / 1000)

    async def _look(self) -> None:
        text = self._read()
        if text == self._seen:
            return
        self._seen = text
        try:
            if isinstance(text, ConfigProblem):
                raise ConfigError([text])
            self._accept(text, await asyncio.to_thread(self._compiled, text, str(self.path)))
        except ConfigError as error:
            self._reject(error)

    def _first(self) -> Snapshot:
        text = self._seen
        if isinstance(text, ConfigProblem):
            raise ConfigError([text])
        try:
            snapshot = self._compiled(text, str(self.path))
        except ConfigError as error:
            self._reject(error)
            return self._last_good(error)
        self._keep(text)
        self._on_reload(ACCEPTED, ())
        return snapshot

    def _last_good(self, error: ConfigError) -> Snapshot:
        if self._kept is None or not self._kept.is_file():
            raise error
        try:
            snapshot = self._compiled(self._kept.read_text(encoding="utf-8"), str(self._kept))
        except (ConfigError, OSError, UnicodeDecodeError):
            raise error from None
        log.warning("started from the last good configuration, %s: mend %s", self._kept, self.path)
        return snapshot

    def _compiled(self, text: str, file: str) -> Snapshot:
        snapshot = compile_config(Source(text, file, self._environment, self._clock.now()))
        for warning in snapshot.warnings:
            log.warning("%s", warning)
        return snapshot

    def _accept(self, text: str, snapshot: Snapshot) -> Snapshot:
        self.current = msgspec.structs.replace(snapshot, generation=self.current.generation + 1)
        self._keep(text)
        log.info("configuration %d is in force", self.current.generation)
        self._on_reload(ACCEPTED, ())
        return self.current

    def _reject(self, error: ConfigError) -> None:
        for problem in error.problems:
            log.error("configuration rejected: %s", problem)
        self._on_reload(REJECTED, error.problems)

    def _keep(self, text: str) -> None:
        if self._kept is None:
            return
        draft = self._kept.with_name(f"{KEPT_NAME}.{os.getpid()}")
        try:
            draft.write_text(text, encoding="utf-8")
            draft.replace(self._kept)
        except OSError as error:  # the configuration is in force all the same
            log.warning("the last good configuration could not be kept in %s: %s", self._kept, error.strerror)

    def _read(self) -> str | ConfigProblem:
        try:
            return self.path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            return ConfigProblem(str(self.path), 0, 0, "", "is not UTF-8 text")
        except OSError as error:
            return ConfigProblem(str(self.path), 0, 0, "", f"cannot be read: {error.strerror}")
