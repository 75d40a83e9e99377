"""Tokens are made once for all calls, renewed beside them, and never told to anybody but the provider."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace

from gateway.service.tokens import Tokens
from gateway.transport.client import Upstream
from providers.errors import ErrorKind, ProviderError
from providers.types import Secret, Target
from tests.providers.test_tokens import account
from tests.service.test_video_dialects import at
from tests.service.video_provider import MP4
from tests.service.video_rig import Hasty, rig, snapshot
from tests.service.video_upstream import Scripted


def granting(*names: str) -> Scripted:
    return Scripted({"POST /token": [{"access_token": name, "expires_in": 3600} for name in names]})


def vertex(google: Scripted) -> Target:
    key = json.dumps(account(token_uri=f"{google.url}/token"))
    return Target(
        provider="vertex", dialect="veo", base_url="https://v.example", model="m",
        credential={"service_account": Secret(key), "bucket": Secret("gs://b")},
    )  # fmt: skip


@asynccontextmanager
async def keeping(clock: Hasty) -> AsyncIterator[Tokens]:
    upstream = Upstream()
    yield Tokens(upstream, clock.clock)
    await upstream.close()


async def shown(tokens: Tokens, target: Target) -> str:
    ready = await tokens.ready(target)
    assert isinstance(ready.credential, dict)
    assert ready.credential["bucket"].reveal() == "gs://b"
    return str(ready.credential["api_key"].reveal())


async def test_a_token_is_asked_for_once_and_renewed_before_it_ends_without_anybody_waiting() -> None:
    clock = Hasty()
    async with granting("first", "second", "third") as google, keeping(clock) as tokens:
        target = vertex(google)
        assert await asyncio.gather(*(shown(tokens, target) for _ in range(5))) == ["first"] * 5
        clock.ahead += 3200
        assert await shown(tokens, target) == "first"
        clock.ahead += 200  # five minutes before its end and less
        assert await shown(tokens, target) == "first"
        async with asyncio.timeout(10):
            while await shown(tokens, target) == "first":
                await asyncio.sleep(0.005)
        assert await shown(tokens, target) == "second"
        clock.ahead += 3700
        assert await shown(tokens, target) == "third"
        assert len(google.heard) == 3


async def test_a_renewal_that_fails_leaves_the_token_that_is_good_and_is_told_without_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = Hasty()
    answers = [{"access_token": "first", "expires_in": 3600}, (503, {"error": "busy"})]
    async with Scripted({"POST /token": answers}) as google, keeping(clock) as tokens:
        target = vertex(google)
        assert await shown(tokens, target) == "first"
        clock.ahead += 3400
        with caplog.at_level(logging.WARNING):
            async with asyncio.timeout(10):
                while not caplog.messages:
                    assert await shown(tokens, target) == "first"
                    await asyncio.sleep(0.005)
        assert caplog.messages == ["no access token for provider vertex: authentication"]
        assert await shown(tokens, target) == "first"
        assert len(google.heard) == 2  # it rests a while
        clock.ahead += 180
        with pytest.raises(ProviderError) as refused:
            await shown(tokens, target)
        assert refused.value.kind is ErrorKind.AUTHENTICATION


async def test_a_key_that_changes_is_another_token() -> None:
    async with granting("first", "second") as google, keeping(Hasty()) as tokens:
        target = vertex(google)
        other = replace(target, credential={**target.credential, "note": Secret("x")})  # type: ignore[dict-item]
        assert [await shown(tokens, one) for one in (target, other, target)] == ["first", "second", "first"]


async def test_every_call_of_a_job_at_kling_carries_a_token_of_its_time(tmp_path: Path) -> None:
    clock = Hasty()
    ok = {"code": 0, "message": "ok"}
    task = {"task_id": "t1", "task_status": "processing"}
    done = {"task_id": "t1", "task_status": "succeed", "task_result": {"videos": [{"url": "URL/out.mp4"}]}}
    up = Scripted(
        {
            "POST /v1/videos/text2video": [{**ok, "data": {**task, "task_status": "submitted"}}],
            "GET /v1/videos/text2video/t1": [{**ok, "data": task}, {**ok, "data": done}],
            "GET /out.mp4": [MP4],
        }
    )
    async with up:
        made = at("kling_classic", "kling-v2-6", up)
        keys = {"access_key": Secret("ak"), "secret_key": Secret("sk-kling")}
        made = replace(made, target=replace(made.target, credential=keys))
        async with rig(tmp_path, snapshot(made), clock=clock.clock, lease=1e6) as r:
            job = await r.create(seconds="5", size="1280x720")
            running = await r.until(job, lambda one: one.phase == "running")
            clock.ahead += 1790
            assert (await r.hurry(running, clock)).state == "completed"
    shown = [one.headers["authorization"].removeprefix("Bearer ") for one in up.heard]
    assert len(shown) >= 3
    assert all(token.count(".") == 2 for token in shown)
    assert shown[0] != shown[-1]
