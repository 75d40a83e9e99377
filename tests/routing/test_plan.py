"""Which targets a request may go to, in which order, and what it is told when there is none."""

import random

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.config.snapshot import Terms
from gateway.routing import cost, health
from gateway.routing.plan import SHUT_HARD, Ask, plan
from gateway.routing.policies import POLICIES
from gateway.routing.terms import Traits, unmet
from providers.errors import ErrorKind
from tests.routing.values import route, target

A, B = target("a", price=2.0), target("b", price=1.0)
OPEN = health.Health(failures=5, openings=1, shut=ErrorKind.UNAVAILABLE, shut_until=10.0)


def _plan(made, known=None, now=0.0, tokens=100, **more):
    costs = [cost.estimate(one.price, tokens, tokens) for one in made.targets]
    return plan(made, Ask(costs=costs, input_tokens=tokens, **more), known or {}, now, random.random)


def test_cheapest_goes_to_the_cheaper_target_first():
    assert [one.id for one in _plan(route(A, B, policy="cheapest")).order] == ["b/model", "a/model"]


def test_a_target_with_an_open_breaker_is_left_out_and_named():
    made = _plan(route(A, B), known={"a/model": OPEN})
    assert [one.id for one in made.order] == ["b/model"]
    assert made.skipped == {"a/model": "unavailable"}


def test_when_every_breaker_is_open_the_least_bad_target_is_tried_anyway():
    later = health.Health(failures=5, openings=2, shut=ErrorKind.TIMEOUT, shut_until=20.0)
    made = _plan(route(A, B), known={"a/model": later, "b/model": OPEN})
    assert [one.id for one in made.order] == ["b/model"]
    assert made.reason == "last_resort"


def test_a_resting_target_is_never_a_last_resort():
    resting = health.Health(shut=ErrorKind.RATE_LIMITED, shut_until=3.0)
    made = _plan(route(A), known={"a/model": resting}, now=1.0)
    assert not made.order
    assert made.cause is not None
    assert made.cause.kind is ErrorKind.RATE_LIMITED
    assert made.cause.retry_after == 2.0


def test_an_unknown_price_is_never_the_cheapest():
    unknown = target("u", price=None)
    assert [one.id for one in _plan(route(unknown, A, policy="cheapest")).order] == ["a/model"]
    refused = _plan(route(unknown, policy="cheapest"))
    assert refused.cause is not None
    assert refused.cause.code == "unknown_price"
    allowed = _plan(route(unknown, A, policy="cheapest"), unknown_price_ok=True)
    assert [one.id for one in allowed.order] == ["a/model", "u/model"]


def test_balanced_refuses_unknown_prices_as_cheapest_does():
    unknown = target("u", price=None)
    assert [one.id for one in _plan(route(unknown, A, policy="balanced")).order] == ["a/model"]


def test_a_long_cap_does_not_make_speed_all_that_counts():
    eager = health.Health(latency=0.5, speed=100.0)
    swift = health.Health(latency=3.0, speed=200.0)
    made = _plan(route(B, A, policy="fastest"), {"a/model": eager, "b/model": swift}, output_tokens=100_000)
    assert [one.id for one in made.order] == ["a/model", "b/model"]


def test_a_key_with_a_budget_is_refused_an_unknown_price_under_every_policy():
    made = _plan(route(target("u", price=None)), budgeted=True)
    assert not made.order


def test_a_request_longer_than_the_window_goes_elsewhere():
    small, large = target("small", window=1000), target("large", window=100_000)
    assert [one.id for one in _plan(route(small, large), tokens=5000).order] == ["large/model"]
    refused = _plan(route(small), tokens=5000)
    assert refused.cause is not None
    assert refused.cause.kind is ErrorKind.CONTEXT_LENGTH


names = st.sampled_from("abcdef")
terms = st.none() | st.builds(
    Terms,
    tools=st.none() | st.booleans(),
    min_input=st.integers(0, 200),
    max_input=st.none() | st.integers(0, 200),
    tags=st.frozensets(st.sampled_from(("eu", "gold"))),
    canary=st.none() | st.just((0.0, 0.5)),
)
healths = st.builds(
    health.Health,
    shut=st.none() | st.sampled_from((ErrorKind.UNAVAILABLE, ErrorKind.RATE_LIMITED, ErrorKind.QUOTA)),
    shut_until=st.floats(0, 20),
    openings=st.integers(0, 2),
    in_flight=st.integers(0, 30),
    latency=st.none() | st.floats(0, 10),
)
traits = st.none() | st.builds(
    Traits,
    tools=st.booleans(),
    input_tokens=st.integers(0, 300),
    tags=st.frozensets(st.sampled_from(("eu", "gold"))),
    draw=st.floats(0, 0.99),
    session=st.sampled_from(("", "s", "t")),
)


@given(
    st.dictionaries(names, st.tuples(st.none() | st.floats(0, 9), terms, healths), min_size=1),
    traits,
    st.sampled_from(sorted(POLICIES)),
    st.booleans(),
)
def test_every_target_is_in_the_plan_or_left_out_with_a_reason(said, asked, policy, budgeted):
    targets = [replace(target(name, price=price), terms=of) for name, (price, of, _) in said.items()]
    known = {f"{name}/model": seen for name, (_, _, seen) in said.items()}
    made_of = replace(route(*targets, policy=policy), affinity=True)
    made = _plan(made_of, known, now=10.0, traits=asked, budgeted=budgeted)
    order = [one.id for one in made.order]
    assert len(set(order)) == len(order)
    assert set(order) | set(made.skipped) == set(known)
    assert (made.cause is None) == bool(order)
    if made.reason == "last_resort":
        assert known[order[0]].shut not in SHUT_HARD
    else:
        assert not set(order) & set(made.skipped)
        assert all(health.is_open_to(known[one], 10.0) for one in order)
    if asked is not None:
        assert all(unmet(one.terms or Terms(), asked) is None for one in made.order)
