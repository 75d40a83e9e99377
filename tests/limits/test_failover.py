"""A master of a real Redis Cluster dies and its replica takes over: calls go on, and what it had heard of counts."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager

import redis

from gateway.limits.nodes import SLOTS
from tests.limits.asked import ask, budget, fresh, limiter, slots, until, window
from tests.limits.test_cluster import NODES, Node, tenant_on
from tests.servers import running


@asynccontextmanager
async def replicated() -> AsyncIterator[tuple[Sequence[Node], Sequence[Node]]]:
    """Three masters and a replica of each, in the same order."""
    with ExitStack() as stack:
        nodes = [stack.enter_context(running(Node)) for _ in range(2 * NODES)]
        masters, replicas = nodes[:NODES], nodes[NODES:]
        for index, node in enumerate(masters):
            node.cli("CLUSTER ADDSLOTS", *range(index * SLOTS // NODES, (index + 1) * SLOTS // NODES))
        for number, node in enumerate(nodes):
            node.cli("CLUSTER SET-CONFIG-EPOCH", number + 1)
            node.cli("CLUSTER MEET", "127.0.0.1", masters[0].port)
        await until(lambda: agree(nodes), 20.0)
        for master, replica in zip(masters, replicas, strict=True):
            replica.cli("CLUSTER REPLICATE", master.name)
        await until(lambda: followed(masters), 20.0)
        yield masters, replicas


async def agree(nodes: Sequence[Node]) -> bool:
    """Whether every node knows every other and finds the cluster well."""
    told = [await asyncio.to_thread(node.cli, "CLUSTER INFO") for node in nodes]
    return all(f"'cluster_known_nodes': '{len(nodes)}'" in one and "'ok'" in one for one in told)


async def followed(masters: Sequence[Node]) -> bool:
    """Whether each master has a replica that has caught up."""
    told = [await asyncio.to_thread(node.cli, "INFO", "replication") for node in masters]
    return all("'state': 'online'" in one for one in told)


def heard(master: Node, tenant: str) -> bool:
    """Whether the replica has all that its master was told so far: WAIT speaks of its own connection's last write."""
    with redis.Redis(port=master.port, single_connection_client=True) as client:
        client.set(f"{{{tenant}}}:last", 1)
        return bool(client.wait(1, 5000) == 1)


async def test_a_replica_takes_over_and_counts_on() -> None:
    async with replicated() as (masters, _), limiter(masters[1].url) as asker:
        tenant = tenant_on(masters, 0)
        asked = [window(tenant, 10), slots(tenant, 20), budget(tenant, 200, 10)]
        await asker.seed(asked[2], 0)
        assert await asker.forgot(), "the first look"
        for number in range(4):
            assert (await asker.acquire(f"{tenant}-{number}", asked)).backend == "redis"
        assert await asyncio.to_thread(heard, masters[0], tenant)
        await asyncio.to_thread(masters[0].kill9)

        async def taken_over() -> bool:
            verdict = await ask(asker, asked)
            return verdict is not None and verdict.backend == "redis"

        await until(taken_over, 30.0)
        while (verdict := await ask(asker, asked)) is not None and verdict.allowed:
            assert verdict.backend == "redis"
        assert verdict is not None
        assert (verdict.backend, verdict.denied, verdict.remaining[0]) == ("redis", 0, 0), "ten in all"
        await asker.settle(f"{tenant}-0", asked, [1, 1, 10])
        look = [window(tenant, 10, 0), budget(tenant, 200, 0)]

        async def settled() -> bool:
            return list((await asker.acquire(fresh("look"), look)).remaining) == [0, 100]

        await until(settled, 5.0)
        for _ in range(3):
            await asker.forgot()
        assert not await asker.forgot(), "nobody has to wait: the replica remembers since when its master did"
