"""A stream on its way through: what the client gets is the same, whoever asks for the next bytes."""

import asyncio
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.snapshot import Timeouts
from gateway.service.stream import Reading
from gateway.transport.answer import Answer
from providers.chat import openai
from providers.errors import ErrorKind, ProviderError
from providers.types import ChatRequest, Target
from tests.answers import WHOLE

TARGET = Target(provider="acme", dialect="openai", base_url="https://acme.example/v1", model="big-1")
REQUEST = ChatRequest(model="fast", body={}, stream=True)
ENDS = st.sampled_from(["whole", "cut", "error"])


class Source:
    """An upstream that feeds pieces when the loop comes round, unless it is paused."""

    def __init__(self) -> None:
        self.paused = self.aborted = False

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False

    def abort(self) -> None:
        self.aborted = True


def begun() -> Answer:
    answer = Answer(
        Source(), "The upstream", asyncio.get_running_loop(), asyncio.get_running_loop().time() + 60
    )
    answer.begin(200, {})
    return answer


async def feed(answer: Answer, pieces: list[bytes], end: str) -> None:
    for piece in pieces:
        answer.feed(piece)
        await asyncio.sleep(0)
    if end == "cut":
        answer.fail(ProviderError(ErrorKind.UNAVAILABLE, "cut"))
    else:
        answer.finish()


async def read(pieces: list[bytes], end: str, taken: list[bool] | None) -> tuple[bytes, str]:
    """All that a client gets, and how it ended. `taken`: what the sink says, one word for each call."""
    answer = begun()
    reading = Reading(answer, openai.chat_stream(REQUEST, TARGET), REQUEST, Timeouts())
    feeding = asyncio.ensure_future(feed(answer, pieces, end))
    got: list[bytes] = []
    words = iter(taken or ())

    def sink(data: bytes) -> bool:
        took = next(words, True)
        if took:
            got.append(data)
        return took

    ended = "complete"
    try:
        await reading.begin()
        while (data := await reading.next()) is not None:
            got.append(data)
            if taken is not None:
                await reading.flow(sink)
    except ProviderError as error:
        ended = error.kind
    finally:
        reading.close()
    await feeding
    return b"".join(got), f"{ended} {reading.finish_reason} {reading.shown}"


@given(st.data(), ENDS, st.lists(st.booleans()))
def test_bytes_that_flow_are_the_bytes_that_are_asked_for(data, end, taken):
    whole = b"".join(WHOLE)
    if end != "whole":
        whole = whole[: data.draw(st.integers(0, len(whole)))]
    if end == "error":
        whole += b'\n\ndata: {"error": {"message": "out of memory", "code": 500}}\n\n'
    marks = sorted({0, len(whole), *data.draw(st.lists(st.integers(0, len(whole)), max_size=8))})
    pieces = [whole[a:b] for a, b in pairwise(marks)]

    async def both() -> None:
        assert await read(pieces, end, taken) == await read(pieces, end, None)

    asyncio.run(both())


async def test_a_tap_is_called_while_its_reader_sleeps_and_what_it_leaves_waits_to_be_read():
    answer, got = begun(), []

    def tap(piece: bytes) -> bool:
        got.append(piece)
        return len(got) < 2

    await answer.opened()
    pouring = asyncio.ensure_future(answer.pour(tap))
    await asyncio.sleep(0)
    answer.feed(b"a")
    assert got == [b"a"]
    answer.feed(b"b")
    answer.feed(b"c")
    answer.finish()
    await pouring
    assert (got, await answer.read()) == ([b"a", b"b"], b"c")


async def test_silence_ends_a_flow_as_it_ends_a_wait():
    answer = begun()
    await answer.opened()
    answer.deadline = asyncio.get_running_loop().time() + 0.01
    await answer.pour(bool)
    with pytest.raises(ProviderError) as raised:
        await answer.read()
    assert raised.value.kind is ErrorKind.TIMEOUT


async def test_whoever_leaves_a_flow_closes_the_upstream():
    source = Source()
    answer = Answer(
        source, "The upstream", asyncio.get_running_loop(), asyncio.get_running_loop().time() + 60
    )
    answer.begin(200, {})
    await answer.opened()
    pouring = asyncio.ensure_future(answer.pour(bool))
    await asyncio.sleep(0)
    pouring.cancel()
    await asyncio.wait([pouring])
    assert source.aborted
