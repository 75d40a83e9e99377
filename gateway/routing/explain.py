"""A plan in words: for each target whether it may be asked, what it would cost and take, and who comes first (pure).

Nothing is decided here: everything is read off the plan that the router made.
"""

from collections.abc import Mapping
from typing import NamedTuple

from msgspec import Struct

from gateway.config.snapshot import Route, RouteTarget
from gateway.routing import health
from gateway.routing.health import NEW, Health
from gateway.routing.plan import USUAL_OUTPUT, Ask, Plan
from gateway.routing.policies import Aim, seconds

BY_POLICY: Mapping[str, str] = {
    "in_order": "the first of the targets in their written order",
    "cheapest": "the lowest estimated cost",
    "fastest": "the shorter expected time of two targets drawn at random",
    "balanced": "the lowest sum of cost and the worth of the expected time",
    "least_busy": "the fewest open calls",
    "weighted": "drawn at random by weight",
}
OTHERWISE: Mapping[str, str] = {
    "only": "the only target left",
    "canary": "the canary, which this request was drawn for",
    "session": "the home of its session",
    "last_resort": "every breaker is open, and this one opens soonest",
    "none": "no target may be asked",
}


class Standing(Struct, frozen=True, kw_only=True):
    """How one target stands to a request. `rank` counts from 1; None with `why_not` when it is left out.

    `cost` is nano-dollars, `expected_seconds` for a usual answer; None when not known. `shut_seconds` is how
    long it is still shut, 0 when it is not.
    """

    target: str
    rank: int | None
    why_not: str | None
    cost: int | None
    expected_seconds: float | None
    state: str
    shut_seconds: float
    health: Health


def why(made: Plan) -> str:
    """Why the first target is the first, in words."""
    return OTHERWISE[made.reason] if made.reason in OTHERWISE else BY_POLICY[made.policy]


class _Seen(NamedTuple):
    ask: Ask
    made: Plan
    rank: int | None
    now: float


def standings(route: Route, ask: Ask, made: Plan, known: Mapping[str, Health], now: float) -> list[Standing]:
    """Every target of the route: those of the plan in its order, then the others as written."""
    ranks = {target.id: rank for rank, target in enumerate(made.order, 1)}
    told = [
        _standing(target, estimate, known.get(target.id, NEW), _Seen(ask, made, ranks.get(target.id), now))
        for target, estimate in zip(route.targets, ask.costs, strict=True)
    ]
    return sorted(told, key=lambda one: one.rank or len(told) + 1)


def _standing(target: RouteTarget, estimate: int | None, seen: Health, at: _Seen) -> Standing:
    expected = seconds(seen, Aim(min(at.ask.output_tokens, USUAL_OUTPUT), 0, at.now))
    return Standing(
        target=target.id,
        rank=at.rank,
        why_not=None if at.rank else at.made.skipped.get(target.id),
        cost=estimate,
        expected_seconds=expected or None,
        state=health.state(seen, at.now),
        shut_seconds=max(0.0, seen.shut_until - at.now) if seen.shut else 0.0,
        health=seen,
    )
