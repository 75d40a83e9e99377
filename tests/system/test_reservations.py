"""What a request reserves: the effective one, topped up for a dearer target; and the quotas of targets."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.answers import completion, refusal
from tests.running import KEY, Running, routing, running, upstream
from tests.system.line import Line, Reply, chat_request
from tests.system.test_limits import clear_of_midnight, code
from tests.transport.faulty import Faulty, Step, send, wait

DOLLAR = 1000.0
"""USD per million output tokens: a thousand tokens cost one dollar."""
HARD = {"dollars": 10, "per": "day"}
SOFT = {**HARD, "budget": "soft"}


def answered(tokens: int) -> Step:
    """An answer with so many output tokens."""
    usage = {"prompt_tokens": 0, "completion_tokens": tokens, "total_tokens": tokens}
    return send(completion(usage=usage))


def target(provider: str, price: float = DOLLAR, **more: object) -> dict[str, object]:
    return {"provider": provider, "model": "m", "price": {"input": 0, "output": price}, **more}


def routed(targets: Sequence[Mapping[str, object]], *limits: Mapping[str, object], **up: Faulty) -> str:
    providers = {name: upstream(server.url) for name, server in up.items()}
    return routing({"demo": {"targets": targets}}, providers, key={"limits": list(limits)})


async def ask(gateway: Running, **more: object) -> Reply:
    async with Line(gateway.url) as line:
        return await line.ask(chat_request(key=KEY, **more))


def left(reply: Reply) -> float:
    """Dollars that an answer says are left."""
    standing = reply.headers["ratelimit"].split('"dollars-day";r=')[1]
    return int(standing.split(";")[0]) / 1e6


def sent(up: Faulty) -> dict[str, object]:
    body: dict[str, object] = json.loads(up.requests[-1].body)
    return body


@pytest.mark.parametrize(
    ("limits", "own", "cap", "reserved"),
    [
        ([HARD], None, 4096, 4.096),  # the default
        ([HARD], 2000, 2000, 2.0),  # the target's own most
        ([SOFT], None, None, 4.096),  # nothing is learned yet, and nothing is capped
        ([{"requests": 9, "per": "day"}], None, None, None),
    ],
)
async def test_a_request_without_a_cap_reserves_what_it_can_become(
    tmp_path: Path,
    limits: list[Mapping[str, object]],
    own: int | None,
    cap: int | None,
    reserved: float | None,
):
    await clear_of_midnight()
    more = {} if own is None else {"max_output": own}
    async with Faulty() as up, running(routed([target("up", **more)], *limits, up=up), tmp_path) as gateway:
        up.always(answered(1500))
        reply = await ask(gateway)
        assert sent(up).get("max_completion_tokens") == cap
        if reserved is not None:
            assert left(reply) == pytest.approx(10 - reserved)
            assert left(await ask(gateway)) == pytest.approx(10 - 1.5 - reserved)


async def test_a_clients_own_cap_counts_for_every_choice(tmp_path: Path):
    await clear_of_midnight()
    async with Faulty() as up, running(routed([target("up")], HARD, up=up), tmp_path) as gateway:
        up.always(answered(100))
        assert left(await ask(gateway, max_tokens=1000, n=3)) == pytest.approx(7)
        assert left(await ask(gateway, n=2)) == pytest.approx(10 - 0.1 - 2 * 4.096)


@pytest.mark.parametrize(("room", "status"), [(10, 200), (2, 503)])
async def test_a_failover_to_a_dearer_target_reserves_the_difference_or_is_passed_over(
    tmp_path: Path, room: float, status: int
):
    await clear_of_midnight()
    limit = {**HARD, "dollars": room}
    targets = [target("cheap"), target("dear", 4 * DOLLAR)]
    async with Faulty() as cheap, Faulty() as dear:
        async with running(routed(targets, limit, cheap=cheap, dear=dear), tmp_path) as gateway:
            cheap.always(send(refusal("503 Service Unavailable")))
            dear.always(answered(1000))
            reply = await ask(gateway, max_tokens=1000)
            assert (reply.status, len(cheap.requests), len(dear.requests)) == (status, 1, int(status == 200))
            cheap.always(answered(1000))
            spent = 4 if status == 200 else 0
            assert left(await ask(gateway, max_tokens=1000)) == pytest.approx(room - spent - 1)


async def test_many_failovers_at_once_never_spend_more_than_the_budget(tmp_path: Path):
    await clear_of_midnight()
    targets = [target("cheap"), target("dear", 2 * DOLLAR)]
    async with Faulty() as cheap, Faulty() as dear:
        async with running(routed(targets, HARD, cheap=cheap, dear=dear), tmp_path) as gateway:
            cheap.always(send(refusal("503 Service Unavailable")))
            dear.always(answered(1000))
            replies = await asyncio.gather(*(ask(gateway, max_tokens=1000) for _ in range(30)))
            assert sum(reply.status == 200 for reply in replies) == len(dear.requests) <= 5

            async def settled() -> float:
                return left(await ask(gateway, max_tokens=1))

            assert await settled() >= 10 - 2 * len(dear.requests) - 0.01


async def test_a_soft_budget_learns_what_answers_usually_take(tmp_path: Path):
    await clear_of_midnight()
    async with Faulty() as up, running(routed([target("up")], SOFT, up=up), tmp_path) as gateway:
        up.always(answered(10))
        for _ in range(25):
            assert (await ask(gateway)).status == 200
        assert left(await ask(gateway)) == pytest.approx(10 - 26 * 0.01)
        up.always(answered(9_000))
        assert (await ask(gateway)).status == 200
        assert left(await ask(gateway)) == pytest.approx(10 - 26 * 0.01 - 9 - 0.01), (
            "worst cases do not block it"
        )


async def test_a_target_at_its_quota_is_passed_over(tmp_path: Path):
    targets = [target("small", limits=[{"requests": 2, "per": "minute"}]), target("large")]
    async with Faulty() as small, Faulty() as large:
        async with running(routed(targets, small=small, large=large), tmp_path) as gateway:
            small.always(answered(1))
            large.always(answered(1))
            replies = [await ask(gateway) for _ in range(5)]
            assert {reply.status for reply in replies} == {200}
            assert (len(small.requests), len(large.requests)) == (2, 3)
            assert [reply.headers["x-fairlead-target"] for reply in replies] == ["small/m"] * 2 + [
                "large/m"
            ] * 3


async def test_a_quota_counts_what_was_used_and_calls_that_failed(tmp_path: Path):
    quota = [{"tokens": 10_000, "per": "day"}, {"requests": 4, "per": "day"}]
    async with Faulty() as up, Faulty() as other:
        text = routed([target("up", limits=quota), target("other")], up=up, other=other)
        async with running(text, tmp_path) as gateway:
            other.always(answered(1))
            up.always(answered(3_000))
            assert [
                (await ask(gateway, max_tokens=4_000)).headers["x-fairlead-target"] for _ in range(3)
            ] == [
                *("up/m", "up/m"),
                "other/m",  # 6,000 used: 4,000 and the prompt no longer fit
            ]
        up.requests.clear()
        text = routed([target("up", limits=quota[1:]), target("other")], up=up, other=other)
        async with running(text, tmp_path) as gateway:
            up.always(send(refusal("400 Bad Request")))
            assert [(await ask(gateway)).status for _ in range(4)] == [400] * 4
            assert (await ask(gateway)).status == 200
            assert len(up.requests) == 4


async def test_a_full_target_lets_the_next_call_in_as_soon_as_a_slot_is_free(tmp_path: Path):
    go_on = asyncio.Event()
    async with Faulty() as up:
        text = routed([target("up", limits=[{"concurrent": 1}])], up=up)
        async with running(text, tmp_path) as gateway:
            up.next(wait(go_on), answered(1))
            up.always(answered(1))
            first = asyncio.create_task(ask(gateway))
            while not up.requests:
                await asyncio.sleep(0.01)
            refused = await ask(gateway)
            assert (refused.status, code(refused)) == (429, "rate_limit_exceeded")
            assert len(up.requests) == 1
            go_on.set()
            assert (await first).status == 200

            async def free() -> bool:
                return (await ask(gateway)).status == 200

            async with asyncio.timeout(1):
                while not await free():
                    await asyncio.sleep(0.02)
