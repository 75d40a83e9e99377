"""Fetches a link that a stranger wrote, without reaching anything but the public internet.

The name is resolved once, every address must pass, and a connection is made to exactly those addresses
while the name stays in the Host header and the TLS handshake. Redirects are not followed. What the client
hears of a failure never tells an internal address, nor whether anything listens there.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import httpx2
from msgspec.structs import replace

from gateway.transport.answer import Answer
from gateway.transport.connection import Connection
from gateway.transport.dial import Address, Dialer
from gateway.transport.outgoing import Origin, encode
from gateway.transport.ssrf import RefusedLink, check_url, is_public
from providers.errors import ProviderError
from providers.types import HttpRequest

_INSIDE = "its host does not lead to the public internet"


class Fetcher:
    """Fetches over connections of its own, one per link."""

    def __init__(self, dialer: Dialer) -> None:
        self._dialer = dialer

    async def fetch(
        self,
        url: str,
        *,
        limit: int,
        timeout: float,  # noqa: ASYNC109 - the time is told to the client and covers DNS, too
        allow_networks: Sequence[str] = (),
        param: str | None = None,
    ) -> tuple[str, bytes]:
        """Content type and body of an https link, all of it within `timeout` seconds and `limit` bytes.

        `allow_networks` are networks (CIDR) that may be reached though they are not public.
        Raises INVALID_REQUEST about `param`, whatever went wrong: another provider would fare no better.
        """
        try:
            async with self.opened(url, seconds=timeout, allow_networks=allow_networks) as answer:
                return answer.headers.get("content-type", ""), await _body(answer, limit)
        except RefusedLink as error:
            error.param = param
            raise

    @asynccontextmanager
    async def opened(
        self, url: str, *, seconds: float, allow_networks: Sequence[str] = ()
    ) -> AsyncIterator[Answer]:
        """The answer to a GET of an https link, its body still to come; the whole block takes at most `seconds`.

        Raises RefusedLink, also for a status other than 200.
        """
        async with bounded(seconds):
            origin = check_url(url, allow_networks=allow_networks)
            addresses = await public_addresses(self._dialer, origin, allow_networks)
            request = HttpRequest(method="GET", url=url, headers={"accept": "*/*"})
            async with asked(self._dialer, origin, addresses, request) as answer:
                _accept(answer.status)
                yield answer

    async def check(self, url: str, *, seconds: float) -> None:
        """Refuse a link that leads inside, though somebody else will follow it. Raises RefusedLink.

        A name that nobody here knows, or not within `seconds`, may be known to them.
        """
        origin = check_url(url)
        try:
            async with asyncio.timeout(seconds):
                addresses = await self._dialer.resolve(origin)
        except (OSError, UnicodeError):  # of which a TimeoutError is one
            return
        if not all(is_public(address[0]) for _, address in addresses):
            raise RefusedLink(_INSIDE)

    async def open(self, request: HttpRequest, *, allow_networks: Sequence[str] = ()) -> Answer:
        """The answer to a GET of an https link, its body still to come; the caller closes it.

        Takes as long as it takes. Raises INVALID_REQUEST as `fetch` does.
        """
        origin = check_url(request.url, allow_networks=allow_networks)
        addresses = await public_addresses(self._dialer, origin, allow_networks)
        return await ask(self._dialer, origin, addresses, request)


@asynccontextmanager
async def bounded(seconds: float) -> AsyncIterator[None]:
    """All of it within so many seconds. Raises RefusedLink."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise RefusedLink(f"it took longer than {seconds:g} seconds") from error


async def public_addresses(
    dialer: Dialer, origin: Origin, allow_networks: Sequence[str]
) -> Sequence[Address]:
    """Every address of a stranger's host. Raises RefusedLink if one is not public, the same as for a host unknown."""
    try:
        addresses = await dialer.resolve(origin)
    except (OSError, UnicodeError):
        addresses = []
    if not addresses or not all(is_public(address[0], allow_networks) for _, address in addresses):
        raise RefusedLink(_INSIDE)
    return addresses


async def ask(dialer: Dialer, origin: Origin, addresses: Sequence[Address], request: HttpRequest) -> Answer:
    """The answer to a request, from one of these addresses; the caller closes it. Raises RefusedLink."""
    plain = str(httpx2.URL(request.url).copy_with(host=origin.host))
    try:
        _, head = encode(replace(request, url=plain))
        connection = await dialer.open(origin, addresses, Connection.abort)
        return await connection.ask(head, request.body, math.inf, math.inf)
    except OSError as error:
        raise RefusedLink("its host did not answer") from error
    except ProviderError as error:
        raise _broken(error) from error


@asynccontextmanager
async def asked(
    dialer: Dialer, origin: Origin, addresses: Sequence[Address], request: HttpRequest
) -> AsyncIterator[Answer]:
    """As `ask`; the answer is closed at the end. Raises RefusedLink, for what goes wrong with its body, too."""
    answer = await ask(dialer, origin, addresses, request)
    try:
        yield answer
    except ProviderError as error:
        raise _broken(error) from error
    finally:
        answer.close()


def _broken(error: ProviderError) -> RefusedLink:
    if isinstance(error, RefusedLink):
        return error
    return RefusedLink("its host broke off or did not answer in HTTP")


def _accept(status: int) -> None:
    if 300 <= status < 400:
        raise RefusedLink("it leads on to another link, and such links are not followed")
    if status != 200:
        raise RefusedLink(f"its host answered with status {status}")


async def _body(answer: Answer, limit: int) -> bytes:
    pieces, size = [], 0
    async for piece in answer:
        size += len(piece)
        if size > limit:
            raise RefusedLink(f"it is larger than {limit} bytes")
        pieces.append(piece)
    return b"".join(pieces)


fetch = Fetcher(Dialer()).fetch
"""Fetch over the system's own DNS and trust."""
