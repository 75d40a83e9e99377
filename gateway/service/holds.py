"""What a request holds beside what it was admitted with: a dearer target's difference, a target's own quota.

Everything here is a reservation under a lease of its own, so that the one made at the door stays as it is
and settling it books what was really used. Only what is configured comes here at all.
"""

from msgspec import structs

from gateway.config.snapshot import Caller, RouteTarget
from gateway.errors import InvalidRequest, LimitExceeded
from gateway.limits.template import Costs
from gateway.service.admission import Admission, Grant
from gateway.service.weighing import Weighed, may_cost
from providers.errors import ErrorKind, ProviderError

SLOT_REST = 0.1
"""Seconds a target rests whose slots are all taken: they are freed by answers, any moment."""

_NOTHING = Costs(requests=0, concurrent=0)


class Holds:
    """One request's further reservations; `settle` lets go of them all."""

    __slots__ = ("_admission", "_held", "_lease", "_number", "_quota", "_topped")

    def __init__(self, admission: Admission, lease: str, held: Costs) -> None:
        self._admission = admission
        self._lease = lease
        self._held = held
        self._number = 0
        self._quota: Grant | None = None
        self._topped: list[Grant] = []

    async def hold(self, weighed: Weighed, target: RouteTarget, usual: int | None, now: float) -> None:
        """Reserve what a call to this target needs beyond what is held.

        `usual` is as in `weighing.reservation`. Raises ProviderError if the target is to be passed over.
        """
        caller, held = weighed.caller, self._held
        here = weighed.input_tokens + weighed.output_tokens
        tokens = max(held.tokens, weighed.spent.tokens + here)
        worst, probably = held.nano_dollars, held.probably
        if caller.hard or caller.soft:
            most, likely = may_cost(weighed, target, usual)
            if most > worst:
                worst, probably = most, max(likely, probably)
        if worst > held.nano_dollars or tokens > held.tokens:
            more = Costs(
                requests=0,
                concurrent=0,
                tokens=tokens - held.tokens,
                nano_dollars=worst - held.nano_dollars,
                probably=probably - held.probably,
            )
            await self._top_up(caller, target, weighed.route.model, more, now)
            self._held = structs.replace(held, tokens=tokens, nano_dollars=worst, probably=probably)
        if target.quota is not None:
            await self._enter(target, target.quota, Costs(tokens=here), now)

    async def _top_up(
        self, caller: Caller, target: RouteTarget, model: str, costs: Costs, now: float
    ) -> None:
        try:
            self._topped.append(await self._admission.admit(caller, model, self._next(), costs, now))
        except (LimitExceeded, InvalidRequest) as error:
            raise ProviderError(
                ErrorKind.UNSUPPORTED,
                f"`{target.id}` may use more than the limits of this key have left.",
                code="insufficient_quota",
                sent=False,
            ) from error

    async def _enter(self, target: RouteTarget, quota: Caller, costs: Costs, now: float) -> None:
        try:
            self._quota = await self._admission.admit(quota, "", self._next(), costs, now)
        except LimitExceeded as error:
            raise ProviderError(
                ErrorKind.RATE_LIMITED,
                f"`{target.id}` is at its quota.",
                retry_after=SLOT_REST if error.dimension == "concurrent" else error.retry_after,
                sent=False,
            ) from error
        except InvalidRequest as error:
            raise ProviderError(
                ErrorKind.UNSUPPORTED,
                f"The request is larger than the quota of `{target.id}`.",
                code="request_exceeds_limit",
                sent=False,
            ) from error

    async def leave(self, used: Costs) -> None:
        """Book what the call to the target used of its quota."""
        quota, self._quota = self._quota, None
        if quota is not None:
            await self._admission.settle(quota, used)

    async def swap(self, quota: Grant | None, used: Costs) -> None:
        """Another target answers, whose `quota` is held already: book what the call so far used of its own."""
        await self.leave(used)
        self._quota = quota

    async def settle(self, used: Costs) -> None:
        """The request is over: it is booked where it was admitted, here only what the last call took of a quota."""
        await self.leave(used)
        for grant in self._topped:
            await self._admission.settle(grant, _NOTHING)

    def _next(self) -> str:
        self._number += 1
        return f"{self._lease}.{self._number}"
