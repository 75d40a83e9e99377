"""The edge: what a server must refuse before any of our code looks at a request, and how bodies are read.

uvicorn's parser lets two Host headers, no Host at all, and a body that never comes through; this closes
those gaps (RELIABILITY, measured 2026-11-20).
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, TypeAlias, cast

from gateway.api.render import error_body, error_headers
from gateway.api.server import PIECES, WHOLE
from gateway.errors import GatewayError, InvalidRequest, TooLarge
from gateway.lines import Lines, lines, pairs

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[object]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

MAX_HEADERS = 100
MAX_HEADER_BYTES = 32_768
BODY_IDLE_SECONDS = 20.0
"""How long a client may take between two pieces of its request body."""
READER_IDLE_SECONDS = 60.0
"""How long a client may leave a piece of a streamed answer unread."""
MAX_JSON_BODY = 32 * 1024 * 1024


class ClientGone(Exception):
    """The client closed its connection before it had sent its request."""


class HeadersTooLarge(InvalidRequest):
    """More header bytes or fields than allowed."""

    status = 431
    code = "headers_too_large"


class BodyTimeout(InvalidRequest):
    """The rest of the body did not come in time."""

    status = 408
    code = "request_timeout"


class Edge:
    """The whole ASGI app: `direct` endpoints by path, and `ordinary` for all else, behind the edge's rules."""

    def __init__(self, ordinary: App, direct: Mapping[str, App]) -> None:
        self.ordinary = ordinary
        self.direct = direct

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or the server's lifespan."""
        if scope["type"] == "http":
            refused = _refuse(scope["headers"])
            if refused is not None:
                await send_error(send, scope, refused, "", close=True)
                return
            path = scope["path"]
            if path in self.direct:
                await self.direct[path](scope, receive, send)
                return
        await self.ordinary(scope, receive, send)


def _refuse(headers: list[tuple[bytes, bytes]]) -> GatewayError | None:
    fields = dict(headers)
    size = len(b"".join((*fields, *fields.values())))
    if not fields.get(b"host"):
        return _bad_host()
    if len(fields) != len(headers) or b"transfer-encoding" in fields:  # rare: something is said twice
        size = sum(len(name) + len(value) for name, value in headers)
        names = [name for name, _ in headers]
        lengths = names.count(b"content-length")
        if names.count(b"host") > 1:
            return _bad_host()
        if lengths > 1 or (lengths and b"transfer-encoding" in fields):
            return InvalidRequest("The length of the body is ambiguous.", code="bad_framing")
    if size > MAX_HEADER_BYTES or len(headers) > MAX_HEADERS:
        return HeadersTooLarge(f"Headers are limited to {MAX_HEADERS} fields and {MAX_HEADER_BYTES} bytes.")
    return None


def _bad_host() -> GatewayError:
    return InvalidRequest("A request must carry exactly one Host header.", code="bad_host")


async def read_body(receive: Receive, watch: "Watch", limit: int = MAX_JSON_BODY) -> bytes:
    """The whole request body. Raises TooLarge, ClientGone, and BodyTimeout by way of the watch."""
    pieces: list[bytes] = []
    size = 0
    while True:
        try:
            message = await receive()
        except asyncio.CancelledError:
            if not watch.late:
                raise
            raise BodyTimeout(f"No body data came for {BODY_IDLE_SECONDS:.0f} s.") from None
        if message["type"] == "http.disconnect":
            raise ClientGone
        piece = message["body"]
        size += len(piece)
        if size > limit:
            raise TooLarge(f"The body is larger than {limit // (1024 * 1024)} MiB.")
        if not message["more_body"]:
            watch.whole = True
            return b"".join((*pieces, piece)) if pieces else piece
        pieces.append(piece)
        watch.idle = 0.0


async def send_error(
    send: Send, scope: Scope, error: GatewayError, request_id: str, *, close: bool = False
) -> None:
    """The whole error reply, in one write unless it ends the connection."""
    headers, body = error_headers(error, request_id), error_body(error)
    if close or isinstance(error, BodyTimeout):  # what comes after all would be waited for again
        headers.append((b"connection", b"close"))
    elif scope["method"] != "HEAD":  # whose answer has no body
        await send_whole(send, scope, error.status, lines(headers), body)
        return
    headers.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def send_whole(send: Send, scope: Scope, status: int, head: Lines, body: bytes) -> None:
    """A reply whose body is known, in one write where the server can."""
    if "extensions" in scope and WHOLE in scope["extensions"]:
        await send({"type": WHOLE, "status": status, "lines": head, "body": body})
        return
    headers = [*pairs(head), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def taker(send: Send, scope: Scope) -> Callable[[bytes], bool] | None:
    """What takes a piece of this request's streamed body without any waiting, where the server can."""
    if PIECES not in scope.get("extensions", ()):
        return None
    return cast("Callable[[bytes], bool]", await send({"type": PIECES}))


class Attendance:
    """Looks after all requests in hand with one timer, so that none of them needs timers of its own."""

    TICK = 0.25

    def __init__(self) -> None:
        self.present: dict[Watch, None] = {}
        self._ticking = False

    def watch(self, receive: Receive) -> "Watch":
        """Look after the request that this task serves, until `Watch.stop`."""
        made = Watch(self, receive)
        self.present[made] = None
        if not self._ticking:
            self._ticking = True
            asyncio.get_running_loop().call_later(self.TICK, self._tick)
        return made

    def _tick(self) -> None:
        for watch in list(self.present):
            watch.look(self.TICK)
        self._ticking = bool(self.present)
        if self._ticking:
            asyncio.get_running_loop().call_later(self.TICK, self._tick)


class Watch:
    """Cancels the serving task when its body stops coming, and later when the client leaves.

    `late` and `gone` tell the two, and both from a cancellation that is not ours. Set `idle` to 0 with each
    piece of the body or the reply, `whole` when the body is all there, and `sending` while a piece of the reply
    goes out: who does not read for READER_IDLE_SECONDS has left. Listening for the client's leaving begins with the
    first look after that: most answers are out before it and never pay for it.
    """

    __slots__ = (
        "_attendance",
        "_listener",
        "_receive",
        "_serving",
        "gone",
        "idle",
        "late",
        "sending",
        "whole",
    )

    def __init__(self, attendance: Attendance, receive: Receive) -> None:
        self._attendance = attendance
        self._receive = receive
        self._serving = asyncio.current_task()
        self._listener: asyncio.Task[None] | None = None
        self.gone = self.late = self.sending = self.whole = False
        self.idle = 0.0

    def look(self, passed: float) -> None:
        """Some time has passed."""
        self.idle += passed
        if self.whole:
            if self._listener is None:
                self._listener = asyncio.ensure_future(self._listen())
            if self.sending and self.idle > READER_IDLE_SECONDS and not self.gone:
                self.gone = True
                self._cancel()
            return
        if self.idle > BODY_IDLE_SECONDS and not self.late:
            self.late = True
            self._cancel()

    def stop(self) -> None:
        """The answer is out, or nobody wants it."""
        del self._attendance.present[self]
        if self._listener is not None:
            self._listener.cancel()
            self._listener = None  # its end leads back to here: who holds himself waits for the collector

    async def _listen(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.gone = True
        self._cancel()

    def _cancel(self) -> None:
        if self._serving is not None:
            self._serving.cancel()
