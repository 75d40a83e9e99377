"""What a killed engine, a killed worker, a full queue and an impatient client do to jobs: nothing is lost."""

import signal
import time
from collections.abc import Callable

from tests.providers.local.running import RunningWorker, alive, until

LONG = 60  # seconds of video: some seconds of work, killed long before its end


def test_a_killed_engine_loses_no_job(start: Callable[..., RunningWorker]) -> None:
    worker = start()
    jobs = [worker.create("in work", seconds=5), *(worker.create("waiting") for _ in range(2))]
    until(lambda: worker.video(jobs[0])["progress"] > 0)
    worker.kill_engine()
    assert [worker.wait(job)["status"] for job in jobs] == ["completed"] * 3
    assert worker.get("/worker").json()["restarts"] == 1


def test_a_killed_worker_takes_its_engine_along_and_continues_when_started_again(
    start: Callable[..., RunningWorker],
) -> None:
    worker = start()
    done = worker.wait(worker.create("done before", seed=1))
    before = worker.get(f"/videos/{done['id']}/content").content
    jobs = [worker.create("in work", seconds=5), *(worker.create("waiting") for _ in range(2))]
    until(lambda: worker.video(jobs[0])["progress"] > 0)
    engine = worker.engine()
    worker.end(signal.SIGKILL)
    until(lambda: not alive(engine))
    worker.start()
    assert worker.get(f"/videos/{done['id']}/content").content == before
    assert [worker.wait(job)["status"] for job in jobs] == ["completed"] * 3


def test_a_job_that_kills_the_engine_fails_after_two_tries_and_the_next_one_is_made(
    start: Callable[..., RunningWorker],
) -> None:
    worker = start()
    poison, good = worker.create("poison", seconds=LONG), worker.create("good")
    for restarts in range(2):
        worker.wait(poison, "in_progress")
        worker.kill_engine()
        worker.wait_for_restarts(restarts + 1)
    failed = worker.wait(poison)
    assert (failed["status"], failed["error"]["code"]) == ("failed", "engine_crashed")
    assert worker.wait(good)["status"] == "completed"


def test_a_stopped_worker_does_not_hold_its_stops_against_the_job(
    start: Callable[..., RunningWorker],
) -> None:
    worker = start()
    job = worker.create("stopped and started", seconds=5)
    for _ in range(2):
        worker.wait(job, "in_progress")
        assert worker.end(signal.SIGTERM) == 0
        worker.start()
    assert worker.wait(job)["status"] == "completed"


def test_cancel_is_quick_and_the_next_job_is_untouched(start: Callable[..., RunningWorker]) -> None:
    worker = start()
    reference = worker.wait(worker.create("untouched", seed=1))
    running, waiting, last = (
        worker.create("cancelled", seconds=LONG), worker.create("too"), worker.create("untouched", seed=1)
    )  # fmt: skip
    until(lambda: worker.video(running)["progress"] > 0)
    engine, began = worker.engine(), time.monotonic()
    for job in (running, waiting):
        cancelled = worker.post(f"/videos/{job}/cancel").json()
        assert (cancelled["status"], cancelled["error"]["code"]) == ("failed", "cancelled")
    worker.wait(last, "in_progress", "completed")
    assert time.monotonic() - began < 2  # measured: 0.03 s; the rest is room for a busy machine
    assert worker.engine() == engine
    assert worker.wait(last)["status"] == "completed"
    files = [worker.get(f"/videos/{job}/content").content for job in (reference["id"], last)]
    assert files[0] == files[1]
    again = worker.post(f"/videos/{last}/cancel").json()
    assert again["status"] == "completed"


def test_delete_stops_the_work_and_removes_the_files(start: Callable[..., RunningWorker]) -> None:
    worker = start()
    running, done = worker.create("deleted", seconds=LONG), worker.create("kept")
    until(lambda: worker.video(running)["progress"] > 0)
    assert worker.client().delete(f"/videos/{running}", cast_to=dict)["deleted"]
    assert worker.get(f"/videos/{running}").status_code == 404
    worker.wait(done)
    until(lambda: [folder.name for folder in (worker.data_dir / "videos").iterdir()] == [done])


def test_a_full_queue_says_when_to_come_back(start: Callable[..., RunningWorker]) -> None:
    worker = start("--queue-size", "2")
    running = worker.create("in work", seconds=LONG)
    until(lambda: worker.video(running)["progress"] > 5)
    waiting = [worker.create("waiting") for _ in range(2)]
    refused = worker.post("/videos", {"prompt": "one too many"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "queue_full")
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    told = worker.get("/worker").json()  # what the first one has come to so far says how long all take
    assert told["eta_s"] > told["models"][0]["rate"] * 2 * (64 * 64 / 1e6)
    assert worker.post(f"/videos/{waiting[0]}/cancel").status_code == 200
    assert worker.video(worker.create("fits again"))["status"] == "queued"


def test_what_is_not_to_wait_is_begun_at_once_or_refused(start: Callable[..., RunningWorker]) -> None:
    worker = start()
    way = {"x_worker_queue": "no"}
    order = {"prompt": "at once", "seconds": LONG, "size": "64x64"}
    begun = worker.post("/videos", order, idempotency_key="a", **way)
    assert begun.status_code == 200
    video = begun.json()["id"]
    refused = worker.post("/videos", {**order, "prompt": "not now"}, idempotency_key="b", **way)
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "no_free_slot")
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert worker.post("/videos", order, idempotency_key="a", **way).json()["id"] == video
    changed = worker.post(f"/videos/{worker.create('may wait')}/remix", {"prompt": "x"}, **way)
    assert changed.status_code == 400  # what is wrong with an order is said whoever is busy
    assert worker.get("/worker").json()["queued"] == 1


def test_the_worker_ends_when_the_process_that_started_it_is_gone(
    start: Callable[..., RunningWorker],
) -> None:
    worker = start("--watch-stdin")
    worker.create("in work", seconds=LONG)
    engine = worker.engine()
    assert worker.process.stdin is not None
    worker.process.stdin.close()  # what the system does for a process that dies
    assert worker.process.wait(10) == 0
    until(lambda: not alive(engine))
    assert worker.process.stdout is not None
    worker.process.stdout.close()
