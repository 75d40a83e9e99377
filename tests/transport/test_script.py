"""Scripted answers: the same face as a real one, without any network."""

import asyncio
import time

import pytest

from gateway.transport.answer import HIGH_WATER
from gateway.transport.script import play
from providers.errors import ErrorKind, ProviderError
from providers.scripted import PREFIX, Script
from tests.transport.calls import calling, collect, post
from tests.transport.loops import both_loops


def script(*pieces: tuple[float, bytes], status: int = 200) -> Script:
    return Script(status=status, headers={"Content-Type": "text/plain"}, pieces=pieces)


@both_loops()
async def test_a_scripted_url_is_answered_without_a_network() -> None:
    async with calling() as upstream:
        body = b'{"model":"demo","messages":[{"role":"user","content":"hi"}]}'
        request = post(PREFIX + "/chat/completions", body)
        got = await upstream.send(request, connect=1, headers=1)
        assert got.status == 200
        assert got.headers["content-type"] == "application/json"
        assert b'"chat.completion"' in await got.read()


@both_loops()
async def test_pieces_come_when_their_time_has() -> None:
    start = time.perf_counter()
    got = play(script((0.0, b"a"), (0.05, b"b"), (0.0, b""), (0.05, b"c")), None)
    assert await anext(aiter(got)) == b"a"
    assert await collect(got) == (b"bc", None)
    assert time.perf_counter() - start > 0.09


@both_loops()
async def test_a_script_that_falls_silent_is_a_timeout() -> None:
    got = play(script((0.0, b"a"), (3600.0, b"b")), asyncio.get_running_loop().time() + 0.05)
    body, error = await collect(got)
    assert body == b"a"
    assert error is not None
    assert error.kind is ErrorKind.TIMEOUT


@both_loops()
async def test_a_closed_or_cancelled_script_stops() -> None:
    before = len(asyncio.all_tasks())
    got = play(script((0.01, b"a"), (0.01, b"b")), None)
    got.close()
    with pytest.raises(ProviderError):
        await got.read()
    reader = asyncio.create_task(play(script((3600.0, b"a")), None).read())
    await asyncio.sleep(0)
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    assert len(asyncio.all_tasks()) == before


@both_loops()
async def test_a_slow_reader_holds_the_script_back() -> None:
    big = b"x" * (HIGH_WATER + 1)
    got = play(script((0.0, big), (0.0, big), (0.001, b"y")), None)
    await asyncio.sleep(0.02)
    assert got._size == len(big)
    assert await collect(got) == (big + big + b"y", None)


@both_loops()
async def test_many_scripts_play_at_once() -> None:
    start = time.perf_counter()
    answers = [play(script(*((0.01, b"x") for _ in range(5)), status=201), None) for _ in range(200)]
    bodies = await asyncio.gather(*(each.read() for each in answers))
    assert bodies == [b"xxxxx"] * 200
    assert time.perf_counter() - start < 5
