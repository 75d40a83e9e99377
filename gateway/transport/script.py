"""Plays an answer that was written down in advance, in its own time, as if an upstream had sent it."""

import asyncio
import math
from collections.abc import Iterator

from gateway.transport.answer import Answer
from providers.scripted import Script


def play(script: Script, deadline: float | None) -> Answer:
    """The answer the script tells; its headers are there at once, its pieces come when their time has."""
    return _Player(script, math.inf if deadline is None else deadline).answer


class _Player:
    """Feeds one script into one answer: no socket, no task, at most one timer."""

    def __init__(self, script: Script, deadline: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._pieces: Iterator[tuple[float, bytes]] = iter(script.pieces)
        self._next: asyncio.Handle | None = None
        self._paused = False
        self.answer = Answer(self, "The script", self._loop, deadline)
        self.answer.begin(script.status, {name.lower(): value for name, value in script.headers.items()})
        self._advance()

    def pause(self) -> None:
        """Hold the next piece back."""
        self._paused = True

    def resume(self) -> None:
        """Go on, but not before the reader waits."""
        self._paused = False
        self._next = self._loop.call_soon(self._advance)

    def abort(self) -> None:
        """Stop playing."""
        if self._next is not None:
            self._next.cancel()

    def _advance(self) -> None:
        """Feed all that is due; come back when the next piece is."""
        for seconds, piece in self._pieces:
            if seconds > 0:
                self._next = self._loop.call_later(seconds, self._due, piece)
                return
            self._feed(piece)
            if self._paused:
                return
        self.answer.finish()

    def _due(self, piece: bytes) -> None:
        self._feed(piece)
        if not self._paused:
            self._advance()

    def _feed(self, piece: bytes) -> None:
        if piece:
            self.answer.feed(piece)
