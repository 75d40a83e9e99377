"""The breaker, the rest after a 429, and the latency: what a target's history makes of it."""

import itertools
import math
import random

from hypothesis import given
from hypothesis import strategies as st

from gateway.config.snapshot import HealthRule
from gateway.routing import health
from gateway.routing.outcomes import OUTCOMES, Effect
from providers.errors import ErrorKind, ProviderError

RULE = HealthRule(failures=5, rest=5.0)
DOWN = ProviderError(ErrorKind.UNAVAILABLE, "down")


def _fail(seen: health.Health, error: ProviderError, now: float, dice: float = 0.0) -> health.Health:
    return health.ended(health.failed(health.started(seen, now), error, RULE, now, dice))


def test_every_kind_of_error_has_an_outcome():
    assert set(OUTCOMES) == set(ErrorKind)


def test_opens_after_five_failures_in_a_row_and_lets_one_probe_through_after_its_rest():
    seen = health.NEW
    for _ in range(4):
        seen = _fail(seen, DOWN, 0.0)
        assert health.is_open_to(seen, 0.0)
    seen = _fail(seen, DOWN, 0.0)
    assert health.state(seen, 1.0) == "open"
    assert not health.is_open_to(seen, 4.9)
    assert health.is_open_to(seen, 5.0)
    probing = health.started(seen, 5.0)
    assert not health.is_open_to(probing, 5.0), "a second probe at once would be a stampede"
    well = health.ended(health.answered(probing, 5.1, 0.1))
    assert health.state(well, 5.1) == "closed"


def test_a_success_forgets_failures():
    seen = health.NEW
    for _ in range(20):
        for _ in range(4):
            seen = _fail(seen, DOWN, 0.0)
        seen = health.ended(health.answered(health.started(seen, 0.0), 0.0, 0.1))
    assert health.is_open_to(seen, 0.0)


def _shut(kind: ErrorKind, seen: health.Health = health.NEW) -> health.Health:
    for _ in range(5):
        seen = _fail(seen, ProviderError(kind, "down"), 0.0)
    return seen


def test_a_target_that_fails_at_once_is_asked_again_soon():
    seen, rests = _shut(ErrorKind.UNAVAILABLE), []
    for _ in range(6):
        rests.append(seen.shut_until - seen.shut_at)
        seen = _fail(seen, DOWN, seen.shut_until)
    assert rests == [5] * 6


def test_a_target_that_hangs_is_asked_as_soon_but_seldom_for_long():
    """Each probe holds its request up until its patience ends; asked for long, until a timeout of 30 s."""
    seen, began, hurried, patient = _shut(ErrorKind.TIMEOUT), [], 0, []
    while seen.shut_until < 1000.0:
        now = seen.shut_until
        seen = health.started(seen, now)
        began.append(now)
        wait = health.patience(seen, now)
        if wait == math.inf:
            assert not health.is_open_to(seen, now), "the next one is hurried and comes later"
            patient.append(now)
        else:
            assert wait == health.HURRY
            hurried += 1
            assert not health.is_open_to(seen, now), "one at a time"
            seen = health.failed(seen, ProviderError(ErrorKind.TIMEOUT, "down"), RULE, now + wait, 0.0)
        seen = health.ended(seen)
    assert max(after - before for before, after in itertools.pairwise(began)) <= RULE.rest
    assert hurried > 100
    gaps = [after - before for before, after in itertools.pairwise(patient)]
    assert all(
        pause <= gap <= pause + RULE.rest
        for pause, gap in zip((10, 20, 40, 80, 160, 300), gaps, strict=False)
    )
    assert len(patient) <= 8


def test_a_hurried_probe_waits_as_long_as_the_target_used_to_take():
    slow = health.ended(health.answered(health.started(health.NEW, 0.0), 3.0, 3.0))
    seen = _shut(ErrorKind.TIMEOUT, slow)
    assert health.patience(seen, 0.1) == math.inf, "who asks it though it is shut has nobody else to ask"
    assert health.patience(health.started(seen, 3.0), 3.0) == 6.0
    assert health.patience(_shut(ErrorKind.UNAVAILABLE, slow), 5.0) == math.inf


def test_a_target_that_has_only_become_slow_comes_back_by_a_probe_that_may_take_its_time():
    seen = _shut(ErrorKind.TIMEOUT)
    while True:
        now = seen.shut_until
        seen = health.started(seen, now)
        if health.patience(seen, now) == math.inf:
            break
        seen = health.ended(health.failed(seen, ProviderError(ErrorKind.TIMEOUT, "x"), RULE, now + 1.0, 0.0))
    other = seen.shut_until
    seen = health.started(seen, other)
    seen = health.failed(seen, ProviderError(ErrorKind.TIMEOUT, "x"), RULE, other + 1.0, 0.0)
    assert health.state(health.answered(seen, other + 2.0, other + 2.0 - now), other + 2.0) == "closed"


def test_a_cancelled_probe_frees_its_place():
    seen = health.NEW
    for _ in range(5):
        seen = _fail(seen, DOWN, 0.0)
    seen = health.ended(health.started(seen, 6.0))
    assert health.is_open_to(seen, 6.0)


def test_a_429_rests_until_retry_after_and_is_no_failure():
    seen = _fail(health.NEW, ProviderError(ErrorKind.RATE_LIMITED, "slow down", retry_after=3.0), 10.0)
    assert health.state(seen, 12.9) == "throttled"
    assert not health.is_open_to(seen, 12.9)
    assert health.is_open_to(seen, 13.0)
    assert seen.failures == 0
    assert health.is_open_to(health.started(seen, 13.0), 13.0), "no probing after a rest: all may come back"


def test_an_older_success_does_not_end_a_rest_or_an_open_breaker():
    both = health.started(health.started(health.NEW, 0.0), 0.0)
    resting = health.failed(
        both, ProviderError(ErrorKind.RATE_LIMITED, "x", retry_after=60.0), RULE, 1.0, 0.0
    )
    assert not health.is_open_to(health.ended(health.answered(resting, 2.0, 2.0)), 2.0)
    seen = health.started(health.NEW, 0.0)
    for _ in range(5):
        seen = _fail(seen, DOWN, 1.0)
    assert not health.is_open_to(health.answered(seen, 2.0, 2.0), 2.0)


def test_the_end_of_an_older_call_does_not_let_a_second_probe_through():
    seen = health.started(health.NEW, 0.0)
    for _ in range(5):
        seen = _fail(seen, DOWN, 0.0)
    probing = health.started(seen, 6.0)
    assert not health.is_open_to(health.ended(probing), 6.1)


@given(st.sampled_from([ErrorKind.INVALID_REQUEST, ErrorKind.CONTENT_POLICY, ErrorKind.UNSUPPORTED]))
def test_errors_about_the_request_say_nothing_of_the_target(kind: ErrorKind):
    seen = health.NEW
    for _ in range(50):
        seen = _fail(seen, ProviderError(kind, "no"), 0.0)
    assert health.is_open_to(seen, 0.0)


@given(
    st.lists(
        st.tuples(st.sampled_from(["ok", *ErrorKind]), st.floats(0, 100), st.floats(0, 0.99)), max_size=40
    )
)
def test_whatever_happens_the_counts_stay_sane_and_every_target_comes_back(history):
    seen, now = health.NEW, 0.0
    for what, passed, dice in history:
        now += passed
        seen = health.started(seen, now)
        if what == "ok":
            seen = health.answered(seen, now, 0.5)
        else:
            seen = health.failed(seen, ProviderError(what, "x"), RULE, now, dice)
        seen = health.ended(seen)
        assert seen.in_flight == 0
        assert seen.probe_until == 0.0
    assert health.is_open_to(seen, now + 1000.0)


def test_latency_rises_at_once_and_falls_slowly():
    seen = health.answered(health.started(health.NEW, 0.0), 0.0, 0.1)
    slow = health.answered(seen, 1.0, 2.0)
    assert slow.latency == 2.0
    better = health.answered(slow, 11.0, 0.0)
    assert better.latency == 1.0, "half the way after one half-life"


def test_a_long_answer_tells_speed_and_a_short_one_does_not():
    seen = health.ended(health.answered(health.started(health.NEW, 0.0), 1.0, 1.0), 3.0, 100, 2.0)
    assert (seen.latency, seen.speed) == (1.0, 50.0)
    same = health.ended(health.answered(health.started(seen, 4.0), 5.0, 1.0), 5.1, 3, 0.001)
    assert same.speed == 50.0
    later = health.ended(health.started(same, 12.0), 13.0, 100, 1.0)
    assert later.speed == 75.0, "half of the difference after one half-life"


def test_a_whole_answer_tells_speed_when_it_is_long_and_latency_when_it_is_short():
    long = health.answered(health.started(health.NEW, 0.0), 4.0, 4.0, whole=True)
    long = health.ended(long, 4.0, 400, 4.0, whole=True)
    assert (long.latency, long.speed) == (None, 100.0)
    short = health.answered(health.started(long, 5.0), 5.5, 0.5, whole=True)
    short = health.ended(short, 5.5, 2, 0.5, whole=True)
    assert (short.latency, short.speed) == (0.5, 100.0)


def test_what_was_measured_outlives_a_change_of_the_configuration():
    seen = health.ended(health.answered(health.started(health.NEW, 0.0), 1.0, 1.0), 3.0, 100, 2.0)
    shut = health.failed(seen, ProviderError(ErrorKind.AUTHENTICATION, "no"), RULE, 4.0, 0.0)
    assert health.mended(shut) == seen


def test_late_follows_the_time_that_95_of_100_take():
    dice = random.Random(3)
    seen, above = health.NEW, 0
    for number in range(4000):
        seconds = dice.lognormvariate(-1.0, 0.5)
        above += number >= 1000 and seconds > (seen.late or 0.0)
        seen = health.ended(health.answered(health.started(seen, number), number, seconds))
    assert 0.03 < above / 3000 < 0.07
    assert seen.samples == 4000


def test_a_call_that_was_outrun_counts_as_slow_and_as_no_failure():
    seen = health.started(health.answered(health.started(health.NEW, 0.0), 0.1, 0.1), 1.0)
    outrun = health.outrun(seen, 3.0, 2.0)
    assert (outrun.latency, outrun.failures) == (2.0, 0)
    assert outrun.late is not None
    assert outrun.late > 0.1
    early = health.outrun(seen, 1.05, 0.05)
    assert (early.latency, early.late) == (0.1, 0.1), "it had no time to show what it can"


KINDS = [kind for kind in ErrorKind if OUTCOMES[kind].effect is not Effect.NONE]
RESTS = st.builds(
    health.Rest,
    target=st.just("a/m"),
    kind=st.sampled_from(KINDS),
    openings=st.integers(0, 5),
    seconds=st.floats(0.5, 600.0),
)


@given(rest=RESTS, other=RESTS, in_flight=st.integers(0, 9))
def test_what_is_heard_shuts_as_long_as_the_longest_rest_in_whatever_order(
    rest: health.Rest, other: health.Rest, in_flight: int
):
    seen = health.Health(in_flight=in_flight, latency=0.3)
    one, two = (
        health.told(health.told(seen, first, 0.0), second, 0.0)
        for first, second in ((rest, other), (other, rest))
    )
    assert abs(one.shut_until - two.shut_until) <= health.ON_THE_WAY
    assert not health.is_open_to(one, max(rest.seconds, other.seconds) - health.ON_THE_WAY - 0.001)
    assert health.is_open_to(one, max(rest.seconds, other.seconds))
    assert (one.in_flight, one.latency) == (in_flight, 0.3)
    assert health.to_tell("a/m", one, 0.0) is None, "hearsay is not passed on"


@given(kind=st.sampled_from(KINDS), times=st.integers(1, 12))
def test_who_told_it_learns_nothing_when_it_comes_back(kind: ErrorKind, times: int):
    seen = health.NEW
    for _ in range(times):
        seen = _fail(seen, ProviderError(kind, "no", retry_after=3.0), 0.0)
    rest = health.to_tell("a/m", seen, 1.0)
    if rest is not None:
        assert health.told(seen, rest, 1.05) is seen
        assert health.untold(seen, 1.05) is seen


def test_what_is_taken_back_opens_the_target_and_a_failure_of_ones_own_stays():
    rest = health.Rest(target="a/m", kind=ErrorKind.QUOTA, openings=0, seconds=600.0)
    heard = health.told(health.NEW, rest, 0.0)
    assert health.is_open_to(health.untold(heard, 10.0), 10.0)
    own = _fail(heard, ProviderError(ErrorKind.RATE_LIMITED, "busy", retry_after=700.0), 5.0)
    assert health.untold(own, 10.0) is own


def test_each_process_probes_by_itself_and_one_failed_probe_opens_again():
    rest = health.Rest(target="a/m", kind=ErrorKind.TIMEOUT, openings=2, seconds=5.0)
    heard = health.told(health.NEW, rest, 0.0)
    probing = health.started(heard, 5.0)
    assert not health.is_open_to(probing, 5.0)
    again = _fail(heard, ProviderError(ErrorKind.TIMEOUT, "slow"), 5.0)
    assert (again.openings, again.shut_until, again.heard) == (3, 9.0, False)
