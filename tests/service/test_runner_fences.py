"""Two runners on one database: a job belongs to one of them, and to the other only after the first let go."""

import asyncio
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from gateway.clock import Clock
from gateway.store.jobs import claim
from tests.service.video_provider import Provider
from tests.service.video_rig import Rig, rig, snapshot, target


async def pair(stack: AsyncExitStack, folder: Path, one: Provider, **more: Any) -> tuple[Rig, Rig]:
    config = snapshot(target("one", one.url, repeats=True))
    first = await stack.enter_async_context(rig(folder, config, running=False, **more))
    return first, await stack.enter_async_context(rig(folder, config, running=False, **more))


async def test_a_long_step_keeps_its_job_as_long_as_it_renews(tmp_path: Path) -> None:
    gate, time_passes, lease = asyncio.Event(), [0.0], 30.0
    clock = Clock(now=lambda: time.time() + sum(time_passes))
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(Provider(gate=gate, deduplicates=True))
        first, second = await pair(stack, tmp_path, one, lease=lease, renew=0.02, clock=clock)
        running = asyncio.create_task(first.runner.run())
        job = await first.create()
        await first.until(job, lambda found: found.phase == "submitting")
        for _ in range(4):  # more than two leases long
            time_passes.append(lease * 0.6)
            await first.until(job, lambda found: found.leased_until > clock.now() + lease * 0.6)
            async with second.parts.database.write() as transaction:
                assert await claim(transaction, clock.now(), clock.now() + lease, 1) == []
        gate.set()
        assert (await first.over(job)).state == "completed"
        assert sum(method == "POST" for method, _ in one.requests) == 1
        await first.runner.stop()
        await running


async def test_a_runner_that_was_away_too_long_cannot_write_over_its_successor(tmp_path: Path) -> None:
    gate = asyncio.Event()
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(Provider(gate=gate, deduplicates=True))
        first, second = await pair(stack, tmp_path, one, lease=0.4, renew=60.0)
        running = asyncio.create_task(first.runner.run())
        job = await first.create()
        await first.until(job, lambda found: found.phase == "submitting")
        other = asyncio.create_task(second.runner.run())
        await first.until(job, lambda found: found.fence >= 2)
        gate.set()  # now both get their answer, the old owner and the new one
        done = await first.until(job, lambda found: found.phase == "done")
        assert (done.state, len(done.attempts)) == ("completed", 1)
        assert list(one.accepted.values()) == [1]
        assert len(await first.rows("select * from ledger")) == 1
        assert len(first.notes.finished) + len(second.notes.finished) == 1
        await first.runner.stop()
        await second.runner.stop()
        await asyncio.gather(running, other)


async def test_many_jobs_are_shared_and_each_is_made_once(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(Provider(deduplicates=False))
        first, second = await pair(stack, tmp_path, one)
        runners = [asyncio.create_task(each.runner.run()) for each in (first, second)]
        jobs = [await first.create(prompt=f"Kite {number}") for number in range(30)]
        for job in jobs:
            assert (await first.over(job)).state == "completed"
        assert sorted(one.accepted.values()) == [1] * 30
        assert len(await first.rows("select * from ledger")) == 30
        await first.runner.stop()
        await second.runner.stop()
        await asyncio.gather(*runners)
