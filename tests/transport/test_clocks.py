"""Deadlines: what is late is a timeout within 50 ms, what is not late is left alone."""

import asyncio
import time

import pytest

from gateway.transport.alarm import Alarm
from gateway.transport.answer import Answer
from providers.errors import ErrorKind, ProviderError
from tests.transport.calls import ask, calling, collect, post
from tests.transport.faulty import Faulty, answer, drip, send, until_left
from tests.transport.loops import both_loops

GRACE = 0.05
BUSY = 2.0  # more, for a machine that is doing other things


class Nowhere:
    """A source that does nothing and counts what is asked of it."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def pause(self) -> None:
        self.asked.append("pause")

    def resume(self) -> None:
        self.asked.append("resume")

    def abort(self) -> None:
        self.asked.append("abort")


def begun(deadline: float) -> tuple[Answer, Nowhere]:
    source = Nowhere()
    got = Answer(source, "upstream", asyncio.get_running_loop(), deadline)
    got.begin(200, {})
    return got, source


@both_loops()
async def test_a_missed_deadline_is_noticed_within_50_ms() -> None:
    loop = asyncio.get_running_loop()
    delays = []
    for _ in range(5):
        got, source = begun(loop.time() + 0.03)
        await got.opened()
        due = time.perf_counter() + 0.03
        with pytest.raises(ProviderError) as caught:
            await got.read()
        delays.append(time.perf_counter() - due)
        assert caught.value.kind is ErrorKind.TIMEOUT
        assert source.asked == ["abort"]
    assert min(delays) < GRACE


@both_loops()
async def test_a_deadline_may_be_brought_forward_and_put_off() -> None:
    loop = asyncio.get_running_loop()
    got, _ = begun(loop.time() + 600)
    await got.opened()
    got.deadline = loop.time() + 0.1  # forward
    loop.call_later(0.05, got.feed, b"a")
    assert await anext(aiter(got)) == b"a"
    got.deadline = loop.time() + 600  # and back: the timer rings, and is set anew
    loop.call_later(0.1, got.feed, b"b")
    assert await anext(aiter(got)) == b"b"
    got.deadline = loop.time() + 0.02
    assert (await collect(got))[1] is not None


@both_loops()
async def test_an_alarm_that_one_answer_left_behind_rings_for_the_next_one_in_its_own_time() -> None:
    loop = asyncio.get_running_loop()
    alarm = Alarm(loop)
    source, began = Nowhere(), loop.time()
    first = Answer(source, "upstream", loop, began + 0.03, alarm)
    waiting = asyncio.ensure_future(first.opened())
    await asyncio.sleep(0)
    first.begin(200, {})
    first.finish()
    await waiting
    second = Answer(source, "upstream", loop, began + 0.1, alarm)
    with pytest.raises(ProviderError) as caught:
        await second.opened()
    assert caught.value.kind is ErrorKind.TIMEOUT
    assert loop.time() >= began + 0.1


@both_loops()
async def test_a_slow_reader_is_not_blamed_on_the_upstream() -> None:
    loop = asyncio.get_running_loop()
    got, source = begun(loop.time() + 0.02)
    await got.opened()
    got.feed(b"a")
    await asyncio.sleep(0.05)
    assert await anext(aiter(got)) == b"a"
    assert source.asked == []
    with pytest.raises(ProviderError):
        await anext(aiter(got))  # now it is the upstream that is late


@both_loops()
async def test_one_deadline_bounds_the_whole_of_a_read() -> None:
    loop = asyncio.get_running_loop()
    async with Faulty() as server, calling() as upstream:
        whole = answer(b"x" * 1000)
        server.next(send(whole[:-1000]), drip(whole[-1000:], every=0.01))
        start = time.perf_counter()
        got = await ask(upstream, server.url, deadline=loop.time() + 0.4)
        with pytest.raises(ProviderError) as caught:
            await got.read()
        assert caught.value.kind is ErrorKind.TIMEOUT
        assert time.perf_counter() - start < 0.4 + BUSY
        await server.all_closed()


@both_loops()
async def test_the_deadline_of_a_call_also_bounds_its_headers() -> None:
    async with Faulty() as server, calling() as upstream:
        server.next(until_left())
        start = time.perf_counter()
        with pytest.raises(ProviderError) as caught:
            await ask(upstream, server.url, deadline=asyncio.get_running_loop().time() + 0.1)
        assert caught.value.kind is ErrorKind.TIMEOUT
        assert time.perf_counter() - start < 0.1 + BUSY


@both_loops()
async def test_time_for_headers_does_not_run_on_into_the_body() -> None:
    async with Faulty() as server, calling() as upstream:
        whole = answer(b"0123456789")
        server.next(send(whole[:-10]), drip(whole[-10:], every=0.1, size=2))
        got = await upstream.send(post(server.url), connect=1, headers=0.4)
        assert await collect(got) == (b"0123456789", None)


async def test_a_paused_source_is_resumed_when_the_reader_waits_again() -> None:
    got, source = begun(asyncio.get_running_loop().time() + 5)
    await got.opened()
    got.feed(b"x" * 300_000)
    got.feed(b"y")
    assert source.asked == ["pause"]
    pieces = aiter(got)
    assert len(await anext(pieces)) == 300_001
    assert source.asked == ["pause"]
    asyncio.get_running_loop().call_soon(got.finish)
    assert await anext(pieces, None) is None
    assert source.asked == ["pause", "resume"]
