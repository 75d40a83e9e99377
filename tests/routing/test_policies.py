"""Each policy reaches its own goal, keeps every candidate, and is deterministic given the dice."""

import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from gateway.routing import health
from gateway.routing.policies import (
    POLICIES,
    Aim,
    Candidate,
    balanced,
    cheapest,
    fastest,
    in_order,
    least_busy,
    weighted,
)
from tests.routing.values import NANO, target

candidates = st.lists(
    st.builds(
        lambda number, cost, latency, busy, weight: Candidate(
            target(f"t{number}", weight=weight), health.Health(latency=latency, in_flight=busy), cost
        ),
        st.integers(0, 1000),
        st.none() | st.integers(0, 10**9),
        st.none() | st.floats(0, 10),
        st.integers(0, 50),
        st.integers(0, 10),
    ),
    max_size=8,
)


@given(candidates, st.integers())
def test_every_policy_keeps_every_candidate(given_ones, seed):
    for policy in POLICIES.values():
        ordered = policy(given_ones, Aim(100, NANO), random.Random(seed).random)
        assert sorted(map(id, ordered)) == sorted(map(id, given_ones))


@given(candidates)
def test_cheapest_is_by_cost_and_never_prefers_an_unknown_price(given_ones):
    costs = [candidate.cost for candidate in cheapest(given_ones, Aim(), random.random)]
    known = [cost for cost in costs if cost is not None]
    assert costs[: len(known)] == sorted(known)


@given(candidates)
def test_in_order_is_as_written(given_ones):
    assert in_order(given_ones, Aim(), random.random) == given_ones


def test_weighted_shares_traffic_by_weight():
    ones = [Candidate(target("a", weight=3), health.NEW, 1), Candidate(target("b", weight=1), health.NEW, 1)]
    dice = random.Random(7)
    first = Counter(weighted(ones, Aim(), dice.random)[0].target.id for _ in range(4000))
    assert 0.72 < first["a/model"] / 4000 < 0.78


def test_fastest_never_draws_the_slowest_of_three():
    ones = [
        Candidate(target(name), health.Health(latency=latency), 1)
        for name, latency in (("a", 0.1), ("b", 0.2), ("c", 5.0))
    ]
    dice = random.Random(3)
    first = Counter(fastest(ones, Aim(), dice.random)[0].target.id for _ in range(2000))
    assert first["c/model"] == 0
    assert first["a/model"] > first["b/model"] > 0


def test_fastest_counts_load():
    busy = Candidate(target("busy"), health.Health(latency=0.1, in_flight=30), 1)
    idle = Candidate(target("idle"), health.Health(latency=0.5), 1)
    assert fastest([busy, idle], Aim(), random.random)[0] is idle


def test_fastest_tries_a_target_nobody_measured():
    known = Candidate(target("known"), health.Health(latency=0.1), 1)
    fresh = Candidate(target("fresh"), health.NEW, 1)
    assert fastest([known, fresh], Aim(), random.random)[0] is fresh


def test_fastest_counts_the_time_of_the_answer_at_the_targets_speed():
    eager = Candidate(target("eager"), health.Health(latency=0.1, speed=20.0), 1)
    swift = Candidate(target("swift"), health.Health(latency=0.9, speed=200.0), 1)
    assert fastest([eager, swift], Aim(200), random.random)[0] is swift
    assert fastest([swift, eager], Aim(5), random.random)[0] is eager


def test_balanced_pays_for_a_second_what_it_is_worth_and_no_more():
    dear = Candidate(target("dear"), health.Health(latency=1.0), 3_000_000)
    slow = Candidate(target("slow"), health.Health(latency=3.0), 1_000_000)
    unknown = Candidate(target("unknown"), health.Health(latency=0.1), None)
    for second, first in ((900_000, slow), (1_100_000, dear)):
        ordered = balanced([unknown, dear, slow], Aim(0, second), random.random)
        assert ordered[0] is first
        assert ordered[-1] is unknown


def test_least_busy_counts_open_calls_and_spreads_ties():
    ones = [
        Candidate(target(name), health.Health(in_flight=busy), 1)
        for name, busy in (("a", 2), ("b", 1), ("c", 1))
    ]
    dice = random.Random(5)
    first = Counter(least_busy(ones, Aim(), dice.random)[0].target.id for _ in range(1000))
    assert set(first) == {"b/model", "c/model"}
    assert 0.4 < first["b/model"] / 1000 < 0.6
