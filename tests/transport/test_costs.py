"""What one call may cost, counted rather than timed, so that a change that makes it dearer is noticed."""

import asyncio
import cProfile
import pstats
import threading
from collections.abc import Iterator

import pytest
import uvloop

from tests.transport.calls import calling, post
from tests.transport.faulty import answer

HEADERS = {f"x-header-{number}": "value" for number in range(12)}
ANSWER = answer(b"x" * 1000, headers=HEADERS)
CALLS = 70
"""Python and C functions called for one `send` and `read` over a connection that stands."""


class Prompt(asyncio.Protocol):
    """Answers whatever comes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, _data: bytes) -> None:
        assert isinstance(self._transport, asyncio.WriteTransport)
        self._transport.write(ANSWER)


@pytest.fixture
def prompt_server() -> Iterator[str]:
    """The URL of a server in a thread of its own, where the profiler does not see it."""
    loop, url, up = asyncio.new_event_loop(), "", threading.Event()

    async def serve() -> None:
        nonlocal url
        server = await loop.create_server(Prompt, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/chat/completions"
        up.set()
        async with server:
            await stop.wait()

    stop = asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert up.wait(10)
    yield url
    loop.call_soon_threadsafe(stop.set)
    thread.join()
    loop.close()


def test_a_call_is_made_of_few_steps(prompt_server: str) -> None:
    request = post(prompt_server, b"x" * 1000)

    async def count() -> int:
        async with calling() as upstream:
            counts = []
            for _ in range(20):
                profile = cProfile.Profile()
                profile.enable()
                got = await upstream.send(request, connect=5, headers=5)
                body = await got.read()
                profile.disable()
                assert len(body) == 1000
                counts.append(pstats.Stats(profile).total_calls)
            return min(counts)

    assert uvloop.run(count()) <= CALLS
