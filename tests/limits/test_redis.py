"""The limiter on a real Redis that is well: many processes, lost scripts and memory, addresses, cluster mode."""

import asyncio
import logging
import ssl
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import redis
import uvloop
from msgspec import structs

from gateway.limits.connection import TIMEOUT, parse
from gateway.limits.rules import Dimension, Limiter
from tests.faults import TcpProxy
from tests.limits.asked import budget, fresh, limiter, slots, until, window
from tests.servers import RedisServer, redis_server, running  # noqa: F401
from tests.transport.certificates import authority


async def left(asker: Limiter, *asked: Dimension) -> list[int]:
    """What remains, found by asking for nothing."""
    verdict = await asker.acquire(fresh("look"), [structs.replace(dimension, cost=0) for dimension in asked])
    return list(verdict.remaining)


async def until_left(asker: Limiter, asked: Sequence[Dimension], wanted: list[int]) -> None:
    async def true() -> bool:
        return await left(asker, *asked) == wanted

    await until(true, 2.0)


async def test_any_process_may_settle(redis_server: RedisServer) -> None:  # noqa: F811
    tenant = fresh()
    asked = [window(tenant, 10, cost=4), slots(tenant, 1), budget(tenant, 2**53 - 1, 2**52 + 1)]
    async with limiter(redis_server.url) as one, limiter(redis_server.url) as other:
        await one.seed(asked[2], 0)
        verdict = await one.acquire("lease", asked)
        assert verdict.allowed
        assert verdict.remaining == [6, 0, 2**52 - 2]
        assert await other.acquire("lease", asked) == verdict
        await other.settle("lease", asked, [1, 1, 2**51 + 1])
        spent = [9, 1, 2**53 - 1 - (2**51 + 1)]
        await until_left(one, asked, spent)
        await one.settle("lease", asked, [4, 1, 2**52])
        await one.settle("lease", asked, [4, 1, 2**52])
        assert await left(one, *asked) == spent


async def test_who_has_no_limits_asks_nobody() -> None:
    async with limiter("redis://127.0.0.1:1") as asker:
        assert (await asker.acquire("lease", [])).allowed
        await asker.settle("lease", [], [])
        await asker.renew("lease", [])
    assert asker.unsettled == 0


async def test_scripts_that_the_server_forgot_are_sent_again(redis_server: RedisServer) -> None:  # noqa: F811
    asked = [window(fresh(), 1000)]
    async with limiter(redis_server.url) as asker:
        for number in range(3):
            with redis.Redis.from_url(redis_server.url) as admin:
                admin.script_flush()
            verdicts = await asyncio.gather(*(asker.acquire(f"{number}-{i}", asked) for i in range(20)))
            assert all(verdict.allowed and verdict.backend == "redis" for verdict in verdicts)


def test_how_long_a_call_may_take_is_said_in_the_address() -> None:
    assert parse("redis://localhost").timeout == TIMEOUT
    assert parse("redis://localhost/0?socket_timeout=0.2").timeout == 0.2


@pytest.mark.parametrize("word", ["0", "-1", "soon", "1e3", "0.0", "nan"])
def test_a_time_that_is_none_is_refused(word: str) -> None:
    with pytest.raises(ValueError, match=f"socket_timeout .* it is '{word}'"):
        parse(f"redis://localhost/0?socket_timeout={word}")


async def test_all_requests_of_a_process_share_one_connection(redis_server: RedisServer) -> None:  # noqa: F811
    asked = [window(fresh(), 1000)]
    with redis.Redis.from_url(redis_server.url) as admin:
        before = admin.info()["total_connections_received"]
        async with limiter(redis_server.url) as asker:
            verdicts = await asyncio.gather(*(asker.acquire(str(i), asked) for i in range(200)))
        assert sorted(verdict.remaining[0] for verdict in verdicts) == list(range(800, 1000))
        assert admin.info()["total_connections_received"] == before + 1


async def test_a_flushed_redis_admits_nothing_before_the_ledger_was_asked() -> None:
    asked = [budget(fresh(), 100, 30)]
    with running(RedisServer) as server, redis.Redis.from_url(server.url) as admin:
        async with limiter(server.url) as asker:
            assert (await asker.acquire("first", asked)).seed == 0
            await asker.seed(asked[0], 20)
            assert (await asker.acquire("first", asked)).allowed
            admin.flushall()
            assert (await asker.acquire("second", asked)).seed == 0
            await asker.seed(asked[0], 20)
            await asker.seed(asked[0], 0)  # too late: it is known
            assert (await asker.acquire("second", asked)).remaining == [50]
            await asker.settle("first", asked, [25])  # granted before the flush: booked all the same
            await asker.settle("second", asked, [30])
            await until_left(asker, asked, [25])
            assert (await asker.acquire("third", asked)).denied == 0


async def test_who_goes_away_while_asking_holds_nothing(redis_server: RedisServer) -> None:  # noqa: F811
    tenant = fresh()
    asked = [slots(tenant, 1), window(tenant, 100)]
    async with limiter(redis_server.url) as asker:
        await asker.acquire(fresh("warm"), [slots(fresh(), 1)])
        for number in range(20):
            asking = asyncio.create_task(asker.acquire(f"gone-{number}", asked))
            await asyncio.sleep(0)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
        await until_left(asker, asked, [1, 100])


async def test_an_event_loop_that_was_held_up_still_reads_its_answers(redis_server: RedisServer) -> None:  # noqa: F811
    asked = [window(fresh(), 100)]
    async with limiter(redis_server.url) as asker:
        await asker.acquire(fresh(), asked)
        for number in range(3):
            asking = [asyncio.create_task(asker.acquire(f"{number}-{i}", asked)) for i in range(5)]
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            time.sleep(0.12)  # noqa: ASYNC251  # what a long computation does
            assert all(verdict.backend == "redis" for verdict in await asyncio.gather(*asking))


def test_it_works_on_the_event_loop_the_gateway_uses(redis_server: RedisServer) -> None:  # noqa: F811
    async def ask() -> None:
        asked = [window(fresh(), 5)]
        async with limiter(redis_server.url) as asker:
            assert (await asker.acquire("first", asked)).backend == "redis"
            for lease in ("a", "b", "c"):
                asking = asyncio.create_task(asker.acquire(lease, asked))
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                time.sleep(0.08)  # noqa: ASYNC251  # its timers run before its sockets are read
                assert (await asking).backend == "redis"
            await asker.settle("a", asked, [0])
            await until_left(asker, asked, [2])

    uvloop.run(ask())


async def test_a_password_and_a_database_are_used_and_never_told(caplog: pytest.LogCaptureFixture) -> None:
    asked = [window(fresh(), 9)]
    with running(RedisServer) as server, redis.Redis.from_url(server.url) as admin:
        admin.acl_setuser("fleet", enabled=True, passwords=["+s3cret/pass"], keys=["*"], commands=["+@all"])
        admin.config_set("requirepass", "other-s3cret")
        for who in ("fleet:s3cret%2Fpass", ":other-s3cret"):
            async with limiter(f"redis://{who}@127.0.0.1:{server.port}/3?socket_timeout=5") as asker:
                assert (await asker.acquire(fresh(), asked)).allowed
        with redis.Redis(port=server.port, password="other-s3cret", db=3) as look:
            assert look.exists(asked[0].key)
        async with limiter(f"redis://fleet:wr0ng-s3cret@127.0.0.1:{server.port}/3", "local") as wrong:
            with caplog.at_level(logging.INFO):
                verdicts = [await wrong.acquire(fresh(), asked) for _ in range(5)]
    assert {verdict.backend for verdict in verdicts} == {"local"}
    assert "WRONGPASS" in caplog.text
    assert "s3cret" not in caplog.text


async def test_tls_is_spoken_to_whom_the_certificate_names(redis_server: RedisServer, tmp_path: Path) -> None:  # noqa: F811
    ours = tmp_path / "ca.pem"
    [trusted] = authority().client().get_ca_certs(binary_form=True)
    ours.write_text(ssl.DER_cert_to_PEM_cert(trusted))
    known, unchecked, unknown = f"ssl_ca_certs={ours}", "ssl_cert_reqs=none", ""
    async with TcpProxy(redis_server.port, tls=authority().server("127.0.0.1")) as proxy:
        for option, backend in ((known, "redis"), (unchecked, "redis"), (unknown, "local")):
            async with limiter(f"rediss://127.0.0.1:{proxy.port}/0?{option}", "local") as asker:
                assert (await asker.acquire(fresh(), [window(fresh(), 5)])).backend == backend


@pytest.mark.parametrize(
    "url", ["http://:hidden@localhost/0", "redis://:hidden@localhost/first", "localhost:6379"]
)
def test_an_address_that_is_none_is_refused_without_telling_its_password(url: str) -> None:
    with pytest.raises(ValueError, match="must look like redis://") as caught:
        parse(url)
    assert "hidden" not in str(caught.value)


class ClusterServer(RedisServer):
    """One Redis that is a whole cluster: it refuses a call whose keys do not lie in one slot."""

    def _command(self, port: int) -> Sequence[str]:
        return [*super()._command(port), "--cluster-enabled", "yes"]


async def test_every_call_touches_one_slot_of_a_cluster() -> None:
    with running(ClusterServer) as server:
        with redis.Redis.from_url(server.url, decode_responses=True) as admin:
            admin.execute_command("CLUSTER ADDSLOTS", *range(16_384))

            async def formed() -> bool:
                return "ok" in str(admin.cluster("INFO")["cluster_state"])

            await until(formed, 10.0)
        async with limiter(server.url) as asker:
            for tenant in (fresh(), fresh(), fresh()):
                asked = [window(tenant, 5), slots(tenant, 5), budget(tenant, 50, 10)]
                await asker.seed(asked[2], 0)
                assert (await asker.acquire("lease", asked)).remaining == [4, 4, 40]
                await asker.renew("lease", asked)
                await asker.settle("lease", asked, [1, 1, 5])
                await until_left(asker, asked, [4, 5, 45])
