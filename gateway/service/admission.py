"""Lets a request in or refuses it, holds what it reserved, and books what it used.

Stands between the stories and the limiter: knows callers, costs and the ledger that a budget is seeded from.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import msgspec
from msgspec import Struct, structs

from gateway.clock import Clock
from gateway.config.snapshot import Caller
from gateway.errors import GatewayError, InvalidRequest, LimitExceeded, Unavailable
from gateway.limits.rules import LEASE_SECONDS, Dimension, Limiter, Verdict, headers, refusal
from gateway.limits.template import Costs, Template, amounts, notes, whose
from gateway.limits.unsettled import HEDGE_KIND, HEDGE_LEASE
from gateway.lines import Lines
from gateway.store.ledger import Entry

Spent: TypeAlias = Callable[[Dimension, Mapping[str, str], float], Awaitable[int]]
"""Nano-dollars that a budget's ledger has from before a Unix time, by whom its columns say (see `template.whose`)."""

RENEW_EVERY = LEASE_SECONDS / 3
JOB_LEASE = "video_"
"""How the names of leases of video jobs begin."""
_MAX_SEEDS = 8
_MAX_CALLERS = 10_000
_MAX_MODELS = 1_000


class Grant(Struct, kw_only=True, gc=False):
    """What one admitted request holds. `since` is monotonic seconds; empty dimensions hold nothing."""

    caller: Caller
    model: str
    lease: str
    since: float
    dimensions: tuple[Dimension, ...] = ()
    verdict: Verdict = Verdict(allowed=True)

    def headers(self) -> Lines:
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
        self.now = limiter.now
        """Unix seconds, by the clock that budgets go by: what charges are dated with."""
        self._spent = spent
        self._clock = clock
        self._callers: dict[str, _Known] = {}
        self._open: dict[str, Grant] = {}
        self._reading: dict[tuple[str, float], asyncio.Future[int]] = {}

    async def admit(self, caller: Caller, model: str, lease: str, costs: Costs, since: float) -> Grant:
        """Reserve `costs` in every dimension of the caller for this model, or raise the refusal.

        `since` is the present, in monotonic seconds.
        """
        grant = Grant(caller=caller, model=model, lease=lease, since=since)
        if caller.limits:
            grant.dimensions = self._template(caller, model).dimensions(costs, self.now())
            grant.verdict = await self._limiter.acquire(lease, grant.dimensions)
            if grant.verdict.seed is not None:
                grant.verdict = await self._seeded(grant)
            if not grant.verdict.allowed:
                raise _refused(grant)
            self._open[lease] = grant
        return grant

    def held(self) -> Iterable[tuple[str, Sequence[Dimension]]]:
        """What the requests of this process hold: leases and their dimensions."""
        return [(lease, grant.dimensions) for lease, grant in self._open.items() if grant.dimensions]

    async def headroom(self, caller: Caller, model: str, lease: str, costs: Costs) -> Sequence[Room]:
        """What is left in each of the caller's limits that such a request counts in. Takes nothing of it."""
        if not caller.limits:
            return ()
        needed = self._template(caller, model).dimensions(costs, self._clock.now())
        asked = tuple(structs.replace(one, cost=0) for one in needed)
        grant = Grant(caller=caller, model=model, lease=lease, since=0.0, dimensions=asked)
        verdict = grant.verdict = await self._limiter.acquire(lease, asked)
        if verdict.seed is not None:
            verdict = await self._seeded(grant)
        await self._limiter.settle(lease, asked, [0] * len(asked))
        told = zip(needed, verdict.remaining, verdict.reset, strict=False)
        return [Room(dimension, left, reset) for dimension, left, reset in told]

    async def settle(self, grant: Grant, used: Costs) -> None:
        """Book what was used instead of what was reserved; frees the slot. Never raises."""
        if grant.dimensions and self._open.pop(grant.lease, None) is not None:
            await self._limiter.settle(
                grant.lease, grant.dimensions, amounts(grant.dimensions, used), used.at
            )

    def written(self, entries: Iterable[Entry]) -> None:
        """The ledger has these now: the limiter need not note any more that they were spent."""
        found: dict[tuple[str, str, bool], list[str]] = {}
        for one in entries:
            lease = one.source if one.kind != HEDGE_KIND else f"{one.source}{HEDGE_LEASE}"
            owner = (one.caller, one.organisation, one.user != "" or one.project != "")
            if owner not in found:
                found[owner] = []
            found[owner] += (lease,)
        for (caller, organisation, shared), leases in found.items():
            for key in notes(caller, organisation, shared=shared):
                self._limiter.written(key, leases)

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

    async def _seeded(self, grant: Grant) -> Verdict:
        """Ask again, once the store was told what the ledger says of each budget it does not know."""
        verdict = grant.verdict
        for _ in range(_MAX_SEEDS):
            if verdict.seed is None:
                return verdict
            budget = grant.dimensions[verdict.seed]
            spent = await self._read(budget, whose(grant.caller, grant.model, budget.scope), verdict.before)
            await self._limiter.seed(budget, spent)
            verdict = await self._limiter.acquire(grant.lease, grant.dimensions)
        raise Unavailable(
            "The budget of this key could not be read; try again.", code="limiter_unavailable", retry_after=1
        )

    async def _read(self, budget: Dimension, columns: Mapping[str, str], before: float) -> int:
        """What the ledger has, read once for all who wait for the same: when Redis goes away, everybody does."""
        wanted = budget.key, before
        if wanted not in self._reading:
            reading = asyncio.ensure_future(self._spent(budget, columns, before))
            self._reading[wanted] = reading
            reading.add_done_callback(partial(self._was_read, wanted))
        return await asyncio.shield(self._reading[wanted])

    def _was_read(self, wanted: tuple[str, float], reading: asyncio.Future[int]) -> None:
        del self._reading[wanted]
        if not reading.cancelled():
            reading.exception()  # whoever still waits raises it

    def _template(self, caller: Caller, model: str) -> Template:
        name = caller.id
        if name in self._callers and self._callers[name].caller is caller:
            known = self._callers[name]
        else:
            if len(self._callers) >= _MAX_CALLERS:  # a new key, or a reload made new callers
                self._callers.clear()
            known = self._callers[name] = _Known(caller)
        return known.whole or known.for_model(model)


def _refused(grant: Grant) -> GatewayError:
    """Why it was not admitted. Whoever raises it keeps no name for it: the two would hold each other."""
    made = refusal(grant.dimensions, grant.verdict)
    if isinstance(made, LimitExceeded):
        made.dimension = grant.dimensions[grant.verdict.denied or 0].name
    return made


class _Known:
    """What is computed once per caller: one template, or one for each model where limits tell them apart."""

    __slots__ = ("_by_model", "caller", "whole")

    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        apart = any(rule.scope == "model" for rule in caller.limits)
        self.whole = None if apart else Template(caller, "")
        self._by_model: dict[str, Template] = {}

    def for_model(self, model: str) -> Template:
        """The limits of requests for one model."""
        if model not in self._by_model:
            if len(self._by_model) >= _MAX_MODELS:
                self._by_model.clear()
            self._by_model[model] = Template(self.caller, model)
        return self._by_model[model]


class JobAdmission:
    """The same door for video jobs, which outlive the process that admitted them.

    What a lease holds travels with the job as JSON, so that any process can settle it.
    """

    def __init__(
        self, admission: Admission, limiter: Limiter, clock: Clock, *, unknown_price_ok: Callable[[], bool]
    ) -> None:
        self._admission = admission
        self._limiter = limiter
        self._clock = clock
        self._unknown_price_ok = unknown_price_ok

    async def admit(
        self, caller: Caller, *, model: str, video_ms: int, nano_dollars: int | None, lease: str
    ) -> Any:
        """Reserve for one job, or raise the refusal; the result is what `settle` needs."""
        if nano_dollars is None and (caller.hard or caller.soft) and not self._unknown_price_ok():
            raise InvalidRequest(
                "No target of this model has a known price, which a key with a dollar limit needs. "
                "Set `price` on the target, or `on_unknown_price: allow`.",
                code="unknown_price",
                param="model",
            )
        cost = nano_dollars or 0  # of a video, what it can cost is what it will cost
        costs = Costs(concurrent=0, nano_dollars=cost, probably=cost, video_ms=video_ms, video_jobs=1)
        grant = await self._admission.admit(caller, model, lease, costs, self._clock.monotonic())
        self._admission.forget(lease)  # what a job holds is remembered for a day, longer than any job lives
        return msgspec.to_builtins(grant.dimensions)

    async def settle(
        self, lease: str, held: Any, *, video_ms: int, nano_dollars: int, at: float = math.inf
    ) -> bool:
        """Book what one job used; false when that has to be asked for again. A second booking does nothing.

        `at`: see `rules.Limiter`.
        """
        dimensions = reserved(held)
        self._admission.forget(lease)
        if not dimensions:
            return True
        used = Costs(concurrent=0, nano_dollars=nano_dollars, video_ms=video_ms)
        return await self._limiter.settle_surely(lease, dimensions, amounts(dimensions, used), at)

    async def unsettled(self, older: float) -> Mapping[str, Any]:
        """What jobs hold for at least so many seconds, by lease: `held` for `settle`."""
        found = await self._limiter.abandoned(f"{JOB_LEASE}*", older)
        return {lease: msgspec.to_builtins(dimensions) for lease, dimensions in found.items()}


def reserved(held: Any) -> Sequence[Dimension]:
    """What a job's row says it holds."""
    return msgspec.convert(held or [], tuple[Dimension, ...])
