"""The order of targets for one request, and why the others were left out (pure)."""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from gateway.config.snapshot import Route, RouteTarget
from gateway.routing import health, terms
from gateway.routing.policies import BY_COST, POLICIES, Aim, Candidate, Dice
from gateway.routing.terms import Traits
from providers.errors import ErrorKind, ProviderError

SHUT_HARD = frozenset(
    (ErrorKind.RATE_LIMITED, ErrorKind.AUTHENTICATION, ErrorKind.QUOTA, ErrorKind.NOT_FOUND)
)
"""A target shut for one of these is not called at all: calling it could not help."""
REASONS = ("policy", "only", "canary", "session", "last_resort", "none")
"""Why the first target of a plan is the first."""
USUAL_OUTPUT = 256
"""Output tokens that speeds are compared for: most answers end long before the client's own cap."""


class Ask(Struct, frozen=True, kw_only=True):
    """What routing must know of a request: its size, what it would cost, and what an unknown price means.

    `costs` holds the estimate for each target of the route, in their order: nano-dollars, None when unknown.
    `output_tokens` is the most the answer may hold. `budgeted`: the key has a dollar limit.
    `unknown_price_ok`: the operator allows unknown prices. `traits` is None when neither the route nor the client
    makes terms.
    """

    costs: Sequence[int | None]
    input_tokens: int = 0
    output_tokens: int = 0
    budgeted: bool = False
    unknown_price_ok: bool = False
    traits: Traits | None = None


class Plan(Struct, frozen=True, kw_only=True):
    """The targets to try, best first, and `skipped`: target id to reason.

    `order` is empty only when no target may be called; then `cause` says what the client should be told.
    `reason` says why the first one is first: by `policy`; because `only` it is left; it is the `canary` this
    request was drawn for, or the home of its `session`; it is the `last_resort`, because every breaker is open and
    the least bad target is tried anyway; or there is `none`.
    `cost` is the estimate for the first of `order`.
    """

    policy: str
    order: Sequence[RouteTarget]
    skipped: Mapping[str, str] = {}
    cause: ProviderError | None = None
    reason: str = "policy"
    cost: int | None = None


def plan(route: Route, ask: Ask, known: Mapping[str, health.Health], now: float, dice: Dice) -> Plan:
    """Decide for one request. `known` maps target ids to their health; a missing one was never called."""
    open_targets: list[Candidate] = []
    skipped: dict[str, str] = {}
    shut: list[Candidate] = []
    for target, estimate in zip(route.targets, ask.costs, strict=True):
        seen = known[target.id] if target.id in known else health.NEW  # noqa: SIM401 - runs on every request
        candidate = Candidate(target, seen, estimate)
        reason = None
        if estimate is None or target.context_window is not None or ask.traits is not None:
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
        return Plan(policy=route.policy, order=(only.target,), skipped=skipped, reason="only", cost=only.cost)
    if open_targets:
        most = ask.output_tokens
        output = most if most < USUAL_OUTPUT else USUAL_OUTPUT  # noqa: FURB136 - one call less
        aim = Aim(output, route.second, now)
        ordered, reason = POLICIES[route.policy](open_targets, aim, dice), "policy"
        if ask.traits is not None:
            first, reason = _first(ordered, route, ask.traits, aim)
            ordered = [first, *(candidate for candidate in ordered if candidate is not first)]
        order = [candidate.target for candidate in ordered]
        return Plan(policy=route.policy, order=order, skipped=skipped, reason=reason, cost=ordered[0].cost)
    return _nothing_open(route, shut, skipped, now)


def _first(ordered: Sequence[Candidate], route: Route, traits: Traits, aim: Aim) -> tuple[Candidate, str]:
    """Who comes before the policy's order, and why."""
    canary = next((one for one in ordered if terms.is_canary(one.target)), None)
    if canary is not None:
        return canary, "canary"
    if route.affinity and traits.session:
        home = terms.home(ordered, traits.session, aim)
        if home is not None:
            return home, "session"
    return ordered[0], "policy"


def _ineligible(candidate: Candidate, ask: Ask, policy: str) -> str | None:
    target = candidate.target
    if ask.traits is not None:
        reason = terms.unmet(target.terms or terms.ANY, ask.traits)
        if reason is not None:
            return reason
    if candidate.cost is None and not ask.unknown_price_ok and (ask.budgeted or policy in BY_COST):
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
            reason="last_resort",
            cost=least_bad.cost,
        )
    return Plan(
        policy=route.policy, order=(), skipped=skipped, cause=_cause(route, shut, skipped, now), reason="none"
    )


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
    if "unknown price" in skipped.values():
        return ProviderError(
            ErrorKind.UNSUPPORTED,
            f"No target of `{route.model}` has a known price, which this request needs. "
            "Set `price` on the target, or `on_unknown_price: allow`.",
            code="unknown_price",
            param="model",
            sent=False,
        )
    why = "; ".join(f"{target}: {reason}" for target, reason in skipped.items())
    return ProviderError(
        ErrorKind.UNSUPPORTED,
        f"No target of `{route.model}` takes this request ({why}). Ask for less, or change its terms.",
        code="no_target",
        param="model",
        sent=False,
    )
