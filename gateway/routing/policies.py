"""In which order a request's candidates are tried: one pure function per policy, found by name.

A policy gets candidates that are all eligible and returns all of them, best first.
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


Dice: TypeAlias = Callable[[], float]
"""Random numbers in [0, 1)."""

Policy: TypeAlias = Callable[[Sequence[Candidate], Dice], list[Candidate]]


def in_order(candidates: Sequence[Candidate], _dice: Dice) -> list[Candidate]:
    """As the operator wrote them."""
    return list(candidates)


def cheapest(candidates: Sequence[Candidate], _dice: Dice) -> list[Candidate]:
    """By estimated cost of this request; equal costs by load and latency; unknown costs last."""
    return sorted(candidates, key=_by_cost)


def _by_cost(candidate: Candidate) -> tuple[bool, int, float]:
    health = candidate.health
    return candidate.cost is None, candidate.cost or 0, (health.latency or 0.0) * (health.in_flight + 1)


def fastest(candidates: Sequence[Candidate], dice: Dice) -> list[Candidate]:
    """The better of two drawn at random by expected latency under load, then the rest by the same measure.

    Two choices instead of the best of all keep replicas from stampeding onto one target.
    """
    ranked = sorted(candidates, key=_expected)
    if len(ranked) > 2:
        one = int(dice() * len(ranked))
        other = int(dice() * (len(ranked) - 1))
        ranked.insert(0, ranked.pop(min(one, other + (other >= one))))
    return ranked


def weighted(candidates: Sequence[Candidate], dice: Dice) -> list[Candidate]:
    """At random, in proportion to the targets' weights; weight 0 only when nothing else is left."""
    return sorted(candidates, key=lambda candidate: _draw(candidate.target.weight, dice()), reverse=True)


def _draw(weight: int, dice: float) -> float:
    # Efraimidis and Spirakis (2006): sorting by u^(1/w) draws without replacement in proportion to w.
    return dice ** (1.0 / weight) if weight > 0 else dice - 1.0


def _expected(candidate: Candidate) -> float:
    """Expected seconds to the first token: a target that was never measured is tried at once."""
    health = candidate.health
    return (health.latency or 0.0) * (health.in_flight + 1)


POLICIES: Mapping[str, Policy] = {
    "cheapest": cheapest,
    "fastest": fastest,
    "weighted": weighted,
    "in_order": in_order,
}
