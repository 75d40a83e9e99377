"""One HTTP/1.1 connection to an upstream: writes a request, reads its answer, knows if it may serve again.

Theory of operation. httptools calls back into the connection while `buffer_updated` runs; the callbacks only
take notes (the raw headers go into a dict, body pieces into a list, both through C methods that cost no
Python frame), and what they noted is pushed into the Answer once per read of the socket.

An answer may end in four ways. Its last byte comes: the connection goes back to the pool at once, whether
or not somebody has read the body yet, unless one side asked to close or bytes came that nobody asked for.
The peer closes cleanly after headers that announced neither a length nor chunks: that is the end of such a
body. The peer closes or resets at any other moment: a cut, UNAVAILABLE. The bytes are not HTTP: PROTOCOL.

The stale rule. A server may close an idle connection just as we send on it. When a connection that has
served before is closed without one byte of the new answer, the answer fails with StaleConnectionError, and
the pool asks once more, on a new connection. That is safe only as far as a server that closes without a
word has not begun to work: true for every server that closes idle connections, not for one that crashed on
this very request. Calls that must never be repeated are therefore sent on a connection of their own
(`fresh`), which cannot be stale.

Bounds. Bytes that bring no body (headers, interim answers, chunk extensions, trailers) may sum up to
HEADER_LIMIT in a row; a paused transport holds at most one more read. A read is READ bytes at most, into a buffer
that all connections of an event loop share: the loop's own choice of a quarter of a megabyte would be held for each
client that reads slowly.
"""

import asyncio
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import cast
from weakref import WeakKeyDictionary

import httptools

from gateway.transport import burst
from gateway.transport.alarm import Alarm
from gateway.transport.answer import Answer
from gateway.transport.outgoing import Origin
from providers.errors import ErrorKind, ProviderError

HEADER_LIMIT = 64 * 1024
ONE_WRITE = 64 * 1024
"""Bodies up to this size are joined to the head, for one system call and mostly one packet train."""


READ = 8 * 1024
"""Most bytes taken from a socket at once."""

_buffers: "WeakKeyDictionary[asyncio.AbstractEventLoop, memoryview]" = WeakKeyDictionary()


class StaleConnectionError(ProviderError):
    """A reused connection was closed by the peer before the first byte of this answer."""


class Connection(asyncio.BufferedProtocol):
    """Serves one answer at a time. `release` is called with it when it may be used again.

    Times are loop times: `born`, and `idle_since` for a connection that rests in the pool.
    """

    __slots__ = (
        "__weakref__", "_alarm", "_answer", "_buffer", "_complete", "_keep", "_loop", "_name", "_parser", "_pieces",
        "_raw", "_release", "_transport", "_unproductive", "_used", "born", "idle_since", "on_body", "on_header",
        "origin",
    )  # fmt: skip

    def __init__(self, origin: Origin, release: Callable[["Connection"], None]) -> None:
        self.origin = origin
        self._name = str(origin)
        self._release = release
        self._loop = asyncio.get_running_loop()
        self._alarm = Alarm(self._loop)
        self._buffer = _buffer_of(self._loop)
        self.born = self.idle_since = self._loop.time()
        self._answer: Answer | None = None
        self._complete = False
        self._keep = False
        self._used = False
        self._unproductive = 0  # bytes that came since the last byte of a body
        self._raw: dict[bytes, bytes] = {}
        self._pieces: list[bytes] = []
        self.on_header = self._raw.__setitem__  # of a name sent twice the last value stands
        self.on_body = self._pieces.append
        self._parser = httptools.HttpResponseParser(self)

    @property
    def closing(self) -> bool:
        """Whether either side has closed it."""
        return self._transport.is_closing()

    async def ask(self, head: bytes, body: bytes, headers: float, deadline: float) -> Answer:
        """Send a request and wait for the headers of its answer, for `headers` seconds or until `deadline`.

        Raises what reading the answer raises, and StaleConnectionError.
        """
        due = self._loop.time() + headers
        due = min(deadline, due)
        answer = self._answer = Answer(self, self._name, self._loop, due, self._alarm)
        self._complete = False
        self._unproductive = 0
        self._raw.clear()
        if len(body) <= ONE_WRITE:
            burst.write(self._transport, head + body)
        else:
            self._transport.writelines((head, body))
        await answer.opened()
        answer.deadline = deadline
        return answer

    def close(self) -> None:
        """Close at once; an answer that is still on its way is cut."""
        self._transport.abort()

    # What an Answer asks of its source.

    def pause(self) -> None:
        """Stop reading: the peer is slowed down by TCP."""
        self._transport.pause_reading()

    def resume(self) -> None:
        """Read again."""
        self._transport.resume_reading()

    def abort(self) -> None:
        """Close at once, dropping what is still to be sent."""
        self._answer = None
        self._transport.abort()

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection stands."""
        self._transport = cast("asyncio.Transport", transport)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - it is as large as it is
        """Where the next bytes go; they are done with before anybody else's come."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes from the peer."""
        answer = self._answer
        if answer is None:  # nobody asked: they would be taken for the start of the next answer
            self._transport.abort()
            return
        self._unproductive += nbytes
        try:
            self._parser.feed_data(self._buffer[:nbytes])
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if not self._complete:
                self._fail(self._unreadable(error))
                return
            self._keep = False  # more came than the one answer asked for
        pieces = self._pieces
        if pieces:
            self._unproductive = 0
            answer.feed(pieces[0] if len(pieces) == 1 else b"".join(pieces))
            pieces.clear()
        if self._complete:
            self._settle(answer)
        elif self._unproductive > HEADER_LIMIT:
            self._fail(self._too_large())

    def eof_received(self) -> None:
        """The peer will send no more."""
        answer = self._answer
        if answer is not None and answer.status and _ends_with_connection(answer.headers):
            self._keep = False
            self._settle(answer)
        else:
            self.connection_lost(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone, by whatever cause."""
        self._alarm.cancel()
        answer = self._answer
        if answer is None:
            return
        unheard = not answer.status and not self._unproductive
        cut = StaleConnectionError if self._used and unheard else ProviderError
        after = "before it answered" if unheard else "in the middle of its answer"
        how = "closed the connection" if exc is None else f"broke the connection ({type(exc).__name__})"
        self._fail(cut(ErrorKind.UNAVAILABLE, f"{self._name} {how} {after}."))

    # What the parser calls, inside `buffer_updated`.

    def on_message_begin(self) -> None:
        """The first byte of an answer."""
        if self._complete:
            raise ValueError("more than one answer")  # stops the parser; see buffer_updated

    def on_headers_complete(self) -> None:
        """All headers of a message have come; an interim one (1xx) is not the answer."""
        status = self._parser.get_status_code()
        raw = self._raw
        if self._unproductive > HEADER_LIMIT and sum(map(len, (*raw, *raw.values()))) > HEADER_LIMIT:
            raise self._too_large()
        if status >= 200 and self._answer is not None:
            self._answer.begin(status, _readable(raw))
        elif status < 100:
            raise ValueError("no such status")

    def on_message_complete(self) -> None:
        """The last byte of a message. `should_keep_alive` knows the truth only here."""
        if self._answer is not None and self._answer.status:
            self._complete = True
            self._keep = self._parser.should_keep_alive()
        else:
            self._raw.clear()

    def _settle(self, answer: Answer) -> None:
        self._answer = None
        answer.finish()
        if not self._keep or self._transport.is_closing() or self._transport.get_write_buffer_size():
            self._transport.abort()
            return
        self._used = True
        self.idle_since = self._loop.time()
        self._transport.resume_reading()
        self._release(self)

    def _fail(self, error: ProviderError) -> None:
        answer, self._answer = self._answer, None
        if answer is not None:
            answer.fail(error)
        self._transport.abort()

    def _unreadable(self, error: Exception) -> ProviderError:
        cause = error.__context__  # what a callback raised
        if isinstance(cause, ProviderError):
            return cause
        switched = isinstance(error, httptools.HttpParserUpgrade)
        reason = "it switched protocols" if switched else str(error)[:100]
        return ProviderError(ErrorKind.PROTOCOL, f"{self._name} did not answer in HTTP/1.1: {reason}.")

    def _too_large(self) -> ProviderError:
        what = f"{self._name} sent more than {HEADER_LIMIT} bytes of headers"
        return ProviderError(ErrorKind.PROTOCOL, f"{what}.")


def _buffer_of(loop: asyncio.AbstractEventLoop) -> memoryview:
    if loop not in _buffers:
        _buffers[loop] = memoryview(bytearray(READ))
    return _buffers[loop]


def _readable(raw: Mapping[bytes, bytes]) -> Mapping[str, str]:
    # decoded all at once: no line break can be inside, the parser sees to that
    if not raw:
        return {}
    names = _names(b"\n".join(raw))
    return dict(zip(names, b"\n".join(raw.values()).decode("latin-1").split("\n"), strict=True))


@lru_cache(maxsize=256)
def _names(joined: bytes) -> list[str]:
    """Header names, decoded once: a server sends the same ones over and over."""
    return joined.decode("latin-1").lower().split("\n")


def _ends_with_connection(headers: Mapping[str, str]) -> bool:
    return "content-length" not in headers and "chunked" not in headers.get("transfer-encoding", "").lower()
