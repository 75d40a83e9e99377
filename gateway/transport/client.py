"""The one door to upstreams: sends an `HttpRequest`, gives back an `Answer`.

There are no redirects, no cookies, no proxies (set by the environment or otherwise) and no retries, but
for the one that a stale keep-alive connection needs: what follows from a failure is decided above.
"""

import ssl

import httpx2

from gateway.transport.answer import Answer
from gateway.transport.dial import Dialer
from gateway.transport.pool import Pool
from gateway.transport.script import play
from gateway.transport.stock import Stock
from providers import scripted
from providers.types import HttpRequest

__all__ = ["Answer", "Upstream"]

_CREDENTIALS = frozenset(("authorization", "x-api-key", "x-goog-api-key", "api-key"))


class Upstream:
    """Every call to a provider goes through one of these. Belongs to one event loop; its maker closes it.

    `tls` replaces what the system trusts. With `stock`, calls go through that httpx2 transport, which is
    closed with this object, instead of through our own keep-alive connections. A URL that starts with
    `scripted:` is answered by `providers.scripted` without any network.
    """

    def __init__(
        self, *, tls: ssl.SSLContext | None = None, stock: httpx2.AsyncBaseTransport | None = None
    ) -> None:
        self._pool = Pool(Dialer(tls))
        self._stock = None if stock is None else Stock(stock)

    async def send(
        self,
        request: HttpRequest,
        *,
        connect: float,
        headers: float,
        deadline: float | None = None,
        fresh: bool = False,
    ) -> Answer:
        """Ask, and wait for the headers of the answer, which the caller then closes.

        `connect` and `headers` are seconds; `deadline` is loop time and bounds all of it, the body included,
        for which it is the first `Answer.deadline`. `fresh` asks on a new connection, so that the request is
        certainly not sent twice: for calls that must not be repeated. (Over `stock` none is.)
        Raises ProviderError: UNAVAILABLE (DNS, refused, TLS, reset; `sent` false when nothing was written),
        TIMEOUT (`sent` false while connecting), PROTOCOL (not HTTP/1.1, or headers too large).
        """
        if request.url.startswith(scripted.PREFIX):
            return play(scripted.respond(request), deadline)
        if self._stock is not None:
            answer = await self._stock.send(request, connect, headers, deadline)
        else:
            answer = await self._pool.send(request, connect, headers, deadline, fresh)
        if answer.status >= 300:  # some errors repeat the credential they were asked with
            answer.hide(value for name, value in request.headers.items() if name.lower() in _CREDENTIALS)
        return answer

    async def close(self) -> None:
        """Abort what is still running and close every connection."""
        if self._stock is not None:
            await self._stock.close()
        await self._pool.close()
