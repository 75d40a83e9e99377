"""The job table: what survives, in which order, and what a dead process leaves behind."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.local.engine import IMAGE, Order, Output
from providers.local.queue import CRASHED, TRIES, InUseError, Job, Queue

OUTPUT = Output(width=64, height=64, fps=24, seconds=1)


def order(prompt: str) -> Order:
    return Order(model="testcard", prompt=prompt, width=64, height=64, seconds=1, seed=1)


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Queue]:
    opened = Queue(tmp_path)
    yield opened
    opened.close()


def add(queue: Queue, prompt: str = "a kite", *, token: str | None = None, image: bytes | None = None) -> Job:
    return queue.add(
        order(prompt), {} if image is None else {IMAGE: image}, token=token, fingerprint="f", now=100
    )


def status(queue: Queue, job: Job) -> str:
    found = queue.get(job.id)
    return found.status if found else "gone"


def test_jobs_are_taken_in_the_order_they_came(queue: Queue) -> None:
    accepted = [add(queue, str(number)).id for number in range(3)]
    assert [job.id for job in queue.waiting()] == accepted
    taken = [queue.take() for _ in range(4)]
    assert [job.id for job in taken if job] == accepted
    assert taken[3] is None


def test_one_that_was_tried_holds_those_behind_it_until_it_may_be_taken(queue: Queue) -> None:
    first, _second = add(queue), add(queue)
    queue.take()
    queue.recover(now=1)
    assert queue.take(untried=True) is None
    taken = queue.take()
    assert taken is not None
    assert taken.id == first.id
    assert queue.take(untried=True) is not None


def test_everything_is_there_after_opening_again(queue: Queue, tmp_path: Path) -> None:
    job = add(queue, "again", token="t", image=b"picture")
    queue.close()
    reopened = Queue(tmp_path)
    assert reopened.by_token("t") == reopened.get(job.id) == job
    assert reopened.inputs(job) == {}  # the order knows of no picture
    assert (reopened.folder(job) / IMAGE).read_bytes() == b"picture"
    reopened.close()


def test_a_dead_engines_job_is_next_again_until_it_was_tried_often_enough(queue: Queue) -> None:
    first, second = add(queue), add(queue)
    for _ in range(TRIES):
        taken = queue.take()
        assert taken is not None
        assert taken.id == first.id
        queue.recover(now=200)
    failed = queue.get(first.id)
    assert failed is not None
    assert (failed.status, failed.error_code, failed.finished_at) == ("failed", CRASHED, 200)
    assert [job.id for job in queue.waiting()] == [second.id]


def test_a_stop_in_good_order_does_not_count_as_a_try(queue: Queue) -> None:
    job = add(queue)
    for _ in range(3 * TRIES):
        queue.take()
        queue.give_back()
    queue.recover(now=200)
    assert status(queue, job) == "queued"


def test_the_end_of_a_job_is_the_end(queue: Queue) -> None:
    job = add(queue)
    queue.complete(job.id, OUTPUT, 200)
    assert status(queue, job) == "queued"  # what was never taken is not completed
    queue.take()
    queue.fail(job.id, "cancelled", "", 200)
    queue.complete(job.id, OUTPUT, 300)
    queue.recover(now=300)
    assert status(queue, job) == "failed"
    queue.fail(job.id, "other", "", 300)
    assert (ended := queue.get(job.id)) is not None
    assert (ended.error_code, ended.finished_at) == ("cancelled", 200)


def test_finished_jobs_expire_with_their_files(queue: Queue) -> None:
    old, young, waiting = add(queue), add(queue), add(queue)
    for job, now in ((old, 200), (young, 300)):
        queue.take()
        queue.complete(job.id, OUTPUT, now)
    queue.expire(before=250)
    assert [status(queue, job) for job in (old, young, waiting)] == ["gone", "completed", "queued"]
    assert [queue.folder(job).exists() for job in (old, young, waiting)] == [False, True, True]


def test_folders_that_no_row_knows_are_swept(queue: Queue, tmp_path: Path) -> None:
    job = add(queue)
    (tmp_path / "videos" / "video_lost").mkdir()
    queue.close()
    Queue(tmp_path).close()
    assert [folder.name for folder in (tmp_path / "videos").iterdir()] == [job.id]


def test_a_data_directory_has_one_owner(
    queue: Queue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("providers.local.queue._LOCK_SECONDS", 0.05)
    with pytest.raises(InUseError):
        Queue(tmp_path)
    assert status(queue, add(queue)) == "queued"


@settings(max_examples=15)  # each writes to a disk
@given(count=st.integers(0, 6), limit=st.integers(1, 5), newest_first=st.booleans())
def test_pages_put_together_are_the_whole_list(
    tmp_path_factory: pytest.TempPathFactory, count: int, limit: int, newest_first: bool
) -> None:
    queue = Queue(tmp_path_factory.mktemp("pages"))
    accepted = [add(queue).id for _ in range(count)]
    seen: list[str] = []
    while page := queue.page(limit=limit, after=seen[-1] if seen else None, newest_first=newest_first):
        assert len(page) <= limit
        seen += [job.id for job in page]
    queue.close()
    assert seen == (accepted[::-1] if newest_first else accepted)
