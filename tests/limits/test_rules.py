"""From a caller's limits to dimensions, and from a verdict to what the client is told."""

import math
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.snapshot import NANO, Caller, LimitRule
from gateway.errors import InvalidRequest, LimitExceeded
from gateway.limits import words
from gateway.limits.periods import SECONDS
from gateway.limits.rules import Dimension, Verdict, headers, refusal
from gateway.limits.template import BUCKETS, Costs, Template, amounts
from gateway.lines import Lines, texts

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC).timestamp()
RULES = (
    LimitRule(dimension="requests", limit=60, per="minute"),
    LimitRule(dimension="tokens", limit=100_000, per="minute"),
    LimitRule(dimension="concurrent", limit=20),
    LimitRule(dimension="dollars", limit=50 * NANO, per="day"),
    LimitRule(dimension="video_seconds", limit=600_000, per="day"),
)
CHAT = Costs(tokens=1_000, nano_dollars=NANO // 2)


def text(told: Lines) -> list[tuple[str, str]]:
    return list(texts(told).items())


def caller(*rules: LimitRule, organisation: str = "acme") -> Caller:
    return Caller(id="team-a", name="Team A", limits=rules or RULES, organisation=organisation)


def dimensions(costs: Costs = CHAT, *rules: LimitRule) -> tuple[Dimension, ...]:
    return Template(caller(*rules), "fast").dimensions(costs, NOON)


def refused(asked: tuple[Dimension, ...], left: list[int], retry_after: float | None) -> Verdict:
    denied = next(i for i, pair in enumerate(zip(asked, left, strict=True)) if pair[0].cost > pair[1])
    return Verdict(
        allowed=False, remaining=left, reset=[30.0] * len(asked), denied=denied, retry_after=retry_after
    )


def test_a_request_counts_in_what_it_costs_something_in() -> None:
    assert [(d.name, d.cost, d.key) for d in dimensions()] == [
        ("requests", 1, "gw:{acme}:w:key:team-a:requests:minute"),
        ("tokens", 1_000, "gw:{acme}:w:key:team-a:tokens:minute"),
        ("concurrent", 1, "gw:{acme}:c:key:team-a"),
        ("dollars", NANO // 2, "gw:{acme}:b:key:team-a:dollars:day:2026-11-20"),
    ]
    video = dimensions(Costs(video_ms=8_000, concurrent=0))
    assert [(d.name, d.cost) for d in video] == [("requests", 1), ("video_seconds", 8_000)]
    assert amounts(video, Costs(requests=1, video_ms=7_000)) == [1, 7_000]


def test_a_budget_follows_the_calendar() -> None:
    template = Template(caller(LimitRule(dimension="dollars", limit=NANO, per="month")), "fast")
    last_second = datetime(2026, 11, 30, 23, 59, 59, tzinfo=UTC).timestamp()
    [november] = template.dimensions(CHAT, last_second)
    [december] = template.dimensions(CHAT, last_second + 1)
    [again] = template.dimensions(CHAT, last_second)
    assert november.key.endswith(":month:2026-11")
    assert november.window == 1.0
    assert november.since == datetime(2026, 11, 1, tzinfo=UTC).timestamp()
    assert december.key.endswith(":month:2026-12")
    assert december.window == 31 * 86_400
    assert again == november


def test_a_key_without_an_organisation_is_its_own_place_in_a_cluster() -> None:
    [dimension] = Template(caller(RULES[0], organisation=""), "fast").dimensions(CHAT, NOON)
    assert dimension.key == "gw:{team-a}:w:key:team-a:requests:minute"


@pytest.mark.parametrize("organisation", ["}{", "{a}", "a}b", "ä/ö"])
def test_no_organisation_can_break_the_place_out_of_its_braces(organisation: str) -> None:
    [dimension] = Template(caller(RULES[0], organisation=organisation), "fast").dimensions(CHAT, NOON)
    assert dimension.key.count("{") == dimension.key.count("}") == 1


def test_the_tighter_of_two_rules_for_one_window_holds() -> None:
    loose, tight = (LimitRule(dimension="requests", limit=limit, per="hour") for limit in (9, 5))
    assert [d.limit for d in dimensions(CHAT, loose, tight)] == [5]
    assert [d.limit for d in dimensions(CHAT, tight, loose)] == [5]


def test_every_bucket_is_a_whole_number_of_milliseconds() -> None:
    assert all(SECONDS[per] * 1000 % buckets == 0 for per, buckets in BUCKETS.items())


def test_the_headers_of_an_admitted_request() -> None:
    verdict = Verdict(allowed=True, remaining=[59, 99_000, 19, 49 * NANO], reset=[60.2, 0.02, 60.0, 43_200.0])
    policy = (
        '"requests-minute";q=60;w=60, "tokens-minute";q=100000;qu="tokens";w=60, '
        '"concurrent";q=20;qu="concurrent-requests", "dollars-day";q=50000000;qu="micro-usd";w=86400'
    )
    standing = (
        '"requests-minute";r=59;t=61, "tokens-minute";r=99000;t=1, '
        '"concurrent";r=19, "dollars-day";r=49000000;t=43200'
    )
    assert text(headers(dimensions(), verdict)) == [
        ("x-ratelimit-limit-requests", "60"),
        ("x-ratelimit-remaining-requests", "59"),
        ("x-ratelimit-reset-requests", "1m0.2s"),
        ("x-ratelimit-limit-tokens", "100000"),
        ("x-ratelimit-remaining-tokens", "99000"),
        ("x-ratelimit-reset-tokens", "20ms"),
        ("ratelimit-policy", policy),
        ("ratelimit", standing),
    ]


def test_the_tightest_of_several_limits_on_requests_is_shown() -> None:
    day = LimitRule(dimension="requests", limit=1_000, per="day")
    asked = dimensions(CHAT, RULES[0], day)
    told = dict(text(headers(asked, Verdict(allowed=True, remaining=[50, 3], reset=[1.0, 2.0]))))
    assert told["x-ratelimit-limit-requests"] == "1000"
    assert told["x-ratelimit-remaining-requests"] == "3"
    assert told["x-ratelimit-reset-requests"] == "2s"


def test_nothing_is_said_where_nobody_counted() -> None:
    assert headers(dimensions(), Verdict(allowed=True, backend="open")) == []


def test_a_refusal_names_the_limit_and_when_to_come_back() -> None:
    asked = dimensions()
    error = refusal(asked, refused(asked, [0, 99_000, 19, NANO], 12.0005))
    assert isinstance(error, LimitExceeded)
    assert (error.status, error.code, error.type) == (429, "rate_limit_exceeded", "rate_limit_error")
    assert error.message == "Rate limit reached: this key may use 60 requests per minute. Try again in 13s."
    assert error.retry_after == 12.0005
    assert error.retry is None
    assert error.headers["retry-after"] == "13"
    assert error.headers["retry-after-ms"] == "12001"
    assert error.headers["x-ratelimit-remaining-requests"] == "0"
    assert '"requests-minute";r=0;t=13' in error.headers["ratelimit"]


def test_a_budget_that_is_used_up_tells_the_client_not_to_repeat() -> None:
    asked = dimensions()
    error = refusal(asked, refused(asked, [0, 99_000, 19, NANO // 4], 43_200.0))
    assert isinstance(error, LimitExceeded)
    assert (error.code, error.type, error.retry) == ("insufficient_quota", "insufficient_quota", False)
    assert error.message == (
        "The budget of this key, $50.00 per day, has $0.25 left; this request may cost $0.50. "
        "A new budget begins in 12h0m0s."
    )


def test_a_request_larger_than_a_limit_is_told_so_instead_of_being_told_to_wait() -> None:
    asked = dimensions(Costs(tokens=100_001))
    error = refusal(asked, refused(asked, [60, 100_000, 20], None))
    assert isinstance(error, InvalidRequest)
    assert (error.status, error.code, error.retry_after) == (400, "request_exceeds_limit", None)
    assert "100,001 tokens" in error.message
    assert "100,000 tokens per minute" in error.message


def test_a_share_of_a_limit_that_is_too_small_is_still_a_matter_of_time() -> None:
    asked = dimensions()
    error = refusal(asked, refused(asked, [30, 500, 10, NANO], 1.0))
    assert isinstance(error, LimitExceeded)
    assert error.headers["retry-after"] == "1"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        *((0.0, "0s"), (0.0001, "1ms"), (0.02, "20ms"), (1.0, "1s"), (1.5, "1.5s"), (59.999, "59.999s")),
        *((60.0, "1m0s"), (360.0, "6m0s"), (3600.0, "1h0m0s"), (5025.25, "1h23m45.25s")),
    ],
)
def test_durations_look_like_gos(seconds: float, text: str) -> None:
    assert words.duration(seconds) == text


@given(st.floats(0, 1e7))
def test_a_duration_is_never_shorter_than_the_time_it_stands_for(seconds: float) -> None:
    hours, _, rest = words.duration(seconds).rpartition("h")
    minutes, _, last = rest.rpartition("m") if not rest.endswith("ms") else ("", "", rest)
    value = float(last[:-2]) / 1000 if last.endswith("ms") else float(last[:-1])
    told = int(hours or 0) * 3600 + int(minutes or 0) * 60 + value
    assert told >= seconds - 1e-6
    assert told <= math.ceil(seconds * 1000) / 1000 + 1e-6


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        *(
            ("requests", 1, "1 request"),
            ("requests", 60, "60 requests"),
            ("tokens", 100_000, "100,000 tokens"),
        ),
        *(("dollars", 50 * NANO, "$50.00"), ("dollars", 500_000, "$0.0005"), ("dollars", 0, "$0.00")),
        *(("video_seconds", 12_500, "12.5 seconds of video"), ("concurrent", 1, "1 request at a time")),
    ],
)
def test_amounts_read_like_a_sentence(name: str, value: int, text: str) -> None:
    assert words.amount(name, value) == text
