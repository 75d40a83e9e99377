"""What holds for every transport that may carry a call: ours, httpx2's, and ours spoken to through httpx2."""

import asyncio
import gzip
import zlib

import pytest

from providers.errors import ErrorKind, ProviderError
from providers.types import HttpRequest
from tests.transport.calls import WAYS, ask, calling, collect, outcome, post
from tests.transport.faulty import (
    Faulty,
    answer,
    chunked,
    close,
    drip,
    half_close,
    reset,
    send,
    tell,
    until_left,
    wait,
)

every_way = pytest.mark.parametrize("way", WAYS)

DAMAGED = {
    "not HTTP": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "length is no number": b"HTTP/1.1 200 OK\r\ncontent-length: ten\r\n\r\n0123456789",
    "status is none": b"HTTP/1.1 000 OK\r\ncontent-length: 0\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
    "chunk size is no number": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nab\r\n",
}


@every_way
async def test_an_answer_is_read_whole(way: str) -> None:
    async with Faulty() as server, calling(way) as upstream:
        server.next(send(answer(b"hello", headers={"Content-Type": "text/plain", "X-Request-ID": "1"})))
        got = await upstream.send(post(server.url + "/v1/chat?x=1", b'{"a":1}'), connect=2, headers=5)
        assert (got.status, await got.read()) == (200, b"hello")
        assert got.headers["content-type"] == "text/plain"
        assert got.headers["x-request-id"] == "1"
        seen = server.requests[0]
        assert (seen.line, seen.body) == ("POST /v1/chat?x=1 HTTP/1.1", b'{"a":1}')
        assert seen.headers["host"] == server.url.removeprefix("http://")
        assert seen.headers["accept-encoding"] == "identity"
        assert seen.headers["user-agent"].startswith("fairlead/")


@every_way
async def test_pieces_come_as_they_are_sent(way: str) -> None:
    go = asyncio.Event()
    async with Faulty() as server, calling(way) as upstream:
        whole = chunked(b"data: 1\n\n", b"data: 2\n\n")
        cut = whole.index(b"data: 1\n\n") + 11
        server.next(send(whole[:cut]), wait(go), send(whole[cut:]))
        got = await ask(upstream, server.url)
        pieces = aiter(got)
        assert await anext(pieces) == b"data: 1\n\n"
        go.set()
        assert await anext(pieces) == b"data: 2\n\n"
        assert await anext(pieces, None) is None


@every_way
async def test_connections_are_used_again(way: str) -> None:
    async with Faulty() as server, calling(way) as upstream:
        for _ in range(5):
            server.next(send(answer(b"x" * 10_000)))
            assert await outcome(upstream, server.url) == b"x" * 10_000
        server.next(send(chunked(b"a", b"b")))
        assert await collect(await ask(upstream, server.url)) == (b"ab", None)
        assert await outcome(upstream, server.url) == b""
        assert server.connections == 1


@every_way
async def test_a_connection_the_server_wants_closed_is_not_used_again(way: str) -> None:
    async with Faulty() as server, calling(way) as upstream:
        for _ in range(3):
            server.next(send(answer(b"x", headers={"connection": "close"})))
            assert await outcome(upstream, server.url) == b"x"
        assert server.connections == 3


@every_way
async def test_a_body_without_a_length_ends_with_its_connection(way: str) -> None:
    async with Faulty() as server, calling(way) as upstream:
        server.next(send(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nall of it"), close())
        assert await outcome(upstream, server.url) == b"all of it"


@every_way
@pytest.mark.parametrize("ending", [close, reset, half_close])
@pytest.mark.parametrize("whole", [answer(b"0123456789"), chunked(b"01234", b"56789")])
async def test_a_cut_body_is_an_error_after_what_came(way: str, ending: object, whole: bytes) -> None:
    assert callable(ending)
    async with Faulty() as server, calling(way) as upstream:
        taken = asyncio.Event()
        server.next(send(whole[:-7]), wait(taken), ending())
        got = await ask(upstream, server.url)
        first = await anext(aiter(got))
        assert first
        taken.set()
        rest, error = await collect(got)
        assert error is not None
        assert error.kind is ErrorKind.UNAVAILABLE
        assert error.sent
        assert b"0123456789".startswith(first + rest)


@every_way
async def test_nobody_listening_is_unavailable_and_certainly_unsent(way: str) -> None:
    async with Faulty() as server:
        gone = server.url
    async with calling(way) as upstream:
        error = await outcome(upstream, gone)
        assert isinstance(error, ProviderError)
        assert (error.kind, error.sent, error.status) == (ErrorKind.UNAVAILABLE, False, None)


@every_way
async def test_a_connection_closed_without_a_word_is_unavailable(way: str) -> None:
    async with Faulty() as server, calling(way) as upstream:
        server.always(close())
        error = await outcome(upstream, server.url)
        assert isinstance(error, ProviderError)
        assert (error.kind, error.sent) == (ErrorKind.UNAVAILABLE, True)
        assert len(server.requests) == 1


@every_way
@pytest.mark.parametrize("damage", DAMAGED)
async def test_what_is_not_http_is_a_protocol_error(way: str, damage: str) -> None:
    async with Faulty() as server, calling(way) as upstream:
        server.next(send(DAMAGED[damage]), until_left())
        error = await outcome(upstream, server.url)
        assert isinstance(error, ProviderError)
        assert error.kind is ErrorKind.PROTOCOL
        await server.all_closed()


@every_way
async def test_headers_that_do_not_come_in_time_are_a_timeout(way: str) -> None:
    left = asyncio.Event()
    async with Faulty() as server, calling(way) as upstream:
        server.next(drip(answer(b"x"), every=0.05), until_left(left))
        with pytest.raises(ProviderError) as caught:
            await upstream.send(post(server.url), connect=0.1, headers=0.1)
        assert (caught.value.kind, caught.value.sent) == (ErrorKind.TIMEOUT, True)
        await server.all_closed()


@every_way
async def test_silence_within_a_body_is_a_timeout(way: str) -> None:
    left = asyncio.Event()
    async with Faulty() as server, calling(way) as upstream:
        server.next(send(answer(b"hello world")[:-5]), until_left(left))
        got = await ask(upstream, server.url)
        got.deadline = asyncio.get_running_loop().time() + 0.1
        body, error = await collect(got)
        assert body == b"hello "
        assert error is not None
        assert error.kind is ErrorKind.TIMEOUT
        await asyncio.wait_for(left.wait(), 1)


@every_way
@pytest.mark.parametrize("moment", ["headers", "body", "read"])
async def test_cancelling_the_caller_closes_the_upstream_at_once(way: str, moment: str) -> None:
    reached, left = asyncio.Event(), asyncio.Event()
    begun = b"" if moment == "headers" else answer(b"hello")[:-1]

    async with Faulty() as server, calling(way) as upstream:
        server.next(send(begun), *([tell(reached)] if moment == "headers" else []), until_left(left))

        async def caller() -> None:
            got = await ask(upstream, server.url)
            asyncio.get_running_loop().call_soon(reached.set)
            await (got.read() if moment == "read" else collect(got))

        task = asyncio.create_task(caller())
        await reached.wait()
        task.cancel()
        await asyncio.wait_for(left.wait(), 1)
        with pytest.raises(asyncio.CancelledError):
            await task


@every_way
async def test_closing_an_unread_answer_closes_the_upstream(way: str) -> None:
    left = asyncio.Event()
    async with Faulty() as server, calling(way) as upstream:
        server.next(send(answer(b"hello")[:-1]), until_left(left))
        got = await ask(upstream, server.url)
        got.close()
        got.close()
        await asyncio.wait_for(left.wait(), 1)
        with pytest.raises(ProviderError):
            await got.read()


@every_way
@pytest.mark.parametrize("coding", ["gzip", "deflate", "raw deflate"])
@pytest.mark.parametrize("iterate", [True, False])
async def test_a_compressed_body_is_unpacked(way: str, coding: str, iterate: bool) -> None:
    text = b"".join(b"data: %d\n\n" % number for number in range(50_000))
    packed = {
        "gzip": gzip.compress(text[:100_000]) + gzip.compress(text[100_000:]),
        "deflate": zlib.compress(text),
        "raw deflate": zlib.compress(text)[2:-4],
    }[coding]
    async with Faulty() as server, calling(way) as upstream:
        server.next(send(answer(packed, headers={"content-encoding": coding.removeprefix("raw ")})))
        got = await ask(upstream, server.url)
        assert ((await collect(got))[0] if iterate else await got.read()) == text


@every_way
async def test_redirects_are_answers_like_any_other(way: str) -> None:
    async with Faulty() as server, calling(way) as upstream:
        server.next(send(answer(b"", "302 Found", {"location": server.url + "/secret"})))
        assert (await ask(upstream, server.url)).status == 302
        assert len(server.requests) == 1


@every_way
async def test_a_body_over_the_limit_is_refused(way: str) -> None:
    async with Faulty() as server, calling(way) as upstream:
        server.next(send(answer(b"x" * 100_001)))
        got = await ask(upstream, server.url)
        with pytest.raises(ProviderError, match="more than 100000 bytes"):
            await got.read(100_000)


@every_way
@pytest.mark.parametrize(
    "headers",
    [
        {"a": "1\r\nb: 2"},
        {"a": "1\nb: 2"},
        {"a": "1\0"},
        {"a\r\nb": "1"},
        {"a: 1\r\nb": "2"},
        {"a b": "1"},
        {"": "1"},
        {"a": "€"},
    ],
)
async def test_a_header_that_could_end_the_line_is_never_sent(way: str, headers: dict[str, str]) -> None:
    async with Faulty() as server, calling(way) as upstream:
        with pytest.raises(ProviderError) as caught:
            await upstream.send(
                HttpRequest(method="POST", url=server.url, headers=headers), connect=1, headers=1
            )
        assert (caught.value.kind, caught.value.sent) == (ErrorKind.UNAVAILABLE, False)
        assert server.connections == 0
