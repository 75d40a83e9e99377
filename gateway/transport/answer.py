"""One upstream answer: what has arrived of it, and the patience to wait for the rest.

Theory of operation. An answer has two sides. Its *source* (a connection, a script, another HTTP client)
pushes: `begin` with the headers, `feed` with bytes, then `finish` or `fail`, after which the source is let
go. Its *reader*, one task at a time, pulls: `opened`, then `read` or iteration, then `close`. Between them
is a list of pieces and at most one future: the reader makes it when it has nothing to read, the source
resolves it when there is enough. An answer that arrives in one read of the socket therefore costs one
future, the one that waited for its headers.

A reader that has nothing to think about may `pour`: it sleeps while its tap is called with each piece at the
moment it comes, which spares a stream a task's turn of the event loop for every piece.

Patience. `deadline` is a plain attribute that the reader assigns as often as it likes. The alarm of an
answer is set only when the reader begins to wait for something due before it would ring. When it rings,
`deadline` is looked at again: not yet due, and it is set anew; due, and the answer fails with TIMEOUT and
its source is aborted. A ring while nobody waits is ignored, because then the bytes did come, and a reader
that is busy with a slow client is not the upstream's fault. A source may lend its own alarm to all its answers.

Memory. More than HIGH_WATER bytes that nobody has read pause the source until the reader waits again.

Cancelling the reader while it waits closes the answer, so that an upstream never works for nobody.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import Protocol, TypeAlias

from gateway.transport.alarm import Alarm
from gateway.transport.inflate import Inflate
from providers.errors import ErrorKind, ProviderError

HIGH_WATER = 4 * 1024
BODY_LIMIT = 64 * 1024 * 1024

Tap: TypeAlias = Callable[[bytes], bool]
"""Takes a piece, and says whether it wants the next one as well."""


class Source(Protocol):
    """Where an answer's bytes come from. All three are called at most until the answer has ended."""

    def pause(self) -> None:
        """Stop feeding soon: the reader is slow."""

    def resume(self) -> None:
        """Feed again."""

    def abort(self) -> None:
        """Stop for good, at once: nobody wants the rest."""


class Answer:
    """One upstream answer. `status` and lower-case `headers` are there once it is handed out by `send`.

    `deadline` is the loop time by which the next byte (for `read`: the last one) must have come; assign it
    at will. It is looked at when a wait begins and when it would have passed.
    Whoever holds an answer closes it; an answer read to its end needs no closing.
    Reading raises ProviderError: UNAVAILABLE for a cut, TIMEOUT for silence, PROTOCOL for garbage.
    """

    __slots__ = (
        "_alarm", "_error", "_hidden", "_inflate", "_lent", "_loop", "_name", "_paused", "_pieces", "_size",
        "_source", "_tap", "_waiter", "_wanted", "deadline", "headers", "status",
    )  # fmt: skip

    def __init__(
        self,
        source: Source,
        name: str,
        loop: asyncio.AbstractEventLoop,
        deadline: float,
        alarm: Alarm | None = None,
    ) -> None:
        self.status = 0
        self._hidden: Sequence[bytes] = ()
        self.headers: Mapping[str, str] = {}
        self.deadline = deadline
        self._source: Source | None = source  # None once the answer has ended
        self._name = name
        self._loop = loop
        self._error: ProviderError | None = None
        self._inflate: Inflate | None = None
        self._pieces: list[bytes] = []
        self._size = 0  # bytes in `_pieces`
        self._wanted = 0  # bytes that wake the reader
        self._paused = False
        self._tap: Tap | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._lent = alarm is not None
        self._alarm = alarm or Alarm(loop)
        self._alarm.look = self._look

    # The reader's side.

    async def opened(self) -> None:
        """Wait for the headers."""
        while not self.status and self._source is not None:
            await self._more()
        if not self.status and self._error is not None:
            raise self._error
        self._wanted = 1

    def hide(self, values: Iterable[str]) -> None:
        """Take these header values, less their scheme, out of what `read` gives."""
        self._hidden = [value.rpartition(" ")[2].encode() for value in values if value]

    async def read(self, limit: int = BODY_LIMIT) -> bytes:
        """The whole body, or what iteration left of it, content-encoding undone.

        Raises PROTOCOL for more than `limit` bytes.
        """
        self._wanted = limit + 1
        while self._source is not None and self._size <= limit:
            await self._more()
        if self._error is not None:
            raise self._error
        body = self._take()
        if self._inflate is not None and len(body) <= limit:
            body = self._inflate.whole(body, limit)
        if len(body) > limit:
            self.close()
            raise ProviderError(ErrorKind.PROTOCOL, f"{self._name} sent a body of more than {limit} bytes.")
        for secret in self._hidden:
            body = body.replace(secret, b"***")
        return body

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        while True:
            piece = self._take()
            if self._inflate is not None:
                piece = self._inflate.some(piece)
            if piece:
                return piece
            if self._source is None:
                break
            await self._more()
        if self._error is not None:
            raise self._error
        if self._inflate is not None:
            self._inflate.end()
        raise StopAsyncIteration

    async def pour(self, tap: Tap) -> None:
        """Sleep while `tap` takes each piece that comes, until it wants no more or the answer has ended.

        Gives at once where there is something to do first: pieces to read, or a content-encoding to undo.
        """
        if self._pieces or self._source is None or self._inflate is not None:
            return
        self._tap = tap
        try:
            await self._more()
        finally:
            self._tap = None

    def close(self) -> None:
        """Let go. What is still on its way is not waited for: an unfinished connection is aborted."""
        self._give_up(ErrorKind.UNAVAILABLE, "was closed before it was read to its end")

    def _take(self) -> bytes:
        pieces = self._pieces
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self._size = 0
        return data

    async def _more(self) -> None:
        if self._paused and self._source is not None:
            self._paused = False
            self._source.resume()
        if self.deadline < self._alarm.at:
            self._alarm.set(self.deadline)
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        except asyncio.CancelledError:
            self.close()
            raise

    def _look(self) -> None:
        if self._waiter is None:
            return
        if self._loop.time() >= self.deadline:
            late = "fell silent within its answer" if self.status else "did not begin to answer in time"
            self._give_up(ErrorKind.TIMEOUT, late)
        elif self.deadline < math.inf:
            self._alarm.set(self.deadline)

    def _give_up(self, kind: ErrorKind, what: str) -> None:
        source = self._source
        if source is not None:
            self.fail(ProviderError(kind, f"{self._name} {what}."))
            source.abort()

    # The source's side.

    def begin(self, status: int, headers: Mapping[str, str]) -> None:
        """The headers have come. Raises PROTOCOL for a content-encoding that cannot be undone."""
        coding = headers.get("content-encoding")
        if coding and coding != "identity":
            self._inflate = Inflate(coding)
        self.status = status
        self.headers = headers
        self._wake()

    def feed(self, piece: bytes) -> None:
        """Bytes of the body have come; never empty."""
        if self._tap is not None:
            if not self._tap(piece):
                self._tap = None
                self._wake()
            return
        self._pieces.append(piece)
        self._size += len(piece)
        if self._waiter is not None:
            if self._size >= self._wanted:
                self._wake()
        elif self._size > HIGH_WATER and not self._paused and self._source is not None:
            self._paused = True
            self._source.pause()

    def finish(self) -> None:
        """The body is complete."""
        self._end()

    def fail(self, error: ProviderError) -> None:
        """No more will come. The reader gets what has arrived, then `error`."""
        self._error = error
        self._end()

    def _end(self) -> None:
        self._source = self._alarm.look = None
        if not self._lent:
            self._alarm.cancel()
        self._wake()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
