"""How long work is said to take."""

import pytest

from providers.local.engine import Order
from providers.local.estimate import Pace


def order(seconds: float, model: str = "m") -> Order:
    return Order(model=model, prompt="p", width=100, height=100, seconds=seconds, seed=1)


def test_nothing_is_promised_before_the_first_job_is_done() -> None:
    assert Pace().expected(order(4)) is None
    assert Pace().remaining(order(4), percent=0, elapsed=1) is None


def test_time_grows_with_the_video_and_one_odd_run_does_no_harm() -> None:
    pace = Pace()
    for took in (2.0, 2.0, 90.0):
        pace.observe(order(4), took)
    assert pace.expected(order(8)) == pytest.approx(4.0)


def test_a_running_job_tells_for_itself_once_it_has_gone_some_way() -> None:
    pace = Pace()
    pace.observe(order(4), 10.0)
    assert pace.remaining(order(4), percent=1, elapsed=4) == pytest.approx(6.0)
    assert pace.remaining(order(4), percent=1, elapsed=40) == 0
    assert pace.remaining(order(4), percent=50, elapsed=40) == pytest.approx(40.0)


def test_models_have_a_pace_each() -> None:
    pace = Pace()
    pace.observe(order(4), 10.0)
    assert pace.rate("m") == pytest.approx(10.0 / 0.04)
    assert pace.rate("another") is None
    assert pace.expected(order(4, "another")) is None


def test_the_first_job_of_an_engine_counts_until_there_is_another() -> None:
    pace = Pace()
    pace.observe(order(4), 60.0, first=True)
    assert pace.expected(order(4)) == pytest.approx(60.0)
    pace.observe(order(4), 10.0)
    pace.observe(order(4), 90.0, first=True)
    assert pace.expected(order(4)) == pytest.approx(10.0)
