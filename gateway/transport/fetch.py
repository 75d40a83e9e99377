"""Fetches a link that a stranger wrote, without reaching anything but the public internet.

The name is resolved once, every address must pass, and a connection is made to exactly those addresses
while the name stays in the Host header and the TLS handshake. Redirects are not followed. What the client
hears of a failure never tells an internal address, nor whether anything listens there.
"""

import asyncio
import math
from collections.abc import Sequence

import httpx2
from msgspec.structs import replace

from gateway.transport.answer import Answer
from gateway.transport.connection import Connection
from gateway.transport.dial import Address, Dialer
from gateway.transport.outgoing import Origin, encode
from gateway.transport.ssrf import check_url, is_public, refused
from providers.errors import ErrorKind, ProviderError
from providers.types import HttpRequest


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
            async with asyncio.timeout(timeout):
                request = HttpRequest(method="GET", url=url, headers={"accept": "*/*"})
                answer = await self.open(request, allow_networks=allow_networks)
                return await _read(answer, limit)
        except TimeoutError as error:
            failure = refused(f"it took longer than {timeout:g} seconds")
            failure.param = param
            raise failure from error
        except ProviderError as error:
            error.param = param
            raise

    async def open(self, request: HttpRequest, *, allow_networks: Sequence[str] = ()) -> Answer:
        """The answer to a GET of an https link, its body still to come; the caller closes it.

        Takes as long as it takes. Raises INVALID_REQUEST as `fetch` does.
        """
        origin = check_url(request.url, allow_networks=allow_networks)
        addresses = await self._public_addresses(origin, allow_networks)
        plain = str(httpx2.URL(request.url).copy_with(host=origin.host))
        _, head = encode(replace(request, url=plain))
        try:
            connection = await self._dialer.open(origin, addresses, Connection.abort)
            return await connection.ask(head, b"", math.inf, math.inf)
        except OSError as error:
            raise refused("its host did not answer") from error
        except ProviderError as error:
            raise _broken(error) from error

    async def _public_addresses(self, origin: Origin, allow_networks: Sequence[str]) -> Sequence[Address]:
        try:
            addresses = await self._dialer.resolve(origin)
        except (OSError, UnicodeError):
            addresses = []
        if not addresses or not all(is_public(address[0], allow_networks) for _, address in addresses):
            raise refused("its host does not lead to the public internet")
        return addresses


async def _read(answer: Answer, limit: int) -> tuple[str, bytes]:
    try:
        _accept(answer.status)
        return answer.headers.get("content-type", ""), await _body(answer, limit)
    except ProviderError as error:
        raise _broken(error) from error
    finally:
        answer.close()


def _broken(error: ProviderError) -> ProviderError:
    if error.kind is ErrorKind.INVALID_REQUEST:
        return error
    return refused("its host broke off or did not answer in HTTP")


def _accept(status: int) -> None:
    if 300 <= status < 400:
        raise refused("it leads on to another link, and such links are not followed")
    if status != 200:
        raise refused(f"its host answered with status {status}")


async def _body(answer: Answer, limit: int) -> bytes:
    pieces, size = [], 0
    async for piece in answer:
        size += len(piece)
        if size > limit:
            raise refused(f"it is larger than {limit} bytes")
        pieces.append(piece)
    return b"".join(pieces)


fetch = Fetcher(Dialer()).fetch
"""Fetch over the system's own DNS and trust."""
