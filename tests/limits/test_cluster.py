"""A real Redis Cluster of three nodes: every limit is exact on it, while slots move and when a node dies."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial

import pytest
import redis
from msgspec import structs

from gateway.limits.nodes import SLOTS, slot
from gateway.limits.redis_store import RedisLimiter
from gateway.limits.rules import Dimension
from gateway.limits.unsettled import unsettled
from tests.limits.asked import budget, fresh, limiter, slots, until, window
from tests.servers import RedisServer, running

NODES = 3


class Node(RedisServer):
    """A Redis of a cluster."""

    def _command(self, port: int) -> Sequence[str]:
        return [*super()._command(port), "--cluster-enabled", "yes", "--cluster-node-timeout", "1000"]

    def cli(self, *words: str | int) -> str:
        with redis.Redis(port=self.port, decode_responses=True) as client:
            return str(client.execute_command(*words))

    @property
    def name(self) -> str:
        return self.cli("CLUSTER MYID")


@pytest.fixture(scope="module")
def cluster() -> Iterator[list[Node]]:
    """Three nodes, a third of the slots each."""
    with ExitStack() as stack:
        nodes = [stack.enter_context(running(Node)) for _ in range(NODES)]
        for index, node in enumerate(nodes):
            node.cli("CLUSTER ADDSLOTS", *range(index * SLOTS // NODES, (index + 1) * SLOTS // NODES))
            node.cli("CLUSTER MEET", "127.0.0.1", nodes[0].port)
        asyncio.run(formed(nodes))
        yield nodes


async def formed(nodes: Sequence[Node]) -> None:
    async def whole() -> bool:
        told = [node.cli("CLUSTER INFO") for node in nodes]
        return all(f"'cluster_known_nodes': '{NODES}'" in one and "'ok'" in one for one in told)

    await until(whole, 20.0)


def tenant_on(nodes: Sequence[Node], index: int) -> str:
    """A tenant whose keys lie on that node."""
    while True:
        tenant = fresh()
        if slot(f"{{{tenant}}}") * NODES // SLOTS == index:
            return tenant


def test_slots_are_those_of_redis(cluster: list[Node]) -> None:
    for key in ("gw:{acme}:w:key:k", "gw:{t:up%2Fm}:c", "gw:{ä}:l:1"):
        assert slot(key) == int(cluster[0].cli("CLUSTER KEYSLOT", key))


async def test_every_limit_is_exact_on_every_node(cluster: list[Node]) -> None:
    async with limiter(cluster[0].url) as asker, limiter(cluster[1].url) as other:
        for index in range(NODES):
            tenant = tenant_on(cluster, index)
            asked = [window(tenant, 30), slots(tenant, 30), budget(tenant, 100, 10)]
            await asker.seed(asked[2], 0)
            verdicts = await asyncio.gather(
                *(one.acquire(f"{tenant}-{n}", asked) for n, one in enumerate((asker, other) * 10))
            )
            assert {verdict.backend for verdict in verdicts} == {"redis"}
            assert sum(verdict.allowed for verdict in verdicts) == 10
            granted = [n for n, verdict in enumerate(verdicts) if verdict.allowed]
            await asker.renew(f"{tenant}-{granted[0]}", asked)
            for n in granted:
                await other.settle(f"{tenant}-{n}", asked, [1, 1, 4])

            look = [window(tenant, 30, 0), budget(tenant, 100, 0)]
            await until(partial(left_is, asker, look, [20, 60]), 3.0)


async def test_what_is_unsettled_is_found_on_all_nodes(cluster: list[Node]) -> None:
    async with limiter(cluster[0].url) as asker:
        leases = {fresh("lost") for _ in range(9)}
        for number, lease in enumerate(leases):
            await asker.acquire(lease, [window(tenant_on(cluster, number % NODES), 5)])
        found = {one.lease async for one in unsettled(asker._redis, 0.0)}
        assert leases <= found


async def test_a_slot_may_move_under_load_and_all_is_counted_once(cluster: list[Node]) -> None:
    tenant = tenant_on(cluster, 0)
    asked, number = [window(tenant, 10**6)], slot(f"{{{tenant}}}")
    source, target = cluster[0], cluster[2]
    decided: list[str] = []

    async def load(asker: RedisLimiter) -> None:
        while True:
            lease = fresh("lease")
            verdict = await asker.acquire(lease, asked)
            assert verdict.allowed
            decided.append(verdict.backend)
            await asker.settle(lease, asked, [1])
            await asyncio.sleep(0.001)

    async def more(count: int, backend: str) -> None:
        before = decided.count(backend)
        await until(lambda: asyncio.sleep(0, decided.count(backend) >= before + count), 5.0)

    async with limiter(cluster[1].url, "local") as asker:
        loads = [asyncio.create_task(load(asker)) for _ in range(3)]
        await more(30, "redis")
        for node, state, whom in ((target, "IMPORTING", source), (source, "MIGRATING", target)):
            await asyncio.to_thread(node.cli, "CLUSTER SETSLOT", number, state, whom.name)
        while keys := await asyncio.to_thread(_keys, source, number):
            await asyncio.to_thread(_migrate, source, target, keys)
        await more(5, "local")
        for node in (target, source, cluster[1]):
            await asyncio.to_thread(node.cli, "CLUSTER SETSLOT", number, "NODE", target.name)
        await more(30, "redis")
        for task in loads:
            task.cancel()
        await asyncio.gather(*loads, return_exceptions=True)
        look = [structs.replace(asked[0], cost=0)]
        await until(partial(left_is, asker, look, [10**6 - len(decided)]), 5.0)
    assert set(decided) == {"redis", "local"}


async def left_is(asker: RedisLimiter, asked: Sequence[Dimension], wanted: list[int]) -> bool:
    return list((await asker.acquire(fresh("look"), asked)).remaining) == wanted


def _keys(node: Node, number: int) -> list[str]:
    with redis.Redis(port=node.port, decode_responses=True) as client:
        return list(client.execute_command("CLUSTER GETKEYSINSLOT", number, 1000))


def _migrate(source: Node, target: Node, keys: Sequence[str]) -> None:
    source.cli("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)


async def test_a_node_that_is_gone_takes_only_its_own_tenants_with_it() -> None:
    with ExitStack() as stack:
        nodes = [stack.enter_context(running(Node)) for _ in range(NODES)]
        for index, node in enumerate(nodes):
            node.cli("CONFIG SET", "cluster-require-full-coverage", "no")
            node.cli("CLUSTER ADDSLOTS", *range(index * SLOTS // NODES, (index + 1) * SLOTS // NODES))
            node.cli("CLUSTER MEET", "127.0.0.1", nodes[0].port)
        await formed(nodes)
        tenants = [tenant_on(nodes, index) for index in range(NODES)]
        async with limiter(nodes[0].url, "local") as asker:
            for tenant in tenants:
                assert (await asker.acquire(fresh("l"), [window(tenant, 9)])).backend == "redis"
            nodes[0].kill9()  # the one of the URL
            assert (await asker.acquire(fresh("l"), [window(tenants[0], 9)])).backend == "local"
            for tenant in tenants[1:]:
                assert (await asker.acquire(fresh("l"), [window(tenant, 9)])).backend == "redis"
            nodes[0].start()
            await formed(nodes)

            async def back() -> bool:
                return (await asker.acquire(fresh("l"), [window(tenants[0], 99)])).backend == "redis"

            await until(back, 10.0)
