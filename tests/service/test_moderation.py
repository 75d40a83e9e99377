"""A prompt that moderation refuses leaves no trace: nothing is reserved or written down, nobody is asked to make it."""

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import openai
import pytest
from msgspec.structs import replace

from gateway.config.snapshot import Moderation, Snapshot
from gateway.errors import InvalidRequest, Unavailable
from gateway.service.video_repeats import Origin
from providers.types import Secret, Target
from tests.api.video_app import served
from tests.providers.test_moderations import verdict
from tests.providers.test_mp4 import made
from tests.service.video_provider import Provider
from tests.service.video_rig import ANN, Rig, rig, snapshot, target, wish
from tests.service.video_upstream import Scripted

pytestmark = pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning")
ASKED = "POST /v1/moderations"


def guarded(
    film: str, guard: str = "", *, deny: str = "", limits: Mapping[str, Any] = {}, **more: Any
) -> Snapshot:
    """One video model with moderation, whose target has these limits."""
    where = Target(
        provider="guard",
        dialect="openai",
        base_url=f"{guard}/v1",
        model="omni",
        credential=Secret("sk-guard"),
    )
    denied = re.compile(deny) if deny else None
    rule = Moderation(denied=denied, target=where if guard else None, **{"timeout": 5.0, **more})
    plain = snapshot(target("one", film, **limits))
    return replace(plain, routes={name: replace(one, moderation=rule) for name, one in plain.routes.items()})


async def assert_untouched(r: Rig, film: Provider) -> None:
    """Nothing was reserved, nothing is written down, and no provider was asked."""
    assert r.door.held == r.door.settled == {}
    assert await r.rows("select * from jobs") == []
    assert film.requests == []


async def test_a_flagged_prompt_is_refused_before_anything_happens(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with Provider() as film, Scripted({ASKED: [verdict("violence")]}) as guard:
        async with rig(tmp_path, guarded(film.url, guard.url)) as r:
            with pytest.raises(InvalidRequest, match="violence") as caught:
                await r.create(prompt="A secret prompt", style_preset="noir", camera_movement="pan_left")
            assert (caught.value.status, caught.value.code, caught.value.param) == (
                400, "moderation_blocked", "prompt",
            )  # fmt: skip
            await assert_untouched(r, film)
        assert guard.heard[0].json == {"model": "omni", "input": "A secret prompt\nnoir\npan_left"}
        assert guard.heard[0].headers["authorization"] == "Bearer sk-guard"
    assert "violence" in caplog.text
    assert "secret" not in caplog.text


async def test_a_harmless_prompt_becomes_a_video_and_its_repetition_is_not_asked_about(
    tmp_path: Path,
) -> None:
    async with Provider() as film, Scripted({ASKED: [verdict()]}) as guard:
        async with rig(tmp_path, guarded(film.url, guard.url)) as r:
            done = await r.over(await r.create(key="k"))
            assert done.state == "completed"
            assert (await r.create(key="k")).id == done.id
            assert len(guard.heard) == 1
            remixed = await r.videos.remix(ANN, done.id, {"prompt": "Another"}, Origin(route="videos/remix"))
            assert (await r.over(remixed)).state == "completed"
            assert [one.json["input"] for one in guard.heard] == ["A red kite", "Another"]


async def test_a_word_on_the_list_is_refused_without_asking_anybody(tmp_path: Path) -> None:
    async with Provider() as film, Scripted({ASKED: [verdict()]}) as guard:
        async with rig(tmp_path, guarded(film.url, guard.url, deny="red kite")) as r:
            with pytest.raises(InvalidRequest, match="'red kite', which this gateway") as caught:
                await r.create(prompt="A RED  kite")
            assert caught.value.code == "moderation_blocked"
            await assert_untouched(r, film)
        assert guard.heard == []


FAILURES = [None, (500, {"error": {"message": "no"}}), (401, {"error": {"message": "no"}}), {"results": []}]


@pytest.mark.parametrize("failure", FAILURES)
async def test_without_a_verdict_the_request_is_refused_as_not_its_fault(
    tmp_path: Path, failure: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async with Provider() as film, Scripted({ASKED: [failure]}) as guard:
        async with rig(tmp_path, guarded(film.url, guard.url)) as r:
            with pytest.raises(Unavailable) as caught:
                await r.create()
            assert (caught.value.status, caught.value.code) == (503, "moderation_unavailable")
            await assert_untouched(r, film)
    assert "a prompt for sora-2 was refused" in caplog.text


async def test_without_a_verdict_the_request_goes_through_where_the_operator_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        Provider() as film,
        rig(tmp_path, guarded(film.url, "http://127.0.0.1:9", allow_unasked=True)) as r,
    ):
        assert (await r.over(await r.create())).state == "completed"
    assert "went through unasked" in caplog.text


async def test_an_endpoint_that_hangs_is_waited_for_no_longer_than_said(tmp_path: Path) -> None:
    async with (
        Provider() as film,
        Scripted({ASKED: [b""]}) as guard,
    ):  # it takes the question and says nothing
        async with rig(tmp_path, guarded(film.url, guard.url, timeout=0.05)) as r:
            with pytest.raises(Unavailable, match="could not be moderated"):
                await r.create()
            await assert_untouched(r, film)


async def test_the_official_client_sees_a_bad_request(tmp_path: Path) -> None:
    async with Provider() as film, served(tmp_path, guarded(film.url, deny="kite")) as s:
        with pytest.raises(openai.BadRequestError) as caught:
            await s.client().videos.create(prompt="A red kite", model="sora-2")
        assert (caught.value.code, caught.value.param) == ("moderation_blocked", "prompt")
        await assert_untouched(s.stories, film)


@pytest.mark.parametrize("begun", ["video", "character"])
async def test_a_prompt_that_comes_with_a_clip_is_looked_at_too(tmp_path: Path, begun: str) -> None:
    limits = {"operations": ("generate", "edit"), "inputs": ("source_video", "reference_video")}
    async with Provider() as film, served(tmp_path, guarded(film.url, deny="kite", limits=limits)) as s:
        videos, clip = s.client().videos, ("a.mp4", made(frames=2, width=64, height=64))
        if begun == "video":
            asked = videos.edit(prompt="A red kite", video=clip)
        else:
            mossy = await videos.create_character(name="Mossy", video=clip)
            asked = videos.create(prompt="A red kite", extra_body={"characters": [{"id": mossy.id}]})
        with pytest.raises(openai.BadRequestError) as caught:
            await asked
        assert caught.value.code == "moderation_blocked"
        await assert_untouched(s.stories, film)


def test_the_wish_of_a_client_is_what_is_looked_at() -> None:
    assert wish(prompt="x", negative_prompt="blood").ask.said() == "x"
