"""Redis dead, hung, reset, restarted: each mode keeps its word, nothing is counted twice or not at all."""

import asyncio

import pytest
import redis
from msgspec import structs

from gateway.errors import Unavailable
from gateway.limits import alone
from gateway.limits.redis_store import OWED_MOST
from tests.faults import FAULTS, Mode, TcpProxy, redis_at
from tests.limits.asked import (
    ask,
    budget,
    fresh,
    heal,
    limiter,
    slots,
    until,
    window,
)
from tests.servers import RedisServer, free_port, redis_server, running  # noqa: F401


async def test_closed_says_503_and_when_to_come_back(redis_server: RedisServer) -> None:  # noqa: F811
    async with TcpProxy(redis_server.port) as proxy, limiter(redis_at(proxy), "closed") as asker:
        await proxy.set("refuse")
        with pytest.raises(Unavailable) as caught:
            await asker.acquire("lease", [window(fresh(), 5)])
    assert (caught.value.status, caught.value.code, caught.value.retry_after) == (
        503,
        "limiter_unavailable",
        1.0,
    )


@pytest.mark.parametrize(
    ("usual", "named", "decides"),
    [
        ("open", ["closed"], "closed"),
        ("closed", ["open"], "open"),
        ("closed", ["open", "local"], "local"),
        ("local", ["open", ""], "local"),
        ("open", ["local", "closed", ""], "closed"),
    ],
)
async def test_the_strictest_of_a_requests_limits_decides(
    redis_server: RedisServer,  # noqa: F811
    usual: str,
    named: list[str],
    decides: str,
) -> None:
    asked = [structs.replace(window(fresh(), 2), on_store_error=mode) for mode in named]
    async with TcpProxy(redis_server.port) as proxy, limiter(redis_at(proxy), usual) as asker:
        await proxy.set("refuse")
        verdicts = [await ask(asker, asked) for _ in range(5)]
        told = [verdict and (verdict.backend, verdict.allowed) for verdict in verdicts]
    expected = {
        "closed": [None] * 5,
        "local": [("local", True)] * 2 + [("local", False)] * 3,
        "open": [("open", True)] * 5,
    }
    assert told == expected[decides]


async def test_a_restarted_redis_counts_on_where_it_was() -> None:
    asked = [window(fresh(), 10)]
    with running(RedisServer) as server:
        async with limiter(server.url, "local") as asker:
            for _ in range(4):
                await ask(asker, asked)
            server.kill9()
            outage = [await ask(asker, asked) for _ in range(9)]
            assert [verdict and verdict.allowed for verdict in outage] == [True] * 6 + [False] * 3
            assert {verdict and verdict.backend for verdict in outage} == {"local"}
            await asyncio.to_thread(server.start)
            await heal(asker, [structs.replace(asked[0], cost=0)])


async def test_an_outage_opens_no_fresh_window_before_during_or_after_it(redis_server: RedisServer) -> None:  # noqa: F811
    asked = [window(fresh(), 10)]
    admitted = []
    async with TcpProxy(redis_server.port) as proxy, limiter(redis_at(proxy), "local") as asker:
        for phase in ("pass", "refuse", "pass"):
            if phase == "refuse":
                await proxy.set("refuse")
            for number in range(6):
                lease = f"{fresh()}-{number}"
                if (await asker.acquire(lease, asked)).allowed:
                    admitted.append(phase)
                    await asker.settle(lease, asked, [1])
            if phase == "refuse":
                await proxy.set("pass")
                await heal(asker, [structs.replace(asked[0], cost=0)])
    assert admitted == ["pass"] * 6 + ["refuse"] * 4


async def test_alone_a_process_uses_its_share_and_no_more(redis_server: RedisServer) -> None:  # noqa: F811
    asked = [window(fresh(), 10), slots(fresh(), 100)]
    async with TcpProxy(redis_server.port) as proxy, limiter(redis_at(proxy), "local", replicas=3) as asker:
        await proxy.set("refuse")
        verdicts = [await ask(asker, asked) for _ in range(8)]
        assert [verdict and verdict.allowed for verdict in verdicts] == [True] * 3 + [False] * 5
        large = await asker.acquire("large", [structs.replace(asked[0], cost=5)])
        assert (large.allowed, large.retry_after) == (False, 1.0)  # 5 of 10 fits, when Redis is back


async def test_alone_a_budget_goes_on_with_its_share_of_what_redis_has_just_said(
    redis_server: RedisServer,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever has waited for a Redis that hangs does not wait for the ledger too."""
    monkeypatch.setattr(alone, "RECENT", 60.0)  # the machine may be slow
    asked = [budget(fresh(), 1000, 50)]
    async with TcpProxy(redis_server.port) as proxy, limiter(redis_at(proxy), "local", replicas=2) as asker:
        await asker.seed(asked[0], 600)
        assert (await asker.acquire(fresh("lease"), asked)).remaining == [350]
        await proxy.set("refuse")
        granted = [await ask(asker, asked) for _ in range(5)]
        assert [verdict and verdict.seed for verdict in granted] == [None] * 5
        assert [verdict and verdict.allowed for verdict in granted] == [True] * 3 + [False] * 2, (
            "650 are used"
        )


async def test_alone_a_budget_is_the_share_of_what_the_ledger_leaves(
    redis_server: RedisServer,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = [budget(fresh(), 1000, 50)]
    async with TcpProxy(redis_server.port) as proxy, limiter(redis_at(proxy), "local", replicas=2) as asker:
        await asker.seed(asked[0], 600)
        assert (await asker.acquire(fresh("lease"), asked)).remaining == [350]
        monkeypatch.setattr(alone, "RECENT", 0.0)
        assert (await asker.acquire(fresh("lease"), asked)).remaining == [300]
        await proxy.set("refuse")
        assert [(await asker.acquire("alone", asked)).seed for _ in range(3)] == [0, 0, 0]
        await asker.seed(asked[0], 650)
        granted = [await ask(asker, asked) for _ in range(5)]
        assert [verdict and verdict.allowed for verdict in granted] == [True] * 3 + [False] * 2


@pytest.mark.parametrize("fault", FAULTS)
async def test_what_was_granted_before_is_settled_after(redis_server: RedisServer, fault: Mode) -> None:  # noqa: F811
    tenant = fresh()
    asked = [window(tenant, 100, cost=50), slots(tenant, 1), budget(tenant, 1000, 500)]
    looked = [structs.replace(dimension, cost=0) for dimension in asked]
    async with TcpProxy(redis_server.port) as proxy, limiter(redis_at(proxy), "closed") as asker:
        await asker.seed(asked[2], 0)
        assert (await asker.acquire("before", asked)).remaining == [50, 0, 500]
        await proxy.set(fault)
        await asker.settle("before", asked, [20, 1, 300])
        for _ in range(3):
            await ask(asker, asked)
        assert asker.unsettled > 0
        await proxy.set("pass")
        await heal(asker, looked)
        assert asker.unsettled == 0
        assert (await asker.acquire(fresh("look"), looked)).remaining == [80, 1, 700]


@pytest.mark.parametrize("fault", FAULTS)
async def test_what_is_written_down_before_redis_hears_of_it_leaves_no_note(
    redis_server: RedisServer,  # noqa: F811
    fault: Mode,
) -> None:
    tenant = fresh()
    asked = [budget(tenant, 1000, 500)]
    notes = f"gw:{{{tenant}}}:u"
    with redis.Redis.from_url(redis_server.url) as admin:
        async with TcpProxy(redis_server.port) as proxy, limiter(redis_at(proxy), "closed") as asker:
            await asker.seed(asked[0], 0)
            for lease in ("early", "late"):
                assert (await asker.acquire(lease, asked)).allowed
            await asker.settle("early", asked, [300], 1.0)
            await heal(asker, [structs.replace(asked[0], cost=0)])
            assert admin.hkeys(notes) == [b"early"]
            await proxy.set(fault)
            await asker.settle("late", asked, [200], 1.0)
            asker.written(notes, ["early", "late"])
            await until(lambda: _true(asker.unsettled > 0), 5.0)
            await proxy.set("pass")
            await until(lambda: _true(not admin.exists(notes) and asker.unsettled == 0), 5.0)
            assert admin.hget(asked[0].key, "spent") == b"500"


async def _true(what: bool) -> bool:
    return what


@pytest.mark.parametrize("fault", FAULTS)
async def test_who_must_be_sure_is_told_what_is_unsettled(redis_server: RedisServer, fault: Mode) -> None:  # noqa: F811
    tenant = fresh()
    asked = [window(tenant, 100, cost=50), slots(tenant, 1), budget(tenant, 1000, 500)]
    looked = [structs.replace(dimension, cost=0) for dimension in asked]
    async with TcpProxy(redis_server.port) as proxy, limiter(redis_at(proxy), "closed") as asker:
        await asker.seed(asked[2], 0)
        await asker.acquire("job", asked)
        await proxy.set(fault)
        for _ in range(5):
            assert not await asker.settle_surely("job", asked, [20, 1, 300])
        assert asker.unsettled == 0
        await proxy.set("pass")
        await heal(asker, looked)
        for _ in range(2):
            assert await asker.settle_surely("job", asked, [20, 1, 300])
        assert (await asker.acquire(fresh("look"), looked)).remaining == [80, 1, 700]


async def test_an_answer_that_never_came_holds_nothing_when_redis_is_back(redis_server: RedisServer) -> None:  # noqa: F811
    tenant = fresh()
    asked = [window(tenant, 100), slots(tenant, 100)]
    looked = [structs.replace(dimension, cost=0) for dimension in asked]
    async with TcpProxy(redis_server.port) as proxy, limiter(redis_at(proxy), "closed") as asker:
        await asker.acquire("kept", asked)
        await proxy.set("hang")
        lost = await asyncio.gather(*(ask(asker, asked) for _ in range(20)))
        assert set(lost) == {None}
        await proxy.set("pass")  # now the requests arrive, late
        await heal(asker, looked)
        assert (await asker.acquire(fresh("look"), looked)).remaining == [99, 99]


async def test_what_went_on_without_an_answer_is_counted_later(redis_server: RedisServer) -> None:  # noqa: F811
    tenant = fresh()
    asked = [window(tenant, 100), slots(tenant, 100), budget(tenant, 1000, 10)]
    looked = [structs.replace(dimension, cost=0) for dimension in asked]
    async with TcpProxy(redis_server.port) as proxy, limiter(redis_at(proxy), "open") as asker:
        await asker.seed(asked[2], 0)
        await proxy.set("hang")
        leases = [fresh("lease") for _ in range(8)]
        for lease in leases:
            assert (await asker.acquire(lease, asked)).backend == "open"
        for lease in leases[:5]:
            await asker.settle(lease, asked, [1, 1, 7])
        await proxy.set("pass")
        await heal(asker, looked)
        for lease in leases[5:]:
            await asker.settle(lease, asked, [1, 1, 7])

        async def counted() -> bool:
            return (await asker.acquire(fresh("look"), looked)).remaining == [92, 100, 944]

        await until(counted, 2.0)


async def test_when_redis_decides_again_it_knows_of_all_that_was_let_in(redis_server: RedisServer) -> None:  # noqa: F811
    asked, granted = [window(fresh(), 10**6)], 0
    async with TcpProxy(redis_server.port) as proxy, limiter(redis_at(proxy), "open") as asker:
        await ask(asker, [window(fresh(), 1)])
        await proxy.set("refuse")
        for _ in range(400):
            lease = fresh("lease")
            await asker.acquire(lease, asked)
            await asker.settle(lease, asked, [1])
        await proxy.set("pass")
        granted = 400
        async with asyncio.timeout(10):
            while True:  # also in the very moment in which it heals
                lease = fresh("lease")
                verdict = await asker.acquire(lease, asked)
                granted += 1
                if verdict.backend == "redis":
                    break
                await asker.settle(lease, asked, [1])
                await asyncio.sleep(0.0005)
    assert verdict.remaining == [10**6 - granted]


async def test_a_seed_that_does_not_arrive_counts_here(redis_server: RedisServer) -> None:  # noqa: F811
    asked = [budget(fresh(), 100, 30)]
    async with TcpProxy(redis_server.port) as proxy, limiter(redis_at(proxy), "local") as asker:
        assert (await asker.acquire("lease", asked)).seed == 0
        await proxy.set("hang")
        await asker.seed(asked[0], 50)
        verdict = await asker.acquire("lease", asked)
        assert (verdict.allowed, verdict.backend, verdict.remaining) == (True, "local", [20])
        await asker.renew("lease", asked)


async def test_a_long_outage_costs_bounded_memory(redis_server: RedisServer) -> None:  # noqa: F811
    asked = [window(fresh(), 10**6)]
    async with TcpProxy(redis_server.port) as proxy, limiter(redis_at(proxy), "open") as asker:
        await proxy.set("refuse")
        for number in range(OWED_MOST + 500):
            await asker.acquire(str(number), asked)
            await asker.settle(str(number), asked, [1])
            await asker.renew(str(number), asked)
        assert asker.unsettled == OWED_MOST
        await proxy.set("pass")
        await heal(asker, asked)
        with redis.Redis.from_url(redis_server.url) as look:
            assert look.hget(asked[0].key, "sum") == str(OWED_MOST + 1).encode()


async def test_a_redis_that_may_not_be_written_to_is_left_until_it_may() -> None:
    asked = [window(fresh(), 10)]
    with running(RedisServer) as server, redis.Redis.from_url(server.url) as admin:
        async with limiter(server.url, "local") as asker:
            assert (await asker.acquire(fresh("lease"), asked)).backend == "redis"
            admin.replicaof("127.0.0.1", "1")
            assert (await asker.acquire(fresh("lease"), asked)).backend == "local"
            admin.replicaof("no", "one")
            await heal(asker, asked)


@pytest.mark.parametrize("said", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b""])
async def test_whatever_answers_in_the_place_of_redis_is_not_believed(said: bytes) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(said)
        writer.close()

    port = free_port()
    async with await asyncio.start_server(answer, "127.0.0.1", port):
        async with limiter(f"redis://127.0.0.1:{port}", "open") as asker:
            verdicts = [await asker.acquire(fresh("lease"), [window(fresh(), 5)]) for _ in range(5)]
    assert {verdict.backend for verdict in verdicts} == {"open"}


async def test_a_broken_key_hurts_nobody_else_and_raises_nothing(redis_server: RedisServer) -> None:  # noqa: F811
    broken, whole = [window(fresh(), 5)], [window(fresh(), 5)]
    with redis.Redis.from_url(redis_server.url) as admin:
        admin.set(broken[0].key, "not a hash")
    async with limiter(redis_server.url, "local") as asker:
        for number in range(6):
            lease = fresh("lease")
            assert (await asker.acquire(lease, broken)).backend == "local"
            await asker.settle(lease, broken, [2])
            assert (await asker.acquire(fresh("lease"), whole)).backend == "redis", number
