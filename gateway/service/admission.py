"""Lets a request in or refuses it, holds what it reserved, and books what it used.

Stands between the stories and the limiter: knows callers, costs and the ledger that a budget is seeded from.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import msgspec
from msgspec import Struct, structs

from gateway.clock import Clock
from gateway.config.snapshot import Caller
from gateway.errors import InvalidRequest, LimitExceeded, Unavailable
from gateway.limits.rules import (
    LEASE_SECONDS,
    Costs,
    Dimension,
    Limiter,
    Template,
    Verdict,
    amounts,
    headers,
    refusal,
)

Spent: TypeAlias = Callable[[str, float], Awaitable[int]]
"""Nano-dollars a caller (by id) has spent since a Unix time, from the ledger."""

RENEW_EVERY = LEASE_SECONDS / 3
_MAX_SEEDS = 8
_MAX_CALLERS = 10_000


class Grant(Struct, kw_only=True, gc=False):
    """What one admitted request holds. `since` is monotonic seconds; empty dimensions hold nothing."""

    caller: Caller
    lease: str
    since: float
    reserved: Costs
    dimensions: tuple[Dimension, ...] = ()
    verdict: Verdict = Verdict(allowed=True)

    budgeted: bool = False

    def headers(self) -> list[tuple[bytes, bytes]]:
        """The rate limit headers this grant entitles the client to."""
        return headers(self.dimensions, self.verdict) if self.dimensions else []


class Room(NamedTuple):
    """What is left of one limit, and the seconds until it is whole again. `dimension.cost` is what is needed."""

    dimension: Dimension
    left: int
    reset: float


class Admission:
    """The door. One per process; `keep_alive` must run beside it as long as requests do."""

    def __init__(self, limiter: Limiter, spent: Spent, clock: Clock) -> None:
        self._limiter = limiter
        self._spent = spent
        self._clock = clock
        self._callers: dict[str, _Known] = {}
        self._open: dict[str, Grant] = {}

    async def admit(self, caller: Caller, lease: str, costs: Costs) -> Grant:
        """Reserve `costs` in every dimension of the caller, or raise the refusal."""
        grant = Grant(caller=caller, lease=lease, since=self._clock.monotonic(), reserved=costs)
        if caller.limits:
            known = self._known(caller)
            grant.dimensions = known.template.dimensions(costs, self._clock.now())
            grant.budgeted = known.budgeted
            grant.verdict = await self._acquire(caller, lease, grant.dimensions)
            if not grant.verdict.allowed:
                refused = refusal(grant.dimensions, grant.verdict)
                if isinstance(refused, LimitExceeded):
                    refused.dimension = grant.dimensions[grant.verdict.denied or 0].name
                raise refused
            self._open[lease] = grant
        return grant

    async def headroom(self, caller: Caller, lease: str, costs: Costs) -> Sequence[Room]:
        """What is left in each of the caller's limits that such a request counts in. Takes nothing of it."""
        if not caller.limits:
            return ()
        needed = self._known(caller).template.dimensions(costs, self._clock.now())
        asked = tuple(structs.replace(one, cost=0) for one in needed)
        verdict = await self._acquire(caller, lease, asked)
        await self._limiter.settle(lease, asked, [0] * len(asked))
        told = zip(needed, verdict.remaining, verdict.reset, strict=False)
        return [Room(dimension, left, reset) for dimension, left, reset in told]

    async def settle(self, grant: Grant, used: Costs) -> None:
        """Book what was used instead of what was reserved; frees the slot. Never raises."""
        if grant.dimensions and self._open.pop(grant.lease, None) is not None:
            await self._limiter.settle(grant.lease, grant.dimensions, amounts(grant.dimensions, used))

    def forget(self, lease: str) -> None:
        """Stop renewing a lease that somebody else settles."""
        self._open.pop(lease, None)

    async def keep_alive(self) -> None:
        """Renew the leases of requests that run long, until cancelled."""
        while True:
            await asyncio.sleep(RENEW_EVERY)
            before = self._clock.monotonic() - RENEW_EVERY / 2
            for lease, grant in list(self._open.items()):
                if grant.since < before and lease in self._open:
                    await self._limiter.renew(lease, grant.dimensions)

    async def _acquire(self, caller: Caller, lease: str, dimensions: tuple[Dimension, ...]) -> Verdict:
        for _ in range(_MAX_SEEDS):
            verdict = await self._limiter.acquire(lease, dimensions)
            if verdict.seed is None:
                return verdict
            budget = dimensions[verdict.seed]
            await self._limiter.seed(budget, await self._spent(caller.id, budget.since))
        raise Unavailable(
            "The budget of this key could not be read; try again.", code="limiter_unavailable", retry_after=1
        )

    def _known(self, caller: Caller) -> "_Known":
        if caller.id in self._callers and self._callers[caller.id].caller is caller:
            return self._callers[caller.id]
        if len(self._callers) >= _MAX_CALLERS:  # a new key, or a reload made new callers
            self._callers.clear()
        budgeted = any(rule.dimension == "dollars" for rule in caller.limits)
        known = self._callers[caller.id] = _Known(caller, Template(caller), budgeted)
        return known


class _Known(NamedTuple):
    """What is computed once per caller."""

    caller: Caller
    template: Template
    budgeted: bool


class JobAdmission:
    """The same door for video jobs, which outlive the process that admitted them.

    What a lease holds travels with the job as JSON, so that any process can settle it.
    """

    def __init__(
        self, admission: Admission, limiter: Limiter, *, unknown_price_ok: Callable[[], bool]
    ) -> None:
        self._admission = admission
        self._limiter = limiter
        self._unknown_price_ok = unknown_price_ok

    async def admit(self, caller: Caller, *, video_ms: int, nano_dollars: int | None, lease: str) -> Any:
        """Reserve for one job, or raise the refusal; the result is what `settle` needs."""
        budgeted = any(rule.dimension == "dollars" for rule in caller.limits)
        if nano_dollars is None and budgeted and not self._unknown_price_ok():
            raise InvalidRequest(
                "No target of this model has a known price, which a key with a dollar limit needs. "
                "Set `price` on the target, or `on_unknown_price: allow`.",
                code="unknown_price",
                param="model",
            )
        costs = Costs(requests=1, concurrent=0, nano_dollars=nano_dollars or 0, video_ms=video_ms)
        grant = await self._admission.admit(caller, lease, costs)
        self._admission.forget(lease)  # a job holds no slot, and what it holds is remembered for a day
        return msgspec.to_builtins(grant.dimensions)

    async def settle(self, lease: str, held: Any, *, video_ms: int, nano_dollars: int) -> None:
        """Book what one job used; a second call with the same lease does nothing."""
        dimensions = msgspec.convert(held or [], tuple[Dimension, ...])
        self._admission.forget(lease)
        if dimensions:
            used = Costs(requests=1, concurrent=0, nano_dollars=nano_dollars, video_ms=video_ms)
            await self._limiter.settle(lease, dimensions, amounts(dimensions, used))
