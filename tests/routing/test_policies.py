"""Each policy reaches its own goal, keeps every candidate, and is deterministic given the dice."""

import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from gateway.routing import health
from gateway.routing.policies import POLICIES, Candidate, cheapest, fastest, in_order, weighted
from tests.routing.values import target

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
        ordered = policy(given_ones, random.Random(seed).random)
        assert sorted(map(id, ordered)) == sorted(map(id, given_ones))


@given(candidates)
def test_cheapest_is_by_cost_and_never_prefers_an_unknown_price(given_ones):
    costs = [candidate.cost for candidate in cheapest(given_ones, random.random)]
    known = [cost for cost in costs if cost is not None]
    assert costs[: len(known)] == sorted(known)


@given(candidates)
def test_in_order_is_as_written(given_ones):
    assert in_order(given_ones, random.random) == given_ones


def test_weighted_shares_traffic_by_weight():
    ones = [Candidate(target("a", weight=3), health.NEW, 1), Candidate(target("b", weight=1), health.NEW, 1)]
    dice = random.Random(7)
    first = Counter(weighted(ones, dice.random)[0].target.id for _ in range(4000))
    assert 0.72 < first["a/model"] / 4000 < 0.78


def test_fastest_never_draws_the_slowest_of_three():
    ones = [
        Candidate(target(name), health.Health(latency=latency), 1)
        for name, latency in (("a", 0.1), ("b", 0.2), ("c", 5.0))
    ]
    dice = random.Random(3)
    first = Counter(fastest(ones, dice.random)[0].target.id for _ in range(2000))
    assert first["c/model"] == 0
    assert first["a/model"] > first["b/model"] > 0


def test_fastest_counts_load():
    busy = Candidate(target("busy"), health.Health(latency=0.1, in_flight=30), 1)
    idle = Candidate(target("idle"), health.Health(latency=0.5), 1)
    assert fastest([busy, idle], random.random)[0] is idle


def test_fastest_tries_a_target_nobody_measured():
    known = Candidate(target("known"), health.Health(latency=0.1), 1)
    fresh = Candidate(target("fresh"), health.NEW, 1)
    assert fastest([known, fresh], random.random)[0] is fresh
