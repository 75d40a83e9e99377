"""In which order a request's candidates are tried: one pure function per policy, found by name.

A policy gets candidates that are all eligible and returns all of them, best first.

How long a target is expected to take is its time to the first token and the time of a usual answer at its
speed, both as they were last seen (`routing/health.py`). A target that was never measured is expected to take no
time, so that it is tried at once; and what was measured is forgotten with a half-life of STALE seconds, so that one
that was slow is tried again though others do. The measurements hold the load there was; `fastest` looks ahead and
multiplies by the calls that are open, `balanced` does not, since its seconds are changed into money.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from msgspec import Struct

from gateway.config.snapshot import RouteTarget
from gateway.routing.health import Health


class Candidate(Struct, frozen=True, gc=False):
    """A target that could serve this request. `cost` is the estimate in nano-dollars, None when unknown."""

    target: RouteTarget
    health: Health
    cost: int | None


STALE = 60.0
"""Seconds after which half of what was measured is forgotten."""


class Aim(Struct, frozen=True, gc=False):
    """What policies weigh with.

    Tokens of the answer to expect, nano-dollars that a second saved is worth, and monotonic seconds.
    """

    output_tokens: int = 0
    second: int = 0
    now: float = 0.0


Dice: TypeAlias = Callable[[], float]
"""Random numbers in [0, 1)."""

Policy: TypeAlias = Callable[[Sequence[Candidate], Aim, Dice], list[Candidate]]


def seconds(health: Health, aim: Aim) -> float:
    """How long a target is expected to take; 0 when it was never measured."""
    expected = 0.0
    if health.latency is not None:
        expected = health.latency * 0.5 ** ((aim.now - health.latency_at) / STALE)
    if health.speed:
        expected += aim.output_tokens / health.speed * 0.5 ** ((aim.now - health.speed_at) / STALE)
    return expected


def in_order(candidates: Sequence[Candidate], _aim: Aim, _dice: Dice) -> list[Candidate]:
    """As the operator wrote them."""
    return list(candidates)


def cheapest(candidates: Sequence[Candidate], _aim: Aim, _dice: Dice) -> list[Candidate]:
    """By estimated cost of this request; equal costs by load, then latency; unknown costs last."""
    return sorted(candidates, key=_by_cost)


def _by_cost(candidate: Candidate) -> tuple[bool, int, int, float]:
    health = candidate.health
    return candidate.cost is None, candidate.cost or 0, health.in_flight, health.latency or 0.0


def balanced(candidates: Sequence[Candidate], aim: Aim, _dice: Dice) -> list[Candidate]:
    """By estimated cost and the worth of the expected time, added up; equal sums by load; unknown costs last."""
    return sorted(
        candidates,
        key=lambda one: (
            one.cost is None,
            (one.cost or 0) + aim.second * seconds(one.health, aim),
            one.health.in_flight,
        ),
    )


def least_busy(candidates: Sequence[Candidate], _aim: Aim, dice: Dice) -> list[Candidate]:
    """By calls that are open there; equally busy ones at random."""
    return sorted(candidates, key=lambda one: (one.health.in_flight, dice()))


def fastest(candidates: Sequence[Candidate], aim: Aim, dice: Dice) -> list[Candidate]:
    """The better of two drawn at random by expected time under load, then the rest by the same measure.

    Two choices instead of the best of all keep replicas from stampeding onto one target.
    """
    ranked = sorted(candidates, key=lambda one: seconds(one.health, aim) * (one.health.in_flight + 1))
    if len(ranked) > 2:
        one = int(dice() * len(ranked))
        other = int(dice() * (len(ranked) - 1))
        ranked.insert(0, ranked.pop(min(one, other + (other >= one))))
    return ranked


def weighted(candidates: Sequence[Candidate], _aim: Aim, dice: Dice) -> list[Candidate]:
    """At random, in proportion to the targets' weights; weight 0 only when nothing else is left."""
    return sorted(candidates, key=lambda candidate: _draw(candidate.target.weight, dice()), reverse=True)


def _draw(weight: int, dice: float) -> float:
    # Efraimidis and Spirakis (2006): sorting by u^(1/w) draws without replacement in proportion to w.
    return dice ** (1.0 / weight) if weight > 0 else dice - 1.0


POLICIES: Mapping[str, Policy] = {
    "cheapest": cheapest,
    "fastest": fastest,
    "balanced": balanced,
    "least_busy": least_busy,
    "weighted": weighted,
    "in_order": in_order,
}
BY_COST = frozenset(("cheapest", "balanced"))
"""Policies that compare costs, and so cannot place a target whose price is not known."""
