"""A video that the same request made before answers for as long as it may, to its owner, and stands by itself."""

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from gateway.config.snapshot import Caller
from gateway.errors import Unavailable
from gateway.service.video_cache import FOUND
from gateway.service.video_repeats import Origin
from gateway.service.video_results import Results
from gateway.service.videos import Videos
from gateway.store.jobs import Job
from gateway.store.media import MediaStore, whole
from gateway.store.media_files import Directory
from tests.service.video_provider import Provider
from tests.service.video_rig import ANN, BOB, Hasty, Rig, rig, snapshot, target, wish

ALLOWED = Origin(route="videos", cache=True)


async def ask(stories: Rig, caller: Caller = ANN, origin: Origin = ALLOWED, **fields: Any) -> Job:
    return await stories.videos.create(caller, wish(**fields), origin)


def hit(job: Job) -> bool:
    return FOUND in (job.output or {})


async def test_a_hit_is_complete_at_once_costs_nothing_and_outlives_the_first(tmp_path: Path) -> None:
    async with Provider() as one:
        config = snapshot(target("one", one.url), webhook_networks=["127.0.0.1/32"])
        async with rig(tmp_path, config) as stories:
            await one_after_the_other(one, stories)


async def one_after_the_other(one: Provider, stories: Rig) -> None:
    first = await stories.over(await ask(stories))
    second = await ask(stories, callback_url="http://127.0.0.1:9/")
    assert (second.state, second.phase, second.cost, second.video_ms) == ("completed", "done", 0, 0)
    assert second.output == {**(first.output or {}), FOUND: first.id}
    assert [attempt.target for attempt in second.attempts] == ["one/m"]
    assert stories.door.held == {}
    assert stories.door.settled[second.lease] == (0, 0)
    told = await stories.rows("select event from outbox where job like 'video_%'")
    assert [tuple(row) for row in told] == [("video.completed",)]
    assert len(await stories.rows("select * from ledger")) == 1
    for gone in (first, None):
        content = await stories.videos.content(ANN, second.id, "video")
        assert content.row.size == len(await whole(content.file, 1 << 20))
        content.file.close()
        if gone is not None:
            await stories.videos.delete(ANN, gone.id)
    third = await ask(stories)  # what was deleted answers nobody any more
    assert not hit(third)
    await stories.over(third)
    assert len(one.accepted) == 2


async def test_only_who_asks_for_it_gets_it_and_only_their_own(tmp_path: Path) -> None:
    async with Provider() as one, rig(tmp_path, snapshot(target("one", one.url))) as stories:
        await stories.over(await stories.create())  # did not allow it: nobody may have it
        first = await stories.over(await ask(stories))
        assert not hit(first)
        assert hit(await ask(stories))
        assert not hit(await stories.create())
        assert not hit(await ask(stories, BOB))
        assert not hit(await ask(stories, prompt="A blue kite"))
        assert not hit(await ask(stories, seed=1))
        stories.config["now"] = snapshot(target("one", one.url), target("other", one.url))
        assert not hit(await ask(stories))  # the route was edited


async def test_it_is_given_for_as_long_as_the_file_says_and_never_without_its_bytes(tmp_path: Path) -> None:
    hasty, config = Hasty(), snapshot(video_cache=600.0)
    async with Provider() as one:
        route = replace(config.routes["sora-2"], targets=[target("one", one.url)])
        config = replace(config, routes={"sora-2": route})
        async with rig(tmp_path, config, clock=hasty.clock, lease=10_000.0) as stories:
            first = await stories.over(await ask(stories))
            hasty.ahead = 590.0
            assert hit(await ask(stories))
            hasty.ahead = 610.0  # by the first one's end: a hit does not keep it alive
            again = await ask(stories)
            assert not hit(again)
            await stories.over(again)
            assert hit(await ask(stories))
            await stories.parts.media.remove(row.name for row in (*first.media, *again.media))
            found = await stories.videos.get(ANN, again.id)
            await stories.parts.media.remove(row.name for row in found.media)
            assert not hit(await ask(stories))


class Away(Directory):
    """A place that cannot be reached when it is to name a file again."""

    async def again(self, name: str, further: str) -> None:
        raise Unavailable(f"{name} cannot be {further}")


async def test_a_store_that_is_away_is_no_reason_to_refuse(tmp_path: Path) -> None:
    async with Provider() as one, rig(tmp_path, snapshot(target("one", one.url))) as stories:
        await stories.over(await ask(stories))
        folder = tmp_path / "media"
        parts = replace(stories.parts, media=MediaStore(folder, Away(folder)))
        made = await Videos(parts, stories.runner.wake).create(ANN, wish(), ALLOWED)
        assert not hit(made)


async def test_a_repeated_request_is_one_job_however_it_was_answered(tmp_path: Path) -> None:
    async with Provider() as one, rig(tmp_path, snapshot(target("one", one.url))) as stories:
        await stories.over(await ask(stories))
        keyed = replace(ALLOWED, key="k")
        assert hit(made := await ask(stories, origin=keyed))
        assert (await ask(stories, origin=keyed)).id == made.id
        files = await stories.rows("select count(*) from media")
        assert files[0][0] == len(list((tmp_path / "media").iterdir()))


@pytest.mark.parametrize(
    ("caller", "same"),
    [
        (ANN, True),
        (replace(ANN, name="renamed"), True),
        (replace(ANN, organisation="other"), False),
        (replace(ANN, project="other"), False),
        (BOB, False),
    ],
)
def test_a_result_is_named_by_the_request_and_its_owner(caller: Caller, same: bool) -> None:
    route = snapshot(target("one", "http://127.0.0.1")).routes["sora-2"]
    made, results = wish(), Results(b"pepper")
    key = results.key(ANN, route, made)
    assert (results.key(caller, route, made) == key) is same
    assert results.key(ANN, route, wish(callback_url="https://a.example/")) == key
    assert results.key(ANN, route, wish(deadline="90")) == key
    assert results.key(ANN, route, wish(prompt="Another")) != key
    assert Results(b"other").key(ANN, route, made) != key
