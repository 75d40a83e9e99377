"""How long work is said to take."""

import pytest
from msgspec.structs import replace

from providers.local.engine import Model, Order
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


def diffuser(steps: int | None) -> Model:
    return Model(
        id="m", min_edge=1, max_short_edge=999, max_long_edge=999, default_size="64x64", min_seconds=1,
        max_seconds=9, default_seconds=1, fps=24, redraws=True, strength=0.5, steps=steps,
    )  # fmt: skip


def test_steps_count_as_pixels_and_seconds_do() -> None:
    pace = Pace()
    pace.meet([diffuser(50)])
    pace.observe(order(4), 10.0, steps=25)  # before its model was told to make more
    assert pace.expected(order(4)) == pytest.approx(20.0)
    pace.meet([diffuser(100)])
    assert pace.expected(order(2)) == pytest.approx(20.0)
    assert pace.rate("m") == pytest.approx(40.0 / 0.04)


def test_a_video_that_is_drawn_over_takes_the_steps_of_what_becomes_new() -> None:
    pace = Pace()
    pace.meet([diffuser(50)])
    pace.observe(order(4), 10.0, steps=50)
    remix = replace(order(4), clip=True, operation="remix")
    assert pace.expected(remix) == pytest.approx(5.0)
    assert pace.expected(replace(remix, strength=0.2)) == pytest.approx(2.0)
    assert pace.expected(replace(remix, strength=0.001)) == pytest.approx(0.2)  # a step at least
    pace.observe(remix, 5.0, steps=25)
    assert pace.rate("m") == pytest.approx(10.0 / 0.04)


def test_an_extension_takes_as_long_as_what_it_adds() -> None:
    pace = Pace()
    pace.observe(order(4), 10.0)
    longer = replace(order(12), clip=True, operation="extend", added=2)
    assert pace.expected(longer) == pytest.approx(5.0)


def test_without_steps_told_a_job_is_taken_for_an_ordinary_one() -> None:
    pace = Pace()
    pace.observe(order(4), 10.0)  # by a worker of before, which wrote none down
    pace.meet([diffuser(50)])
    assert pace.expected(order(4)) == pytest.approx(10.0)
    pace.meet([diffuser(None)])
    assert pace.expected(replace(order(4), clip=True, operation="edit")) == pytest.approx(10.0)
