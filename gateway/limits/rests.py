"""What the processes of a fleet tell each other of targets that are shut: one hash in Redis, which forgets by itself.

Times in it are the server's, so that no host's clock matters.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from gateway.limits.connection import Script
from gateway.limits.nodes import Nodes
from gateway.routing.health import Rest
from providers.errors import ErrorKind

KEY = "fairlead:{targets}:rests"

_KINDS = frozenset(ErrorKind)
_pack = msgspec.msgpack.Encoder().encode


class SharedRests:
    """The rests that all processes on one Redis know of."""

    def __init__(self, url: str) -> None:
        self._redis = Nodes(url)
        self._script = Script((Path(__file__).parent / "rests.lua").read_text())

    async def exchange(self, fresh: Sequence[Rest], over: Mapping[str, int]) -> list[Rest]:
        """Add rests, take back others (target to `until`), and read all that hold. Raises StoreError."""
        told = [(rest.target, rest.kind, rest.openings, math.ceil(rest.seconds * 1000)) for rest in fresh]
        command = ("EVALSHA", self._script.sha, 1, KEY, _pack(told), _pack(list(over.items())))
        return [
            Rest(
                target=target.decode(),
                kind=ErrorKind(kind.decode()),
                openings=openings,
                seconds=milliseconds / 1000,
                until=until,
            )
            for target, kind, openings, milliseconds, until in await self._redis.call(
                KEY, command, self._script
            )
            if kind.decode() in _KINDS  # a newer version may know more
        ]

    async def close(self) -> None:
        """Let go of the connection."""
        await self._redis.close()
