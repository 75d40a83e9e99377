"""A raw HTTP server that does to each request exactly what a test tells it, byte by byte.

    async with Faulty() as server:
        server.next(send(answer(b"hello")))                       # the first request, then keep-alive
        server.next(send(b"HTTP/1.1 200 OK\\r\\n"), reset())      # the second
        server.always(drip(chunked(b"a", b"b"), every=0.1))       # all further ones
        ... call server.url ...
        assert server.connections == 1 and server.requests[0].body == b"..."

A plan is a list of steps; a step is any `async def step(peer: Peer) -> None`. When the steps of a request
are over, the connection waits for its next request. A step may end the connection by raising `Hangup`.
"""

import asyncio
import contextlib
import itertools
import re
import socket
import ssl
import struct
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self, TypeAlias


class Hangup(Exception):
    """The connection has been ended by a step."""


@dataclass(frozen=True)
class Seen:
    """One request as it came; header names in lower case, values of a repeated name joined by a comma."""

    line: str
    headers: Mapping[str, str]
    body: bytes
    connection: int


@dataclass
class Peer:
    """The server's end of one connection; `request` is the one that is being answered."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    number: int
    request: Seen | None = None

    async def send(self, data: bytes) -> None:
        if self.reader.at_eof() or self.writer.is_closing():
            raise Hangup
        self.writer.write(data)
        await self.writer.drain()


Step: TypeAlias = Callable[[Peer], Awaitable[None]]


def send(data: bytes) -> Step:
    """Write bytes."""
    return lambda peer: peer.send(data)


def drip(data: bytes, every: float, size: int = 1) -> Step:
    """Write bytes `size` at a time, with `every` seconds between."""

    async def step(peer: Peer) -> None:
        for start in range(0, len(data), size):
            await peer.send(data[start : start + size])
            await asyncio.sleep(every)

    return step


def wait(event: asyncio.Event) -> Step:
    """Go on when the test sets the event."""

    async def step(_: Peer) -> None:
        await event.wait()

    return step


def tell(event: asyncio.Event) -> Step:
    """Let the test know that this point was reached."""

    async def step(_: Peer) -> None:
        event.set()

    return step


def until_left(left: asyncio.Event | None = None) -> Step:
    """Say nothing until the client closes the connection; then set `left`."""

    async def step(peer: Peer) -> None:
        with contextlib.suppress(ConnectionError):
            while await peer.reader.read(65536):
                pass
        if left is not None:
            left.set()
        raise Hangup

    return step


def close() -> Step:
    """End the connection cleanly (FIN; over TLS with its own goodbye)."""

    async def step(peer: Peer) -> None:
        peer.writer.close()
        raise Hangup

    return step


def reset() -> Step:
    """End the connection with a RST; what the kernel has sent so far still arrives before it."""

    async def step(peer: Peer) -> None:
        plug = peer.writer.get_extra_info("socket")
        plug.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.writer.transport.abort()
        raise Hangup

    return step


def half_close() -> Step:
    """Send no more, but keep reading."""

    async def step(peer: Peer) -> None:
        peer.writer.write_eof()

    return step


def answer(body: bytes = b"", status: str = "200 OK", headers: Mapping[str, str] | None = None) -> bytes:
    """A whole answer with a content-length."""
    return _head(status, {"content-length": str(len(body)), **(headers or {})}) + body


def chunked(
    *pieces: bytes, headers: Mapping[str, str] | None = None, trailers: Mapping[str, str] | None = None
) -> bytes:
    """A whole answer in chunks, one per piece."""
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    tail = "".join(f"{name}: {value}\r\n" for name, value in (trailers or {}).items())
    head = _head("200 OK", {"transfer-encoding": "chunked", **(headers or {})})
    return head + chunks + f"0\r\n{tail}\r\n".encode()


def _head(status: str, headers: Mapping[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


_OVER = (Hangup, asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError)


class Faulty:
    """The server; see the module. `requests` in order of arrival, `connections` ever accepted, `open` now."""

    def __init__(self, *, tls: ssl.SSLContext | None = None, greeting: Iterable[Step] = ()) -> None:
        self.requests: list[Seen] = []
        self.connections = 0
        self.open = 0
        self.port = 0
        self._tls = tls
        self._greeting = tuple(greeting)  # steps of every new connection, before its first request
        self._plans: deque[tuple[Step, ...]] = deque()
        self._default: tuple[Step, ...] = (send(answer()),)
        self._tasks: set[asyncio.Task[None]] = set()
        self._numbers = itertools.count(1)

    def next(self, *steps: Step) -> None:
        """What happens to the next request that has no plan yet."""
        self._plans.append(steps)

    def always(self, *steps: Step) -> None:
        """What happens to requests without a plan of their own. At first: an empty 200."""
        self._default = steps

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://{'localhost' if self._tls else '127.0.0.1'}:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def stop_listening(self) -> None:
        """Refuse new connections; those that stand go on."""
        self._server.close()

    async def all_closed(self, seconds: float = 5.0) -> None:
        """Wait until no connection is open."""
        async with asyncio.timeout(seconds):
            while self.open:
                await asyncio.sleep(0.005)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        self.open += 1
        peer = Peer(reader, writer, next(self._numbers))
        try:
            with contextlib.suppress(*_OVER):
                await self._converse(peer)
        finally:
            self.open -= 1
            self._tasks.discard(task)
            if not writer.is_closing():
                writer.transport.abort()

    async def _converse(self, peer: Peer) -> None:
        for step in self._greeting:
            await step(peer)
        while True:
            peer.request = await self._request(peer)
            self.requests.append(peer.request)
            for step in self._plans.popleft() if self._plans else self._default:
                await step(peer)

    async def _request(self, peer: Peer) -> Seen:
        head = (await peer.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *fields = head.rstrip("\r\n").split("\r\n")
        headers: dict[str, str] = {}
        for name, value in (re.split(r":\s*", field, maxsplit=1) for field in fields):
            known = headers.get(name.lower())
            headers[name.lower()] = value if known is None else f"{known},{value}"
        body = await peer.reader.readexactly(int(headers.get("content-length", "0")))
        return Seen(line, headers, body, peer.number)
