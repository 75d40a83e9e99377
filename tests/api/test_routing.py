"""What a client and an operator can say about routing, through the whole gateway."""

import asyncio
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.answers import WHOLE, completion, stream
from tests.api.test_chat import ASK
from tests.running import KEY, Running, routing, running, upstream
from tests.transport.faulty import Faulty, answer, send, until_left

PRICE = {"input": 1, "output": 2}
TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
PICTURE = [
    {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x.example/a.png"}}]}
]
SCHEMA = {"type": "json_schema", "json_schema": {"name": "s", "schema": {}}}


def model(*targets: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The model `fast`; a target is its provider and its terms."""
    return {"fast": {"targets": [{"model": "m", "price": PRICE, **one} for one in targets], **more}}


async def asked(gateway: Running, headers: dict[str, str] | None = None, **more: Any) -> httpx2.Response:
    """One chat request; `more` is of its body."""
    async with httpx2.AsyncClient() as http:
        return await http.post(
            f"{gateway.url}/v1/chat/completions",
            json={**ASK, **more},
            headers={"authorization": f"Bearer {KEY}", **(headers or {})},
        )


async def until(what: Callable[[], Any]) -> Any:
    """The first true value of `what`, asked for at most five seconds."""
    async with asyncio.timeout(5):
        while not (found := what()):
            await asyncio.sleep(0.01)
    return found


@pytest.mark.parametrize(
    ("when", "request_body"),
    [
        ({"tools": False}, {"tools": TOOLS}),
        ({"images": False}, {"messages": PICTURE}),
        ({"json_schema": False}, {"response_format": SCHEMA}),
        ({"max_input": 500}, {"messages": [{"role": "user", "content": "word " * 1000}]}),
    ],
)
async def test_a_request_goes_where_what_it_needs_is(tmp_path: Path, when: dict, request_body: dict):
    text = model({"provider": "a", "when": when}, {"provider": "b"})
    async with Faulty() as up:
        up.always(send(completion()))
        providers = {name: upstream(up.url) for name in "ab"}
        async with running(routing(text, providers), tmp_path) as gateway:
            assert (await asked(gateway)).headers["x-fairlead-target"] == "a/m"
            assert (await asked(gateway, **request_body)).headers["x-fairlead-target"] == "b/m"


async def test_tags_and_a_region_are_insisted_on(tmp_path: Path):
    text = model({"provider": "a"}, {"provider": "b", "tags": ["gold", "zdr"], "region": "eu-west-1"})
    async with Faulty() as up:
        up.always(send(completion()))
        async with running(routing(text, {name: upstream(up.url) for name in "ab"}), tmp_path) as gateway:
            for headers in ({"x-fairlead-tags": "zdr, gold"}, {"x-fairlead-region": "eu"}):
                assert (await asked(gateway, headers)).headers["x-fairlead-target"] == "b/m"
            calls = len(up.requests)
            nowhere = await asked(gateway, {"x-fairlead-tags": "silver"})
            assert nowhere.status_code == 400
            assert nowhere.json()["error"]["code"] == "no_target"
            assert "b/m: tags" in nowhere.json()["error"]["message"]
            unreadable = await asked(gateway, {"x-fairlead-tags": "a b"})
            assert unreadable.json()["error"]["param"] == "x-fairlead-tags"
            assert len(up.requests) == calls


async def test_tags_count_on_a_route_that_has_none(tmp_path: Path):
    async with (
        Faulty() as up,
        running(routing(model({"provider": "a"}), {"a": upstream(up.url)}), tmp_path) as gateway,
    ):
        assert (await asked(gateway, {"x-fairlead-region": "eu"})).status_code == 400
        assert not up.requests


async def test_a_key_reaches_only_the_places_it_is_held_to(tmp_path: Path):
    places = (("a", "us-east-1"), ("b", "eu-west-1"), ("c", "eu-north-1"))
    text = model(*({"provider": name, "region": region, "tags": ["zdr"]} for name, region in places))
    text["slow"] = {"targets": [{"provider": "a", "model": "m"}]}
    async with Faulty() as up:
        up.always(send(completion()))
        providers = {name: upstream(up.url) for name in "abc"}
        held = routing(text, providers, key={"region": "eu", "tags": ["zdr"]})
        async with running(held, tmp_path) as gateway:
            for region, target in ((None, "b/m"), ("eu", "b/m"), ("eu-north-1", "c/m")):
                headers = {"x-fairlead-region": region} if region else {}
                assert (await asked(gateway, headers)).headers["x-fairlead-target"] == target
            calls = len(up.requests)
            for region in ("us-east-1", "e"):
                outside = await asked(gateway, {"x-fairlead-region": region})
                assert outside.status_code == 403
                assert outside.json()["error"]["param"] == "x-fairlead-region"
            for more in ({"x-fairlead-tags": "gold"}, {}):
                nowhere = await asked(gateway, more, model="fast" if more else "a/m")
                assert nowhere.json()["error"]["code"] == "no_target"
            assert len(up.requests) == calls
            async with httpx2.AsyncClient(headers={"authorization": f"Bearer {KEY}"}) as http:
                listed = (await http.get(f"{gateway.url}/v1/models")).json()["data"]
                told = (await http.post(f"{gateway.url}/v1/route/explain", json=ASK)).json()
            assert [row["id"] for row in listed] == ["fast"]
            assert (told["picked"], told["request"]["region"], told["request"]["tags"]) == (
                "b/m",
                "eu",
                ["zdr"],
            )
            assert {row["target"]: row.get("why_not") for row in told["candidates"]}["a/m"] == "region"


@pytest.mark.parametrize("by", ["prompt_cache_key", "user", "x-session-id"])
async def test_a_session_stays_with_one_target(tmp_path: Path, by: str):
    text = model({"provider": "a"}, {"provider": "b"}, {"provider": "c"}, affinity=True, policy="weighted")
    async with Faulty() as up:
        up.always(send(completion()))
        async with running(routing(text, {name: upstream(up.url) for name in "abc"}), tmp_path) as gateway:
            homes = []
            for number in range(8):
                headers, fields = (
                    ({by: f"s{number}"}, {}) if by == "x-session-id" else ({}, {by: f"s{number}"})
                )
                told = [await asked(gateway, headers, **fields) for _ in range(3)]
                (one,) = {each.headers["x-fairlead-target"] for each in told}
                homes.append(one)
            assert len(set(homes)) > 1


async def test_a_canary_that_fails_is_hidden_by_the_others(tmp_path: Path):
    text = model({"provider": "old"}, {"provider": "new", "canary": 100})
    async with Faulty() as new, Faulty() as old:
        new.always(send(answer(b"{}", status="503 Service Unavailable")))
        old.always(send(completion()))
        providers = {"old": upstream(old.url), "new": upstream(new.url)}
        async with running(routing(text, providers), tmp_path) as gateway:
            got = await asked(gateway)
            assert got.headers["x-fairlead-target"] == "old/m"
            assert got.headers["x-fairlead-attempts"] == "2"


async def test_a_shadow_gets_a_copy_that_the_client_neither_sees_nor_pays(tmp_path: Path):
    text = model({"provider": "a"}, {"provider": "s", "shadow": 100, "price": {"input": 100, "output": 100}})
    async with Faulty() as up, Faulty() as shadow:
        up.always(send(stream(*WHOLE)))
        shadow.always(send(completion("from the shadow")))
        providers = {"a": upstream(up.url), "s": upstream(shadow.url)}
        async with running(routing(text, providers), tmp_path) as gateway:
            got = await asked(gateway, stream=True)
            assert "shadow" not in got.text
            assert got.headers["x-fairlead-target"] == "a/m"
            copy = json.loads((await until(lambda: shadow.requests))[0].body)
            assert copy["messages"] == ASK["messages"]
            assert not {"stream", "stream_options"} & set(copy)
            async with httpx2.AsyncClient() as http:
                listed = (
                    await http.get(f"{gateway.url}/v1/models", headers={"authorization": f"Bearer {KEY}"})
                ).json()
                assert listed["data"][0]["targets"] == ["a/m"]
                counted = (await http.get(f"{gateway.url}/metrics")).text
            assert (
                'gateway_attempts_total{error_type="",gateway_attempt_kind="shadow",gateway_target_id="s/m"} 1'
                in counted
            )
        with sqlite3.connect(tmp_path / "data" / "fairlead.db") as database:
            rows = dict(database.execute("SELECT kind, caller FROM ledger").fetchall())
            assert rows == {"chat": "test", "shadow": ""}
            (paid,) = database.execute("SELECT nano_dollars FROM ledger WHERE kind = 'shadow'").fetchone()
            assert paid == 12 * 100_000


async def test_a_shadow_that_hangs_holds_up_nobody(tmp_path: Path):
    text = model({"provider": "a"}, {"provider": "s", "shadow": 100})
    async with Faulty() as up, Faulty() as shadow:
        up.always(send(completion()))
        shadow.always(until_left())
        async with asyncio.timeout(8):
            async with running(
                routing(text, {"a": upstream(up.url), "s": upstream(shadow.url)}), tmp_path
            ) as gateway:
                assert (await asked(gateway)).status_code == 200


async def test_a_keys_own_names_lead_to_models(tmp_path: Path):
    key = {"models": ["fast"], "aliases": {"gpt-4o": "fast"}}
    async with Faulty() as up:
        up.always(send(completion()))
        async with running(
            routing(model({"provider": "a"}), {"a": upstream(up.url)}, key=key), tmp_path
        ) as gateway:
            assert (await asked(gateway, model="gpt-4o")).status_code == 200
            assert json.loads(up.requests[0].body)["model"] == "m"
            async with httpx2.AsyncClient(headers={"authorization": f"Bearer {KEY}"}) as http:
                listed = (await http.get(f"{gateway.url}/v1/models")).json()["data"]
                assert [one["id"] for one in listed] == ["fast", "gpt-4o"]
                assert (await http.get(f"{gateway.url}/v1/models/gpt-4o")).json()["targets"] == ["a/m"]
            assert (await asked(gateway, model="gpt-4")).status_code == 404


async def test_a_prompt_too_long_for_one_target_goes_on_to_a_larger_window(tmp_path: Path):
    text = model(
        {"provider": "small", "context_window": 1000},
        {"provider": "same", "context_window": 1000},
        {"provider": "large", "context_window": 100_000},
    )
    too_long = {
        "error": {"message": "too long", "type": "invalid_request_error", "code": "context_length_exceeded"}
    }
    async with Faulty() as full, Faulty() as large:
        full.always(
            send(
                answer(
                    json.dumps(too_long).encode(),
                    status="400 Bad Request",
                    headers={"content-type": "application/json"},
                )
            )
        )
        large.always(send(completion()))
        providers = {"small": upstream(full.url), "same": upstream(full.url), "large": upstream(large.url)}
        async with running(routing(text, providers), tmp_path) as gateway:
            got = await asked(gateway, messages=[{"role": "user", "content": "word " * 800}])
            assert (got.headers["x-fairlead-target"], got.headers["x-fairlead-attempts"]) == ("large/m", "2")
            got = await asked(gateway, messages=[{"role": "user", "content": "word " * 8000}])
            assert (got.headers["x-fairlead-target"], got.headers["x-fairlead-attempts"]) == ("large/m", "1")
