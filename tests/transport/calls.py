"""The three ways a call may leave, behind the same face, and short words for making one."""

import contextlib
from collections.abc import AsyncIterator, Callable

import httpx2

from gateway.transport.client import Answer, Upstream
from gateway.transport.keepalive import KeepAliveTransport
from providers.errors import ProviderError
from providers.types import HttpRequest

WAYS: dict[str, Callable[[], Upstream]] = {
    "own": Upstream,
    "httpx2": lambda: Upstream(stock=httpx2.AsyncHTTPTransport()),
    "own through httpx2": lambda: Upstream(stock=KeepAliveTransport()),
}


@contextlib.asynccontextmanager
async def calling(way: str = "own") -> AsyncIterator[Upstream]:
    """An upstream client that is closed at the end."""
    upstream = WAYS[way]()
    try:
        yield upstream
    finally:
        await upstream.close()


def post(url: str, body: bytes = b"{}") -> HttpRequest:
    """The smallest useful request."""
    return HttpRequest(method="POST", url=url, headers={"content-type": "application/json"}, body=body)


async def ask(upstream: Upstream, url: str, headers: float = 5.0, deadline: float | None = None) -> Answer:
    """Send the smallest useful request."""
    return await upstream.send(post(url), connect=2.0, headers=headers, deadline=deadline)


async def collect(answer: Answer) -> tuple[bytes, ProviderError | None]:
    """Everything that came by iteration, and how it ended."""
    pieces = []
    try:
        async for piece in answer:
            pieces.append(piece)  # noqa: PERF401 - what came before an error counts
    except ProviderError as error:
        return b"".join(pieces), error
    finally:
        answer.close()
    return b"".join(pieces), None


async def outcome(upstream: Upstream, url: str) -> bytes | ProviderError:
    """The whole body of one call, or what went wrong."""
    try:
        answer = await ask(upstream, url)
        try:
            return await answer.read()
        finally:
            answer.close()
    except ProviderError as error:
        return error
