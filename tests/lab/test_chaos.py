"""Everything a video job stands on is killed again and again, for some seconds; `benchmarks.chaos` does it for long."""

import asyncio

import pytest

from tests.lab.chaos import Plan, run
from tests.lab.parts import ground

pytestmark = pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning")
REST = 120.0
"""Far longer than it takes; a machine that is slow enough takes its time to start everything again."""


def test_whatever_is_killed_no_video_is_lost_or_made_or_paid_twice_and_each_end_is_told() -> None:
    plan = Plan(jobs=24, seconds=5.0, every=0.5, seed=20, rest=REST, hurry=True)
    with ground() as folder:
        outcome = asyncio.run(run(plan, folder))  # with a bound of its own
    assert not outcome.faults, outcome.report()
    assert sum(outcome.killed.values()) >= 6, outcome.report()
    assert any(row["state"] == "completed" for row in outcome.seen.jobs.values())
