"""A submit that was never answered: found again where the provider lists what it has, and nowhere mistaken."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.service.video_doubt import Clue, ours
from gateway.store.jobs import Begun
from providers.types import VideoSighting
from tests.service.test_video_dialects import at, content
from tests.service.video_provider import MP4, Provider, Video
from tests.service.video_rig import ANN, Hasty, rig, snapshot, target
from tests.service.video_upstream import Scripted
from tests.store.values import attempt, job


def told(video: Video) -> Mapping[str, Any]:
    """A video as a provider of OpenAI's dialect lists it."""
    fields = {name: video.fields.get(name) for name in ("prompt", "model", "seconds", "size")}
    return {"id": video.id, "object": "video", "created_at": int(time.time()), **fields}


async def test_a_video_that_was_begun_is_found_and_nobody_is_asked_again(tmp_path: Path) -> None:
    clock = Hasty()
    async with Provider(submit=["lose"], lists=told) as one, Provider() as two:
        config = snapshot(target("one", one.url), target("two", two.url))
        async with rig(tmp_path, config, clock=clock.clock, lease=1e6) as r:
            done = await r.hurry(await r.create(), clock)
            assert (done.state, await content(r, done)) == ("completed", MP4)
            [only] = done.attempts
            assert (only.certainty, only.error_code, only.operation) == ("created", None, {"id": "up_0"})
            assert len(await r.rows("select * from ledger")) == 1
        assert list(one.accepted.values()) == [1]
        assert not two.requests


async def test_what_another_job_has_is_left_to_it(tmp_path: Path) -> None:
    clock = Hasty()
    async with Provider(submit=["ok", "drop"], polls=10**9, lists=told) as one:
        config = snapshot(target("one", one.url))
        async with rig(tmp_path, config, clock=clock.clock, lease=1e6) as r:
            first = await r.create()
            await r.until(first, lambda found: found.phase == "running")
            second = await r.hurry(await r.create(), clock)
            assert second.error is not None
            assert second.error["code"] == "submit_uncertain"
            assert (await r.videos.get(ANN, first.id)).state == "in_progress"


async def test_of_two_in_doubt_with_the_same_words_neither_takes_the_one_that_was_begun(
    tmp_path: Path,
) -> None:
    clock = Hasty()
    async with Provider(submit=["lose", "drop", "lose"], lists=told) as one:
        async with rig(tmp_path, snapshot(target("one", one.url)), clock=clock.clock, lease=1e6) as r:
            same = [await r.create(), await r.create()]
            other = await r.create(prompt="A blue kite")
            ended = [await r.hurry(each, clock) for each in (*same, other)]
    assert [one.error and one.error["code"] for one in ended] == [
        "submit_uncertain",
        "submit_uncertain",
        None,
    ]


async def test_a_video_that_was_deleted_in_the_meantime_is_found_and_stopped(tmp_path: Path) -> None:
    async with Provider(submit=["lose"], polls=10**9, lists=told) as one:
        async with rig(tmp_path, snapshot(target("one", one.url)), uncertain=1000.0) as r:
            job = await r.create()
            await r.until(job, lambda found: found.phase == "uncertain")
            await r.videos.delete(ANN, job.id)
            r.runner.wake()
            while await r.rows("select id from jobs"):
                r.runner.wake()
        assert one.deleted == ["up_0"]


TASK = {"id": "t1", "model": "MiniMax-H3", "resolution": "768P", "duration": 6, "ratio": "16:9"}
LISTING = "GET /v2/query/video_generation?page_num=1&page_size=50"


async def test_what_does_not_say_yet_what_it_shows_is_waited_for(tmp_path: Path) -> None:
    clock = Hasty()
    there = TASK | {"created_at": time.time(), "status": "running"}
    script = {
        "POST /v2/video_generation": [None],
        LISTING: [
            (503, {}),
            *[{"items": [there]}] * 3,  # longer than doubts last where there is nothing to see
            {"items": [there | {"content": {"prompt": "A red kite"}}]},
        ],
        "GET /v2/query/video_generation/t1": [
            {"task": there | {"status": "succeeded", "content": {"url": "URL/out.mp4"}}}
        ],
        "GET /out.mp4": [MP4],
    }
    async with Scripted(script) as up, rig(
        tmp_path, snapshot(at("minimax", "MiniMax-H3", up)), clock=clock.clock, lease=1e6, uncertain=2.0
    ) as r:  # fmt: skip
        done = await r.hurry(await r.create(seconds="6", size="1280x720"), clock)
        assert (done.state, await content(r, done)) == ("completed", MP4)
        assert len(up.sent("POST")) == 1


OURS = job("ours", request={"prompt": "A kite"}, attempts=[attempt()])
SEEN = VideoSighting(operation={"id": "t1"}, created_at=0.0)


def other(prompt: str = "A kite", **changes: Any) -> Begun:
    return Begun(job="video_other", request={"prompt": prompt}, attempt=attempt(**changes))


@pytest.mark.parametrize(
    ("seen", "others", "found"),
    [
        ([SEEN], [], {"id": "t1"}),
        ([SEEN], [other(certainty="created", operation={"id": "t2", "url": "u"})], {"id": "t1"}),
        ([SEEN], [other(certainty="not_created")], {"id": "t1"}),
        ([SEEN], [other("A boat")], {"id": "t1"}),
        ([SEEN, replace(SEEN, operation={"id": "t2"})], [other(operation={"id": "t2"})], Clue.NOTHING),
        ([SEEN, replace(SEEN, operation={"id": "t2"})], [], Clue.NOTHING),
        ([SEEN], [other()], Clue.NOTHING),
        ([SEEN], [other(certainty="created", operation={"id": "t1", "url": "u"})], Clue.NOTHING),
        ([replace(SEEN, certain=False)], [], Clue.LATER),
        ([], [], Clue.NOTHING),
    ],
)
def test_only_what_can_be_nobody_elses_is_ours(
    seen: list[VideoSighting], others: list[Begun], found: object
) -> None:
    assert ours(OURS, seen, others) == found


@given(
    st.lists(st.builds(lambda name, sure: replace(SEEN, operation={"id": name}, certain=sure),
                       st.sampled_from("abc"), st.booleans()), max_size=4, unique_by=lambda one: one.operation["id"]),
    st.lists(st.builds(other, st.sampled_from(["A kite", "A boat"]),
                       certainty=st.sampled_from(["created", "not_created", "unknown"]),
                       operation=st.none() | st.sampled_from("abc").map(lambda name: {"id": name})), max_size=4),
)  # fmt: skip
def test_nothing_is_taken_that_somebody_has_or_might_have(
    seen: list[VideoSighting], others: list[Begun]
) -> None:
    found = ours(OURS, seen, others)
    if isinstance(found, Clue):
        return
    assert found in [one.operation for one in seen if one.certain]
    assert found not in [one.attempt.operation for one in others]
    assert not any(one.attempt.certainty == "unknown" and one.request == OURS.request for one in others)
