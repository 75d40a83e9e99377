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
    Terms,
    Timeouts,
)
from gateway.routing.video import (
    LAST_DAY,
    Wanted,
    cost,
    dearest,
    eligible,
    fill,
    mismatch,
    order,
    rate,
    unfit,
)
from providers.types import Target, VideoLimits
from providers.video.fields import Words


def target(name: str, price: float | None = 0.1, **limits: Any) -> RouteTarget:
    return RouteTarget(
        id=f"{name}/m",
        target=Target(
            provider=name, dialect="openai", base_url="http://127.0.0.1:1/v1", model="m",
            video=VideoLimits(**limits),
        ),
        price=None if price is None else Price(per_second=round(price * NANO)),
        timeouts=Timeouts(),
        health=HealthRule(),
    )  # fmt: skip


def route(*targets: RouteTarget, policy: str = "in_order") -> Route:
    return Route(
        model="sora-2", kind="video", policy=policy, targets=targets, retries=Retries(), timeouts=Timeouts()
    )


def limited(limits: list[VideoLimits]) -> Route:
    """A route with one target for each of these."""
    one = target("t")
    return route(
        *(
            replace(one, id=f"t{number}/m", target=replace(one.target, video=each))
            for number, each in enumerate(limits)
        )
    )


def names(targets: list[RouteTarget]) -> list[str]:
    return [one.target.provider for one in targets]


USUAL = Wanted(seconds=4.0, size="720x1280")


def test_a_target_elsewhere_is_never_asked_and_a_canary_by_its_draw_and_then_first() -> None:
    near = replace(target("near"), terms=Terms(region="eu-west-1", tags=frozenset(("zdr",))))
    far = replace(target("far"), terms=Terms(region="us-east-1"))
    canary = replace(target("canary"), terms=Terms(region="eu", canary=(0.0, 0.1)))
    made = route(far, near, canary)
    assert unfit(far, replace(USUAL, region="eu")) == "region"
    assert unfit(near, replace(USUAL, tags=frozenset(("gold",)))) == "tags"
    assert unfit(canary, replace(USUAL, draw=0.1)) == "canary"
    for draw, asked in ((0.05, ["canary", "near"]), (0.5, ["near"])):
        assert names(order(made, replace(USUAL, region="eu", draw=draw), lambda: 0.0)) == asked
    home = replace(USUAL, home="canary/m")
    assert names(eligible(made, home)) == ["canary"], "a remix goes where its video is, whatever was drawn"


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
    st.lists(LIMITS, min_size=1, max_size=4),
    SECONDS,
    st.sampled_from(["1280x720", "720x1280", "64x64"]),
    st.booleans(),
)
def test_what_is_eligible_can_do_it_and_what_is_not_is_explained(
    limits: list[VideoLimits], seconds: float, size: str, picture: bool
) -> None:
    made = limited(limits)
    wanted = Wanted(seconds=seconds, size=size, inputs=("first_frame",) if picture else ())
    able = eligible(made, wanted)
    for one in able:
        can = one.target.video
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
    ten = replace(USUAL, seconds=10.0)
    assert dearest([target("a", 0.1), target("b", 0.3)], ten) == 3 * NANO
    assert dearest([target("a", 0.1), target("b", None)], ten) is None
    assert dearest([], ten) is None


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
    made = limited(limits)
    possible = [one for one in limits if one.seconds is None or fits_itself(one)]
    seconds, size = fill(made, None, None, USUAL)
    assert eligible(made, Wanted(seconds=seconds, size=size)) or not possible


def fits_itself(limits: VideoLimits) -> bool:
    """Whether the shortest of the listed lengths lies within the bounds given beside them."""
    shortest = min(limits.seconds or [0.0])
    return (limits.min_seconds or 0.0) <= shortest <= (limits.max_seconds or shortest)


RATIOS = {"720p": ("16:9", "9:16"), "1080p": ("16:9",)}


@pytest.mark.parametrize(
    ("limits", "asked", "field", "allowed"),
    [
        ({"ratios": RATIOS}, {"size": "960x720"}, "size", "1280x720, 720x1280, 1920x1080"),
        ({"ratios": RATIOS}, {"size": "1024x1792"}, "size", "1280x720, 720x1280, 1920x1080"),
        ({"needs": ("first_frame",), "inputs": ("first_frame",)}, {}, "inputs", "first_frame"),
        ({"links": False}, {"inputs": ("first_frame",), "linked": True}, "links", "data: URI"),
        ({"uploads": False}, {"inputs": ("first_frame",), "uploaded": True}, "links", "an https:// link"),
        ({"audio": "never"}, {"audio": True}, "audio", "false"),
        ({"audio": "always"}, {"audio": False, "strict": True}, "audio", "true"),
        ({"max_prompt": 6}, {"words": Words(prompt="A kites")}, "prompt", "at most 6 characters"),
        (
            {"max_prompt": 20, "fields": ()},
            {"words": Words(prompt="A kite", style_preset="a very long style")},
            "prompt",
            "at most 20",
        ),
        ({"fields": ("seed",)}, {"words": Words(prompt="p", style_preset="noir"), "strict": True}, "fields", "seed"),
        ({"fields": ()}, {"seed": True, "strict": True}, "fields", "none"),
        ({"fields": ("seed",)}, {"strength": 0.5, "strict": True}, "fields", "seed"),
        ({"retires_at": 1000.0 + LAST_DAY}, {"now": 1000.0}, "model", ""),
    ],
)  # fmt: skip
def test_who_cannot_do_it_is_not_asked_and_the_reason_is_told(
    limits: dict[str, Any], asked: dict[str, Any], field: str, allowed: str
) -> None:
    wanted = replace(USUAL, **asked)
    cannot, can = target("cannot", **limits), target("can")
    assert names(eligible(route(cannot, can), wanted)) == ["can"]
    found = mismatch(route(cannot), wanted)
    assert found.field == field
    assert allowed in found.allowed


@pytest.mark.parametrize(
    ("limits", "asked"),
    [
        ({"ratios": RATIOS}, {"size": "1280x704"}),
        ({"ratios": RATIOS}, {"size": "1024x576"}),
        ({"ratios": RATIOS, "image_ratios": {"720p": ("1:1",)}}, {"size": "720x720", "inputs": ("first_frame",)}),
        ({"audio": "always"}, {"audio": False}),
        ({"audio": "switch"}, {"audio": False, "strict": True}),
        ({"fields": ()}, {"seed": True, "words": Words(prompt="p", negative_prompt="blur")}),
        ({"fields": ("seed",), "max_prompt": 1000}, {"seed": True, "words": Words(prompt="p"), "strict": True}),
        ({"fields": ()}, {"strength": 0.5}),
        (
            {"needs": ("first_frame",), "inputs": ("first_frame", "source_video"), "operations": ("extend",)},
            {"operation": "extend", "inputs": ("source_video",)},
        ),
        ({"retires_at": 1000.0 + LAST_DAY}, {"now": 999.0}),
    ],
)  # fmt: skip
def test_what_can_be_told_in_words_or_nearly_fits_is_no_hindrance(
    limits: dict[str, Any], asked: dict[str, Any]
) -> None:
    assert eligible(route(target("a", **limits)), replace(USUAL, **asked))


def test_sound_and_larger_sizes_cost_what_they_cost() -> None:
    price = Price(tiers={"720p": 126, "1080p": 168}, silent={"720p": 84})
    one = replace(target("a"), price=price)
    assert rate(one, USUAL) == 126
    assert rate(one, replace(USUAL, audio=False)) == 84
    assert rate(one, replace(USUAL, audio=False, size="1920x1080")) == 168
    assert rate(one, replace(USUAL, size="3840x2160")) is None
    assert not eligible(route(one), replace(USUAL, size="3840x2160", priced=True))
    cheap = replace(target("b"), id="b/m", price=Price(per_second=100))
    quiet = replace(USUAL, audio=False)
    assert names(order(route(one, cheap, policy="cheapest"), USUAL, lambda: 0.5)) == ["b", "a"]
    assert names(order(route(one, cheap, policy="cheapest"), quiet, lambda: 0.5)) == ["a", "b"]
