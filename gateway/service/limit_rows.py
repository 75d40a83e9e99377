"""What is left of limits, for operators: of those of each key, and of what each target may be asked for.

Everything is asked of the limiter by reservations of nothing, so it is what the next request would meet.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from gateway.clock import ulid
from gateway.config.snapshot import NANO, Caller, Snapshot
from gateway.errors import GatewayError
from gateway.limits.template import Costs
from gateway.service.admission import Admission, Room

log = logging.getLogger("fairlead.limits")

EVERY = 5.0
"""Seconds between two looks at the quotas of all targets, for the metrics."""
MEASURES: Mapping[str, float] = {"dollars": NANO, "video_seconds": 1000.0}
"""How many of a limit's own unit make one of what is written; 1 for the others."""
_SOME = Costs(tokens=1, nano_dollars=1, probably=1, video_ms=1, video_jobs=1)
"""A request that counts in every limit there is."""


class LimitRow(Struct, frozen=True, kw_only=True):
    """One limit. `of` and `left` are in the unit it is written in; `per` is empty for what is held while it runs.

    `scope` is who shares it and `owner` their name; with scope model, the model. `reset_seconds` until all of it is
    there again. `reason` says why requests are refused by it, None while they are not.
    """

    limit: str
    per: str
    scope: str
    owner: str
    of: float
    left: float
    reset_seconds: float
    reason: str | None


async def of_caller(admission: Admission, caller: Caller, snapshot: Snapshot) -> list[LimitRow]:
    """The limits that requests of one key count in, or calls to a target with a quota. Raises GatewayError."""
    found: dict[str, LimitRow] = {}
    for model in _models(caller, snapshot):
        for room in await admission.headroom(caller, model, f"look_{ulid(admission.now())}", _SOME):
            found.setdefault(room.dimension.key, _row(room, caller, model))
    return list(found.values())


def quotas(snapshot: Snapshot) -> Mapping[str, Caller]:
    """The targets that have limits of their own, by id."""
    targets = (one for route in snapshot.routes.values() for one in (*route.targets, *route.shadows))
    return {target.id: target.quota for target in targets if target.quota is not None}


def _models(caller: Caller, snapshot: Snapshot) -> Iterable[str]:
    """One model is enough, unless some limit tells them apart."""
    rules = [rule for rule in caller.limits if rule.scope == "model"]
    allowed = [model for model in snapshot.routes if caller.may_use(model)]
    named = {model for rule in rules for model in (allowed if rule.models is None else rule.models)}
    return sorted(named) or ("",)


def _row(room: Room, caller: Caller, model: str) -> LimitRow:
    one = room.dimension
    scale = MEASURES.get(one.name, 1)
    names = {"key": caller.name, "model": model, "user": caller.user, "project": caller.project}
    owner = names.get(one.scope, caller.organisation)
    period = f" per {one.per}" if one.per else ""
    return LimitRow(
        limit=one.name,
        per=one.per,
        scope=one.scope,
        owner=owner,
        of=one.limit / scale,
        left=max(0, room.left) / scale,
        reset_seconds=room.reset,
        reason=None if room.left > 0 else f"{one.name}{period} of the {one.scope} {owner} are used up",
    )


class Quotas:
    """Keeps in mind what is left of every target's quota, since metrics cannot wait for a limiter."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self.known: Mapping[str, Sequence[LimitRow]] = {}

    async def look(self, snapshot: Snapshot) -> None:
        """Ask once for the targets of a configuration; what cannot be told now is not known."""
        found: dict[str, Sequence[LimitRow]] = {}
        for target, quota in quotas(snapshot).items():
            try:
                found[target] = await of_caller(self._admission, quota, snapshot)
            except GatewayError as error:
                log.warning("the quota of %s could not be read: %s", target, error)
        self.known = found
