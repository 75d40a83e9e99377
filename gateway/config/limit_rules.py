"""From limits as they are written to limits as they are counted."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from msgspec.structs import replace

from gateway.config.limit_model import AMOUNTS, Limit, Quota
from gateway.config.problems import Path
from gateway.config.snapshot import NANO, Caller, LimitRule

_UNITS: Mapping[str, int] = {"dollars": NANO, "video_seconds": 1000}
"""How many of a dimension's own unit make one of what is written; 1 for the others."""

Report: TypeAlias = Callable[[Path, str], None]
"""Takes what is wrong, and where below the list."""


def rules_of(written: Sequence[Quota], report: Report) -> Sequence[LimitRule]:
    """The rules of one list. Two that count the same thing are reported as a mistake."""
    rules: list[LimitRule] = []
    for at, limit in enumerate(written):
        rule = _rule(limit)
        if any(_counts(rule) == _counts(other) for other in rules):
            report((at,), f"limits {rule.dimension}{rule.per and f' per {rule.per}'} a second time")
        rules.append(rule)
    return tuple(rules)


def quota(target: str, written: Sequence[Quota], report: Report) -> Caller | None:
    """A target as one who has limits: they are counted like a key's, in a place of the target's own."""
    rules = rules_of(written, report)
    return Caller(id=target, name=target, limits=rules, organisation=f"t:{target}") if rules else None


def _rule(limit: Quota) -> LimitRule:
    dimension = next(name for name in AMOUNTS if getattr(limit, name, None) is not None)
    rule = LimitRule(
        dimension=dimension,
        limit=round(getattr(limit, dimension) * _UNITS.get(dimension, 1)),
        per=limit.per or "",
    )
    if not isinstance(limit, Limit):
        return rule
    return replace(
        rule,
        scope=limit.scope,
        models=None if limit.models is None else frozenset(limit.models),
        soft=limit.budget == "soft",
        on_store_error=limit.on_store_error or _usual(limit),
    )


def _usual(limit: Limit) -> str:
    """How a limit that does not say so goes on without the store: money that is promised is counted or not spent."""
    return "closed" if limit.dollars is not None and limit.budget != "soft" else ""


def _counts(rule: LimitRule) -> tuple[object, ...]:
    return rule.dimension, rule.per, rule.scope, rule.models
