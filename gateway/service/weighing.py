"""What a request may ask for and what it would weigh: route, estimates, and the question put to routing.

Shared by the story of a request and by its explanation, so that both ask the same.
"""

from collections.abc import Sequence

from msgspec import Struct, structs

from gateway.config.snapshot import Caller, Route, RouteTarget, Snapshot
from gateway.limits.template import Costs
from gateway.routing import cost
from gateway.routing.plan import Ask, Plan
from gateway.service.access import allowed_route
from gateway.service.continuation import INSTRUCTION
from gateway.service.traits import traits_of
from gateway.service.wish import Wish

_INSTRUCTION_TOKENS = cost.token_estimate(len(INSTRUCTION))


class Weighed(Struct, frozen=True, kw_only=True):
    """A request on its route. `costs` are the most it may cost, in nano-dollars, in the order of the targets.

    `output_tokens` is the most the answer may hold: the client's own cap, or the route's where it set none.
    `spent` is what earlier parts of the answer used already; `costs` and the estimates are without it.
    """

    snapshot: Snapshot
    caller: Caller
    wish: Wish
    route: Route
    input_tokens: int
    output_tokens: int
    costs: Sequence[int | None]
    spent: Costs = Costs(requests=0, concurrent=0)


def weigh(snapshot: Snapshot, caller: Caller, wish: Wish) -> Weighed:
    """Find the route and estimate. Raises NotFound, Forbidden."""
    route = allowed_route(snapshot, caller, wish.request.model, wish.operation.kind)
    tokens, output, choices = cost.token_estimate(wish.body_size), wish.output_tokens, wish.choices
    costs = [
        cost.estimate(target.price, tokens, target.default_cap * choices if output is None else output)
        for target in route.targets
    ]
    return Weighed(
        snapshot=snapshot,
        caller=caller,
        wish=wish,
        route=route,
        input_tokens=tokens,
        output_tokens=route.default_cap * choices if output is None else output,
        costs=costs,
    )


def ask_of(weighed: Weighed, request_id: str) -> Ask:
    """The question put to routing. A request is looked into only where that can matter. Raises Forbidden."""
    wish, caller = weighed.wish, weighed.caller
    traits = None
    if weighed.route.steered or wish.hints is not None or caller.pinned:
        traits = traits_of(wish, caller, request_id, weighed.input_tokens)
    return Ask(
        costs=weighed.costs,
        input_tokens=weighed.input_tokens,
        output_tokens=weighed.output_tokens,
        budgeted=caller.hard or caller.soft,
        unknown_price_ok=weighed.snapshot.on_unknown_price == "allow",
        traits=traits,
    )


def continued(weighed: Weighed, spent: Costs, written: int) -> Weighed:
    """What is left of a request whose answer broke: `spent` so far, for `written` tokens of output.

    Whoever goes on is given those as input, with an instruction, and may write as many fewer.
    """
    route, cap = weighed.route, weighed.wish.output_tokens
    left = None if cap is None else max(1, cap - written)
    tokens = cost.token_estimate(weighed.wish.body_size) + written + _INSTRUCTION_TOKENS
    caps = [target.default_cap if left is None else left for target in route.targets]
    return structs.replace(
        weighed,
        input_tokens=tokens,
        output_tokens=route.default_cap if left is None else left,
        costs=[
            cost.estimate(target.price, tokens, most)
            for target, most in zip(route.targets, caps, strict=True)
        ],
        spent=spent,
    )


def reservation(weighed: Weighed, made: Plan, usual: int | None) -> Costs:
    """What to reserve for a request: its tokens, and what the first target of its plan may cost.

    `usual` are the output tokens that 95 of 100 such answers stay below, None when they are not known.
    """
    caller = weighed.caller
    worst = probably = (made.cost or 0) if caller.hard or caller.soft else 0
    if caller.soft and made.order:
        worst, probably = may_cost(weighed, made.order[0], usual)
    tokens = weighed.input_tokens + weighed.output_tokens
    return Costs(tokens=tokens, nano_dollars=worst, probably=probably)


def may_cost(weighed: Weighed, target: RouteTarget, usual: int | None) -> tuple[int, int]:
    """Nano-dollars that a request may cost there at most, and that it will probably cost, all parts together."""
    spent = weighed.spent.nano_dollars
    worst = spent + (weighed.costs[weighed.route.targets.index(target)] or 0)
    if not weighed.caller.soft or usual is None:
        return worst, worst
    probably = cost.estimate(target.price, weighed.input_tokens, usual)
    return worst, worst if probably is None else min(worst, spent + probably)
