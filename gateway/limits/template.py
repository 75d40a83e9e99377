"""From a caller's limits to what one of its requests counts in. Pure.

Keys look like `gw:{acme}:w:key:team-a:tokens:minute`. The braces hold the organisation (else the key's id):
it is the part Redis Cluster places keys by, so that everything one request touches lies on one node. Keys
without an organisation that share a user or a project have to lie together, and share the place `-`.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from urllib.parse import quote

from msgspec import Struct, structs

from gateway.config.snapshot import Caller, LimitRule
from gateway.limits.periods import SECONDS, Period, period
from gateway.limits.rules import BUDGET, CONCURRENT, LEASE_SECONDS, RECORD_SECONDS, WINDOW, Dimension

BUCKETS: Mapping[str, int] = {"minute": 60, "hour": 60, "day": 48, "month": 60}
"""Into how many pieces a window is cut; each divides its window into whole milliseconds."""


class Costs(Struct, frozen=True, kw_only=True):
    """What one request reserves, or has really used.

    Money in nano-dollars, video in milliseconds; `concurrent` is 1 for what holds a slot while it runs,
    `video_jobs` for a job that holds one until it is finished. `probably` is what soft budgets reserve, and
    counts only where `nano_dollars` does. `at` is the date of the charge, for what was used.
    """

    requests: int = 1
    tokens: int = 0
    nano_dollars: int = 0
    probably: int = 0
    video_ms: int = 0
    concurrent: int = 1
    video_jobs: int = 0
    at: float = math.inf


_TOGETHER = "-"


class _Measure(NamedTuple):
    kind: str
    letter: str  # the kind, in keys
    seconds: float = 0.0  # how long a lease lives that nobody renews


_MEASURES: Mapping[str, _Measure] = {
    "requests": _Measure(WINDOW, "w"),
    "tokens": _Measure(WINDOW, "w"),
    "video_seconds": _Measure(WINDOW, "w"),
    "dollars": _Measure(BUDGET, "b"),
    "concurrent": _Measure(CONCURRENT, "c", LEASE_SECONDS),
    "video_jobs": _Measure(CONCURRENT, "j", RECORD_SECONDS),
}


class Template:
    """A caller's limits, prepared once: `dimensions` is called for every request for `model`.

    Of two rules for the same dimension, window and scope the tighter one holds.
    """

    __slots__ = ("_budgets", "_flat", "_periods")

    def __init__(self, caller: Caller, model: str) -> None:
        place = caller.organisation or caller.id
        if not caller.organisation and any(rule.scope in ("user", "project") for rule in caller.limits):
            place = _TOGETHER
        rules = [rule for rule in caller.limits if rule.models is None or model in rule.models]
        self._prepare(
            [(rule, _key(place, rule, _owner(caller, model, rule.scope))) for rule in _tightest(rules)]
        )

    def _prepare(self, rules: Sequence[tuple[LimitRule, str]]) -> None:
        made = [_dimension(rule, key) for rule, key in rules]
        self._flat = [dimension for dimension in made if dimension.kind != BUDGET]
        self._budgets = [dimension for dimension in made if dimension.kind == BUDGET]
        self._periods: dict[str, Period] = {}

    def dimensions(self, costs: Costs, now: float) -> tuple[Dimension, ...]:
        """What this request counts in; what it costs nothing in is left out. `now` is in Unix seconds."""
        found: list[Dimension] = []
        told = _by_name(costs)
        for dimension in self._flat:
            cost = told[dimension.name]
            if cost == dimension.cost:
                found += (dimension,)
            elif cost:
                found += (structs.replace(dimension, cost=cost),)
        if costs.nano_dollars:
            found += [self._budget(dimension, costs, now) for dimension in self._budgets]
        return tuple(found)

    def _budget(self, dimension: Dimension, costs: Costs, now: float) -> Dimension:
        per, periods = dimension.per, self._periods
        if per not in periods or not periods[per].start <= now < periods[per].end:
            periods[per] = period(per, now)
        current = periods[per]
        key = f"{dimension.key}:{current.name}"
        cost = costs.probably if dimension.soft else costs.nano_dollars
        return structs.replace(dimension, key=key, cost=cost, window=current.end - now, since=current.start)


def _tightest(rules: Sequence[LimitRule]) -> Sequence[LimitRule]:
    found: dict[tuple[str, str, str], LimitRule] = {}
    for rule in rules:
        known = found.setdefault((rule.dimension, rule.per, rule.scope), rule)
        if rule.limit < known.limit:
            found[rule.dimension, rule.per, rule.scope] = rule
    return list(found.values())


def notes(caller: str, organisation: str, *, shared: bool) -> Sequence[str]:
    """Where the store may have noted what such a caller spent; `shared` when a user or a project is named."""
    places = [organisation or caller] if organisation or not shared else [caller, _TOGETHER]
    return [f"gw:{{{_place(place)}}}:u" for place in places]


def _place(name: str) -> str:
    return quote(name, safe=" :@")


def _owner(caller: Caller, model: str, scope: str) -> str:
    """Whose counter it is, in keys."""
    names = {
        "key": caller.id,
        "user": caller.user,
        "project": caller.project,
        "organisation": caller.organisation,
    }
    if scope == "model":
        return f"model:{caller.id}:{quote(model, safe='/')}"
    return f"{scope}:{quote(names[scope], safe=' @')}"


def _key(place: str, rule: LimitRule, owner: str) -> str:
    measure = _MEASURES[rule.dimension]
    key = f"gw:{{{_place(place)}}}:{measure.letter}:{owner}"
    return key if measure.kind == CONCURRENT else f"{key}:{rule.dimension}:{rule.per}"


def _dimension(rule: LimitRule, key: str) -> Dimension:
    measure = _MEASURES[rule.dimension]
    return Dimension(
        name=rule.dimension,
        kind=measure.kind,
        key=key,
        limit=rule.limit,
        cost=1,
        window=measure.seconds or float(SECONDS[rule.per]),
        buckets=BUCKETS.get(rule.per, 1),
        scope=rule.scope,
        per=rule.per,
        soft=rule.soft,
        on_store_error=rule.on_store_error,
    )


def whose(caller: Caller, model: str, scope: str) -> Mapping[str, str]:
    """The ledger's columns that say whose spending a budget of that scope counts."""
    match scope:
        case "model":
            return {"caller": caller.id, "model": model}
        case "key":
            return {"caller": caller.id}
        case "organisation":
            return {"organisation": caller.organisation}
        case _:
            return {"organisation": caller.organisation, scope: getattr(caller, scope)}


def amounts(dimensions: Sequence[Dimension], costs: Costs) -> list[int]:
    """The costs in the order of the dimensions: what `settle` wants."""
    told = _by_name(costs)
    return [told[dimension.name] for dimension in dimensions]


def _by_name(costs: Costs) -> dict[str, int]:
    return {
        "requests": costs.requests,
        "tokens": costs.tokens,
        "video_seconds": costs.video_ms,
        "dollars": costs.nano_dollars,
        "concurrent": costs.concurrent,
        "video_jobs": costs.video_jobs,
    }
