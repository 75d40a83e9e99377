"""What is explained is what happens, and explaining it takes nothing and asks nobody."""

from pathlib import Path
from typing import Any

import httpx2
import pytest

from gateway.api.explain import read
from gateway.errors import InvalidRequest
from tests.answers import completion
from tests.api.test_chat import ASK
from tests.api.test_routing import PICTURE, TOOLS, asked, model
from tests.running import KEY, Running, routing, running, upstream
from tests.transport.faulty import Faulty, answer, send


async def explained(gateway: Running, headers: dict[str, str] | None = None, **body: Any) -> httpx2.Response:
    async with httpx2.AsyncClient() as http:
        return await http.post(
            f"{gateway.url}/v1/route/explain",
            json=body,
            headers={"authorization": f"Bearer {KEY}", **(headers or {})},
        )


TARGETS = (
    {"provider": "a", "price": {"input": 3, "output": 9}},
    {"provider": "b", "when": {"tools": False, "images": False}},
    {"provider": "c", "price": {"input": 2, "output": 6}, "tags": ["gold"]},
)


@pytest.mark.parametrize("policy", ["in_order", "cheapest", "balanced"])
@pytest.mark.parametrize(
    ("headers", "more"),
    [
        ({}, {}),
        ({}, {"tools": TOOLS}),
        ({}, {"messages": PICTURE, "prompt_cache_key": "s"}),
        ({"x-fairlead-tags": "gold"}, {}),
        ({"x-session-id": "session 7"}, {}),
    ],
)
async def test_who_is_said_to_be_picked_is_who_answers(
    tmp_path: Path, policy: str, headers: dict, more: dict
):
    async with Faulty() as up:
        up.always(send(completion()))
        text = routing(
            model(*TARGETS, policy=policy, affinity=True), {name: upstream(up.url) for name in "abc"}
        )
        async with running(text, tmp_path) as gateway:
            told = (await explained(gateway, headers, **{**ASK, **more})).json()
            assert not up.requests
            real = await asked(gateway, headers, **more)
            assert told["picked"] == real.headers["x-fairlead-target"]
            assert told["policy"] == policy == real.headers["x-fairlead-route"].split(";")[0]


async def test_each_candidate_is_told_with_price_and_reason(tmp_path: Path):
    async with Faulty() as up:
        text = routing(
            model(*TARGETS, {"provider": "d", "shadow": 100}, policy="cheapest"),
            {n: upstream(up.url) for n in "abcd"},
        )
        async with running(text, tmp_path) as gateway:
            told = (await explained(gateway, **ASK, tools=TOOLS, max_tokens=1000)).json()
    assert [(row["target"], row.get("rank"), row.get("why_not")) for row in told["candidates"]] == [
        ("c/m", 1, None),
        ("a/m", 2, None),
        ("b/m", None, "tools"),
    ]
    tokens = told["request"]["input_tokens"]
    assert told["candidates"][0]["cost_usd"] == pytest.approx((tokens * 2 + 1000 * 6) / 1e6)
    assert told["why"] == "the lowest estimated cost"
    assert told["shadows"] == ["d/m"]
    assert told["request"]["tools"] is True


async def test_health_and_speed_are_told_as_they_are(tmp_path: Path):
    async with Faulty() as up, Faulty() as busy:
        up.always(send(completion()))
        busy.always(send(answer(b"{}", status="429 Too Many Requests", headers={"retry-after": "60"})))
        text = routing(
            model({"provider": "a"}, {"provider": "b"}), {"a": upstream(busy.url), "b": upstream(up.url)}
        )
        async with running(text, tmp_path) as gateway:
            await asked(gateway)
            b, a = (await explained(gateway, **ASK)).json()["candidates"]
    assert (a["state"], a["why_not"], a["target"]) == ("throttled", "rate_limited", "a/m")
    assert 50 < a["shut_seconds"] <= 60
    assert b["state"] == "closed"
    assert b["first_token_seconds"] == pytest.approx(b["expected_seconds"], rel=0.1)
    assert b["first_token_seconds"] > 0


async def test_what_a_target_would_not_be_told_is_named(tmp_path: Path):
    quirks = {"drop": ["logprobs"], "rename": {"max_completion_tokens": "max_tokens"}, "refuse": ["audio"]}
    providers = {
        "a": {**upstream("http://127.0.0.1:9"), "quirks": quirks},
        "b": upstream("http://127.0.0.1:9"),
    }
    async with running(routing(model({"provider": "a"}, {"provider": "b"}), providers), tmp_path) as gateway:
        (row, _) = (await explained(gateway, **ASK, logprobs=True, max_completion_tokens=5)).json()[
            "candidates"
        ]
        assert row["dropped"] == ["logprobs"]
        assert row["changed"] == ["max_completion_tokens", "max_tokens"]
        told = (await explained(gateway, **ASK, audio={"voice": "x"})).json()
        assert "audio" in told["candidates"][0]["refused"]
        assert told["picked"] == "b/m"
        strict = (await explained(gateway, {"x-fairlead-strict": "true"}, **ASK, logprobs=True)).json()
        assert (strict["picked"], strict["why"]) == ("b/m", "the next after those that refuse the request")


async def test_the_keys_limits_are_told_and_nothing_of_them_is_taken(tmp_path: Path):
    limits = [{"requests": 2, "per": "minute"}, {"dollars": 5, "per": "day"}, {"concurrent": 1}]
    async with Faulty() as up:
        up.always(send(completion()))
        text = routing(model({"provider": "a"}), {"a": upstream(up.url)}, key={"limits": limits})
        async with running(text, tmp_path) as gateway:
            for _ in range(5):
                told = (await explained(gateway, **ASK)).json()
                requests, slots, dollars = told["limits"]
                assert (requests["limit"], requests["of"], requests["left"], requests["enough"]) == (
                    "requests",
                    2,
                    2,
                    True,
                )
                assert (dollars["limit"], dollars["left"]) == ("dollars", 5)
                assert (slots["limit"], slots["left"]) == ("concurrent", 1)
            for _ in range(2):
                assert (await asked(gateway)).status_code == 200
            (requests, _, dollars) = (await explained(gateway, **ASK)).json()["limits"]
            assert (requests["left"], requests["enough"]) == (0, False)
            assert dollars["left"] == pytest.approx(5 - 2 * 15e-6)


async def test_embeddings_and_videos_are_explained_too(tmp_path: Path):
    models = {
        "words": {"kind": "embedding", "targets": [{"provider": "a", "model": "e", "price": {"input": 1}}]},
        "clip": {
            "kind": "video",
            "policy": "cheapest",
            "targets": [
                {"provider": "v", "model": "short", "seconds": [4], "price": {"per_second": 0.5}},
                {"provider": "v", "model": "long", "seconds": [8], "price": {"per_second": 0.25}},
            ],
        },
    }
    providers = {
        "a": upstream("http://127.0.0.1:9"),
        "v": {**upstream("http://127.0.0.1:9"), "kind": "video"},
    }
    async with running(routing(models, providers), tmp_path) as gateway:
        words = (await explained(gateway, model="words", input=["a", "b"])).json()
        assert (words["picked"], words["kind"]) == ("a/e", "embedding")
        for asks in ({"seconds": "8"}, {"duration": 8}):
            clip = (await explained(gateway, model="clip", prompt="a cat", **asks)).json()
            assert (clip["picked"], clip["candidates"][0]["cost_usd"]) == ("v/long", 2.0)
            assert clip["candidates"][1] == {"target": "v/short", "why_not": "seconds", "cost_usd": 4.0}
        nowhere = await explained(gateway, {"x-fairlead-region": "eu"}, model="clip", prompt="a cat")
        assert (nowhere.status_code, nowhere.json()["error"]["code"]) == (400, "no_target")
        refused = await explained(gateway, model="clip", prompt="a cat", seconds="6")
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, "seconds")


def test_a_body_whose_texts_are_none_is_refused():
    with pytest.raises(InvalidRequest, match="not a JSON object"):
        read(b'{"model": "clip", "prompt": "\xfc"}', {}, 0)


async def test_what_the_call_would_be_refused_with_is_the_answer(tmp_path: Path):
    text = routing(model({"provider": "a"}), {"a": upstream("http://127.0.0.1:9")}, key={"models": ["fast"]})
    async with running(text, tmp_path) as gateway:
        for body, status in (
            ({**ASK, "model": "none"}, 404),
            ({"model": "fast"}, 400),
            ({**ASK, "messages": []}, 400),
        ):
            assert (await explained(gateway, **body)).status_code == status
        nobody = (await explained(gateway, {"x-fairlead-region": "eu"}, **ASK)).json()
        assert nobody["picked"] is None
        assert "a/m: region" in nobody["why"]
