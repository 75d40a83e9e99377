"""The chat and embeddings endpoints: a plain ASGI function, since every microsecond of them counts.

Order of things: who (key), what (body), the story, the reply, the record. The client's leaving cancels the
story, which closes the upstream.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import NamedTuple, NoReturn, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from gateway.api.auth import authenticate
from gateway.api.edge import (
    Attendance,
    ClientGone,
    Receive,
    Scope,
    Send,
    Watch,
    read_body,
    send_error,
    send_whole,
    taker,
)
from gateway.api.hints import REGION, SESSION, TAGS, hints_in
from gateway.api.render import error_event
from gateway.clock import Clock
from gateway.errors import GatewayError, InvalidRequest, MethodNotAllowed, Unavailable
from gateway.lines import pairs
from gateway.service.chat import Chat, Reply
from gateway.service.keys import KeyRing
from gateway.service.wish import Wish
from gateway.telemetry.record import Call
from gateway.telemetry.recorder import Recorder

ReadWish: TypeAlias = Callable[..., Wish]

_JSON = b"content-type: application/json\r\n"
_EVENTS = (
    b"content-type: text/event-stream; charset=utf-8\r\n",
    b"cache-control: no-cache\r\n",
    b"x-accel-buffering: no\r\n",
)
log = logging.getLogger("fairlead.api")

STOPPING = "The gateway is shutting down; try again."
BROKEN = "The gateway failed to serve this request."
_YES = (b"true", b"True", b"1")
CLIENT_GONE = 499
"""The status in our own records for a client that left; nobody receives it."""


class Door(Struct, frozen=True, kw_only=True):
    """What an endpoint of this kind needs."""

    chat: Chat
    ring: KeyRing
    recorder: Recorder
    clock: Clock


class Endpoint:
    """The ASGI app of one endpoint. `route` is its template, `read` turns a body into a wish."""

    def __init__(self, door: Door, route: str, read: ReadWish) -> None:
        self._door = door
        self._route = route
        self._read = read
        self._attendance = Attendance()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, whatever becomes of it, and end its record."""
        headers = dict(scope["headers"])
        recorder, method = self._door.recorder, scope["method"]
        parent = headers[b"traceparent"] if b"traceparent" in headers else None  # noqa: SIM401 - one call less
        call = recorder.begin(method, self._route, scope["path"], parent)
        watch = self._attendance.watch(receive)
        try:
            if method != "POST":
                raise MethodNotAllowed(f"{self._route} only takes POST.", headers={"allow": "POST"})
            caller = authenticate(self._door.ring, headers)
            call.key_id, call.organisation = caller.id, caller.organisation
            reply = await self._door.chat.serve(call, caller, await self._wish(headers, receive, watch))
            await _send(send, scope, call, Outgoing(reply, watch))
        except GatewayError as error:
            call.status, call.error = error.status, error.code
            await send_error(send, scope, error, call.request_id, close=not watch.whole)
        except ClientGone:
            call.status, call.disconnected = CLIENT_GONE, True
        except asyncio.CancelledError:
            if not watch.gone:
                await _stopped(send, scope, call)
            call.status, call.disconnected = CLIENT_GONE, True
        except Exception:  # the one place where a bug of ours becomes an answer
            log.exception("unexpected error at %s", self._route)
            began, call.status, call.error = call.status, 500, "internal_error"
            if began:
                raise  # the reply has begun: the server cuts the connection, so that it looks broken
            await send_error(send, scope, GatewayError(BROKEN, code="internal_error"), call.request_id)
        finally:
            watch.stop()
            recorder.end(call)

    async def _wish(self, headers: Mapping[bytes, bytes], receive: Receive, watch: Watch) -> Wish:
        body = await read_body(receive, watch)
        if b"content-type" in headers and headers[b"content-type"] != b"application/json":
            _check_type(headers[b"content-type"])
        strict = b"x-fairlead-strict" in headers and headers[b"x-fairlead-strict"] in _YES
        wish = self._read(body, int(self._door.clock.now()), strict=strict)
        if TAGS in headers or REGION in headers or SESSION in headers:
            wish = replace(wish, hints=hints_in(headers))
        return wish


async def _stopped(send: Send, scope: Scope, call: Call) -> NoReturn:
    """The server stops and cannot wait any longer: say so, unless a reply has begun, which is then cut."""
    call.truncated, call.error = bool(call.status), "shutdown"
    if not call.status:
        call.status = 503
        await send_error(send, scope, Unavailable(STOPPING, retry_after=1), call.request_id, close=True)
    raise asyncio.CancelledError


def _check_type(content_type: bytes) -> None:
    if b"json" not in content_type.lower():
        raise InvalidRequest(
            f"content-type is `{content_type.decode('latin-1')[:100]}`; this endpoint takes `application/json`.",
            code="unsupported_content_type",
        )


class Outgoing(NamedTuple):
    """A reply, and the watch that ends it when the client stops reading."""

    reply: Reply
    watch: Watch


async def _send(send: Send, scope: Scope, call: Call, outgoing: Outgoing) -> None:
    reply, watch = outgoing
    lines = reply.headers
    lines += (b"x-request-id: %b\r\n" % call.request_id.encode(),)
    call.status = 200
    try:
        if not reply.streamed:
            lines += (_JSON,)
            await send_whole(send, scope, 200, lines, reply.body)
            return
        lines += _EVENTS
        await send({"type": "http.response.start", "status": 200, "headers": pairs(lines)})
        take = await taker(send, scope)
        try:
            while (piece := await reply.next()) is not None:
                watch.idle, watch.sending = 0.0, True
                await send({"type": "http.response.body", "body": piece, "more_body": True})
                watch.sending = False
                if take is not None:
                    await reply.flow(take)
        except GatewayError as error:
            call.error = error.code
            await send({"type": "http.response.body", "body": error_event(error), "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    finally:
        await reply.settle()
