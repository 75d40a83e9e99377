"""Jobs that wait for workers: nobody gets two, everybody a turn, and whoever would wait too long goes elsewhere."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from gateway.api.video_views import eta
from gateway.config.snapshot import Snapshot
from gateway.service import fleet as fleet_module
from gateway.service import video_queue as queue_module
from gateway.store.jobs import Job
from tests.service.video_provider import Provider
from tests.service.video_rig import ANN, BOB, Rig, rig
from tests.service.video_worker import Worker, fleet

SIZE = {"size": "1000x1000", "seconds": "4"}
"""With a rate of 1, four seconds of work."""


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers are looked at more often than in life."""
    for module in (fleet_module, queue_module):
        monkeypatch.setattr(module, "EVERY", 0.2)


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(15):
        while not holds():
            await asyncio.sleep(0.01)


@asynccontextmanager
async def waiting(folder: Path, config: Snapshot, worker: Worker) -> AsyncIterator[tuple[Rig, Job]]:
    """A rig whose only worker has something else to do, and a job that came then."""
    async with rig(folder, config) as r:
        await r.create(prompt="the first", **SIZE)
        await until(lambda: worker.working)
        yield r, await r.create(prompt="the second", **SIZE)


def targets(job: Job) -> list[str]:
    return [attempt.target for attempt in job.attempts]


async def test_a_worker_is_given_one_job_at_a_time_and_everybody_has_a_turn(tmp_path: Path) -> None:
    async with Worker() as worker, rig(tmp_path, fleet(worker)) as r:
        await r.create(prompt="ann 1", **SIZE)
        await until(lambda: worker.working)
        rest = [("ann 2", ANN), ("ann 3", ANN), ("bob 1", BOB)]
        made = [await r.create(caller, prompt=prompt, **SIZE) for prompt, caller in rest]
        for job in made:
            await r.until(job, lambda seen: seen.waiting_since is not None)
        order: list[str] = []
        for _ in range(4):
            await until(lambda: worker.working)
            assert len(worker.working) == 1
            order += worker.working
            worker.finish()
        assert order == ["ann 1", "bob 1", "ann 2", "ann 3"]
        done = [await r.over(job) for job in made[:2]]
        assert [job.state for job in done] == ["completed"] * 2
        assert set(worker.accepted.values()) == {1}


async def test_who_waits_is_told_when_it_will_be_done(tmp_path: Path) -> None:
    async with (
        Worker(rate=1.0, free_in=30.0) as worker,
        waiting(tmp_path, fleet(worker), worker) as (r, second),
    ):
        third = await r.create(prompt="the third", **SIZE)
        now = time.time()
        one = await r.until(second, lambda job: (job.eta_at or now) > now + 20)
        two = await r.until(third, lambda job: (job.eta_at or now) > now + 20)
        assert (one.state, one.attempts, one.waiting_since is None) == ("queued", (), False)
        assert eta(one, now) == pytest.approx(34, abs=4)
        assert eta(two, now) == pytest.approx(38, abs=4)
        worker.finish()
        begun = await r.until(
            second, lambda job: bool(job.attempts) and job.attempts[0].certainty == "created"
        )
        assert begun.waiting_since is None
        assert begun.eta_at is not None
        assert begun.eta_at - begun.attempts[0].started_at == pytest.approx(4, abs=1)


async def test_whoever_would_miss_the_latency_budget_goes_to_the_cloud(tmp_path: Path) -> None:
    async with Worker(rate=1.0, free_in=30.0) as worker, Provider() as cloud:
        config = fleet(worker, cloud=cloud, budget=10.0)
        async with waiting(tmp_path, config, worker) as (r, second):
            assert targets(await r.over(second)) == ["cloud/m"]
            worker.free_in = 2.0
            known = r.runner._queue.fleet.berths
            await until(lambda: (known()[f"{worker.url}/v1"].free_in or 60.0) <= 2.0)
            third = await r.create(prompt="in time", **SIZE)
            waits = await r.until(third, lambda job: job.waiting_since is not None)
            assert waits.attempts == ()
            worker.free_in = 60.0  # it has become slow
            assert targets(await r.over(third)) == ["cloud/m"]
            assert cloud.accepted.total() == 2


async def test_whoever_would_miss_its_deadline_goes_to_the_cloud_without_a_budget(tmp_path: Path) -> None:
    async with Worker(rate=1.0, free_in=5000.0) as worker, Provider() as cloud:
        async with waiting(tmp_path, fleet(worker, cloud=cloud), worker) as (r, second):
            assert targets(await r.over(second)) == ["cloud/m"]


@pytest.mark.parametrize(("seconds", "goes"), [("20", True), ("120", False)])
async def test_whoever_would_miss_the_deadline_of_its_request_goes_to_the_cloud(
    tmp_path: Path, seconds: str, goes: bool
) -> None:
    async with Worker(rate=1.0, free_in=30.0) as worker, Provider() as cloud:
        async with waiting(tmp_path, fleet(worker, cloud=cloud), worker) as (r, second):
            third = await r.create(prompt="the third", deadline=seconds, **SIZE)
            if goes:
                assert targets(await r.over(third)) == ["cloud/m"]
            else:
                await r.until(third, lambda job: job.waiting_since is not None)
            assert (await r.until(second, lambda job: job.waiting_since is not None)).attempts == ()


async def test_where_there_is_no_cloud_everybody_waits(tmp_path: Path) -> None:
    async with Worker(rate=1.0, free_in=60.0) as worker:
        async with waiting(tmp_path, fleet(worker, budget=10.0), worker) as (r, second):
            await r.until(second, lambda job: job.waiting_since is not None and job.eta_at is not None)
            worker.finish()
            await until(lambda: worker.working == ["the second"])
            worker.finish()
            assert targets(await r.over(second)) == ["w0/m"]


async def test_an_eta_that_nobody_knows_sends_nobody_away(tmp_path: Path) -> None:
    async with Worker() as worker, Provider() as cloud:
        async with waiting(tmp_path, fleet(worker, cloud=cloud, budget=1.0), worker) as (r, second):
            await r.until(second, lambda job: job.waiting_since is not None)
            worker.finish()
            await until(lambda: worker.working == ["the second"])
            assert not cloud.accepted


async def test_the_worker_that_is_done_first_is_waited_for(tmp_path: Path) -> None:
    async with Worker(rate=1.0, free_in=1.0) as quick, Worker(rate=100.0) as slow:
        async with waiting(tmp_path, fleet(quick, slow), quick) as (r, second):
            await r.until(second, lambda job: job.waiting_since is not None)
            quick.finish()
            await until(lambda: quick.working == ["the second"])
            assert not slow.accepted


@pytest.mark.parametrize("with_cloud", [True, False])
async def test_of_two_gateways_that_meet_at_one_slot_one_waits_as_if_it_had_not_asked(
    tmp_path: Path, *, with_cloud: bool
) -> None:
    gate = asyncio.Event()
    async with Worker(gate=gate) as worker, Provider() as cloud, AsyncExitStack() as stack:
        config = fleet(worker, cloud=cloud if with_cloud else None)
        stories = [await stack.enter_async_context(rig(tmp_path, config, concurrency=1)) for _ in range(2)]
        made = [await r.create(prompt=f"from {number}", **SIZE) for number, r in enumerate(stories)]
        await until(lambda: worker.requests.count(("POST", "/v1/videos")) == 2)  # both saw the slot free
        gate.set()
        await until(lambda: worker.refused)
        [first] = worker.working
        loser = made[0] if first == "from 1" else made[1]
        waits = await stories[0].until(loser, lambda job: job.waiting_since is not None)
        assert (waits.state, waits.phase, waits.attempts, waits.tries) == ("queued", "accepted", (), 0)
        assert {one.error_code for r in stories for one in r.notes.attempts} == {None}
        worker.finish()
        await until(lambda: worker.working not in ([], [first]))
        worker.finish()
        for job in made:
            done = await stories[0].over(job)
            assert [(one.number, one.target, one.error_code) for one in done.attempts] == [(1, "w0/m", None)]
        assert set(worker.accepted.values()) == {1}
        assert not cloud.accepted


async def test_a_deleted_job_leaves_the_line(tmp_path: Path) -> None:
    async with Worker() as worker, waiting(tmp_path, fleet(worker), worker) as (r, second):
        third = await r.create(prompt="the third", **SIZE)
        await r.until(third, lambda job: job.waiting_since is not None)
        await r.videos.delete(ANN, second.id)
        worker.finish()
        await until(lambda: worker.working == ["the third"])


async def test_a_worker_that_goes_away_in_the_middle_is_not_waited_for_where_there_is_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet_module, "AWAY", 0.8)
    async with Worker() as two, Worker() as one, rig(tmp_path, fleet(one, two)) as r:
        job = await r.create(**SIZE)
        await until(lambda: one.working)
        await one.__aexit__(None, None, None)
        await until(lambda: two.working)
        two.finish()
        done = await r.over(job)
        assert [(a.target, a.error_code) for a in done.attempts] == [("w0/m", "worker_away"), ("w1/m", None)]
        assert (done.id, done.state) == (job.id, "completed")


async def test_a_lone_worker_that_goes_away_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Worker(poll=[503]) as one, rig(tmp_path, fleet(one)) as r:
        job = await r.create(**SIZE)
        await until(lambda: one.working)
        monkeypatch.setattr(fleet_module, "AWAY", 0.0)
        await until(lambda: not one.poll)
        one.finish()
        done = await r.over(job)
        assert [(a.target, a.error_code) for a in done.attempts] == [("w0/m", None)]


async def test_a_video_that_its_worker_forgot_is_made_again_at_once(tmp_path: Path) -> None:
    async with Worker() as one, rig(tmp_path, fleet(one)) as r:
        job = await r.create(**SIZE)
        await until(lambda: one.working)
        one.videos.clear()  # its disk is new
        await until(lambda: one.working)
        one.finish()
        done = await r.over(job)
        assert [a.error_code for a in done.attempts] == ["job_lost", None]
