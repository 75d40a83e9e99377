"""One server process: how uvicorn is set up, what it accepts as a request's head, and how it drains.

Theory of operation
-------------------
The first signal turns `/readyz` to 503 while the door stays open for `drain` seconds, so that balancers look
elsewhere. Then the door is closed, idle connections too, and running requests get `grace` seconds to finish.
A second signal cuts whatever still runs. In each case the process exits with 0: it was told to.

uvicorn gathers a request's head without end and waits for it forever, and it answers what it cannot read even
in the middle of another answer. `Bounded` closes these gaps. A head that comes in one piece, as almost all
do, pays nothing for it. It also asks the gate (`api/gate.py`) whether one more request may run.
"""

import asyncio
import gc
import logging
import sys
from functools import partial
from socket import socket
from types import FrameType
from typing import Any, Protocol, cast

import uvicorn
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from gateway.api import server
from gateway.api.edge import MAX_HEADER_BYTES, App, HeadersTooLarge
from gateway.api.gate import EACH_TURN, OPEN_TO_ALL, Gate, whole_answer
from gateway.commands.glance import Glance
from gateway.errors import GatewayError, InvalidRequest
from gateway.transport import burst

BACKLOG = 2048
"""Connections that may wait to be accepted."""

KEEP_ALIVE_SECONDS = 75
"""How long an idle connection is kept: longer than clients keep theirs, so that it is they who close it. Who sends
on a connection that we close at that moment sees an error that no server told it of."""

UNSENT = 2 * 1024
"""Bytes of an answer that may wait for a slow reader before its provider is slowed down as well."""

HEAD_SECONDS = 10.0
"""How long a client may take to send the head of a request, counted from its connection or its first byte."""

MAX_HEAD_BYTES = 2 * MAX_HEADER_BYTES
"""Bytes of an unfinished head that are gathered: what is allowed, the request line, and some room."""


class Drainable(Protocol):
    """What is turned unready before the door closes."""

    draining: bool


class _Refused:
    """Stands where the cycle of a request would: one that is answered, and whose body nobody wants."""

    response_complete = True
    more_body = True
    message_event = asyncio.Event()


_REFUSED = cast("RequestResponseCycle", _Refused())
_GLANCE = Glance()


class Bounded(server.Protocol):
    """One client's connection."""

    cycle: RequestResponseCycle | None  # type: ignore[assignment] # until the first request, whatever uvicorn declares
    _head: int | None = 0  # bytes of an unfinished head; None while no head is awaited
    _late: asyncio.TimerHandle | None = None
    _idle: asyncio.TimerHandle | None = None  # when it rings, it is looked how long nobody has asked
    _idle_since = 0.0

    def __init__(self, *given: Any, gate: Gate, **named: Any) -> None:
        super().__init__(*given, **named)
        self._gate = gate

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as in uvicorn
        """A client connected; its first head is awaited."""
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=UNSENT)  # more than nothing: small writes leave together
        self._late = self.loop.call_later(HEAD_SECONDS, transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._head_ended()
        if self._idle is not None:
            self._idle.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse, unless it is to be refused; then look how much of a head has come without an end."""
        gate = self._gate
        full = len(self.tasks) >= gate.limit or len(gate.line) >= gate.room
        if full and self._may_be_unread(data):
            self._turn_away_unread()
            return
        super().data_received(data)
        if self._head is None or self.transport.is_closing():
            return
        self._head += len(data)
        if self._head > MAX_HEAD_BYTES:
            self._refuse(HeadersTooLarge(f"Headers are limited to {MAX_HEADER_BYTES} bytes."))
        elif self._late is None:
            self._late = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def on_message_begin(self) -> None:
        """A request begins."""
        self._head = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Its head is complete: it is served, or refused before its body is read."""
        self._head_ended()
        gate = self._gate
        full = len(self.tasks) >= gate.limit or len(gate.line) >= gate.room
        if full and self._may_be_refused():
            self._turn_away()
            return
        if not gate.watching:
            gate.watch(self.tasks)
        super().on_headers_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        gate = self._gate
        if gate.begun >= EACH_TURN:
            gate.stand_in_line(partial(super()._start_asgi_task, cycle, app))
            return
        if not gate.begun:
            self.loop.call_soon(gate.next_turn)
        gate.begun += 1
        super()._start_asgi_task(cycle, app)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - we have our own words
        """What came is not an HTTP request."""
        self._refuse(InvalidRequest("This is not an HTTP/1.1 request that can be read.", code="bad_request"))

    def _head_ended(self) -> None:
        self._head = None
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _may_be_refused(self) -> bool:
        """Not what operators look at, not between two answers, and no HEAD: its answer has no body."""
        cycle = self.cycle
        free = cycle is None or cycle.response_complete
        return free and not self.url.startswith(OPEN_TO_ALL) and self.parser.get_method() != b"HEAD"

    def _may_be_unread(self, data: bytes) -> bool:
        """Whether this is all there is: one whole call of the API, after the end of the one before it."""
        cycle = self.cycle
        if cycle is None:
            idle = not self._head
        else:
            idle = self._head is None and cycle.response_complete and not cycle.more_body
        return idle and data.startswith(b"POST /v1/") and _GLANCE.is_whole(data)

    def _turn_away_unread(self) -> None:
        """Answer one whole request, of which the parser never learns."""
        self._gate.refused()
        burst.flush(self.loop)  # the answer before this one
        self.transport.write(self._gate.refusal)  # with this turn; a burst would go out with the next
        self._head_ended()
        self._rest()

    def on_response_complete(self) -> None:
        """An answer is out. As in uvicorn, but without a timer of its own for each answer."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        else:
            self._rest()

    def _rest(self) -> None:
        self._idle_since = self.loop.time()
        if self._idle is None:
            self._idle = self.loop.call_later(self.timeout_keep_alive, self._close_when_idle)

    def _close_when_idle(self) -> None:
        self._idle = None
        left = self._idle_since + self.timeout_keep_alive - self.loop.time()
        cycle = self.cycle
        if self._head is not None or (cycle is not None and not cycle.response_complete):
            return  # asked again meanwhile: the next answer sets the timer
        if left > 0:
            self._idle = self.loop.call_later(left, self._close_when_idle)
        else:
            self.transport.close()

    def _turn_away(self) -> None:
        """Answer without having read the body; what comes of it is dropped, for HEAD_SECONDS at most."""
        gate = self._gate
        self.cycle = _REFUSED
        gate.refused()
        if self.parser.should_keep_alive() and self._has_clear_frame():
            burst.write(self.transport, gate.refusal)
            self._late = self.loop.call_later(HEAD_SECONDS, self.transport.close)
        else:
            self.transport.write(gate.refusal)
            self.transport.close()

    def _has_clear_frame(self) -> bool:
        """Whether everybody on the way sees the same end of this request (see `edge.py`)."""
        fields = dict(self.headers)
        return len(fields) == len(self.headers) and b"transfer-encoding" not in fields

    def _refuse(self, error: GatewayError) -> None:
        """End the connection, with an answer unless another one is under way."""
        burst.flush(self.loop)  # the answer before this one
        cycle = self.cycle
        if not self.pipeline and (cycle is None or cycle.response_complete or not cycle.response_started):
            self.transport.write(whole_answer(error, close=True))
        self.transport.close()


def configured(app: App, grace: float, gate: Gate) -> uvicorn.Config:
    """How the gateway is served, in production and in tests."""
    return uvicorn.Config(
        app,
        loop="uvloop",
        http=cast("type[asyncio.Protocol]", partial(Bounded, gate=gate)),
        ws="none",
        lifespan="on",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        log_config=None,
        log_level=logging.WARNING,
        timeout_graceful_shutdown=max(1, round(grace)),
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
    )


class Draining(uvicorn.Server):
    """A server that turns unready before it closes its door. `banner` is printed when it serves."""

    def __init__(self, config: uvicorn.Config, gateway: Drainable, drain: float, banner: str) -> None:
        super().__init__(config)
        self._gateway = gateway
        self._drain = drain
        self._banner = banner

    async def startup(self, sockets: list[socket] | None = None) -> None:
        """Start, then say so; what was loaded by now is never collected again."""
        await super().startup(sockets)
        gc.collect()  # later, callers would wait for it
        gc.freeze()
        gc.set_threshold(100_000, 20, 20)  # no request leaves work for it, and a look stops everybody
        gc.enable()
        sys.stdout.write(self._banner)
        sys.stdout.flush()

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        """Close the door, wait, and put everything away: after a second signal too, or the ledger would be lost."""
        await super().shutdown(sockets)
        if self.force_exit:
            await self.lifespan.shutdown()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - all signals are one
        """Drain at the first signal, end at the second. None is raised again afterwards, as uvicorn would."""
        if not self._gateway.draining:
            self._gateway.draining = True
            asyncio.get_running_loop().call_later(self._drain, self._close_door)
            return
        self.should_exit = self.force_exit = True
        for connection in list(self.server_state.connections):
            connection.transport.abort()

    def _close_door(self) -> None:
        self.should_exit = True
