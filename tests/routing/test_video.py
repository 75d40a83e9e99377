"""Which targets can make a video: never a longer, smaller or different one than was asked for."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.config.snapshot import (
    NANO,
    HealthRule,
    Price,
    Retries,
    Route,
    RouteTarget,
    Timeouts,
    VideoLimits,
)
from gateway.routing.video import Wanted, cost, dearest, eligible, fill, mismatch, order
from providers.types import Target


def target(name: str, price: float | None = 0.1, **limits: Any) -> RouteTarget:
    return RouteTarget(
        id=f"{name}/m",
        target=Target(provider=name, dialect="openai", base_url="http://127.0.0.1:1/v1", model="m"),
        price=None if price is None else Price(per_second=round(price * NANO)),
        timeouts=Timeouts(),
        health=HealthRule(),
        video=VideoLimits(**limits) if limits else None,
    )


def route(*targets: RouteTarget, policy: str = "in_order") -> Route:
    return Route(
        model="sora-2", kind="video", policy=policy, targets=targets, retries=Retries(), timeouts=Timeouts()
    )


def names(targets: list[RouteTarget]) -> list[str]:
    return [one.target.provider for one in targets]


USUAL = Wanted(seconds=4.0, size="720x1280")
SECONDS = st.sampled_from([1.0, 4.0, 5.0, 5.04, 8.0, 12.0, 60.0])
LIMITS = st.builds(
    VideoLimits,
    seconds=st.none() | st.lists(SECONDS, min_size=1, max_size=3),
    min_seconds=st.none() | st.sampled_from([1.0, 4.0]),
    max_seconds=st.none() | st.sampled_from([5.0, 15.0]),
    sizes=st.none() | st.lists(st.sampled_from(["1280x720", "720x1280"]), min_size=1),
    inputs=st.none() | st.lists(st.just("first_frame"), max_size=1),
)


@given(
    st.lists(LIMITS | st.none(), min_size=1, max_size=4),
    SECONDS,
    st.sampled_from(["1280x720", "720x1280", "64x64"]),
    st.booleans(),
)
def test_what_is_eligible_can_do_it_and_what_is_not_is_explained(
    limits: list[VideoLimits | None], seconds: float, size: str, picture: bool
) -> None:
    made = route(*(replace(target("t"), id=f"t{number}/m", video=one) for number, one in enumerate(limits)))
    wanted = Wanted(seconds=seconds, size=size, inputs=("first_frame",) if picture else ())
    able = eligible(made, wanted)
    for one in able:
        can = one.video or VideoLimits()
        assert can.seconds is None or seconds in can.seconds
        assert (can.min_seconds or 0) <= seconds <= (can.max_seconds or seconds)
        assert can.sizes is None or size in can.sizes
        assert not picture or can.inputs is None or "first_frame" in can.inputs
    if not able:
        found = mismatch(made, wanted)
        assert found.field in ("seconds", "size", "inputs")
        assert found.allowed


def test_a_refusal_names_the_union_of_what_is_offered() -> None:
    made = route(
        target("a", seconds=(4.0, 8.0), sizes=("1280x720",)),
        target("b", min_seconds=2, max_seconds=10, sizes=("720x1280", "1280x720"), inputs=()),
        target("c", seconds=(5.04, 15.0), sizes=("1280x720",), inputs=("first_frame",)),
    )
    too_long = mismatch(made, Wanted(seconds=60, size="1280x720"))
    assert (too_long.field, too_long.value, too_long.allowed) == ("seconds", "60", "4, 5.04, 8, 15, 2 to 10")
    too_large = mismatch(made, Wanted(seconds=4, size="1920x1080"))
    assert (too_large.field, too_large.allowed) == ("size", "1280x720, 720x1280")
    together = mismatch(made, Wanted(seconds=15, size="720x1280"))
    assert (together.field, together.allowed) == ("size", "1280x720")
    assert "15 seconds" in together.value
    last_frame = mismatch(route(target("b", inputs=())), Wanted(seconds=4, size="x", inputs=("last_frame",)))
    assert (last_frame.field, last_frame.value, last_frame.allowed) == ("inputs", "last_frame", "text only")
    away = mismatch(made, Wanted(seconds=4, size="1280x720", home="z/m"))
    assert away.field == "home"


def test_policies_order_only_what_can_do_it() -> None:
    targets = (
        target("dear", 0.5),
        target("cheap", 0.1, max_seconds=5),
        target("unknown", None),
        target("mid", 0.2),
    )
    wanted = Wanted(seconds=8, size="1280x720")

    def dice() -> float:
        return 0.5

    assert names(order(route(*targets, policy="cheapest"), wanted, dice)) == ["mid", "dear", "unknown"]
    assert names(order(route(*targets), wanted, dice)) == ["dear", "unknown", "mid"]
    known = Wanted(seconds=8, size="1280x720", priced=True)
    assert names(order(route(*targets, policy="cheapest"), known, dice)) == ["mid", "dear"]
    home = Wanted(seconds=8, size="1280x720", home="mid/m")
    assert names(order(route(*targets, policy="cheapest"), home, dice)) == ["mid"]


def test_money_is_whole_rounded_up_and_unknown_is_not_free() -> None:
    assert cost(100_000_001, 4.5) == 450_000_005
    assert cost(3, 0.1) == 1
    assert cost(None, 4) is None
    assert dearest([target("a", 0.1), target("b", 0.3)], 10) == 3 * NANO
    assert dearest([target("a", 0.1), target("b", None)], 10) is None
    assert dearest([], 10) is None


@pytest.mark.parametrize(
    ("limits", "seconds", "size"),
    [
        ({}, 4.0, "720x1280"),
        ({"seconds": (5.0, 10.0), "sizes": ("832x480",)}, 5.0, "832x480"),
        ({"min_seconds": 6.0}, 6.0, "720x1280"),
        ({"min_seconds": 1.0, "max_seconds": 3.0}, 1.0, "720x1280"),
        ({"max_seconds": 15.0, "sizes": ("1280x720", "720x1280")}, 4.0, "720x1280"),
    ],
)
def test_what_nobody_said_is_chosen_from_what_is_offered(
    limits: dict[str, Any], seconds: float, size: str
) -> None:
    made = route(target("a", **limits))
    assert fill(made, None, None, USUAL) == (seconds, size)
    assert eligible(made, Wanted(seconds=seconds, size=size))


def test_what_was_said_stays_and_the_rest_is_chosen_to_go_with_it() -> None:
    made = route(
        target("tall", seconds=(8.0,), sizes=("720x1280",)),
        target("wide", seconds=(4.0, 6.0), sizes=("1280x720",)),
    )
    assert fill(made, None, None, USUAL) == (8.0, "720x1280")
    assert fill(made, 6.0, None, USUAL) == (6.0, "1280x720")
    assert fill(made, None, "1280x720", USUAL) == (4.0, "1280x720")
    assert fill(made, 8.0, "1280x720", USUAL) == (8.0, "1280x720")
    assert fill(made, 99.0, None, USUAL) == (99.0, "720x1280")


@given(st.lists(LIMITS, min_size=1, max_size=3))
def test_saying_nothing_always_works(limits: list[VideoLimits]) -> None:
    made = route(*(replace(target("a"), id=f"t{number}/m", video=one) for number, one in enumerate(limits)))
    possible = [one for one in limits if one.seconds is None or fits_itself(one)]
    seconds, size = fill(made, None, None, USUAL)
    assert eligible(made, Wanted(seconds=seconds, size=size)) or not possible


def fits_itself(limits: VideoLimits) -> bool:
    """Whether the shortest of the listed lengths lies within the bounds given beside them."""
    shortest = min(limits.seconds or [0.0])
    return (limits.min_seconds or 0.0) <= shortest <= (limits.max_seconds or shortest)
