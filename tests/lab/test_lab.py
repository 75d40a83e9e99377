"""The laboratory does what it says: a fault that is none would make every test on it true."""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.faults import DELAY, TcpProxy
from tests.lab.speech import ANSWER, FAILURES
from tests.lab.upstream import HALF, HTML, Act, Upstream
from tests.upstreams import DIALECTS

every_dialect = pytest.mark.parametrize("dialect", DIALECTS)


async def asked(up: Upstream, act: Act, *, stream: bool = True, port: int = 0) -> tuple[bytes, str]:
    """All bytes of the answer to a question, and how it ended: `open`, `closed` or `reset`."""
    up.plays(act)
    key = "contents" if up.dialect == "gemini" else "messages"
    message = {"role": "user", "content": "Hello", "parts": [{"text": "Hello"}]}
    body = json.dumps({key: [message], "stream": stream}).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", port or up.port)
    writer.write(b"POST / HTTP/1.1\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
    came, ending = b"", "closed"
    try:
        async with asyncio.timeout(1.0 if act.then == "stall" else 10.0):
            while not complete(came) and (piece := await reader.read(65_536)):
                came += piece
    except TimeoutError:
        ending = "open"
    except ConnectionResetError:
        ending = "reset"
    writer.transport.abort()
    return came, ending


def complete(came: bytes) -> bool:
    """Whether that is a whole HTTP answer."""
    head, _, body = came.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head)
    return bool(body) and (len(body) >= int(length[1]) if length else body.endswith(b"0\r\n\r\n"))


@asynccontextmanager
async def upstream(dialect: str = "openai") -> AsyncIterator[Upstream]:
    async with Upstream(dialect) as up:
        yield up


@every_dialect
async def test_it_says_the_answer_and_what_it_used(dialect: str) -> None:
    async with upstream(dialect) as up:
        streamed, _ = await asked(up, Act())
        whole, _ = await asked(up, Act(), stream=False)
        assert ANSWER.encode() in whole
        assert streamed.endswith(b"0\r\n\r\n")
        assert all(word.encode() in streamed for word in ANSWER.split())
        assert [(one.said, one.told, one.asked) for one in up.served] == [(60, True, 20)] * 2


@every_dialect
@pytest.mark.parametrize("error", FAILURES)
async def test_it_refuses_in_its_own_words(dialect: str, error: str) -> None:
    async with upstream(dialect) as up:
        came, _ = await asked(up, Act(error=error, retry_after=2))
        assert came.startswith(b"HTTP/1.1 %d " % FAILURES[error].status)
        assert b"retry-after: 2\r\n" in came
        assert getattr(FAILURES[error], dialect).encode() in came
        inside, _ = await asked(up, Act(error=error, tokens=3, then="error"))
        assert inside.startswith(b"HTTP/1.1 200 ")
        assert inside.index(b"word-3") < inside.index(FAILURES[error].message.encode())


@every_dialect
@pytest.mark.parametrize(("then", "ending"), [("close", "closed"), ("reset", "reset"), ("stall", "open")])
async def test_it_stops_where_it_is_told_and_as_it_is_told(dialect: str, then: str, ending: str) -> None:
    async with upstream(dialect) as up:
        came, ended = await asked(up, Act(tokens=5, then=then, every=0.002))  # type: ignore[arg-type]
        assert (ended, b"word-6" in came, up.served[-1].told) == (ending, False, False)
        if then != "stall":
            came, ended = await asked(up, Act(size=77, then=then))  # type: ignore[arg-type]
            assert (ended, up.served[-1].told) == (ending, False)
            assert len(came) == 77 or then == "reset"
            assert (await asked(up, Act(size=0, then=then)))[0] == b""  # type: ignore[arg-type]


async def test_it_sends_what_is_no_answer() -> None:
    async with upstream() as up:
        assert (await asked(up, Act(body=HTML)))[0].endswith(HTML)
        assert (await asked(up, Act(body=b"", then="close")))[0].endswith(b"content-length: 0\r\n\r\n")
        junk, _ = await asked(up, Act(junk_at=[9], junk_instead=True))
        assert HALF in junk
        assert b"word-10" not in junk
        assert b"[DONE]" not in (await asked(up, Act(marked=False)))[0]
        came, ended = await asked(up, Act(length=10), stream=False)
        head, _, body = came.partition(b"\r\n\r\n")
        assert f"content-length: {len(body) + 10}".encode() in head
        assert ended == "closed"


async def test_it_takes_its_time() -> None:
    async with upstream() as up:
        for act in (
            Act(headers_after=0.1),
            Act(first_after=0.1),
            Act(every=0.002),
            Act(size=100, drip=0.001),
        ):
            began = time.monotonic()
            await asked(up, act)
            assert time.monotonic() - began >= 0.1, act


async def test_the_proxy_delays() -> None:
    async with upstream() as up, TcpProxy(up.port) as proxy:
        await proxy.set("delay")
        began = time.monotonic()
        came, _ = await asked(up, Act(size=100, then="close"), port=proxy.port)
        assert len(came) == 100
        assert time.monotonic() - began >= 2 * DELAY
