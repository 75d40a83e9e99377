"""What an operator reads of the targets: their health and why, speed, load and terms."""

from pathlib import Path
from typing import Any

import httpx2
import pytest

from gateway.config.problems import ConfigError
from gateway.config.settings import read
from tests.answers import WHOLE, completion, stream
from tests.api.test_routing import asked, model
from tests.running import Running, routing, running, upstream
from tests.transport.faulty import Faulty, answer, send

ADMIN_KEY = "an-admin-key-of-some-length"
ENVIRONMENT = {"FAIRLEAD_ADMIN_KEY": ADMIN_KEY}


async def targets(gateway: Running) -> dict[str, Any]:
    async with httpx2.AsyncClient(headers={"authorization": f"Bearer {ADMIN_KEY}"}) as http:
        told = (await http.get(f"{gateway.url}/admin/targets")).json()
    return {**told, **{row["target"]: row for row in told["data"]}}


async def scraped(gateway: Running) -> str:
    async with httpx2.AsyncClient() as http:
        return (await http.get(f"{gateway.url}/metrics")).text


async def test_every_target_is_there_before_it_is_called(tmp_path: Path):
    text = model(
        {"provider": "a"}, {"provider": "b", "shadow": 5, "region": "eu"}, health={"failures": 3, "rest": 9}
    )
    providers = {name: upstream("http://127.0.0.1:9") for name in "ab"}
    async with running(routing(text, providers), tmp_path, ENVIRONMENT) as gateway:
        told = await targets(gateway)
    assert told["a/m"] == {
        "target": "a/m", "models": ["fast"], "state": "closed", "reason": None, "learnt": False,
        "shut_seconds": 0.0, "failures": 0, "failures_to_open": 3,
        "openings": 0, "rest_seconds": 9.0, "probing": False, "in_flight": 0,
        "first_token_seconds": None, "tokens_per_second": None, "context_window": None, "max_output": None, "terms": {},
    }  # fmt: skip
    assert told["b/m"]["terms"] == {"region": "eu", "shadow": 0.05}
    assert told["routes"] == [
        {
            "model": "fast",
            "policy": "in_order",
            "attempts": 3,
            "running": 0,
            "retrying": 0,
            "retries_allowed": 3,
        }
    ]


async def test_a_breaker_a_rest_and_a_bad_credential_are_told_with_their_reasons(tmp_path: Path):
    limited = answer(b"{}", status="429 Too Many Requests", headers={"retry-after": "60"})
    answers = {
        "open": answer(b"{}", status="503 X"),
        "resting": limited,
        "out": answer(b"{}", status="401 X"),
    }
    text = model(*({"provider": name} for name in answers), {"provider": "well"}, health={"failures": 1})
    async with Faulty() as well:
        well.always(send(completion()))
        async with Faulty() as down, Faulty() as resting, Faulty() as out:
            for server, said in zip((down, resting, out), answers.values(), strict=True):
                server.always(send(said))
            urls = {"open": down.url, "resting": resting.url, "out": out.url, "well": well.url}
            text = routing(
                text,
                {name: upstream(url) for name, url in urls.items()},
                defaults={"retries": {"attempts": 9}},
            )
            async with running(text, tmp_path, ENVIRONMENT) as gateway:
                assert (await asked(gateway)).headers["x-fairlead-target"] == "well/m"
                told = await targets(gateway)
                counted = await scraped(gateway)
    states = {name: (told[f"{name}/m"]["state"], told[f"{name}/m"]["reason"]) for name in urls}
    assert states == {
        "open": ("open", "unavailable"),
        "resting": ("throttled", "rate_limited"),
        "out": ("open", "authentication"),
        "well": ("closed", None),
    }
    assert told["data"][-1]["target"] == "well/m", "what is in trouble comes first"
    assert 50 < told["resting/m"]["shut_seconds"] <= 60
    assert (
        'gateway_target_rest{error_type="rate_limited",gateway_rest_source="own",gateway_target_id="resting/m"} 5'
        in counted
    )
    assert 'gateway_target_id="well/m"' not in "".join(
        one for one in counted.splitlines() if "target_rest{" in one
    )


async def test_speed_and_latency_are_told_once_measured(tmp_path: Path):
    async with Faulty() as up:
        up.always(
            send(
                stream(
                    *(
                        piece.replace(b'"completion_tokens": 3', b'"completion_tokens": 300')
                        for piece in WHOLE
                    )
                )
            )
        )
        async with running(
            routing(model({"provider": "a"}), {"a": upstream(up.url)}), tmp_path, ENVIRONMENT
        ) as gateway:
            await asked(gateway, stream=True)
            row = (await targets(gateway))["a/m"]
            assert row["first_token_seconds"] > 0
            assert row["tokens_per_second"] > 0
            assert row["in_flight"] == 0
            assert 'gateway_target_speed{gateway_target_id="a/m"}' in await scraped(gateway)


async def test_a_target_that_a_client_named_is_told_without_a_model(tmp_path: Path):
    async with Faulty() as up:
        up.always(send(completion()))
        async with running(routing({}, {"a": upstream(up.url)}), tmp_path, ENVIRONMENT) as gateway:
            await asked(gateway, model="a/thing")
            assert (await targets(gateway))["a/thing"]["models"] == []


def test_an_admin_key_that_can_be_guessed_is_refused(tmp_path: Path):
    with pytest.raises(ConfigError, match="FAIRLEAD_ADMIN_KEY: must be at least 16 characters") as caught:
        read({"FAIRLEAD_ADMIN_KEY": "short", "FAIRLEAD_DATA_DIR": str(tmp_path)})
    assert "short" not in str(caught.value)
