"""The way to one Redis, or to every node of a Redis Cluster; `connection.py` is the way to one of them.

Theory of operation. A lone Redis is a cluster that never redirects: all calls go to the node of the URL. Who
is told MOVED remembers which node has that slot and calls there from then on; the map is learned slot by slot
and nobody asks for the whole of it. While a slot is being handed over (ASK, TRYAGAIN) neither node can carry
out a script, because a new lease's key is on neither: that is a matter of moments, in which the caller is on
its own. A node that does not answer loses the slots it was known for, so that the next call asks another one,
which says who took them over.

All keys of a call lie in one slot, that of their braces.
"""

import asyncio
import binascii
from collections.abc import AsyncIterator, Callable
from typing import cast

from msgspec.structs import replace

from gateway.limits.connection import (
    Address,
    Connection,
    MovingError,
    NoAnswerError,
    RefusedError,
    Reply,
    Script,
    StoreError,
    Word,
    parse,
)

SLOTS = 16_384
REDIRECTS = 5
"""How often one call is sent on: more would be two nodes that point at each other."""


def slot(key: str) -> int:
    """The slot of a key: CRC16 of what stands in its braces."""
    return binascii.crc_hqx(key[key.index("{") + 1 : key.index("}")].encode(), 0) % SLOTS


class Nodes:
    """Calls by key. `address` is the URL's, and all that is ever told of it."""

    def __init__(self, url: str) -> None:
        self.address = parse(url)
        self._first = Connection(self.address)
        self._known: dict[tuple[str, int], Connection] = {(self.address.host, self.address.port): self._first}
        self._slots: dict[int, Connection] = {}

    async def call(self, key: str, command: tuple[Word, ...], script: Script | None = None) -> Reply:
        """Send to the node that has the key, and wait for the reply. Raises StoreError."""
        for _ in range(REDIRECTS):
            node = self._node(key)
            try:
                return await node.call(command, script)
            except StoreError as error:
                if not self._moved(key, node, error):
                    raise _plain(error) from None
        raise NoAnswerError("its nodes send the call in a circle")

    def post(
        self, key: str, command: tuple[Word, ...], script: Script | None, failed: Callable[[StoreError], None]
    ) -> None:
        """Send without waiting for a connection or a reply; `failed` is told if it was not carried out."""
        node = self._node(key)

        def look(error: StoreError) -> None:
            failed(MovingError("known now") if self._moved(key, node, error) else _plain(error))

        node.post(command, script, look)

    async def ping(self) -> None:
        """Wait until every node has answered what it was sent before. Raises StoreError if none answers."""
        nodes = list(self._known.values())
        told = await asyncio.gather(*(node.call(("PING",)) for node in nodes), return_exceptions=True)
        failed = [answer for answer in told if isinstance(answer, BaseException)]
        if len(failed) == len(nodes):
            raise failed[0]

    async def masters(self) -> AsyncIterator[Connection]:
        """A connection to each node that has keys of its own. Raises StoreError."""
        places = {(master[0].decode(), master[1]) for _, _, master, *_ in await self._shards()}
        if not places:
            yield self._first
        for host, port in sorted(places):
            yield self._at(f"{host}:{port}")

    async def ranges(self) -> list[tuple[int, int]]:
        """The first and the last slot of each range that lies on one node. Raises StoreError."""
        return sorted((first, last) for first, last, *_ in await self._shards()) or [(0, SLOTS - 1)]

    async def _shards(self) -> list[list[Reply]]:
        """What CLUSTER SLOTS says; nothing for a lone Redis."""
        try:
            return cast("list[list[Reply]]", await self._first.call(("CLUSTER", "SLOTS")))
        except RefusedError:
            return []

    def ahead(self) -> float | None:
        """Seconds from this process's monotonic clock to Redis's time; None until there was a connection."""
        return self._first.ahead

    async def close(self) -> None:
        """Let go of every socket."""
        for node in self._known.values():
            await node.close()

    def _moved(self, key: str, node: Connection, error: StoreError) -> bool:
        """Learn from an error; whether the call should be sent again, to where it says."""
        if isinstance(error, NoAnswerError):
            self._lost(node)
        word, _, place = str(error).partition(" ")
        if word != "MOVED":
            return False
        self._slots[slot(key)] = self._at(place.split(" ")[-1])
        return True

    def _node(self, key: str) -> Connection:
        return self._slots.get(slot(key), self._first) if self._slots else self._first

    def _at(self, place: str) -> Connection:
        """The node at `host:port`; without a host it is the one that was asked first."""
        host, _, port = place.rpartition(":")
        where = (host.strip("[]") or self.address.host, int(port))
        if where not in self._known:
            to: Address = replace(self.address, host=where[0], port=where[1])
            self._known[where] = Connection(to)
        return self._known[where]

    def _lost(self, node: Connection) -> None:
        self._slots = {number: other for number, other in self._slots.items() if other is not node}
        if node is self._first:
            others = [other for other in self._known.values() if other is not node]
            self._known = {(node.address.host, node.address.port): node} | self._known
            self._first = others[0] if others else node


def _plain(error: StoreError) -> StoreError:
    """The error as callers know it."""
    return MovingError(str(error)) if str(error).startswith(("ASK ", "TRYAGAIN ")) else error
