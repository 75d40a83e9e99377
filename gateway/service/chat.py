"""The door of the chat and embeddings story: serves a request and hands out its reply.

Framework-free: takes values, gives a reply or raises GatewayError; it never writes to a client. Whoever
gets a reply calls `settle` on it when the last byte is out, or when the client is gone.
"""

from gateway.config.snapshot import Caller
from gateway.errors import GatewayError
from gateway.lines import texts
from gateway.service.story import Parts, Story
from gateway.service.stream import DONE, Reading
from gateway.service.wish import Wish
from gateway.telemetry.record import Call
from gateway.transport.answer import Tap
from providers.errors import ProviderError
from providers.types import Completion


class Chat:
    """Serves requests, one at a time and many at once; holds no state of its own between them."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def serve(self, call: Call, caller: Caller, wish: Wish) -> "Reply":
        """Answer one request. Raises GatewayError; then nothing is owed, and nothing needs settling."""
        story = Story(self._parts, call, caller, wish)
        await story.admit()
        try:
            result = await story.run()
        except BaseException as error:
            if isinstance(error, GatewayError):
                error.headers.update(texts(story.headers()))
            await story.settle()
            raise
        if isinstance(result, Completion):
            return Reply(story, result.body, None)
        return Reply(story, b"", result)


class Reply:
    """An answer on its way. Either `body` is the whole of it, or `next` gives it piece by piece."""

    __slots__ = ("_reading", "_story", "body", "headers", "streamed")

    def __init__(self, story: Story, body: bytes, reading: Reading | None) -> None:
        self._story = story
        self._reading = reading
        self.body = body
        self.headers = story.headers()
        self.streamed = reading is not None

    async def next(self) -> bytes | None:
        """The next bytes of a stream, `[DONE]` included; None after that.

        Raises UpstreamFailed when the stream broke and nobody goes on: what was sent must not look complete.
        """
        reading = self._reading
        if reading is None:
            return None
        try:
            piece = await reading.next()
        except ProviderError as error:
            reading = self._reading = await self._story.broken(reading, error)
            piece = await reading.next()
        if piece is None:
            self._reading = None
            self._story.read(reading)
            return DONE
        return piece

    async def flow(self, sink: Tap) -> None:
        """Give the next bytes of a stream to `sink` as they come; gives when `next` is to be asked again."""
        if self._reading is not None:
            await self._reading.flow(sink)

    async def settle(self) -> None:
        """Close the upstream if it still runs, and book what was used. Must be called exactly once."""
        if self._reading is not None:
            self._story.read(self._reading)
            self._reading.close()
        await self._story.settle()
