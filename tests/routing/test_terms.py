"""Which requests a target takes, who gets a drawn share, and where a session belongs."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.config.snapshot import Terms
from gateway.routing import cost, health, terms
from gateway.routing.plan import Ask, plan
from gateway.routing.policies import Aim, Candidate
from gateway.routing.terms import Traits, drawn
from providers.errors import ErrorKind
from tests.routing.values import route, target


def on(name: str, **said):
    return replace(target(name), terms=Terms(**said))


def made(*targets, traits: Traits, known=None, now: float = 0.0, **more):
    one = replace(route(*targets), **more)
    costs = [cost.estimate(each.price, 10, 10) for each in targets]
    return plan(one, Ask(costs=costs, input_tokens=10, traits=traits), known or {}, now, random.random)


def names(plan):
    return [one.target.provider for one in plan.order]


@pytest.mark.parametrize(
    ("said", "traits", "reason"),
    [
        ({"tools": False}, {"tools": True}, "tools"),
        ({"tools": True}, {}, "tools"),
        ({"images": False}, {"images": True}, "images"),
        ({"json_schema": False}, {"json_schema": True}, "json_schema"),
        ({"min_input": 11}, {"input_tokens": 10}, "input size"),
        ({"max_input": 9}, {"input_tokens": 10}, "input size"),
        ({"tags": frozenset(("eu",))}, {"tags": frozenset(("eu", "gold"))}, "tags"),
        ({"region": "europe"}, {"region": "eu"}, "region"),
        ({}, {"region": "eu"}, "region"),
        ({"canary": (0.0, 0.1)}, {"draw": 0.1}, "canary"),
    ],
)
def test_why_a_target_is_not_for_a_request(said, traits, reason):
    assert terms.unmet(Terms(**said), Traits(**traits)) == reason


def test_a_target_that_is_not_for_a_request_is_left_out_and_the_reason_named():
    decided = made(on("a", images=False), target("b"), traits=Traits(images=True))
    assert names(decided) == ["b"]
    assert decided.skipped == {"a/model": "images"}


@pytest.mark.parametrize(
    ("said", "traits"),
    [
        ({}, {"tools": True, "images": True, "input_tokens": 10**9}),
        ({"tools": False}, {}),
        ({"tools": True}, {"tools": True}),
        ({"min_input": 10, "max_input": 10}, {"input_tokens": 10}),
        ({"tags": frozenset(("eu", "gold"))}, {"tags": frozenset(("eu",))}),
        ({"region": "eu-west-1"}, {"region": "eu"}),
        ({"region": "eu-west-1"}, {"region": "eu-west-1"}),
        ({"region": "eu-west-1"}, {}),
    ],
)
def test_a_target_takes_what_fits_its_terms(said, traits):
    assert terms.unmet(Terms(**said), Traits(**traits)) is None


def test_a_request_that_no_target_takes_is_refused_with_every_reason():
    decided = made(on("a", tools=False), on("b", max_input=5), traits=Traits(tools=True, input_tokens=10))
    assert not decided.order
    assert decided.cause is not None
    assert decided.cause.kind is ErrorKind.UNSUPPORTED
    assert decided.cause.code == "no_target"
    assert "a/model: tools; b/model: input size" in str(decided.cause)


@given(st.text())
def test_a_draw_is_the_same_everywhere(name):
    assert 0.0 <= drawn(name) < 1.0
    assert drawn(name) == drawn(name)


def test_a_canary_gets_its_share_first_and_nothing_else():
    canary, rest = on("new", canary=(0.0, 0.1)), target("old")
    orders = Counter(
        tuple(names(made(canary, rest, traits=Traits(draw=drawn(f"req_{number}"))))) for number in range(5000)
    )
    assert set(orders) == {("new", "old"), ("old",)}
    assert 0.085 < orders["new", "old"] / 5000 < 0.115


def test_a_canary_that_is_shut_leaves_its_share_to_the_others():
    canary, rest = on("new", canary=(0.0, 1.0)), target("old")
    shut = health.Health(failures=5, openings=1, shut=ErrorKind.UNAVAILABLE, shut_until=10.0)
    assert names(made(canary, rest, traits=Traits(draw=0.5), known={"new/model": shut})) == ["old"]


def test_shadows_are_drawn_each_for_itself():
    one = replace(
        route(target("a")),
        shadows=(on("s", shadow=0.5), on("t", shadow=0.5), on("u", shadow=1.0, tools=True)),
    )
    drawn_for = Counter(
        tuple(each.target.provider for each in terms.shadows(one, Traits(draw=drawn(str(number)))))
        for number in range(2000)
    )
    assert set(drawn_for) == {(), ("s",), ("t",), ("s", "t")}
    assert all(400 < count < 600 for count in drawn_for.values())


def session(name: str) -> Traits:
    return Traits(session=f"caller {name}")


A, B, C = target("a"), target("b"), target("c")


def test_a_session_stays_where_it_is_and_sessions_spread_by_weight():
    heavy = target("heavy", weight=2)
    homes = {str(n): names(made(A, B, heavy, traits=session(str(n)), affinity=True))[0] for n in range(3000)}
    for name in list(homes)[:50]:
        assert names(made(heavy, A, B, traits=session(name), affinity=True))[0] == homes[name], (
            "order is no matter"
        )
    shares = Counter(homes.values())
    assert 0.47 < shares["heavy"] / 3000 < 0.53
    assert 0.22 < shares["a"] / 3000 < 0.28


def test_a_target_that_goes_away_moves_only_its_own_sessions():
    shut = health.Health(failures=5, openings=1, shut=ErrorKind.UNAVAILABLE, shut_until=10.0)
    for number in range(200):
        traits = session(str(number))
        before = names(made(A, B, C, traits=traits, affinity=True))[0]
        after = names(made(A, B, C, traits=traits, affinity=True, known={"c/model": shut}))[0]
        assert after == before if before != "c" else after != "c"


def test_a_session_gives_way_when_its_home_is_crowded_or_slow():
    traits = session("x")
    first = names(made(A, B, traits=traits, affinity=True))
    at_home = f"{first[0]}/model"
    for seen in (health.Health(in_flight=20), health.Health(latency=9.0)):
        known = {"a/model": health.Health(latency=1.0), "b/model": health.Health(latency=1.0), at_home: seen}
        decided = made(A, B, traits=traits, affinity=True, policy="fastest", known=known)
        assert names(decided) == first[::-1]
    busy = {"a/model": health.Health(in_flight=20), "b/model": health.Health(in_flight=20)}
    assert names(made(A, B, traits=traits, affinity=True, known=busy)) == first, "both are as busy"


def test_without_a_session_the_policy_decides():
    decided = made(A, B, traits=Traits(), affinity=True)
    assert (names(decided), decided.reason) == (["a", "b"], "policy")


def test_a_home_is_always_one_of_the_candidates():
    crowd = [Candidate(one, health.Health(in_flight=100), 1) for one in (A, B)]
    assert terms.home(crowd, "s", Aim()) in crowd
    assert terms.home([Candidate(target("z", weight=0), health.NEW, 1)], "s", Aim()) is None
