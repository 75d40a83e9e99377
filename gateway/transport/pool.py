"""Keep-alive connections, and the one way to send a request over them.

Per origin the connection that served last serves next, so that a burst's surplus falls idle and is closed.
There is no upper bound here: how many calls may be in flight is decided above, before an upstream is asked.
"""

import asyncio
import math
from collections import deque
from weakref import WeakSet

from gateway.transport.answer import Answer
from gateway.transport.connection import Connection, StaleConnectionError
from gateway.transport.dial import Dialer
from gateway.transport.outgoing import Origin, encode
from providers.errors import ErrorKind, ProviderError
from providers.types import HttpRequest

IDLE_SECONDS = 30.0
AGE_SECONDS = 300.0
"""After this long a connection is not kept, so that a changed DNS record is followed under load, too."""


class Pool:
    """Connections of one event loop. Whoever makes it closes it."""

    def __init__(self, dialer: Dialer) -> None:
        self._dialer = dialer
        self._idle: dict[Origin, deque[Connection]] = {}
        self._all: WeakSet[Connection] = WeakSet()
        self._sweeper: asyncio.TimerHandle | None = None

    async def send(
        self, request: HttpRequest, connect: float, headers: float, deadline: float | None, fresh: bool
    ) -> Answer:
        """Ask, and wait for the headers of the answer. Parameters and errors: `Upstream.send`."""
        origin, head = encode(request)
        last = math.inf if deadline is None else deadline
        connection = None if fresh else self._take(origin)
        reused = connection is not None
        if connection is not None:
            try:
                return await connection.ask(head, request.body, headers, last)
            except StaleConnectionError as error:
                error.with_traceback(None)  # which would hold the answer, which holds the error
        try:
            connection = await self._open(origin, connect, last)
        except ProviderError as error:
            error.sent = reused  # the stale connection may have carried the request after all
            raise
        return await connection.ask(head, request.body, headers, last)

    async def close(self) -> None:
        """Abort every connection, the busy ones too."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        self._idle.clear()
        for connection in list(self._all):
            connection.close()
        await asyncio.sleep(0)

    def _take(self, origin: Origin) -> Connection | None:
        resting = self._idle.get(origin)
        while resting:
            connection = resting.pop()
            if not connection.closing:
                return connection
        return None

    def _put(self, connection: Connection) -> None:
        if connection.idle_since - connection.born > AGE_SECONDS:
            connection.abort()
            return
        resting = self._idle.get(connection.origin)
        if resting is None:
            resting = self._idle[connection.origin] = deque()
        resting.append(connection)
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._sweep)

    async def _open(self, origin: Origin, seconds: float, deadline: float) -> Connection:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout_at(min(loop.time() + seconds, deadline)):
                addresses = await self._dialer.resolve(origin)
                connection = await self._dialer.open(origin, addresses, self._put)
        except TimeoutError as error:
            raise ProviderError(
                ErrorKind.TIMEOUT, f"{origin} could not be connected to in time.", sent=False
            ) from error
        except (OSError, UnicodeError) as error:
            raise ProviderError(
                ErrorKind.UNAVAILABLE, f"{origin} could not be connected to: {_reason(error)}.", sent=False
            ) from error
        self._all.add(connection)
        return connection

    def _sweep(self) -> None:
        """Close what has been idle for long; ring again when the next one will have been."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        oldest = math.inf
        for origin, resting in list(self._idle.items()):
            while resting and (resting[0].closing or resting[0].idle_since + IDLE_SECONDS <= now):
                resting.popleft().abort()
            if resting:
                oldest = min(oldest, resting[0].idle_since)
            else:
                del self._idle[origin]
        self._sweeper = loop.call_at(oldest + IDLE_SECONDS, self._sweep) if self._idle else None


def _reason(error: Exception) -> str:
    words = getattr(error, "verify_message", "") or getattr(error, "strerror", "")
    return str(words or type(error).__name__)[:200]
