"""Providers may tell that something has changed: that hastens a poll, and whoever makes it up changes nothing."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from standardwebhooks import Webhook

from gateway.errors import NotFound
from gateway.service.hooks import Hooks
from providers.types import Secret, Target, VideoLimits, VideoRequest
from providers.video import VIDEO
from tests.providers.video.recorded import body
from tests.service.test_video_dialects import at
from tests.service.video_provider import MP4
from tests.service.video_rig import ANN, Rig, rig, snapshot
from tests.service.video_upstream import Scripted

SECRET = "whsec_" + "a2xpbmc=" * 4
HOME = "https://ai.example/gateway"
OK = {"code": 0, "message": "ok"}
DONE = {"id": "k1", "status": "succeeded", "outputs": [{"url": "URL/k.mp4", "duration": "5"}]}


def kling() -> Scripted:
    return Scripted(
        {
            "POST /text-to-video/kling-3.0": [{**OK, "data": {"id": "k1", "status": "submitted"}}],
            "GET /tasks?task_ids=k1": [{**OK, "data": [DONE]}],
            "GET /k.mp4": [MP4],
        }
    )


async def begun(r: Rig, up: Scripted) -> tuple[Any, str]:
    """A job that is not due for long, and the token of its hook."""
    job = await r.until(await r.create(seconds="5", size="1280x720"), lambda one: one.phase == "running")
    assert job.due_at is not None
    assert job.due_at > job.created_at + 500
    url = up.sent("POST")[0].json["options"]["callback_url"]
    assert url.startswith(f"{HOME}/hooks/videos/")
    return job, url.rpartition("/")[2]


async def test_a_hook_hastens_the_poll_and_only_that(tmp_path: Path) -> None:
    async with kling() as up:
        config = snapshot(at("kling", "kling-3.0", up), public_url=HOME)
        async with rig(tmp_path, config, poll=1000.0) as r:
            job, token = await begun(r, up)
            hooks = Hooks(r.parts, r.runner.wake)
            forged = [
                token[:-1],
                f"{token}x",
                token.replace(".", ".1", 1),
                f"{job.id}.0.",
                job.id,
                ".",
                "x.y.z",
            ]
            for made_up in forged:
                with pytest.raises(NotFound):
                    await hooks.heard(made_up, {}, b'{"status": "succeeded", "url": "https://evil.example/"}')
            assert (await r.videos.get(ANN, job.id)).due_at == job.due_at
            assert up.sent("GET") == []
            await hooks.heard(token, {}, b"nonsense")
            assert (await r.over(job)).state == "completed"
            await hooks.heard(token, {}, b"again")  # whoever comes late does no harm


async def test_a_provider_that_signs_must_have_signed(tmp_path: Path) -> None:
    async with kling() as up:
        made = at("kling", "kling-3.0", up)
        key = {"api_key": Secret("key"), "webhook_secret": Secret(SECRET)}
        made = replace(made, target=replace(made.target, credential=key))
        async with rig(tmp_path, snapshot(made, public_url=HOME), poll=1000.0) as r:
            job, token = await begun(r, up)
            hooks, now = Hooks(r.parts, r.runner.wake), datetime.now(UTC)
            genuine = signed(SECRET, now)
            other = signed("whsec_" + "b3RoZXI=" * 4, now)
            for headers, content in (({}, b"{}"), (other, b"{}"), (genuine, b'{"a": 1}')):
                with pytest.raises(NotFound):
                    await hooks.heard(token, headers, content)
            assert up.sent("GET") == []
            await hooks.heard(token, genuine, b"{}")
            assert (await r.over(job)).state == "completed"


def signed(secret: str, now: datetime) -> Mapping[str, str]:
    return {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign("msg_1", now, "{}"),
    }


async def test_without_a_public_address_no_provider_is_told_one(tmp_path: Path) -> None:
    for public in (None, "http://10.0.0.5:4000"):
        async with kling() as up:
            config = snapshot(at("kling", "kling-3.0", up), public_url=public)
            async with rig(tmp_path / str(public)[:4], config) as r:
                job = await r.create(seconds="5", size="1280x720")
                await r.until(job, lambda one: one.phase == "running")
            assert "callback_url" not in up.sent("POST")[0].json["options"]


HOOK = "https://ai.example/hooks/videos/t?x=1"
WAYS = {
    "fal": lambda told: told["url"].endswith(
        "?fal_webhook=https%3A%2F%2Fai.example%2Fhooks%2Fvideos%2Ft%3Fx%3D1"
    ),
    "replicate": lambda told: (told["webhook"], told["webhook_events_filter"]) == (HOOK, ["completed"]),
    "seedance": lambda told: told["callback_url"] == HOOK,
    "openrouter": lambda told: told["callback_url"] == HOOK,
    "luma_legacy": lambda told: told["callback_url"] == HOOK,
    "kling": lambda told: told["options"]["callback_url"] == HOOK,
}


@pytest.mark.parametrize("dialect", WAYS)
def test_each_provider_that_calls_back_is_told_where_in_its_own_way(dialect: str) -> None:
    named = dialect in ("fal", "replicate")
    limits = VideoLimits(wire={"input": {"prompt": "prompt"}} if named else {})
    target = Target(provider="p", dialect=dialect, base_url="https://p.example", model="a/b", video=limits)
    asked = VideoRequest(model="m", prompt="A kite", hook=HOOK)
    request = VIDEO[dialect].video_create(asked, target)
    assert WAYS[dialect]({**body(request), "url": request.url})
    silent = VIDEO[dialect].video_create(replace(asked, hook=""), target)
    assert b"hook" not in silent.body + silent.url.encode()
    assert b"callback" not in silent.body
