"""How a name becomes a connected socket. The only place that asks DNS and opens sockets to upstreams.

The addresses of a name race (RFC 8305, "happy eyeballs"): families alternate, the next address is tried a
quarter of a second after the last or as soon as one has failed, and the first that connects wins. The race
is over bare TCP, so that a slow TLS handshake never makes a second one begin.
"""

import asyncio
import itertools
import socket
import ssl
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

import httpx2

from gateway.transport.connection import Connection
from gateway.transport.outgoing import Origin

STAGGER = 0.25

Address: TypeAlias = tuple[int, tuple[Any, ...]]
"""A socket address with its family. The first item of the inner tuple is the numeric address."""


@lru_cache(maxsize=1)
def default_tls() -> ssl.SSLContext:
    """What the system trusts (SSL_CERT_FILE and SSL_CERT_DIR are heeded), speaking HTTP/1.1 only."""
    context = httpx2.create_ssl_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


class Dialer:
    """Asks DNS and connects. A subclass may lead names and addresses elsewhere.

    `tls` replaces what the system trusts.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls

    async def resolve(self, origin: Origin) -> Sequence[Address]:
        """Every address of the origin's host, in the system's order of preference; never empty."""
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
        return list(dict.fromkeys((family, address) for family, _, _, _, address in found))

    async def reach(self, address: Address) -> socket.socket:
        """A connected socket."""
        family, where = address
        plug = socket.socket(family, socket.SOCK_STREAM)
        try:
            plug.setblocking(False)
            plug.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await asyncio.get_running_loop().sock_connect(plug, where)
        except BaseException:
            plug.close()
            raise
        return plug

    async def open(
        self, origin: Origin, addresses: Sequence[Address], release: Callable[[Connection], None]
    ) -> Connection:
        """A connection to one of `addresses`; over TLS the certificate must be for the origin's host.

        Raises OSError, of which TLS errors are a kind.
        """
        plug = await self._race(addresses)
        secure = origin.scheme == "https"
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: Connection(origin, release),
            sock=plug,
            ssl=(self._tls or default_tls()) if secure else None,
            server_hostname=origin.host if secure else None,
        )
        return connection

    async def _race(self, addresses: Sequence[Address]) -> socket.socket:
        if len(addresses) == 1:
            return await self.reach(addresses[0])
        lane = _alternating(addresses)
        running: set[asyncio.Task[socket.socket]] = set()
        failure: BaseException | None = None
        try:
            while lane or running:
                if lane:
                    running.add(asyncio.create_task(self.reach(lane.pop(0))))
                wait = STAGGER if lane else None
                done, running = await asyncio.wait(running, timeout=wait, return_when=asyncio.FIRST_COMPLETED)
                failure = next((task.exception() for task in done if task.exception()), failure)
                winners = [task for task in done if task.exception() is None]
                if winners:
                    running |= set(winners[1:])
                    return winners[0].result()
        finally:
            for task in running:
                task.add_done_callback(_discard)
                task.cancel()
        raise failure or OSError("the name has no address")


def _alternating(addresses: Sequence[Address]) -> list[Address]:
    first = [address for address in addresses if address[0] == addresses[0][0]]
    others = [address for address in addresses if address[0] != addresses[0][0]]
    pairs = itertools.zip_longest(first, others)
    return [address for pair in pairs for address in pair if address is not None]


def _discard(task: asyncio.Task[socket.socket]) -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().close()
