"""Scripted providers of every chat dialect; what they answer are the recorded fixtures."""

import asyncio
import json
import threading
from pathlib import Path
from typing import Any

from tests.transport.faulty import Faulty, Peer, Seen, Step, answer, chunked, send

DIALECTS = ("openai", "anthropic", "gemini")
MODELS = {"openai": "gpt-4.1-mini", "anthropic": "claude-haiku-4-5", "gemini": "gemini-3.8-flash"}
"""A model of each dialect that takes every parameter of its dialect."""

FIXTURES = Path(__file__).parent / "fixtures" / "chat"
JSON = {"content-type": "application/json"}
EVENTS = {"content-type": "text/event-stream"}


def fixture(name: str) -> Any:
    """A JSON fixture, decoded; `name` is `folder/file`."""
    return json.loads((FIXTURES / name).read_bytes())


def events(name: str) -> list[bytes]:
    """The events of a streamed fixture, each with its blank line."""
    return [event + b"\n\n" for event in (FIXTURES / name).read_bytes().rstrip(b"\n").split(b"\n\n")]


def whole(name: str) -> bytes:
    """The HTTP answer of a JSON fixture; one of an error is sent with its own status and headers."""
    found = fixture(name)
    if ".error." not in name.replace("/", "."):
        return answer((FIXTURES / name).read_bytes(), headers=JSON)
    body = found["body_text"] if "body_text" in found else json.dumps(found["body"])
    return answer(body.encode(), f"{found['status']} Refused", found.get("headers", {}))


def streamed(*pieces: bytes) -> bytes:
    """The HTTP answer of a stream that ends cleanly, each piece in a chunk of its own."""
    return chunked(*pieces, headers=EVENTS)


def cut(*pieces: bytes) -> bytes:
    """A stream that is not over."""
    return streamed(*pieces).removesuffix(b"0\r\n\r\n")


def after(event: threading.Event) -> Step:
    """Go on when a test on another thread sets the event."""

    async def step(_: Peer) -> None:
        await asyncio.to_thread(event.wait, 5)

    return step


class Provider(Faulty):
    """A server that speaks one dialect. `always`, `next` and `requests` are Faulty's."""

    def __init__(self, dialect: str) -> None:
        super().__init__()
        self.dialect = dialect

    def gives(self, *names: str) -> None:
        """Answer the next requests with these fixtures: `tools.stream.sse`, or `groq/chat.stream.sse`."""
        for name in names:
            self.next(self.step(name))

    def step(self, name: str) -> Step:
        """Send one fixture."""
        path = name if "/" in name else f"{self.dialect}/{name}"
        return send(streamed(*events(path)) if name.endswith(".sse") else whole(path))

    def gives_body(self, body: Any) -> None:
        """Answer the next request with this JSON."""
        self.next(send(answer(json.dumps(body).encode(), headers=JSON)))

    def forget(self) -> None:
        """Forget what was seen and what was planned."""
        self.always(send(answer()))
        self._plans.clear()
        self.requests.clear()

    @property
    def last(self) -> Seen:
        """The latest request."""
        return self.requests[-1]

    @property
    def asked(self) -> Any:
        """The body of the latest request."""
        return json.loads(self.last.body)
