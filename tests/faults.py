"""A TCP proxy that misbehaves on command, for tests of what happens when a server cannot be reached.

It stands between a client and a real server on loopback and needs a running event loop.
"""

import asyncio
import contextlib
import socket
import ssl
import struct
from types import TracebackType
from typing import Literal, Self

from tests.servers import free_port

Mode = Literal["pass", "delay", "hang", "reset", "refuse"]
FAULTS: tuple[Mode, ...] = ("refuse", "hang", "reset")
DELAY = 0.03
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER of zero seconds: closing the socket sends RST instead of FIN."""


def redis_at(proxy: "TcpProxy", seconds: float = 0.5) -> str:
    """The URL of the Redis behind a proxy, with time enough for a busy machine."""
    return f"redis://127.0.0.1:{proxy.port}/0?socket_timeout={seconds}"


class TcpProxy:
    """`async with TcpProxy(port) as proxy:` listens on `proxy.port` and forwards to `port`.

    `pass` forwards. `delay` does too, every piece DELAY seconds later. `hang` keeps every connection open,
    takes new ones, and lets no byte through until the mode is `pass` again: then what was held back arrives
    late. `reset` and `refuse` cut every connection; new ones are accepted and cut, or find nobody listening.
    With `tls` the clients' side is encrypted. New connections go to the port that `upstream` is at the time.
    """

    def __init__(self, upstream: int, tls: ssl.SSLContext | None = None) -> None:
        self.port = free_port()
        self._tls = tls
        self.upstream = upstream
        self._flowing = asyncio.Event()
        self._resetting = False
        self._delay = 0.0
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        await self.set("pass")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.set("refuse")
        if self._serving:
            await asyncio.wait(self._serving, timeout=5.0)

    async def set(self, mode: Mode) -> None:
        """Change the mode; returns when it holds."""
        self._resetting = mode == "reset"
        self._delay = DELAY if mode == "delay" else 0.0
        if mode in ("pass", "delay"):
            self._flowing.set()
        else:
            self._flowing.clear()
        if mode in ("reset", "refuse"):
            self._cut()
        if mode == "refuse" and self._server is not None:
            self._server.close()
            self._server = None
        if mode != "refuse" and self._server is None:
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port, ssl=self._tls)

    def _cut(self) -> None:
        for writer in self._writers:
            connection: socket.socket = writer.get_extra_info("socket")
            with contextlib.suppress(OSError):  # closed by the other side meanwhile
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            writer.transport.abort()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        if self._resetting:
            self._cut()
        serving = asyncio.create_task(self._serve(reader, writer))
        self._serving.add(serving)
        serving.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends = [writer]
        pipes: list[asyncio.Task[None]] = []
        try:
            with contextlib.suppress(OSError):
                back, forth = await asyncio.open_connection("127.0.0.1", self.upstream)
                self._writers.add(forth)
                ends.append(forth)
                pipes = [asyncio.create_task(self._pipe(*pair)) for pair in ((reader, forth), (back, writer))]
                await asyncio.wait(pipes, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pipe in pipes:
                pipe.cancel()
            for end in ends:
                end.close()
                self._writers.discard(end)

    async def _pipe(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                await self._flowing.wait()
                if self._delay:
                    await asyncio.sleep(self._delay)
                writer.write(data)
                await writer.drain()
