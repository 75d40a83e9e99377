"""uvicorn's HTTP protocol with two ASGI extensions: a whole reply in one message and one write, and pieces in a call.

The standard way costs two messages, two writes and two regular expressions per header. A reply that we made
ourselves, from values that cannot hold a line break, needs none of that. Nor does a piece of a streamed body need a
coroutine while its reader keeps up. Servers without the extensions get the standard messages: see `edge.py`.
"""

from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from gateway.transport import burst

WHOLE = "fairlead.reply"
"""Name of the extension in `scope["extensions"]`, and type of its message: `status`, `lines` and `body`.

The lines are as `gateway.lines` says, without the length.
"""

PIECES = "fairlead.pieces"
"""Name of the extension, and type of its message: sending it gives `Cycle.take` of the request."""

_EXTENSIONS: dict[str, dict[object, object]] = {WHOLE: {}, PIECES: {}}


class Cycle(RequestResponseCycle):
    """One request and its response."""

    async def send(self, message: Any) -> Any:
        """As ASGI says, and the extensions' messages."""
        if message["type"] == PIECES:
            return self.take
        if message["type"] != WHOLE or self.response_started:
            return await super().send(message)
        if self.disconnected:
            return None
        if self.flow.write_paused:
            await self.flow.drain()
        body, lines = message["body"], b"".join(message["lines"])
        if lines.count(b"\n") != len(message["lines"]) or lines.count(b"\r") != len(message["lines"]):
            raise RuntimeError("a header holds a line break")  # it would be a second response
        for name, value in self.default_headers:
            lines += b"%b: %b\r\n" % (name, value)
        close = b"" if self.keep_alive else b"connection: close\r\n"
        head = b"%b%b%bcontent-length: %d\r\n\r\n" % (
            STATUS_LINE[message["status"]],
            lines,
            close,
            len(body),
        )
        self.response_started = self.response_complete = True
        if self.keep_alive:
            burst.write(self.transport, head + body)
        else:
            self.transport.write(head + body)
            self.transport.close()
        self.message_event.set()
        self.on_response()
        return None

    def take(self, piece: bytes) -> bool:
        """Write a piece of a chunked body that has begun; false, and nothing is written, where that must wait."""
        if self.flow.write_paused or self.disconnected or not self.chunked_encoding:
            return False
        self.transport.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        return True

    async def receive(self) -> Any:
        """As ASGI says; a body that has come whole by now is handed over without any waiting."""
        if self.more_body or not self.body or self.disconnected or self.waiting_for_100_continue:
            return await super().receive()
        body, self.body = self.body, bytearray()
        return {"type": "http.request", "body": bytes(body), "more_body": False}


class Protocol(HttpToolsProtocol):
    """uvicorn's protocol on httptools; what it calls a cycle is ours."""

    def on_headers_complete(self) -> None:
        """The head of a request is there; its task starts when this returns."""
        before = self.cycle
        super().on_headers_complete()
        if self.cycle is not before and self.cycle is not None:
            self.cycle.__class__ = Cycle  # uvicorn names the class in its own module and offers no other way
            self.cycle.scope["extensions"] = _EXTENSIONS

    def shutdown(self) -> None:
        """The server stops: let an answer out that is complete, then close."""
        burst.flush(self.loop)
        super().shutdown()
