"""Sends over any httpx2 transport and gives back the same kind of Answer as our own.

For what our own transport does not do (proxies, HTTP/2), for comparing it with another, and for tests.
"""

import asyncio
import math
from typing import cast

import httpx2

from gateway.transport.answer import Answer
from gateway.transport.outgoing import encode, user_agent
from providers.errors import ErrorKind, ProviderError
from providers.types import HttpRequest

_UNSENT = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.LocalProtocolError,
    httpx2.PoolTimeout,
    httpx2.ProxyError,
    httpx2.UnsupportedProtocol,
)

_CUT = ("disconnected", "peer closed", "incomplete")
"""Words by which the stock transport tells a cut from garbage; both are its RemoteProtocolError."""


class Stock:
    """Wraps a transport, which it closes. Belongs to one event loop."""

    def __init__(self, transport: httpx2.AsyncBaseTransport) -> None:
        self._transport = transport
        self._pumps: set[asyncio.Task[None]] = set()

    async def send(
        self, request: HttpRequest, connect: float, headers: float, deadline: float | None
    ) -> Answer:
        """Ask, and wait for the headers of the answer. Parameters and errors: `Upstream.send`."""
        origin, _ = encode(request)  # refuses what must not be sent, whoever sends it
        loop = asyncio.get_running_loop()
        last = math.inf if deadline is None else deadline
        due = min(loop.time() + connect + headers, last)
        try:
            async with asyncio.timeout_at(due):
                response = await self._transport.handle_async_request(_outgoing(request, connect))
        except TimeoutError as error:
            raise ProviderError(ErrorKind.TIMEOUT, f"{origin} did not begin to answer in time.") from error
        except httpx2.TransportError as error:
            raise _translated(error, str(origin)) from error
        pump = _Pump(response, str(origin), last)
        self._pumps.add(pump.task)
        pump.task.add_done_callback(self._pumps.discard)
        try:
            await asyncio.sleep(0)  # a task cancelled before it began would not close the response
            pump.answer.begin(response.status_code, dict(response.headers))
            await pump.answer.opened()
        except (ProviderError, asyncio.CancelledError):
            pump.abort()
            raise
        return pump.answer

    async def close(self) -> None:
        """Stop every answer and close the transport."""
        for pump in self._pumps:
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)
        await self._transport.aclose()


class _Pump:
    """Moves the body of a response that is pulled into an answer that is pushed."""

    def __init__(self, response: httpx2.Response, name: str, deadline: float) -> None:
        loop = asyncio.get_running_loop()
        self.answer = Answer(self, name, loop, deadline)
        self._response = response
        self._name = name
        self._room = asyncio.Event()
        self._room.set()
        self.task = loop.create_task(self._run())
        self.task.add_done_callback(self._ended)

    def pause(self) -> None:
        """Pull no more."""
        self._room.clear()

    def resume(self) -> None:
        """Pull again."""
        self._room.set()

    def abort(self) -> None:
        """Stop pulling; the response is closed."""
        self.task.cancel()

    async def _run(self) -> None:
        stream = cast("httpx2.AsyncByteStream", self._response.stream)
        try:
            async for piece in stream:
                if piece:
                    self.answer.feed(piece)
                await self._room.wait()
        finally:
            await stream.aclose()

    def _ended(self, task: asyncio.Task[None]) -> None:
        error = ProviderError(ErrorKind.UNAVAILABLE, "closed") if task.cancelled() else task.exception()
        if error is None:
            self.answer.finish()
        else:
            self.answer.fail(error if isinstance(error, ProviderError) else _translated(error, self._name))


def _outgoing(request: HttpRequest, connect: float) -> httpx2.Request:
    own = {"user-agent": user_agent(), "accept-encoding": "identity"}
    waits = httpx2.Timeout(None, connect=connect, pool=connect)
    return httpx2.Request(
        request.method,
        request.url,
        headers={**request.headers, **own},
        content=request.body or None,
        extensions={"timeout": waits.as_dict()},
    )


def _translated(error: BaseException, name: str) -> ProviderError:
    words = str(error).lower()
    kind = ErrorKind.UNAVAILABLE
    if isinstance(error, httpx2.TimeoutException):
        kind = ErrorKind.TIMEOUT
    elif isinstance(error, httpx2.RemoteProtocolError) and not any(word in words for word in _CUT):
        kind = ErrorKind.PROTOCOL
    return ProviderError(kind, f"{name}: {type(error).__name__}.", sent=not isinstance(error, _UNSENT))
