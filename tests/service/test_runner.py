"""The life of a job as its owner sees it, with real HTTP to a provider that does what the test tells it."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from sqlalchemy import text

from gateway.config.snapshot import Timeouts
from gateway.errors import NotFound
from gateway.service import runner
from gateway.service.video_inputs import Upload
from gateway.store.jobs import Job
from gateway.store.media import whole
from tests.service.video_provider import MP4, PNG, Provider
from tests.service.video_rig import ANN, Hasty, Rig, rig, snapshot, target


async def content(r: Rig, job: Job, variant: str = "video") -> bytes:
    found = await r.videos.content(ANN, job.id, variant)
    try:
        return await whole(found.file, found.row.size + 10)
    finally:
        found.file.close()


def files(folder: Path) -> list[str]:
    return [path.name for path in (folder / "media").iterdir()]


def told(job: Job) -> tuple[str, str | None]:
    return job.state, job.error["code"] if job.error else None


async def test_a_video_is_made_fetched_and_charged_once(tmp_path: Path) -> None:
    async with Provider(polls=2, thumbnail=PNG) as one, rig(tmp_path, snapshot(target("one", one.url))) as r:
        job = await r.create(seconds="8", size="1280x720")
        assert (job.state, job.phase, job.progress) == ("queued", "accepted", 0)
        done = await r.until(job, lambda found: found.phase == "done")
        assert (done.state, done.progress, done.error) == ("completed", 100, None)
        assert await content(r, job) == MP4
        assert await content(r, job, "thumbnail") == PNG
        assert done.cost == 800_000_000
        assert done.output is not None
        assert done.output["seconds"] == 8
        [attempt] = done.attempts
        assert (attempt.certainty, attempt.cost, attempt.error_code) == ("created", 800_000_000, None)
        assert r.door.settled == {job.lease: (8000, 800_000_000)}
        [row] = await r.rows("select source, kind, caller, nano_dollars, video_ms from ledger")
        assert tuple(row) == (job.id, "video", "ann", 800_000_000, 8000)
        assert list(one.accepted.values()) == [1]
        assert [one.id for one in r.notes.accepted] == [one.id for one in r.notes.finished] == [job.id]


async def test_an_uploaded_picture_reaches_the_provider_and_is_then_forgotten(tmp_path: Path) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield PNG

    picture = Upload(mime="image/png", sha256="ab", size=len(PNG), chunks=chunks)
    async with Provider() as one, rig(tmp_path, snapshot(target("one", one.url))) as r:
        done = await r.over(await r.create(input_reference=picture))
        assert done.state == "completed"
        [video] = one.videos.values()
        assert PNG in video.fields["form"]
        assert [row.role for row in done.media] == ["video"]
        assert files(tmp_path) == [done.media[0].name]


async def test_the_cheapest_target_that_can_make_it_is_asked(tmp_path: Path) -> None:
    async with Provider() as dear, Provider() as cheap, Provider() as short:
        config = snapshot(
            target("dear", dear.url, price=0.5),
            target("cheap", cheap.url, price=0.2),
            target("short", short.url, price=0.1, seconds=(4.0,)),
            target("unknown", short.url, price=None),
            policy="cheapest",
        )
        async with rig(tmp_path, config) as r:
            done = await r.over(await r.create(seconds="8"))
            assert [attempt.target for attempt in done.attempts] == ["cheap/m"]
            assert done.cost == 1_600_000_000
            [reserved] = r.door.settled.values()
            assert reserved == (8000, 1_600_000_000)
        assert not dear.accepted
        assert not short.accepted


async def test_a_refusal_moves_on_to_the_next_target_under_the_same_id(tmp_path: Path) -> None:
    async with Provider(submit=[(429, "rate_limit_exceeded")]) as one, Provider() as two:
        async with rig(tmp_path, snapshot(target("one", one.url), target("two", two.url))) as r:
            done = await r.over(await r.create())
        assert done.state == "completed"
        codes = [(attempt.target, attempt.certainty, attempt.error_code) for attempt in done.attempts]
        assert codes == [("one/m", "not_created", "provider_overloaded"), ("two/m", "created", None)]
        assert not one.accepted


async def test_what_no_target_can_be_told_is_named(tmp_path: Path) -> None:
    made = target("one", "http://127.0.0.1:9", operations=("generate", "extend"))
    async with rig(tmp_path, snapshot(made), running=False) as r:
        job = await r.create()
        async with r.parts.database.write() as transaction:
            request = msgspec.json.encode({**job.request, "operation": "extend"}).decode()
            await transaction.execute(text("update jobs set request = :request"), {"request": request})
        running = asyncio.create_task(r.runner.run())
        done = await r.over(job)
        await r.runner.stop()
        await running
        assert told(done) == ("failed", "unsupported_parameter")
        assert done.warnings == ["one cannot be told `video`"]


async def test_a_provider_that_is_not_up_yet_is_waited_for(tmp_path: Path) -> None:
    async with Provider() as one:
        late = one.url
    r: Rig
    async with rig(tmp_path, snapshot(target("one", late))) as r:
        job = await r.create()
        waiting = await r.until(job, lambda found: len(found.attempts) == 1)
        assert waiting.state == "queued"
        async with Provider() as one:
            r.config["now"] = snapshot(target("one", one.url))
            assert (await r.over(job)).state == "completed"


@pytest.mark.parametrize(
    ("fault", "code"),
    [((400, "invalid_value"), "invalid_request"), ((400, "moderation_blocked"), "moderation_blocked")],
)
async def test_a_request_at_fault_fails_at_once_and_nobody_else_is_asked(
    tmp_path: Path, fault: tuple[int, str], code: str
) -> None:
    async with Provider(submit=[fault]) as one, Provider() as two:
        async with rig(tmp_path, snapshot(target("one", one.url), target("two", two.url))) as r:
            done = await r.over(await r.create())
            assert told(done) == ("failed", code)
            assert await r.rows("select * from ledger") == []
            await r.until(done, lambda found: found.phase == "done")
            assert list(r.door.settled.values()) == [(0, 0)]
        assert not two.requests


@pytest.mark.parametrize(("fault", "asked", "state"), [("fail", 1, "completed"), ("blame", 0, "failed")])
async def test_a_failed_render_goes_elsewhere_unless_the_request_is_to_blame(
    tmp_path: Path, fault: str, asked: int, state: str
) -> None:
    async with Provider(poll=[fault]) as one, Provider() as two:
        async with rig(tmp_path, snapshot(target("one", one.url), target("two", two.url, price=0.3))) as r:
            done = await r.over(await r.create())
            assert done.state == state
            if state == "completed":
                assert (
                    done.cost == 1_200_000_000
                )  # what the second one charged; the first one's failure is free
                assert [attempt.error_code for attempt in done.attempts] == ["render_failed", None]
            else:
                assert done.error == {"code": "moderation_blocked", "message": "The words of the provider."}
        assert sum(two.accepted.values()) == asked


async def test_failed_polls_say_nothing_about_the_video(tmp_path: Path) -> None:
    async with Provider(poll=[500]) as one, rig(tmp_path, snapshot(target("one", one.url))) as r:
        assert (await r.over(await r.create())).state == "completed"
        assert sum(one.accepted.values()) == 1


async def test_a_lost_video_is_begun_again_once(tmp_path: Path) -> None:
    async with Provider(poll=["forget"]) as one:
        async with rig(tmp_path, snapshot(target("one", one.url)), gone_grace=0.0) as r:
            done = await r.over(await r.create())
        assert done.state == "completed"
        assert [attempt.error_code for attempt in done.attempts] == ["job_lost", None]
    async with Provider(poll=["forget", "forget"]) as one:
        async with rig(tmp_path / "2", snapshot(target("one", one.url)), gone_grace=0.0) as r:
            assert told(await r.over(await r.create())) == ("failed", "job_lost")


async def test_a_video_may_be_unknown_for_a_moment_after_the_submit(tmp_path: Path) -> None:
    async with (
        Provider(poll=["forget", "forget"]) as one,
        rig(tmp_path, snapshot(target("one", one.url))) as r,
    ):
        done = await r.over(await r.create())
        assert done.state == "completed"
        assert len(done.attempts) == 1


async def test_a_lost_answer_is_never_followed_by_a_second_submit(tmp_path: Path) -> None:
    async with Provider(submit=["lose"]) as one, Provider() as two:
        config = snapshot(target("one", one.url), target("two", two.url))
        async with rig(tmp_path, config, uncertain=0.3) as r:
            job = await r.create()
            doubtful = await r.until(job, lambda found: found.phase == "uncertain")
            assert (doubtful.state, doubtful.attempts[0].certainty) == ("queued", "unknown")
            assert told(await r.over(job)) == ("failed", "submit_uncertain")
        assert list(one.accepted.values()) == [1]
        assert not two.requests


@pytest.mark.parametrize("fault", ["lose", "drop", (500, "broken")])
async def test_a_lost_answer_is_asked_for_again_where_repeats_are_recognised(
    tmp_path: Path, fault: object
) -> None:
    async with Provider(submit=[fault], deduplicates=True) as one:
        async with rig(tmp_path, snapshot(target("one", one.url, repeats=True))) as r:
            done = await r.over(await r.create())
        assert (done.state, len(done.attempts)) == ("completed", 1)
        assert list(one.accepted.values()) == [1]


async def test_a_cut_download_goes_on_where_it_broke(tmp_path: Path) -> None:
    async with Provider(content=["cut"]) as one, rig(tmp_path, snapshot(target("one", one.url))) as r:
        done = await r.over(await r.create())
        assert await content(r, done) == MP4
        fetched = [path for method, path in one.requests if path.endswith("/content")]
        assert len(fetched) == 2


async def test_a_finished_video_is_fetched_however_long_its_provider_is_away(tmp_path: Path) -> None:
    hasty = Hasty()
    async with Provider(content=[503] * 12) as one, Provider() as two:
        config = snapshot(target("one", one.url), target("two", two.url))
        async with rig(tmp_path, config, clock=hasty.clock, lease=1e6) as r:
            done = await r.hurry(await r.create(), hasty)
            assert done.state == "completed"
            assert len(done.attempts) == 1
    async with Provider(content=[503] * 99) as one:
        config = snapshot(target("one", one.url))
        async with rig(tmp_path / "2", config, clock=hasty.clock, lease=1e6, deadline=200.0) as r:
            done = await r.hurry(await r.create(), hasty)
            assert told(done) == ("failed", "result_unavailable")
            assert (done.completed_at or 0) >= done.deadline_at


async def test_a_page_instead_of_a_video_is_not_a_video(tmp_path: Path) -> None:
    async with Provider(content=["text"]) as one, rig(tmp_path, snapshot(target("one", one.url))) as r:
        done = await r.over(await r.create())
        assert await content(r, done) == MP4
    async with Provider(content=["text"] * 9) as one, Provider() as two:
        config = snapshot(target("one", one.url), target("two", two.url))
        async with rig(tmp_path / "2", config, download_tries=1) as r:
            done = await r.over(await r.create())
            assert done.state == "completed"
            assert [attempt.error_code for attempt in done.attempts] == ["result_unavailable", None]
            assert len(await r.rows("select * from ledger")) == 1


@pytest.mark.parametrize(
    ("longest", "said", "seconds"),
    [(20.0, {}, 20), (3600.0, {"deadline": "30"}, 30), (20.0, {"deadline": 60}, 20)],
)
async def test_the_deadline_ends_a_job_and_stops_the_provider(
    tmp_path: Path, longest: float, said: dict[str, Any], seconds: int
) -> None:
    hasty = Hasty()
    async with Provider(polls=10_000) as one:
        config = snapshot(target("one", one.url))
        async with rig(tmp_path, config, clock=hasty.clock, lease=1e6, deadline=longest) as r:
            job = await r.create(**said)
            assert job.deadline_at - job.created_at == pytest.approx(seconds, abs=1)
            done = await r.hurry(job, hasty)
            assert told(done) == ("failed", "generation_timeout")
            assert (done.completed_at or 0) >= job.deadline_at
        assert one.deleted == ["up_0"]


@pytest.mark.parametrize("polls", [[], [500] * 200], ids=["slow", "silent"])
async def test_a_target_that_takes_too_long_is_stopped_and_the_next_one_makes_it(
    tmp_path: Path, polls: list[int]
) -> None:
    hasty, timeouts = Hasty(), Timeouts(generation=60.0)
    async with Provider(polls=10_000, poll=polls) as one, Provider(polls=10_000) as two:
        slow = replace(target("one", one.url), timeouts=timeouts)
        last = replace(target("two", two.url, price=0.3), timeouts=timeouts)
        async with rig(tmp_path, snapshot(slow, last), clock=hasty.clock, lease=1e6, deadline=200.0) as r:
            done = await r.hurry(await r.create(), hasty)
            first, second = done.attempts
            assert (first.target, first.error_code) == ("one/m", "generation_timeout")
            assert 60 <= (first.ended_at or 0) - first.started_at < 100
            assert second.target == "two/m"
            assert told(done) == ("failed", "generation_timeout")  # nobody is left: it has until the deadline
            assert (done.completed_at or 0) >= done.deadline_at
        assert one.deleted == ["up_0"]


async def test_deleting_a_running_job_cancels_it_and_frees_what_was_held(tmp_path: Path) -> None:
    async with Provider(polls=10_000) as one, rig(tmp_path, snapshot(target("one", one.url))) as r:
        job = await r.create()
        await r.until(job, lambda found: found.state == "in_progress")
        await r.videos.delete(ANN, job.id)
        with pytest.raises(NotFound):
            await r.videos.get(ANN, job.id)
        async with asyncio.timeout(5):
            while not r.door.settled or await r.rows("select id from jobs"):
                await asyncio.sleep(0.02)
        assert one.deleted == ["up_0"]
        assert r.door.settled == {job.lease: (0, 0)}


async def test_deleting_a_finished_job_removes_its_bytes(tmp_path: Path) -> None:
    async with Provider() as one, rig(tmp_path, snapshot(target("one", one.url))) as r:
        done = await r.until(await r.create(), lambda found: found.phase == "done")
        assert files(tmp_path)
        await r.videos.delete(ANN, done.id)
        assert files(tmp_path) == []
        assert await r.rows("select id from jobs") == []
        assert len(await r.rows("select * from ledger")) == 1


async def test_a_job_survives_that_its_provider_leaves_the_configuration(tmp_path: Path) -> None:
    async with Provider(polls=3) as one, Provider() as two:
        async with rig(tmp_path, snapshot(target("one", one.url))) as r:
            job = await r.create()
            await r.until(job, lambda found: found.state == "in_progress")
            r.config["now"] = snapshot(target("two", two.url))
            # a step that finds no provider looks again later than one that could ask
            await r.until(job, lambda found: (found.due_at or 0.0) > time.time() + 1)
            assert (await r.videos.get(ANN, job.id)).state == "in_progress"
            r.config["now"] = snapshot(target("one", "http://127.0.0.1:9"))  # moved: the operation did not
            async with r.parts.database.write() as transaction:
                await transaction.exec_driver_sql("update jobs set due_at = 1")
            r.runner.wake()
            assert (await r.over(job)).error is None


async def test_a_model_that_leaves_the_configuration_ends_its_waiting_jobs(tmp_path: Path) -> None:
    async with rig(tmp_path, snapshot(target("one", "http://127.0.0.1:9"))) as r:
        job = await r.create()
        await r.until(job, lambda found: bool(found.attempts))
        r.config["now"] = snapshot(target("one", "http://127.0.0.1:9"), model="other")
        assert told(await r.over(job)) == ("failed", "no_route")


async def test_an_idle_runner_hardly_touches_the_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "IDLE", 0.2)
    async with rig(tmp_path, snapshot(target("one", "http://127.0.0.1:9"))) as r:
        looks: asyncio.Queue[tuple[float, float]] = asyncio.Queue()
        before = r.runner._look

        async def noted() -> None:
            looks.put_nowait((time.monotonic(), time.process_time()))
            await before()

        r.runner._look = noted  # type: ignore[method-assign]
        moments = [await looks.get() for _ in range(4)]
    took, worked = (last - first for first, last in zip(moments[0], moments[-1], strict=True))
    assert took > 0.5
    assert worked < 0.3


async def test_stopping_finishes_the_step_in_hand_and_gives_the_lease_back(tmp_path: Path) -> None:
    gate = asyncio.Event()
    async with Provider(gate=gate) as one, rig(tmp_path, snapshot(target("one", one.url))) as r:
        job = await r.create()
        await r.until(job, lambda found: found.phase == "submitting")
        stopping = asyncio.create_task(r.runner.stop())
        late = await r.create(prompt="Too late")
        assert not stopping.done()
        gate.set()
        await stopping
        found = await r.videos.get(ANN, job.id)
        assert (found.phase, found.leased_until) == ("running", 0.0)
        assert (await r.videos.get(ANN, late.id)).phase == "accepted"


async def test_a_step_cut_by_an_impatient_stop_is_in_doubt_and_free_for_others(tmp_path: Path) -> None:
    async with Provider(gate=asyncio.Event()) as one, rig(tmp_path, snapshot(target("one", one.url))) as r:
        job = await r.create()
        await r.until(job, lambda found: found.phase == "submitting")
        await r.runner.stop(grace=0.1)
        found = await r.videos.get(ANN, job.id)
        assert (found.phase, found.leased_until) == ("submitting", 0.0)


async def test_a_job_is_let_go_of_only_when_its_settlement_is_certain(tmp_path: Path) -> None:
    hasty = Hasty()
    async with Provider() as one:
        config = snapshot(target("one", one.url))
        async with rig(tmp_path, config, clock=hasty.clock, lease=10_000.0) as r:
            r.door.away = True
            job = await r.create()
            waiting = await r.until(job, lambda found: found.phase == "settling" and found.tries > 0)
            assert waiting.state == "completed"
            assert r.door.held
            r.door.away = False
            await r.hurry(job, hasty)
            assert r.door.settled == {job.lease: (4000, 400_000_000)}
            assert len(await r.rows("select * from ledger")) == 1
