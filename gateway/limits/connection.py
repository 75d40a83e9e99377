"""One multiplexed connection to Redis, for the calls of the limiters and for nothing else.

Theory of operation. Every request of this process shares one socket. Commands sent in one turn of the event
loop leave in one write; Redis answers in order, so the oldest waiting call owns the next reply. Each call
has the same time to be answered, so one timer, set for the oldest, serves them all. A reply that does not
come in time says nothing about which reply comes next: the socket is given up and every waiting call fails.
A call may then have been carried out or not; its caller must be able to repeat it. Nothing here repeats
anything, with one exception: a script that the server does not know is sent again with its text.

Whoever finds no connection starts to make one, and all who come meanwhile wait for the same attempt, but
none longer than a call may take: the attempt goes on without them. When to ask again after a failure is the business
of who asks (`redis_store.py`).

It is one node's connection, and MOVED is an error like any other here: `nodes.py` knows of clusters.
"""

import asyncio
import hashlib
import re
import ssl
from collections import deque
from collections.abc import Callable
from typing import Any, TypeAlias, cast
from urllib.parse import parse_qs, unquote, urlsplit

import hiredis
from msgspec import Struct

TIMEOUT = 0.05
"""Seconds a call may take unless the URL says otherwise, waiting for a connection included."""

CONNECT_SECONDS = 1.0
"""Seconds an attempt to connect may take."""

GRACE = 0.001
"""A held-up event loop finds the reply and the timer at once: it may read its socket before it gives up."""

_UNFIT = ("READONLY", "LOADING", "MASTERDOWN", "CLUSTERDOWN", "NOAUTH")
"""Words of a server that answers but cannot serve: what to talk to next is found by connecting anew."""

Word: TypeAlias = str | bytes | int
Reply: TypeAlias = Any
"""What hiredis makes of a RESP2 reply: int, bytes, None or a list of them."""


class StoreError(Exception):
    """A call to Redis did not succeed."""


class NoAnswerError(StoreError):
    """Redis did not answer in time, or cannot be reached. The call may have been carried out all the same."""


class RefusedError(StoreError):
    """Redis answered with an error: the call was not carried out, and would not be if repeated."""


class MovingError(StoreError):
    """The call's keys are being handed over from one node of a cluster to another: not carried out, for now."""


class Script:
    """A Lua script, addressed by its content, so that old and new versions of this program get on."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.sha = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()


class Address(Struct, frozen=True, kw_only=True):
    """What a `redis://[user:password@]host[:port][/database]` URL says; `rediss` means TLS.

    `timeout` is how many seconds a call may take, waiting for a connection included.
    """

    host: str
    port: int
    database: int
    username: str | None
    password: str | None
    tls: ssl.SSLContext | None
    timeout: float = TIMEOUT

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def parse(url: str) -> Address:
    """Read a URL. `socket_timeout`, `ssl_ca_certs` (a file) and `ssl_cert_reqs=none` mean what redis-py means.

    Raises ValueError, and says nothing of a password.
    """
    parts = urlsplit(url)
    options = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    database = parts.path.strip("/") or "0"
    if parts.scheme not in ("redis", "rediss") or not database.isdigit():
        raise ValueError(
            f"the Redis URL must look like redis://[user:password@]host[:port][/database] or rediss://...; "
            f"its scheme is {parts.scheme!r} and its database {database!r}"
        )
    timeout = options.get("socket_timeout", str(TIMEOUT))
    if not re.fullmatch(r"\d*\.?\d+", timeout) or not float(timeout):
        raise ValueError(f"socket_timeout of the Redis URL is seconds, such as 0.2; it is {timeout!r}")
    return Address(
        host=parts.hostname or "127.0.0.1",
        port=parts.port or 6379,
        database=int(database),
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        tls=_tls(options) if parts.scheme == "rediss" else None,
        timeout=float(timeout),
    )


def _tls(options: dict[str, str]) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=options.get("ssl_ca_certs"))
    if options.get("ssl_cert_reqs") == "none":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


class _Call:
    """A command that was sent, until when it waits, and who is told: of the reply, or of a failure alone."""

    __slots__ = ("command", "deadline", "failed", "future", "script")

    def __init__(self, command: tuple[Word, ...], script: Script | None, deadline: float) -> None:
        self.command = command
        self.script = script
        self.deadline = deadline
        self.future: asyncio.Future[Reply] | None = None
        self.failed: Callable[[StoreError], None] | None = None

    def fail(self, error: StoreError) -> None:
        """End the wait, if anybody still waits."""
        if self.failed is not None:
            self.failed(error)
        elif self.future is not None and not self.future.done():
            self.future.set_exception(error)


class _Wire(asyncio.Protocol):
    """One socket, from being connected to being lost."""

    def __init__(self, loop: asyncio.AbstractEventLoop, timeout: float) -> None:
        self.lost = False
        self._loop = loop
        self._timeout = timeout
        self._transport: asyncio.WriteTransport | None = None
        self._reader = hiredis.Reader()
        self._calls: deque[_Call] = deque()
        self._unsent: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None

    def send(self, command: tuple[Word, ...], script: Script | None = None) -> asyncio.Future[Reply]:
        """Send a command with this turn's others. The future fails with a StoreError."""
        future = self._loop.create_future()
        self._begin(command, script).future = future
        return future

    def post(
        self, command: tuple[Word, ...], script: Script | None, failed: Callable[[StoreError], None]
    ) -> None:
        """Send a command whose reply nobody reads."""
        self._begin(command, script).failed = failed

    def drop(self, reason: str) -> None:
        """Give the socket up; every waiting call fails."""
        self.lost = True
        if self._timer is not None:
            self._timer.cancel()
        if self._transport is not None:
            self._transport.abort()
            self._transport = None  # what this turn of the loop still wanted to send goes nowhere
        calls, self._calls = self._calls, deque()
        for call in calls:
            call.fail(NoAnswerError(reason))

    def _begin(self, command: tuple[Word, ...], script: Script | None) -> _Call:
        call = _Call(command, script, self._loop.time() + self._timeout)
        if self._timer is None:
            self._timer = self._loop.call_at(call.deadline, self._look)
        self._write(call)
        return call

    def _write(self, call: _Call) -> None:
        self._calls.append(call)
        if not self._unsent:
            self._loop.call_soon(self._flush)
        packed = hiredis.pack_command(call.command)  # type: ignore[arg-type]  # its stub has one word only
        self._unsent.append(packed)

    def _flush(self) -> None:
        if self._transport is not None:
            self._transport.write(b"".join(self._unsent))
        self._unsent.clear()

    def _look(self) -> None:
        """Find out, when the timer says so, whether the oldest call is overdue."""
        self._timer = None
        if self._calls:
            oldest = self._calls[0]
            if oldest.deadline > self._loop.time():
                self._timer = self._loop.call_at(oldest.deadline, self._look)
            else:
                self._timer = self._loop.call_later(GRACE, self._give_up_on, oldest)

    def _give_up_on(self, call: _Call) -> None:
        if self._calls and self._calls[0] is call:
            self.drop("it does not answer")
        else:
            self._look()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is open."""
        self._transport = cast("asyncio.WriteTransport", transport)  # uvloop's is not a subclass

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        self.drop("the connection was closed" if exc is None else f"the connection broke ({exc})")

    def data_received(self, data: bytes) -> None:
        """Hand replies out, oldest call first."""
        self._reader.feed(data)
        try:
            while (reply := self._reader.gets()) is not False:
                call = self._calls.popleft()
                if isinstance(reply, hiredis.ReplyError):
                    self._refused(call, str(reply))
                elif call.future is not None and not call.future.done():
                    call.future.set_result(reply)
        except (hiredis.ProtocolError, IndexError):  # not Redis, or a reply to nothing that was asked
            self.drop("it does not speak the Redis protocol")

    def _refused(self, call: _Call, text: str) -> None:
        if call.script is not None and text.startswith("NOSCRIPT"):
            call.command = ("EVAL", call.script.source, *call.command[2:])
            call.script = None
            self._write(call)
        elif any(word in text for word in _UNFIT):
            call.fail(NoAnswerError(text))
            self.drop(text)
        else:
            call.fail(RefusedError(text))


class Connection:
    """The way to one Redis. Makes its socket when it is first needed, and again when it was lost."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.ahead: float | None = None
        """Seconds from this process's monotonic clock to the server's time; None until it was connected."""
        self._wire: _Wire | None = None
        self._attempt: asyncio.Task[_Wire] | None = None

    def post(
        self, command: tuple[Word, ...], script: Script | None, failed: Callable[[StoreError], None]
    ) -> None:
        """Send without waiting for a connection or a reply; `failed` is told if either is missing."""
        if self._wire is None or self._wire.lost:
            failed(NoAnswerError("there is no connection"))
        else:
            self._wire.post(command, script, failed)

    async def call(self, command: tuple[Word, ...], script: Script | None = None) -> Reply:
        """Send and wait for the reply, connecting first if need be; never longer than the URL allows."""
        if self._wire is not None and not self._wire.lost:
            return await self._wire.send(command, script)
        try:
            async with asyncio.timeout(self.address.timeout):
                wire = await self._connect()
                return await wire.send(command, script)
        except TimeoutError:
            raise NoAnswerError("no connection could be made in time") from None

    async def close(self) -> None:
        """Let go of the socket."""
        if self._attempt is not None:
            self._attempt.cancel()
        if self._wire is not None:
            self._wire.drop("the limiter was closed")

    async def _connect(self) -> _Wire:
        if self._attempt is None:
            self._attempt = asyncio.create_task(self._open())
            self._attempt.add_done_callback(self._opened)
        return await asyncio.shield(self._attempt)

    def _opened(self, attempt: "asyncio.Task[_Wire]") -> None:
        self._attempt = None
        if not attempt.cancelled() and attempt.exception() is None:
            self._wire = attempt.result()

    async def _open(self) -> _Wire:
        to = self.address
        loop = asyncio.get_running_loop()
        wire = _Wire(loop, to.timeout)
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await loop.create_connection(lambda: wire, to.host, to.port, ssl=to.tls)
                if to.password is not None:
                    who = (to.password,) if to.username is None else (to.username, to.password)
                    await wire.send(("AUTH", *who))
                if to.database:
                    await wire.send(("SELECT", to.database))
                seconds, microseconds = await wire.send(("TIME",))
                self.ahead = int(seconds) + int(microseconds) / 1e6 - loop.time()
        except BaseException as error:
            wire.drop("it could not be set up")
            if isinstance(error, OSError):  # TimeoutError is one
                why = error.strerror or "out of time"
                raise NoAnswerError(f"no connection could be made: {why}") from error
            raise
        return wire
