"""Our pool as an httpx2 transport, for code off the request path that speaks httpx2's types.

Header names that a request or an answer repeats are folded into one, as httpx2 itself folds them.
"""

import asyncio
from collections.abc import AsyncIterator

import httpx2

from gateway.transport.answer import Answer
from gateway.transport.dial import Dialer
from gateway.transport.pool import Pool
from providers.errors import ErrorKind, ProviderError
from providers.types import HttpRequest

_UNDONE = frozenset(("content-encoding", "content-length", "transfer-encoding"))
"""Headers about a coding of the body that the stream no longer has."""

_FOREVER = 1e9  # seconds; what httpx2 writes as None


class KeepAliveTransport(httpx2.AsyncBaseTransport):
    """Belongs to one event loop; `aclose` closes the pool. Raises httpx2's exceptions.

    Of httpx2's timeouts `connect` is heeded, and `read` for the headers and for each piece of the body.
    """

    def __init__(self, dialer: Dialer | None = None) -> None:
        self._pool = Pool(dialer or Dialer())

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """The answer, its body still to be read."""
        waits = request.extensions.get("timeout", {})
        connect, silence = waits.get("connect") or _FOREVER, waits.get("read") or _FOREVER
        outgoing = HttpRequest(
            method=request.method,
            url=str(request.url),
            headers=dict(request.headers),
            body=await request.aread(),
        )
        try:
            answer = await self._pool.send(outgoing, connect, silence, None, fresh=False)
        except ProviderError as error:
            raise _translated(error) from error
        headers = {name: value for name, value in answer.headers.items() if name not in _UNDONE}
        return httpx2.Response(answer.status, headers=headers, stream=_Body(answer, silence))

    async def aclose(self) -> None:
        """Close every connection."""
        await self._pool.close()


class _Body(httpx2.AsyncByteStream):
    def __init__(self, answer: Answer, silence: float) -> None:
        self._answer = answer
        self._silence = silence

    async def __aiter__(self) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        self._answer.deadline = loop.time() + self._silence
        try:
            async for piece in self._answer:
                yield piece
                self._answer.deadline = loop.time() + self._silence
        except ProviderError as error:
            raise _translated(error) from error

    async def aclose(self) -> None:
        self._answer.close()


def _translated(error: ProviderError) -> httpx2.TransportError:
    if error.kind is ErrorKind.TIMEOUT:
        return (httpx2.ReadTimeout if error.sent else httpx2.ConnectTimeout)(error.message)
    if error.kind is ErrorKind.PROTOCOL:
        return httpx2.RemoteProtocolError(error.message)
    return (httpx2.ReadError if error.sent else httpx2.ConnectError)(error.message)
