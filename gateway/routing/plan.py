"""The order of targets for one request, and why the others were left out (pure)."""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from gateway.config.snapshot import Route, RouteTarget
from gateway.routing import health
from gateway.routing.policies import POLICIES, Candidate, Dice
from providers.errors import ErrorKind, ProviderError

SHUT_HARD = frozenset(
    (ErrorKind.RATE_LIMITED, ErrorKind.AUTHENTICATION, ErrorKind.QUOTA, ErrorKind.NOT_FOUND)
)
"""A target shut for one of these is not called at all: calling it could not help."""


class Ask(Struct, frozen=True, kw_only=True):
    """What routing must know of a request: its size, what it would cost, and what an unknown price means.

    `costs` holds the estimate for each target of the route, in their order: nano-dollars, None when unknown.
    `budgeted`: the key has a dollar limit. `unknown_price_ok`: the operator allows unknown prices.
    """

    costs: Sequence[int | None]
    input_tokens: int = 0
    budgeted: bool = False
    unknown_price_ok: bool = False


class Plan(Struct, frozen=True, kw_only=True):
    """The targets to try, best first, and `skipped`: target id to reason.

    `order` is empty only when no target may be called; then `cause` says what the client should be told.
    `cost` is the estimate for the first of `order`. `last_resort` marks a plan whose only targets have an
    open breaker: the least bad one is tried anyway.
    """

    policy: str
    order: Sequence[RouteTarget]
    skipped: Mapping[str, str] = {}
    cause: ProviderError | None = None
    last_resort: bool = False
    cost: int | None = None


def plan(route: Route, ask: Ask, known: Mapping[str, health.Health], now: float, dice: Dice) -> Plan:
    """Decide for one request. `known` maps target ids to their health; a missing one was never called."""
    open_targets: list[Candidate] = []
    skipped: dict[str, str] = {}
    shut: list[Candidate] = []
    for target, estimate in zip(route.targets, ask.costs, strict=True):
        seen = known[target.id] if target.id in known else health.NEW  # noqa: SIM401 - runs on every request
        candidate = Candidate(target, seen, estimate)
        reason = _ineligible(candidate, ask, route.policy)
        if reason:
            skipped[target.id] = reason
        elif seen.shut is None or health.is_open_to(seen, now):
            open_targets += (candidate,)
        else:
            skipped[target.id] = str(seen.shut)
            shut.append(candidate)
    if len(open_targets) == 1:
        [only] = open_targets
        return Plan(policy=route.policy, order=(only.target,), skipped=skipped, cost=only.cost)
    if open_targets:
        ordered = POLICIES[route.policy](open_targets, dice)
        order = [candidate.target for candidate in ordered]
        return Plan(policy=route.policy, order=order, skipped=skipped, cost=ordered[0].cost)
    return _nothing_open(route, shut, skipped, now)


def _ineligible(candidate: Candidate, ask: Ask, policy: str) -> str | None:
    target = candidate.target
    if candidate.cost is None and not ask.unknown_price_ok and (ask.budgeted or policy == "cheapest"):
        return "unknown price"
    window = target.context_window
    if window is not None and ask.input_tokens > window * 2:  # the estimate may be twice what it will be
        return "context window"
    return None


def _nothing_open(route: Route, shut: Sequence[Candidate], skipped: Mapping[str, str], now: float) -> Plan:
    soft = [candidate for candidate in shut if candidate.health.shut not in SHUT_HARD]
    if soft:
        least_bad = min(soft, key=lambda candidate: candidate.health.shut_until)
        return Plan(
            policy=route.policy,
            order=(least_bad.target,),
            skipped=skipped,
            last_resort=True,
            cost=least_bad.cost,
        )
    return Plan(policy=route.policy, order=(), skipped=skipped, cause=_cause(route, shut, skipped, now))


def _cause(route: Route, shut: Sequence[Candidate], skipped: Mapping[str, str], now: float) -> ProviderError:
    if shut:
        soonest = min(shut, key=lambda candidate: candidate.health.shut_until)
        kind = soonest.health.shut or ErrorKind.UNAVAILABLE
        wait = max(0.0, soonest.health.shut_until - now)
        return ProviderError(
            kind, f"Every target of `{route.model}` is resting.", retry_after=wait, sent=False
        )
    if "context window" in skipped.values():
        return ProviderError(
            ErrorKind.CONTEXT_LENGTH,
            f"The request is longer than the context window of every target of `{route.model}`.",
            param="messages",
            sent=False,
        )
    return ProviderError(
        ErrorKind.UNSUPPORTED,
        f"No target of `{route.model}` has a known price, which this request needs. "
        "Set `price` on the target, or `on_unknown_price: allow`.",
        code="unknown_price",
        param="model",
        sent=False,
    )
