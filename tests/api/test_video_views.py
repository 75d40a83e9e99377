"""What a client can tell from a job that is being made."""

from typing import Any

import pytest

from gateway.api.video_views import eta
from tests.store.values import attempt, job


@pytest.mark.parametrize(
    ("progress", "elapsed", "left"),
    [(4, 10.0, None), (5, 10.0, 190), (50, 10.0, 10), (99, 9.9, 1), (100, 9.0, None)],
)
def test_what_is_left_follows_from_how_fast_it_came_so_far(progress: int, elapsed: float, left: int | None):
    begun: Any = job(state="in_progress", progress=progress, attempts=[attempt(started_at=1000.0)])
    assert eta(begun, 1000.0 + elapsed) == left


def test_nothing_is_told_of_a_job_that_is_over_or_has_not_begun():
    for state, attempts in (("completed", [attempt()]), ("failed", [attempt()]), ("queued", [])):
        assert eta(job(state=state, progress=50, attempts=attempts), 2000.0) is None
