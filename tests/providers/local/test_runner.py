"""Engines that misbehave. Each is a real process that runs a few lines instead of an engine."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from providers.local import runner as runner_module
from providers.local.engine import CANNOT_LOAD, Model, Order, Output, Ready
from providers.local.queue import CRASHED, Job, Queue
from providers.local.runner import Runner

ORDER = Order(model="m", prompt="p", width=64, height=64, seconds=1, seed=1)
READY = (
    'print(\'{"type":"ready","models":[],"versions":{}}\', flush=True); import sys; sys.stdin.readline()\n'
)


async def until(wanted: Callable[[], Any]) -> Any:
    while not (value := wanted()):
        await asyncio.sleep(0.01)
    return value


@asynccontextmanager
async def running(folder: Path, engine: str) -> AsyncIterator[tuple[Runner, Queue, Job]]:
    """A runner whose engine is that code, with one job in the queue."""
    queue = Queue(folder)
    job = queue.add(ORDER, {}, token=None, fingerprint="f", now=1)
    runner = Runner(queue, (sys.executable, "-c", engine), keep=3600)
    task = asyncio.create_task(runner.run())
    try:
        yield runner, queue, job
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        queue.close()


def error_of(queue: Queue, job: Job) -> str:
    found = queue.get(job.id)
    assert found is not None
    return found.error_code


async def test_a_hung_engine_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner_module, "SILENCE", 0.2)
    async with running(tmp_path, READY + "import time; time.sleep(60)") as (runner, queue, job):
        await until(lambda: error_of(queue, job) == CRASHED)
        assert runner.restarts >= 2


async def test_an_engine_that_does_not_stop_when_called_off_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner_module, "GRACE", 0.05)
    async with running(tmp_path, READY + "import time; time.sleep(60)") as (runner, queue, job):
        await until(lambda: runner.running)
        queue.fail(job.id, "cancelled", "", int(time.time()))
        runner.abandon(job)
        await until(lambda: runner.restarts == 1)
        await until(lambda: runner.idle)
        assert error_of(queue, job) == "cancelled"


async def test_an_engine_that_stops_when_called_off_gets_the_next_job(tmp_path: Path) -> None:
    stop = """
import json
assert json.loads(sys.stdin.readline())["type"] == "call_off"
print('{"type":"progress","percent":50}', '{"type":"failed","code":"cancelled","message":""}', sep="\\n", flush=True)
sys.stdin.readline()
print('{"type":"failed","code":"bad","message":""}', flush=True); sys.stdin.readline()
"""
    async with running(tmp_path, READY + stop) as (runner, queue, job):
        following = queue.add(ORDER, {}, token=None, fingerprint="f", now=1)
        await until(lambda: runner.running)
        queue.fail(job.id, "cancelled", "", int(time.time()))
        runner.abandon(job)
        await until(lambda: error_of(queue, following) == "bad")
        assert (error_of(queue, job), runner.restarts) == ("cancelled", 0)


async def test_an_engine_that_dies_within_a_word_counts_as_dead(tmp_path: Path) -> None:
    async with running(tmp_path, READY + "print('{\"type\":\"do', end='', flush=True)") as (_, queue, job):
        await until(lambda: error_of(queue, job) == CRASHED)


async def test_an_engine_that_cannot_be_loaded_costs_no_job_its_tries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner_module, "_FIRST_PAUSE", 0.01)
    async with running(tmp_path, "raise SystemExit(3)") as (runner, queue, job):
        await until(lambda: runner.restarts >= 3)
        assert runner.ready is None
        assert not runner.idle
        assert [waiting.id for waiting in queue.waiting()] == [job.id]


async def test_an_engine_that_would_fail_again_is_not_tried_again_and_its_job_waits(tmp_path: Path) -> None:
    with closing(Queue(tmp_path)) as queue:
        job = queue.add(ORDER, {}, token=None, fingerprint="f", now=1)
        runner = Runner(queue, (sys.executable, "-c", f"raise SystemExit({CANNOT_LOAD})"), keep=3600)
        await runner.run()
        assert (runner.restarts, runner.ready, runner.idle) == (0, None, False)
        assert [waiting.id for waiting in queue.waiting()] == [job.id]


async def test_a_failure_the_engine_tells_of_ends_the_job_and_not_the_engine(tmp_path: Path) -> None:
    tell = 'print(\'{"type":"failed","code":"bad","message":"m"}\', flush=True); sys.stdin.readline()'
    async with running(tmp_path, READY + tell) as (runner, queue, job):
        await until(lambda: error_of(queue, job) == "bad")
        await until(lambda: runner.idle)
        assert runner.restarts == 0


async def test_what_earlier_videos_took_counts_by_the_steps_of_now(tmp_path: Path) -> None:
    with closing(Queue(tmp_path)) as queue:
        queue.add(ORDER, {}, token=None, fingerprint="f", now=1)
        made = queue.take()
        assert made is not None
        output = Output(width=64, height=64, fps=24, seconds=1, steps=25, gpu_seconds=10.0)
        queue.complete(made.id, output, 2)
    model = Model(
        id="m", min_edge=1, max_short_edge=64, max_long_edge=64, default_size="64x64", min_seconds=1,
        max_seconds=1, default_seconds=1, fps=24, steps=50,
    )  # fmt: skip
    ready = msgspec.json.encode(Ready(models=[model], versions={})).decode()
    engine = f"import sys; print({ready!r}, flush=True); sys.stdin.readline(); sys.stdin.readline()"
    async with running(tmp_path, engine) as (runner, _, job):
        await until(lambda: runner.running)
        assert runner.rate("m") == pytest.approx(20.0 / 0.004096)
        assert runner.done_in(job) == pytest.approx(20.0, abs=2)


FILES = """
print('{"type":"freed"}', flush=True); sys.stdin.readline()
%s
"""
FILED = '{"type":"filed","ended":{"type":"done","output":{"width":2,"height":2,"fps":1,"seconds":1}}}'


async def test_an_engine_that_is_freed_gets_the_next_job_before_the_file_is_written(tmp_path: Path) -> None:
    engine = READY + FILES % f"print('{FILED}', flush=True); sys.stdin.readline()"
    async with running(tmp_path, engine) as (runner, queue, job):
        following = queue.add(ORDER, {}, token=None, fingerprint="f", now=1)
        await until(lambda: (found := queue.get(job.id)) and found.status == "completed")
        assert runner.running is not None
        assert runner.running.job.id == following.id


async def test_a_job_that_kills_engines_takes_no_other_along_whose_file_is_written(tmp_path: Path) -> None:
    """The first is at its file when the second kills the engine; next time each has one for itself."""
    seen = tmp_path / "seen"
    alone = f"""
import json, pathlib
pathlib.Path({str(seen)!r}).open("a").write("x")
sys.exit(1)
"""
    engine = READY + FILES % alone
    async with running(tmp_path, engine) as (runner, queue, job):
        queue.add(ORDER, {}, token=None, fingerprint="f", now=1)
        await until(lambda: runner.restarts == 1)
        await until(lambda: runner._writing is not None)
        assert runner._writing is not None
        assert runner._writing.job.id == job.id
        assert len(queue.waiting()) == 1
        assert runner.idle
        assert len(seen.read_text()) == 1
