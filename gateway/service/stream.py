"""Reads one streamed answer: upstream bytes in, framed events for the client and facts for the gateway out.

A stream is complete only when a finish reason was seen and the upstream then ended; everything else is an
error, so that a cut stream never looks complete.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable

from gateway.config.snapshot import Timeouts
from gateway.transport.client import Answer
from providers.adapter import ChatStream
from providers.errors import ErrorKind, ProviderError
from providers.sse import Splitter
from providers.types import Chunk, Usage

DONE = b"data: [DONE]\n\n"
FRAME = 400
"""Bytes of a chunk that are no text."""
TAIL_SECONDS = 5.0
"""How long a stream that has given its finish reason may stay silent before it counts as complete."""


class Reading:
    """One streamed answer. `begin` once, then `next` until it gives None, and `close` in any case.

    Facts are attributes, complete once `next` gave None: `usage`, `finish_reason`, `model`, `id`. `shown`
    estimates the tokens passed on, for when the usage never comes: a chunk is a token, or more when it is long.
    """

    __slots__ = (
        "_answer", "_decoder", "_failed", "_held", "_loop", "_over", "_pieces", "_silence", "_splitter",
        "finish_reason", "id", "model", "shown", "usage",
    )  # fmt: skip

    def __init__(self, answer: Answer, decoder: ChatStream, timeouts: Timeouts) -> None:
        self._answer = answer
        self._pieces: AsyncIterator[bytes] = aiter(answer)
        self._decoder = decoder
        self._splitter = Splitter()
        self._silence = timeouts.silence
        self._loop = asyncio.get_running_loop()
        self._held: deque[bytes] = deque()
        self._over = False
        self._failed: ProviderError | None = None
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
        content = False
        for event in events:
            content |= self._take(self._decoder.feed(event), framed)
        if self._over:
            content |= self._take(self._decoder.end(), framed)
            if self.finish_reason is None:
                raise ProviderError(ErrorKind.PROTOCOL, "the stream ended without a finish reason")
        return content

    def _take(self, chunks: Iterable[Chunk], framed: list[bytes]) -> bool:
        content = False
        for chunk in chunks:
            if chunk.data:
                framed.append(b"data: %b\n\n" % chunk.data)
            if chunk.content:
                content = True
                self.shown += 1 + max(0, len(chunk.data) - FRAME) // 4
            if chunk.finish_reason is not None:
                self.finish_reason = chunk.finish_reason
            if chunk.usage is not None:
                self.usage = chunk.usage
            if chunk.id and not self.id:
                self.id, self.model = chunk.id, chunk.model
        return content

    def _breathe(self) -> None:
        silence = self._silence if self.finish_reason is None else min(self._silence, TAIL_SECONDS)
        self._answer.deadline = self._loop.time() + silence
