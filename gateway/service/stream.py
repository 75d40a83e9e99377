"""Reads one streamed answer: upstream bytes in, framed events for the client and facts for the gateway out.

A stream is complete only when a finish reason was seen and the upstream then ended; everything else is an
error, so that a cut stream never looks complete.

An event that is no JSON is passed over where that is the smaller harm: after the first content (before it
another target can answer unseen), in prose (in a call or in JSON a program would act on the hole), and at most
MOST_UNREADABLE times. The finish chunk then says so.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable

import msgspec

from gateway.config.snapshot import Timeouts
from gateway.service.wish import is_prose
from gateway.transport.answer import Tap
from gateway.transport.client import Answer
from providers.adapter import ChatStream
from providers.errors import ErrorKind, ProviderError
from providers.sse import Event, Splitter
from providers.types import ChatRequest, Chunk, Usage, encode

DONE = b"data: [DONE]\n\n"
FRAME = 400
"""Bytes of a chunk that are no text."""
TAIL_SECONDS = 5.0
"""How long a stream that has given its finish reason may stay silent before it counts as complete."""
MOST_UNREADABLE = 2
"""Events without JSON that a stream may have: a line that was cut in two makes two. More is no accident."""


class Reading:
    """One streamed answer. `begin` once, then `next` until it gives None, and `close` in any case.

    Facts are attributes, complete once `next` gave None: `usage`, `finish_reason`, `model`, `id`. `shown`
    estimates the tokens passed on, for when the usage never comes: a chunk is a token, or more when it is long.
    """

    __slots__ = (
        "_answer", "_decoder", "_failed", "_held", "_loop", "_over", "_pieces", "_request", "_silence", "_sink",
        "_splitter", "_unreadable", "finish_reason", "id", "model", "shown", "usage",
    )  # fmt: skip

    def __init__(self, answer: Answer, decoder: ChatStream, request: ChatRequest, timeouts: Timeouts) -> None:
        self._answer = answer
        self._pieces: AsyncIterator[bytes] = aiter(answer)
        self._decoder = decoder
        self._request = request
        self._unreadable = 0
        self._splitter = Splitter()
        self._silence = timeouts.silence
        self._loop = asyncio.get_running_loop()
        self._held: deque[bytes] = deque()
        self._over = False
        self._failed: ProviderError | None = None
        self._sink: Tap | None = None
        self.usage: Usage | None = None
        self.finish_reason: str | None = None
        self.model = ""
        self.id = ""
        self.shown = 0

    async def begin(self) -> None:
        """Read until the first content event, holding back what came before it.

        Raises ProviderError for anything wrong up to there: it can still be hidden by another target.
        """
        framed: list[bytes] = []
        while not await self._more(framed):
            if self._over:
                raise ProviderError(ErrorKind.PROTOCOL, "the stream ended before any content")
        self._held.append(b"".join(framed))
        self._breathe()

    async def next(self) -> bytes | None:
        """The next bytes for the client; None after the last. Raises ProviderError when the stream breaks."""
        if self._held:
            return self._held.popleft()
        if self._failed is not None:
            raise self._failed
        while not self._over:
            framed: list[bytes] = []
            try:
                await self._more(framed)
            except ProviderError as error:
                if not framed:
                    raise
                self._failed = error  # what came before it in the same piece goes out first
            self._breathe()
            if framed:
                return framed[0] if len(framed) == 1 else b"".join(framed)
        return None

    async def flow(self, sink: Tap) -> None:
        """Give the next bytes to `sink` as they come, for as long as it takes them and nothing else happens.

        `sink` says whether it took them. What it did not take, an error, and the end are left for `next`.
        """
        if not self._held and self._failed is None and not self._over:
            self._sink = sink
            await self._answer.pour(self._pass_on)

    def _pass_on(self, piece: bytes) -> bool:
        framed: list[bytes] = []
        try:
            self._digest(self._splitter.feed(piece), framed)
        except ProviderError as error:
            self._failed = error
        self._breathe()
        data = framed[0] if len(framed) == 1 else b"".join(framed)
        if data and (self._sink is None or not self._sink(data)):
            self._held.append(data)
            return False
        return self._failed is None

    def close(self) -> None:
        """Let go of the upstream; an answer that was not read to its end is cut there."""
        self._answer.close()

    async def _more(self, framed: list[bytes]) -> bool:
        """Append what the next upstream piece gives; true when content was among it."""
        try:
            piece = await anext(self._pieces, None)
        except ProviderError:
            if self.finish_reason is None:
                raise
            piece = None  # everything was said; only the polite ending is missing
        if piece is not None:
            events = self._splitter.feed(piece)
        else:
            self._over = True
            events = self._splitter.end()
        content = self._digest(events, framed)
        if self._over:
            content |= self._take(self._decoder.end(), framed)
            if self.finish_reason is None:
                raise ProviderError(ErrorKind.PROTOCOL, "the stream ended without a finish reason")
        return content

    def _digest(self, events: Iterable[Event], framed: list[bytes]) -> bool:
        """Append what these events are for the client; true when content was among it."""
        content = False
        for event in events:
            try:
                content |= self._take(self._decoder.feed(event), framed)
            except ProviderError as error:
                self._pass_over(event, error)
        return content

    def _take(self, chunks: Iterable[Chunk], framed: list[bytes]) -> bool:
        content = False
        for chunk in chunks:
            data = chunk.data
            if chunk.finish_reason is not None:
                self.finish_reason = chunk.finish_reason
                if self._unreadable and data:
                    data = declared(data, "unreadable_events", self._unreadable)
            if data:
                framed.append(b"data: %b\n\n" % data)
            if chunk.content:
                content = True
                self.shown += 1 + max(0, len(data) - FRAME) // 4
            if chunk.usage is not None:
                self.usage = chunk.usage
            if chunk.id and not self.id:
                self.id, self.model = chunk.id, chunk.model
        return content

    def _pass_over(self, event: Event, error: ProviderError) -> None:
        """Go on without an event that is no JSON; raises `error` where that may not be."""
        self._unreadable += 1
        bearable = self.shown and self._unreadable <= MOST_UNREADABLE and error.kind is ErrorKind.PROTOCOL
        if not bearable or _is_json(event.data) or not is_prose(self._request):
            raise error

    def _breathe(self) -> None:
        silence = self._silence if self.finish_reason is None else min(self._silence, TAIL_SECONDS)
        self._answer.deadline = self._loop.time() + silence


def declared(data: bytes, name: str, fact: object) -> bytes:
    """A chunk with a fact of ours under `fairlead`, beside OpenAI's own fields."""
    body = msgspec.json.decode(data)
    return encode({**body, "fairlead": {**body.get("fairlead", {}), name: fact}})


def _is_json(data: bytes) -> bool:
    try:
        msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True
