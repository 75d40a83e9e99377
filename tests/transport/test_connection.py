"""Our own connections: what they make of servers that are slow, wordy, forgetful or wrong."""

import asyncio

import pytest

from gateway.transport import pool
from gateway.transport.answer import HIGH_WATER
from gateway.transport.connection import HEADER_LIMIT, READ
from providers.errors import ErrorKind, ProviderError
from tests.transport.calls import ask, calling, collect, outcome, post
from tests.transport.faulty import (
    Faulty,
    Peer,
    answer,
    chunked,
    close,
    half_close,
    reset,
    send,
    tell,
    until_left,
    wait,
)
from tests.transport.loops import both_loops


def kind_of(result: object) -> ErrorKind:
    assert isinstance(result, ProviderError), result
    return result.kind


@both_loops()
async def test_the_connection_used_last_serves_next() -> None:
    async with Faulty() as server, calling() as upstream:
        await asyncio.gather(*(outcome(upstream, server.url) for _ in range(4)))
        assert server.connections == 4
        for _ in range(5):
            await outcome(upstream, server.url)
        assert server.connections == 4
        assert len({seen.connection for seen in server.requests[4:]}) == 1


@both_loops()
async def test_an_answer_frees_its_connection_before_anybody_reads_it() -> None:
    async with Faulty() as server, calling() as upstream:
        server.always(send(answer(b"x")))
        first = await ask(upstream, server.url)
        second = await ask(upstream, server.url)
        assert (await first.read(), await second.read()) == (b"x", b"x")
        first.close()
        assert await outcome(upstream, server.url) == b"x"
        assert server.connections == 1


@both_loops()
async def test_a_connection_closed_while_idle_is_replaced_without_a_word() -> None:
    for ending in (close(), reset()):
        async with Faulty() as server, calling() as upstream:
            server.next(send(answer(b"1")), ending)
            assert await outcome(upstream, server.url) == b"1"
            await server.all_closed()
            assert await outcome(upstream, server.url) == b""
            assert len(server.requests) == 2


@both_loops()
async def test_a_stale_connection_is_asked_again_once_and_on_a_new_one() -> None:
    async with Faulty() as server, calling() as upstream:
        for ending in (close(), reset()):
            await outcome(upstream, server.url)
            server.next(ending)
            server.next(send(answer(b"again")))
            assert await outcome(upstream, server.url) == b"again"
        server.next(close())
        server.next(close())
        seen = len(server.requests)
        assert kind_of(await outcome(upstream, server.url)) is ErrorKind.UNAVAILABLE
        assert len(server.requests) == seen + 2


@both_loops()
async def test_after_one_byte_of_an_answer_nothing_is_repeated() -> None:
    async with Faulty() as server, calling() as upstream:
        await outcome(upstream, server.url)
        server.next(send(b"H"), close())
        assert kind_of(await outcome(upstream, server.url)) is ErrorKind.UNAVAILABLE
        assert len(server.requests) == 2


@both_loops()
async def test_a_call_that_must_not_be_repeated_gets_a_new_connection() -> None:
    async with Faulty() as server, calling() as upstream:
        await outcome(upstream, server.url)
        server.next(close())
        with pytest.raises(ProviderError) as caught:
            await upstream.send(post(server.url), connect=1, headers=1, fresh=True)
        assert (caught.value.kind, caught.value.sent) == (ErrorKind.UNAVAILABLE, True)
        assert server.connections == len(server.requests) == 2


async def test_a_request_that_may_have_left_on_a_stale_connection_counts_as_sent() -> None:
    async with calling() as upstream:
        async with Faulty() as server:
            await outcome(upstream, server.url)
            stop = asyncio.Event()
            server.next(wait(stop), close())
            call = asyncio.create_task(outcome(upstream, server.url))
            while len(server.requests) < 2:
                await asyncio.sleep(0)
            server.stop_listening()
            stop.set()
            error = await call
        assert isinstance(error, ProviderError)
        assert (error.kind, error.sent) == (ErrorKind.UNAVAILABLE, True)


async def test_idle_connections_are_closed_after_a_while() -> None:
    loop = asyncio.get_running_loop()
    real = loop.time
    async with Faulty() as server, calling() as upstream:
        await outcome(upstream, server.url)
        loop.time = lambda: real() + pool.IDLE_SECONDS + 1  # type: ignore[method-assign] # the clock jumps
        await server.all_closed()
        assert await outcome(upstream, server.url) == b""
        assert server.connections == 2


async def test_an_old_connection_is_replaced_so_that_dns_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Faulty() as server, calling() as upstream:
        await outcome(upstream, server.url)
        monkeypatch.setattr(pool, "AGE_SECONDS", 0.0)
        await outcome(upstream, server.url)
        assert server.connections == 1
        await server.all_closed()
        await outcome(upstream, server.url)
        assert server.connections == 2


@both_loops()
async def test_bytes_nobody_asked_for_end_the_connection_not_the_answer() -> None:
    async with Faulty() as server, calling() as upstream:
        for surplus in (b"H", answer(b"evil"), b"\r\n\r\nHTTP/1.1 200", b"\0"):
            server.next(send(answer(b"good") + surplus), until_left())
            assert await outcome(upstream, server.url) == b"good"
            await server.all_closed()
        later = asyncio.Event()
        server.next(send(answer(b"good")), wait(later), send(answer(b"evil")))
        assert await outcome(upstream, server.url) == b"good"
        later.set()
        await server.all_closed()
        assert await outcome(upstream, server.url) == b""


@both_loops()
async def test_interim_answers_are_passed_over() -> None:
    async with Faulty() as server, calling() as upstream:
        interim = b"HTTP/1.1 100 Continue\r\nx-a: 1\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"
        server.next(send(interim), send(answer(b"x")))
        got = await ask(upstream, server.url)
        assert (got.status, dict(got.headers), await got.read()) == (200, {"content-length": "1"}, b"x")
        server.next(
            send(b"HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: h2\r\n\r\n"), until_left()
        )
        assert kind_of(await outcome(upstream, server.url)) is ErrorKind.PROTOCOL


@both_loops()
async def test_trailers_change_nothing() -> None:
    async with Faulty() as server, calling() as upstream:
        trailers = {"content-type": "evil", "x-new": "1"}
        server.next(send(chunked(b"x", headers={"content-type": "text/plain"}, trailers=trailers)))
        got = await ask(upstream, server.url)
        assert await got.read() == b"x"
        assert dict(got.headers) == {"transfer-encoding": "chunked", "content-type": "text/plain"}
        assert await outcome(upstream, server.url) == b""
        assert server.connections == 1


@both_loops()
async def test_answers_without_a_body() -> None:
    async with Faulty() as server, calling() as upstream:
        for status in ("204 No Content", "304 Not Modified"):
            server.next(send(f"HTTP/1.1 {status}\r\n\r\n".encode()))
            got = await ask(upstream, server.url)
            assert (got.status, await got.read()) == (int(status[:3]), b"")
        assert server.connections == 1


@both_loops()
async def test_endless_or_huge_headers_are_a_protocol_error() -> None:
    huge = {
        "one value": b"HTTP/1.1 200 OK\r\nx: " + b"a" * (HEADER_LIMIT * 6),
        "many": b"HTTP/1.1 200 OK\r\n" + b"x-y: z\r\n" * HEADER_LIMIT,
        "complete": answer(b"", headers={"x": "a" * (HEADER_LIMIT + 1)}),
        "interim": b"HTTP/1.1 100 Continue\r\n\r\n" * HEADER_LIMIT,
        "trailers": chunked(b"x")[:-2] + b"x: " + b"a" * (HEADER_LIMIT * 6),
        "extension": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;" + b"a" * (HEADER_LIMIT * 6),
    }
    async with Faulty() as server, calling() as upstream:
        for data in huge.values():
            server.next(send(data), until_left())
            assert kind_of(await outcome(upstream, server.url)) is ErrorKind.PROTOCOL
            await server.all_closed()
        just_fits = answer(b"y" * 100_000, headers={"x": "a" * (HEADER_LIMIT - 100)})
        server.next(send(just_fits))
        assert await outcome(upstream, server.url) == b"y" * 100_000


@both_loops()
async def test_a_server_that_closes_its_half_early_is_a_cut() -> None:
    async with Faulty() as server, calling() as upstream:
        server.next(half_close(), until_left())
        assert kind_of(await outcome(upstream, server.url)) is ErrorKind.UNAVAILABLE
        await server.all_closed()


@both_loops()
async def test_an_answer_before_the_whole_request_was_taken_is_an_answer() -> None:
    async def head(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")

    refuse = (head, send(answer(b"too much", "413 Content Too Large")), until_left())
    async with Faulty(greeting=refuse) as server, calling() as upstream:
        for _ in range(2):
            got = await upstream.send(post(server.url, b"x" * 30_000_000), connect=1, headers=5)
            assert (got.status, await got.read()) == (413, b"too much")
        assert server.connections == 2


@both_loops()
async def test_a_large_request_arrives_whole() -> None:
    async with Faulty() as server, calling() as upstream:
        for size in (0, 64 * 1024, 64 * 1024 + 1, 5_000_000):
            body = bytes(range(256)) * (size // 256)
            got = await upstream.send(post(server.url, body), connect=1, headers=5)
            await got.read()
            assert server.requests[-1].body == body
        assert server.connections == 1


@both_loops()
async def test_a_slow_reader_slows_the_upstream_and_bounds_memory() -> None:
    sent = 0
    total = 64 * 1024 * 1024
    full = asyncio.Event()

    async def flood(peer: Peer) -> None:
        nonlocal sent
        block = b"x" * 65536
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % total)
        while sent < total:
            peer.writer.write(block)
            sent += len(block)
            await peer.writer.drain()
        full.set()

    async with Faulty() as server, calling() as upstream:
        server.next(flood)
        got = await ask(upstream, server.url)
        held = -1
        while held != sent:  # until nothing moves any more
            held = sent
            await asyncio.sleep(0.1)
        assert sent < total // 2
        assert got._size <= HIGH_WATER + READ
        body, error = await collect(got)
        assert (len(body), error) == (total, None)
        await full.wait()
        assert await outcome(upstream, server.url) == b""
        assert server.connections == 1


@both_loops()
async def test_closing_the_client_ends_what_still_runs() -> None:
    started = asyncio.Event()
    async with Faulty() as server:
        async with calling() as upstream:
            server.next(tell(started), until_left())
            call = asyncio.create_task(outcome(upstream, server.url))
            await started.wait()
        assert kind_of(await call) is ErrorKind.UNAVAILABLE
        await server.all_closed()
