"""Names, addresses and TLS: which address wins, which certificate is believed."""

import asyncio
import ssl
import time

import pytest

from gateway.transport import dial
from gateway.transport.client import Upstream
from gateway.transport.outgoing import Origin
from gateway.transport.pool import Pool
from providers.errors import ErrorKind, ProviderError
from providers.types import HttpRequest
from tests.transport.calls import outcome, post
from tests.transport.certificates import Authority, authority
from tests.transport.faulty import Faulty, answer, close, reset, send
from tests.transport.loops import both_loops
from tests.transport.names import Names

V4, OTHER, V6 = "192.0.2.1", "192.0.2.2", "2001:db8::1"


async def get(pool: Pool, url: str, connect: float = 2.0) -> bytes:
    got = await pool.send(HttpRequest(method="GET", url=url, headers={}), connect, 5.0, None, fresh=False)
    return await got.read()


@both_loops()
async def test_a_dead_first_address_costs_nothing() -> None:
    async with Faulty() as server:
        names = Names({"a.example": [[V6, V4]]}, server.port)
        names.dead = {V6}
        times = []
        for _ in range(3):
            pool = Pool(names)
            start = time.perf_counter()
            assert await get(pool, "http://a.example/") == b""
            times.append(time.perf_counter() - start)
            await pool.close()
        assert min(times) < dial.STAGGER / 2
        assert names.dialled == [V6, V4] * 3


@both_loops()
async def test_a_mute_address_is_overtaken_and_families_alternate() -> None:
    async with Faulty() as server:
        names = Names({"a.example": [[V6, "2001:db8::2", V4, OTHER]]}, server.port)
        names.mute = {V6}
        pool = Pool(names)
        start = time.perf_counter()
        assert await get(pool, "http://a.example/") == b""
        assert time.perf_counter() - start > dial.STAGGER * 0.9
        assert names.dialled == [V6, V4]
        await pool.close()


@both_loops()
async def test_all_addresses_dead_or_none_is_unavailable_and_unsent() -> None:
    names = Names({"dead.example": [[V6, V4]], "empty.example": [[]]})
    names.dead = {V6, V4}
    pool = Pool(names)
    for host in ("dead.example", "empty.example", "unknown.example", "a" * 70 + ".example"):
        with pytest.raises(ProviderError) as caught:
            await get(pool, f"http://{host}/")
        assert (caught.value.kind, caught.value.sent) == (ErrorKind.UNAVAILABLE, False)
    await pool.close()


@both_loops()
async def test_connecting_takes_no_longer_than_allowed() -> None:
    names = Names({"a.example": [[V6, V4]]})
    names.mute = {V6, V4}
    pool = Pool(names)
    start = time.perf_counter()
    with pytest.raises(ProviderError) as caught:
        await get(pool, "http://a.example/", connect=0.1)
    assert (caught.value.kind, caught.value.sent) == (ErrorKind.TIMEOUT, False)
    assert time.perf_counter() - start < 2
    await pool.close()


@both_loops()
async def test_losers_of_the_race_are_closed() -> None:
    async with Faulty() as server:
        names = Names({"a.example": [[V6, V4]]}, server.port)
        gates = {V6: asyncio.Event(), V4: asyncio.Event()}
        real = names.reach

        async def reach(address: dial.Address) -> object:
            plug = await real(address)
            gate = gates[address[1][0]]
            if address[1][0] == V6:
                await gate.wait()
            else:
                gates[V6].set()  # both are connected in the same turn of the loop
            return plug

        names.reach = reach  # type: ignore[method-assign, assignment] # a slower network
        pool = Pool(names)
        assert await get(pool, "http://a.example/") == b""
        await pool.close()
        await server.all_closed()
        assert server.connections == 2


@both_loops()
async def test_tls_is_spoken_with_the_name_checked() -> None:
    trusted = authority()
    async with Faulty(tls=trusted.server("localhost")) as server:
        upstream = Upstream(tls=trusted.client())
        for body in (b"x", b"y" * 1_000_000):
            server.next(send(answer(body)))
            assert await outcome(upstream, server.url) == body
        got = await upstream.send(post(server.url, b"z" * 3_000_000), connect=2, headers=5)
        assert (got.status, await got.read(), len(server.requests[-1].body)) == (200, b"", 3_000_000)
        assert server.connections == 1
        await upstream.close()


@both_loops()
async def test_a_cut_over_tls_is_a_cut() -> None:
    trusted = authority()
    async with Faulty(tls=trusted.server("localhost")) as server:
        upstream = Upstream(tls=trusted.client())
        for ending in (close(), reset()):
            for part in (b"", b"HTTP/1.1 200 OK\r\n", answer(b"hello")[:-1]):
                server.next(send(part), ending)
                error = await outcome(upstream, server.url)
                assert isinstance(error, ProviderError), (ending, part)
                assert error.kind is ErrorKind.UNAVAILABLE
        server.next(send(b"HTTP/1.1 200 OK\r\n\r\nhello"), close())
        assert await outcome(upstream, server.url) == b"hello"
        await upstream.close()


@both_loops()
async def test_a_certificate_for_another_name_or_by_a_stranger_is_refused_before_anything_is_sent() -> None:
    trusted = authority()
    cases = [
        (trusted.server("other.example"), trusted.client()),
        (Authority().server("localhost"), trusted.client()),
        (trusted.server("localhost"), None),  # what the system trusts
    ]
    for server_side, client_side in cases:
        async with Faulty(tls=server_side) as server:
            upstream = Upstream(tls=client_side)
            error = await outcome(upstream, server.url)
            assert isinstance(error, ProviderError)
            assert (error.kind, error.sent) == (ErrorKind.UNAVAILABLE, False)
            assert server.requests == []
            await upstream.close()


@both_loops()
async def test_https_to_a_plain_server_is_unavailable() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await reader.read(1)
        writer.close()

    listening = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with listening:
        upstream = Upstream(tls=ssl.create_default_context())
        error = await outcome(upstream, f"https://127.0.0.1:{listening.sockets[0].getsockname()[1]}")
        assert isinstance(error, ProviderError)
        assert (error.kind, error.sent) == (ErrorKind.UNAVAILABLE, False)
        await upstream.close()


async def test_the_system_resolver_knows_loopback() -> None:
    found = await dial.Dialer().resolve(Origin("http", "127.0.0.1", 81))
    assert [address for _, address in found] == [("127.0.0.1", 81)]
