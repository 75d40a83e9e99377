"""Hedges through the whole gateway: when one is made, who answers, who pays, and when none is."""

import asyncio
import contextlib
import json
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import pytest

from gateway.routing.health import TELLING_SAMPLES
from tests.answers import BEGINNING, WHOLE, stream
from tests.api.test_admin import ENVIRONMENT, scraped, targets
from tests.api.test_routing import asked, model, until
from tests.running import Running, routing, running, upstream
from tests.service.test_limit_rows import limits
from tests.transport.faulty import Faulty, answer, close, reset, send, tell, until_left, wait

STREAMED = send(stream(*WHOLE))
DOWN = send(answer(b"{}", status="500 Internal Server Error"))


class Scene(NamedTuple):
    """A gateway that knows how soon `a` answers, and may make one hedge."""

    gateway: Running
    a: Faulty
    b: Faulty
    c: Faulty


@contextlib.asynccontextmanager
async def scene(
    folder: Path, *, key: dict[str, Any] | None = None, quotas: dict[str, Any] | None = None, **more: Any
) -> AsyncIterator[Scene]:
    async with Faulty() as a, Faulty() as b, Faulty() as c:
        for server in (a, b, c):
            server.always(STREAMED)
        text = model(
            *({"provider": name, **(quotas or {}).get(name, {})} for name in "abc"), **{"hedge": True, **more}
        )
        providers = {"a": upstream(a.url), "b": upstream(b.url), "c": upstream(c.url)}
        async with running(routing(text, providers, key=key or {}), folder, ENVIRONMENT) as gateway:
            for _ in range(TELLING_SAMPLES):
                assert (await asked(gateway, stream=True, max_tokens=1000)).headers[
                    "x-fairlead-target"
                ] == "a/m"
            yield Scene(gateway, a, b, c)


def booked(folder: Path) -> list[tuple[str, str, str, int]]:
    """The last request's charges: kind, key, target, nano-dollars."""
    with sqlite3.connect(folder / "data" / "fairlead.db") as database:
        (last,) = database.execute("SELECT source FROM ledger ORDER BY created_at DESC LIMIT 1").fetchone()
        said = "SELECT kind, caller, target, nano_dollars FROM ledger WHERE source = ? ORDER BY kind"
        return database.execute(said, (last,)).fetchall()


async def test_a_target_that_is_late_is_outrun_and_what_it_cost_is_booked(tmp_path: Path):
    left = asyncio.Event()
    async with scene(tmp_path) as (gateway, a, b, _):
        a.always(until_left(left))
        got = await asked(gateway, stream=True)
        assert got.headers["x-fairlead-target"] == "b/m"
        assert got.headers["x-fairlead-attempts"] == "2"
        assert got.text.endswith("data: [DONE]\n\n")
        await asyncio.wait_for(left.wait(), 5)
        assert len(b.requests) == 1
        rows = await targets(gateway)
        assert [rows[name]["in_flight"] for name in ("a/m", "b/m")] == [0, 0]
        assert (rows["a/m"]["state"], rows["a/m"]["failures"]) == ("closed", 0), "late is not broken"
        counted = await scraped(gateway)
        assert (
            'gateway_attempts_total{error_type="",gateway_attempt_kind="hedge",gateway_target_id="b/m"} 1'
            in counted
        )
    chat, hedge = booked(tmp_path)
    assert chat == ("chat", "test", "b/m", 15_000)
    assert hedge[:3] == ("hedge", "test", "a/m")
    assert hedge[3] > 0


async def test_hedges_are_at_most_one_in_twenty(tmp_path: Path):
    release = asyncio.Event()
    async with scene(tmp_path) as (gateway, a, b, _):
        a.always(until_left())
        assert (await asked(gateway, stream=True)).headers["x-fairlead-target"] == "b/m"
        asking = asyncio.Event()
        a.always(tell(asking), wait(release), STREAMED)
        second = asyncio.create_task(asked(gateway, stream=True))
        await asyncio.wait_for(asking.wait(), 5)
        await asyncio.wait((second,), timeout=0.1)
        release.set()
        assert (await second).headers["x-fairlead-target"] == "a/m"
        assert len(b.requests) == 1


async def test_a_key_without_room_for_two_calls_gets_one(tmp_path: Path):
    release, asking = asyncio.Event(), asyncio.Event()
    async with scene(tmp_path, key={"limits": [{"tokens": 1800, "per": "minute"}]}) as (gateway, a, b, _):
        a.always(tell(asking), wait(release), STREAMED)
        call = asyncio.create_task(asked(gateway, stream=True, max_tokens=1000))
        await asyncio.wait_for(asking.wait(), 5)
        await asyncio.wait((call,), timeout=0.1)
        release.set()
        got = await call
        assert (got.status_code, got.headers["x-fairlead-target"]) == (200, "a/m")
        assert not b.requests


async def test_a_hedged_text_that_breaks_is_continued_even_by_who_was_outrun(tmp_path: Path):
    cut = (send(stream(*BEGINNING)[:-5]), close())
    async with scene(tmp_path, on_cut="continue") as (gateway, a, b, c):
        a.next(until_left())
        b.always(*cut)
        c.always(DOWN)
        got = await asked(gateway, stream=True)
        assert got.headers["x-fairlead-target"] == "b/m"
        assert got.text.endswith("data: [DONE]\n\n")
        events = [json.loads(line[6:]) for line in got.text.split("\n\n")[:-2]]
        texts = [one["choices"][0]["delta"].get("content", "") for one in events if one["choices"]]
        assert "".join(texts) == "One One two", "the words of the two calls are kept apart"
        (joint,) = next(one["fairlead"]["continued"] for one in events if "fairlead" in one)
        assert (joint["at"], joint["from"], joint["to"]) == (4, "b/m", "a/m")
    assert [row[0] for row in booked(tmp_path)] == ["chat", "chat.3", "hedge"]


async def test_quotas_count_both_calls(tmp_path: Path):
    quota = {"limits": [{"requests": 100, "per": "hour"}, {"concurrent": 1}]}
    async with scene(tmp_path, quotas={"a": quota, "b": quota}) as (gateway, a, _, _):
        a.always(until_left())
        assert (await asked(gateway, stream=True)).headers["x-fairlead-target"] == "b/m"
        told = {
            row["target"]: {one["limit"]: one["left"] for one in row["limits"]}
            for row in (await limits(gateway))["targets"]
        }
    assert told == {
        "a/m": {"requests": 100 - TELLING_SAMPLES - 1, "concurrent": 1},
        "b/m": {"requests": 100 - 1, "concurrent": 1},
    }


async def test_a_target_at_its_quota_is_asked_for_no_hedge(tmp_path: Path):
    release, asking = asyncio.Event(), asyncio.Event()
    full = {"b": {"limits": [{"tokens": 10, "per": "minute"}]}}
    async with scene(tmp_path, quotas=full) as (gateway, a, b, _):
        a.always(tell(asking), wait(release), STREAMED)
        call = asyncio.create_task(asked(gateway, stream=True))
        await asyncio.wait_for(asking.wait(), 5)
        await asyncio.wait((call,), timeout=0.1)
        release.set()
        got = await call
        assert (got.headers["x-fairlead-target"], got.headers["x-fairlead-attempts"]) == ("a/m", "1")
        assert not b.requests


async def test_a_hedge_that_fails_leaves_the_first_to_answer(tmp_path: Path):
    failed = asyncio.Event()
    async with scene(tmp_path) as (gateway, a, b, _):
        a.always(wait(failed), STREAMED)
        b.always(DOWN, tell(failed))
        got = await asked(gateway, stream=True)
        assert (got.headers["x-fairlead-target"], got.headers["x-fairlead-attempts"]) == ("a/m", "2")
        assert (await targets(gateway))["b/m"]["failures"] == 1
    assert [row[0] for row in booked(tmp_path)] == ["chat"], "a call that failed is not billed"


async def test_a_first_that_fails_leaves_the_hedge_to_answer(tmp_path: Path):
    asking = asyncio.Event()
    async with scene(tmp_path) as (gateway, a, b, _):
        a.always(wait(asking), reset())
        b.always(tell(asking), STREAMED)
        got = await asked(gateway, stream=True)
        assert (got.headers["x-fairlead-target"], got.headers["x-fairlead-attempts"]) == ("b/m", "2")


async def test_when_both_fail_a_third_target_is_asked(tmp_path: Path):
    asking = asyncio.Event()
    async with scene(tmp_path) as (gateway, a, b, c):
        a.always(wait(asking), reset())
        b.always(tell(asking), DOWN)
        got = await asked(gateway, stream=True)
        assert (got.headers["x-fairlead-target"], got.headers["x-fairlead-attempts"]) == ("c/m", "3")
        assert len(b.requests) == len(c.requests) == 1


async def test_a_client_that_leaves_ends_both_calls(tmp_path: Path):
    ended = asyncio.Event(), asyncio.Event()
    async with scene(tmp_path) as (gateway, a, b, _):
        a.always(until_left(ended[0]))
        b.always(until_left(ended[1]))
        call = asyncio.create_task(asked(gateway, stream=True))
        await until(lambda: b.requests)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        for each in ended:
            await asyncio.wait_for(each.wait(), 5)
        rows = await targets(gateway)
        assert [rows[name]["in_flight"] for name in ("a/m", "b/m")] == [0, 0]
        assert [rows[name]["failures"] for name in ("a/m", "b/m")] == [0, 0]


@pytest.mark.parametrize(("hedge", "stream"), [(False, True), (True, False)])
async def test_no_hedge_where_it_is_off_nor_for_whole_answers(tmp_path: Path, hedge: bool, stream: bool):
    asking, release = asyncio.Event(), asyncio.Event()
    async with scene(tmp_path, hedge=hedge) as (gateway, a, b, _):
        a.always(tell(asking), wait(release), STREAMED if stream else DOWN)
        call = asyncio.create_task(asked(gateway, stream=stream))
        await asyncio.wait_for(asking.wait(), 5)
        await asyncio.wait((call,), timeout=0.1)
        assert not b.requests
        release.set()
        await asyncio.wait_for(call, 5)


async def test_the_key_is_charged_for_the_loser_in_its_limits_too(tmp_path: Path):
    async with scene(tmp_path, key={"limits": [{"tokens": 1_000_000, "per": "minute"}]}) as (
        gateway,
        a,
        _,
        _,
    ):
        before = await left_of(gateway)
        a.always(until_left())
        assert (await asked(gateway, stream=True)).headers["x-fairlead-target"] == "b/m"
        spent = before - await left_of(gateway)
        assert 12 < spent < 200, "the answer's twelve tokens, and the loser's input"


async def left_of(gateway: Running) -> float:
    async with httpx2.AsyncClient() as http:
        told = await http.post(
            f"{gateway.url}/v1/route/explain",
            json={"model": "fast", "messages": [{"role": "user", "content": "x"}]},
            headers={"authorization": "Bearer sk-fl-test-key"},
        )
    (limit,) = told.json()["limits"]
    return float(limit["left"])
