"""A recorded answer cut at every byte: it is complete, or it is an error, and never something between."""

import asyncio

from providers.errors import ErrorKind, ProviderError
from tests.transport.calls import calling, outcome
from tests.transport.faulty import Faulty, Step, answer, chunked, close, reset, send
from tests.transport.loops import both_loops

BODY = b'{"id":"1"}'
RECORDED = {
    "length": (answer(BODY, headers={"content-type": "application/json"}), BODY),
    "chunks": (chunked(b"data: a\n\n", b"data: b\n\n", trailers={"x-sum": "1"}), b"data: a\n\ndata: b\n\n"),
    "interim": (b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n" + answer(BODY), BODY),
}


async def _cut_everywhere(ending: Step) -> None:
    async with Faulty() as server, calling() as upstream:
        for whole, body in RECORDED.values():
            for length in range(len(whole) + 1):
                server.next(send(whole[:length]), ending)
                got = await outcome(upstream, server.url)
                if length == len(whole):
                    assert got == body
                else:
                    assert isinstance(got, ProviderError), whole[:length]
                    assert got.kind is ErrorKind.UNAVAILABLE
                    assert got.sent
        assert len(server.requests) == server.connections


@both_loops()
async def test_a_clean_close_at_any_byte_never_looks_complete() -> None:
    await _cut_everywhere(close())


@both_loops()
async def test_a_reset_at_any_byte_never_looks_complete() -> None:
    await _cut_everywhere(reset())


@both_loops()
async def test_an_answer_may_come_in_pieces_split_anywhere() -> None:
    async with Faulty() as server, calling() as upstream:
        for whole, body in RECORDED.values():
            for length in range(1, len(whole)):
                server.next(send(whole[:length]), _breath, send(whole[length:]))
                assert await outcome(upstream, server.url) == body
        assert server.connections == 1


async def _breath(_: object) -> None:
    await asyncio.sleep(0)  # two writes, mostly two reads at the other end


@both_loops()
async def test_a_body_without_a_length_is_complete_only_after_a_clean_close() -> None:
    async with Faulty() as server, calling() as upstream:
        server.next(send(b"HTTP/1.1 200 OK\r\n\r\nsome"), close())
        assert await outcome(upstream, server.url) == b"some"
        server.next(send(b"HTTP/1.1 200 OK\r\n\r\nsome"), reset())
        assert isinstance(await outcome(upstream, server.url), ProviderError)
