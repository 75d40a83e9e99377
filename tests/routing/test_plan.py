"""Which targets a request may go to, in which order, and what it is told when there is none."""

import random

from gateway.routing import cost, health
from gateway.routing.plan import Ask, plan
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
