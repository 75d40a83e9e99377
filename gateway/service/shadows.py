"""Sends copies of requests to shadow targets, off the client's path: the answers are thrown away.

What a copy costs is booked to the gateway itself and never to a key. A copy is never streamed, never repeated,
and not sent at all while the target is shut, while MOST copies are running, or when pictures would have to be
fetched for it.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import NamedTuple

from msgspec.structs import replace

from gateway.clock import Clock
from gateway.config.snapshot import Route, RouteTarget
from gateway.routing import cost, health, terms
from gateway.routing.terms import Traits
from gateway.service.board import Board
from gateway.service.books import Books
from gateway.service.wish import Request, Wish
from gateway.store.ledger import Entry
from gateway.telemetry.record import Attempt
from gateway.transport.client import Upstream
from providers.errors import ErrorKind, ProviderError
from providers.types import ChatRequest, Completion, HttpResponse, Usage

log = logging.getLogger("fairlead.shadows")

MOST = 200
"""Copies that may run at once in this process; what is beyond is not sent."""
_STREAMING = frozenset(("stream", "stream_options"))


class Copy(NamedTuple):
    """One copy to send."""

    route: Route
    target: RouteTarget
    wish: Wish
    request_id: str


class Shadows:
    """All copies of this process. `observe` is told of each one when it is over."""

    def __init__(
        self, upstream: Upstream, board: Board, books: Books, clock: Clock, observe: Callable[[Attempt], None]
    ) -> None:
        self._upstream = upstream
        self._board = board
        self._books = books
        self._clock = clock
        self._observe = observe
        self._running: set[asyncio.Task[None]] = set()

    def send(self, route: Route, traits: Traits, wish: Wish, request_id: str) -> None:
        """Start the copies this request is drawn for; returns at once."""
        now = self._clock.monotonic()
        for target in terms.shadows(route, traits):
            seen = self._board.known.get(target.id, health.NEW)
            if len(self._running) < MOST and health.is_open_to(seen, now):
                task = asyncio.create_task(self._send(Copy(route, target, wish, request_id)))
                self._running.add(task)
                task.add_done_callback(self._over)

    async def stop(self) -> None:
        """Let go of the copies that still run."""
        running = list(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def _over(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("unexpected error in a shadow copy", exc_info=error)

    async def _send(self, copy: Copy) -> None:
        target, clock = copy.target, self._clock
        attempt = Attempt(
            target=target.id,
            provider=target.target.provider,
            model=target.target.model,
            operation=copy.wish.operation.name,
            number=1,
            kind="shadow",
            started=clock.monotonic(),
        )
        self._board.start(target, attempt.started)
        tokens = 0
        try:
            answer = await self._ask(copy, attempt)
            self._board.answered(target, clock.monotonic(), clock.monotonic() - attempt.started, whole=True)
            if answer.usage is not None:
                tokens = answer.usage.output
                self._book(copy, attempt, answer.usage)
        except ProviderError as error:
            attempt.error = str(error.kind)
            self._board.fail(target, error, copy.route.shadows)
        except asyncio.CancelledError:
            attempt.error = "cancelled"
            raise
        finally:
            attempt.ended = clock.monotonic()
            spent = 0.0 if attempt.error else attempt.ended - attempt.started
            self._board.end(target, attempt.ended, tokens, spent, whole=True)
            self._observe(attempt)

    async def _ask(self, copy: Copy, attempt: Attempt) -> Completion:
        target, wish = copy.target, copy.wish
        spoken = wish.operation.dialects.get(target.target.dialect)
        request = _unstreamed(wish.request)
        if spoken is None or (
            spoken.media_urls is not None and isinstance(request, ChatRequest) and spoken.media_urls(request)
        ):
            raise ProviderError(ErrorKind.UNSUPPORTED, f"`{target.id}` gets no copy of this.", sent=False)
        http = spoken.build(request, target.target)
        attempt.url = http.url
        timeouts = target.timeouts
        deadline = asyncio.get_running_loop().time() + timeouts.total
        answer = await self._upstream.send(
            http, connect=timeouts.connect, headers=timeouts.total, deadline=deadline
        )
        try:
            attempt.status = answer.status
            body = await answer.read()
        finally:
            answer.close()
        response = HttpResponse(status=answer.status, headers=answer.headers, body=body)
        if answer.status >= 300:
            raise spoken.error(response)
        return spoken.read(request, target.target, response)

    def _book(self, copy: Copy, attempt: Attempt, usage: Usage) -> None:
        target = copy.target
        attempt.usage, attempt.cost = usage, cost.bill(target.price, usage)
        self._books.enter(
            Entry(
                source=f"{copy.request_id} {target.id}",
                kind="shadow",
                caller="",
                organisation="",
                model=copy.route.model,
                target=target.id,
                input_tokens=usage.input,
                output_tokens=usage.output,
                nano_dollars=attempt.cost,
                created_at=self._clock.now(),
            )
        )


def _unstreamed(request: Request) -> Request:
    if not isinstance(request, ChatRequest):
        return request
    body = {name: value for name, value in request.body.items() if name not in _STREAMING}
    return replace(request, stream=False, body=body)
