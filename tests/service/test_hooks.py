"""Providers may tell that something has changed: that hastens a poll, and whoever makes it up changes nothing."""

import hashlib
import json
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx2
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import replace
from standardwebhooks import Webhook

from gateway.errors import NotFound
from gateway.service import signers
from gateway.service.signers import Heard
from gateway.service.video_moves import Moves
from gateway.store import jobs
from providers.types import HttpResponse, Secret, Target, VideoLimits, VideoRequest
from providers.video import VIDEO, fal
from tests.api.video_app import served
from tests.providers.video.recorded import body
from tests.service.test_video_dialects import at
from tests.service.video_provider import MP4
from tests.service.video_rig import ANN, Hasty, Rig, rig, snapshot
from tests.service.video_upstream import Scripted

SECRET = "whsec_" + "a2xpbmc=" * 4
NOW = 1_795_132_800.0
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


def heard(body: bytes, headers: Mapping[str, str] = {}) -> Heard:
    return Heard(headers=headers, body=body)


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
            hooks = r.hooks
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
                    await hooks.heard(
                        made_up, heard(b'{"status": "succeeded", "url": "https://evil.example/"}')
                    )
            assert (await r.videos.get(ANN, job.id)).due_at == job.due_at
            assert up.sent("GET") == []
            assert await hooks.heard(token, heard(b"nonsense")) is None
            assert (await r.over(job)).state == "completed"
            await hooks.heard(token, heard(b"again"))  # whoever comes late does no harm


async def test_a_hook_that_comes_while_the_video_is_looked_at_has_it_looked_at_again(tmp_path: Path) -> None:
    async with kling() as up:
        config = snapshot(at("kling", "kling-3.0", up), public_url=HOME)
        async with rig(tmp_path, config, poll=1000.0) as r:
            job, token = await begun(r, up)
            now = r.parts.clock.now()
            async with r.parts.database.write() as transaction:
                await jobs.hasten(transaction, job.id, "running", now)
                [held] = await jobs.claim(transaction, now, now + 600, 1)
            await r.hooks.heard(token, heard(b"{}"))
            assert up.sent("GET") == []
            await Moves(r.parts).go(replace(held, due_at=now + 1000), "progress")
            r.runner.wake()
            assert (await r.over(job)).state == "completed"


async def test_a_provider_that_signs_must_have_signed(tmp_path: Path) -> None:
    async with kling() as up:
        made = at("kling", "kling-3.0", up)
        key = {"api_key": Secret("key"), "webhook_secret": Secret(SECRET)}
        made = replace(made, target=replace(made.target, credential=key))
        async with rig(tmp_path, snapshot(made, public_url=HOME), poll=1000.0) as r:
            job, token = await begun(r, up)
            hooks, now = r.hooks, datetime.now(UTC)
            genuine = signed(SECRET, now)
            other = signed("whsec_" + "b3RoZXI=" * 4, now)
            for headers, content in (({}, b"{}"), (other, b"{}"), (genuine, b'{"a": 1}')):
                with pytest.raises(NotFound):
                    await hooks.heard(token, heard(content, headers))
            assert up.sent("GET") == []
            await hooks.heard(token, heard(b"{}", genuine))
            assert (await r.over(job)).state == "completed"


def jwks(key: Ed25519PrivateKey) -> Any:
    other = {"kty": "RSA", "n": "x", "e": "AQAB"}
    raw = urlsafe_b64encode(key.public_key().public_bytes_raw()).decode().rstrip("=")
    return {"keys": [other, {"kty": "OKP", "crv": "Ed25519", "x": raw}]}


def fal_signed(key: Ed25519PrivateKey, content: bytes, now: float, **changes: str) -> Mapping[str, str]:
    told = {"request-id": "r", "user-id": "u", "timestamp": str(int(now))}
    message = "\n".join([*told.values(), hashlib.sha256(content).hexdigest()])
    told |= {"signature": key.sign(message.encode()).hex(), **changes}
    return {f"x-fal-webhook-{name}": value for name, value in told.items()}


@given(
    content=st.binary(max_size=40),
    changes=st.dictionaries(st.sampled_from(["request-id", "user-id", "timestamp", "signature"]), st.text()),
    late=st.floats(-600, 600),
    other=st.booleans(),
)
@example(content=b"", changes={}, late=0.0, other=False)
@example(content=b"", changes={"signature": "zz"}, late=0.0, other=False)
@example(content=b"", changes={"user-id": "\ud800"}, late=0.0, other=False)
def test_nothing_counts_as_fals_that_is_not_word_for_word_what_it_signed(
    content: bytes, changes: dict[str, str], late: float, other: bool
) -> None:
    key = Ed25519PrivateKey.generate()
    headers = fal_signed(key, content, NOW)
    known = jwks(Ed25519PrivateKey.generate() if other else key)
    keys = HttpResponse(status=200, headers={}, body=json.dumps(known).encode())
    told = {**headers, **{f"x-fal-webhook-{name}": value for name, value in changes.items()}}
    genuine = told == headers and not other and abs(NOW + late - int(NOW)) <= fal.TOLERANCE
    assert fal.hook_signed(keys, told, content, NOW + late) is genuine
    assert not fal.hook_signed(keys, told, content + b"x", NOW + late)


def test_keys_that_are_none_sign_nothing() -> None:
    headers = fal_signed(Ed25519PrivateKey.generate(), b"", NOW)
    for told in (b"", b"[]", b'{"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "AA"}]}', b'{"keys": [{}]}'):
        keys = HttpResponse(status=200, headers={}, body=told)
        assert not fal.hook_signed(keys, headers, b"", NOW)


def signed(secret: str, now: datetime) -> Mapping[str, str]:
    return {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign("msg_1", now, "{}"),
    }


FAL = "fal-ai/kling-video/v3/pro/text-to-video"


async def test_fal_must_have_signed_with_a_key_that_it_publishes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, old, new = Hasty(), Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    links = {f"{name}_url": f"URL/requests/1/{name}" for name in ("status", "response", "cancel")}
    script = {
        f"POST /{FAL}": [{"request_id": "1", **links}],
        "GET /jwks.json": [(503, {}), jwks(old), jwks(new)],
        "GET /requests/1/status": [{"status": "COMPLETED"}],
        "GET /requests/1/response": [{"video": {"url": "URL/fal.mp4"}}],
        "GET /fal.mp4": [MP4],
    }
    async with Scripted(script) as up:
        monkeypatch.setattr(fal, "KEYS", f"{up.url}/jwks.json")
        config = snapshot(at("fal", FAL, up), public_url=HOME)
        async with rig(tmp_path, config, poll=1000.0, clock=clock.clock, lease=1e6) as r:
            job = await r.create(seconds="5", size="1920x1080")
            await r.until(job, lambda one: one.phase == "running")
            token = unquote(up.sent("POST")[0].path).rpartition("/")[2]

            async def refused(sent: Heard) -> bool:
                try:
                    await r.hooks.heard(token, sent)
                except NotFound:
                    return True
                return False

            def sent(key: Ed25519PrivateKey) -> Heard:
                return heard(b"{}", fal_signed(key, b"{}", clock.clock.now()))

            assert await refused(sent(old))  # fal's keys could not be fetched
            clock.ahead += signers.REST
            assert await refused(heard(b"{}"))
            assert await refused(sent(new))  # not known yet, and just asked for
            assert len(up.sent("GET")) == 2
            clock.ahead += signers.REST
            assert not await refused(sent(new))
            assert (await r.over(job)).state == "completed"
            asked = [one.path for one in up.sent("GET")].count("/jwks.json")
            assert not await refused(sent(new))
            assert [one.path for one in up.sent("GET")].count("/jwks.json") == asked == 3


async def test_minimax_has_its_challenge_answered_while_it_is_asked_for_the_video(tmp_path: Path) -> None:
    async with Scripted({"POST /v2/video_generation": [{"task_id": "t1"}]}) as up:
        config = snapshot(at("minimax", "MiniMax-H3", up), public_url=HOME)
        async with served(tmp_path, config, poll=1000.0) as s:
            r = s.stories
            job = await r.create(seconds="6", size="1280x720")
            job = await r.until(job, lambda one: one.phase == "running")
            hook = up.sent("POST")[0].json["callback_url"].removeprefix(HOME)
            async with httpx2.AsyncClient(base_url=s.url) as client:
                asked = await client.post(hook, json={"challenge": "c-123"})
                assert (asked.status_code, asked.json()) == (200, {"challenge": "c-123"})
                stranger = await client.post(f"{hook}x", json={"challenge": "c-123"})
                assert stranger.status_code == 404
                assert (await r.videos.get(ANN, job.id)).due_at == job.due_at
                told = await client.post(hook, json={"task_id": "t1", "status": "succeeded"})
                assert (told.status_code, told.content) == (204, b"")
            await r.until(job, lambda _: bool(up.sent("GET")))


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
    "minimax": lambda told: told["callback_url"] == HOOK,
    "minimax_v1": lambda told: told["callback_url"] == HOOK,
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
