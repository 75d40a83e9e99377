"""Our pool spoken to in httpx2's types, by httpx2's own client."""

import asyncio
import gzip

import httpx2
import pytest

from gateway.transport.keepalive import KeepAliveTransport
from tests.transport.faulty import Faulty, answer, chunked, close, drip, send, until_left


def client(**timeouts: float) -> httpx2.AsyncClient:
    waits = httpx2.Timeout(5.0, **timeouts)
    return httpx2.AsyncClient(transport=KeepAliveTransport(), timeout=waits, trust_env=False)


async def test_a_client_reads_answers_over_one_connection() -> None:
    async with Faulty() as server, client() as http:
        server.next(send(answer(b'{"a": 1}', headers={"content-type": "application/json"})))
        assert (await http.get(server.url + "/x?y=1")).json() == {"a": 1}
        server.next(send(chunked(b"one", b"two")))
        async with http.stream("POST", server.url, json={"b": 2}) as response:
            assert b"".join([piece async for piece in response.aiter_bytes()]) == b"onetwo"
        assert [seen.line for seen in server.requests] == ["GET /x?y=1 HTTP/1.1", "POST / HTTP/1.1"]
        assert server.requests[1].body == b'{"b":2}'
        assert server.requests[1].headers["accept-encoding"] == "identity"
        assert server.connections == 1


async def test_a_compressed_answer_is_unpacked_once() -> None:

    async with Faulty() as server, client() as http:
        server.next(send(answer(gzip.compress(b"text"), headers={"content-encoding": "gzip"})))
        assert (await http.get(server.url)).text == "text"


async def test_failures_are_httpx2_exceptions() -> None:
    async with Faulty() as server, client(read=0.1) as http:
        server.next(until_left())
        with pytest.raises(httpx2.ReadTimeout):
            await http.get(server.url)
        server.next(send(answer(b"12345")[:-1]), until_left())
        with pytest.raises(httpx2.ReadTimeout):
            await http.get(server.url)
        server.next(send(answer(b"12345")[:-1]), close())
        with pytest.raises(httpx2.ReadError):
            await http.get(server.url)
        server.next(send(b"nonsense\r\n\r\n"))
        with pytest.raises(httpx2.RemoteProtocolError):
            await http.get(server.url)
        gone = server.url
    async with client() as http:
        with pytest.raises(httpx2.ConnectError):
            await http.get(gone)


async def test_the_read_timeout_counts_from_piece_to_piece() -> None:
    async with Faulty() as server, client(read=0.4) as http:
        whole = answer(b"0123456789")
        server.next(send(whole[:-10]), drip(whole[-10:], every=0.1, size=2))
        assert (await http.get(server.url)).text == "0123456789"


async def test_leaving_a_stream_early_closes_the_upstream() -> None:
    left = asyncio.Event()
    async with Faulty() as server, client() as http:
        server.next(send(answer(b"12345")[:-1]), until_left(left))
        async with http.stream("GET", server.url):
            pass
        await asyncio.wait_for(left.wait(), 1)
