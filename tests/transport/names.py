"""A DNS and an internet of our own: names lead to the addresses a test says, addresses to loopback ports."""

import asyncio
import socket
import ssl
from collections.abc import Mapping, Sequence

from gateway.transport.dial import Address, Dialer
from gateway.transport.outgoing import Origin


class Names(Dialer):
    """`answers` holds for each name what successive look-ups give (the last one stays).

    `asked` are the names looked up, `dialled` the addresses that were to be reached, in order. Every address
    leads to `port` on loopback, but for those in `dead` (refused) and `mute` (never connects).
    """

    def __init__(
        self, answers: Mapping[str, Sequence[Sequence[str]]], port: int = 0, tls: ssl.SSLContext | None = None
    ) -> None:
        super().__init__(tls)
        self._answers = {name: list(lookups) for name, lookups in answers.items()}
        self._port = port
        self.asked: list[str] = []
        self.dialled: list[str] = []
        self.dead: set[str] = set()
        self.mute: set[str] = set()

    async def resolve(self, origin: Origin) -> Sequence[Address]:
        self.asked.append(origin.host)
        lookups = self._answers.get(origin.host)
        if lookups is None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        found = lookups.pop(0) if len(lookups) > 1 else lookups[0]
        return [(socket.AF_INET6 if ":" in each else socket.AF_INET, (each, origin.port)) for each in found]

    async def reach(self, address: Address) -> socket.socket:
        numeric = address[1][0]
        self.dialled.append(numeric)
        if numeric in self.mute:
            await asyncio.Event().wait()
        if numeric in self.dead:
            raise ConnectionRefusedError(111, "Connection refused")
        return await super().reach((socket.AF_INET, ("127.0.0.1", self._port)))
