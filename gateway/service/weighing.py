"""What a request may ask for and what it would weigh: route, estimates, and the question put to routing.

Shared by the story of a request and by its explanation, so that both ask the same.
"""

from collections.abc import Sequence

from msgspec import Struct

from gateway.config.snapshot import Caller, Route, Snapshot
from gateway.limits.rules import Costs
from gateway.routing import cost
from gateway.routing.plan import Ask
from gateway.service.access import allowed_route
from gateway.service.traits import traits_of
from gateway.service.wish import Wish


class Weighed(Struct, frozen=True, kw_only=True):
    """A request on its route. `costs` are estimates in nano-dollars in the order of the route's targets.

    `reserved` holds the dearest of them, so that failover fits.
    """

    snapshot: Snapshot
    caller: Caller
    wish: Wish
    route: Route
    input_tokens: int
    costs: Sequence[int | None]
    reserved: Costs


def weigh(snapshot: Snapshot, caller: Caller, wish: Wish) -> Weighed:
    """Find the route and estimate. Raises NotFound, Forbidden."""
    route = allowed_route(snapshot, caller, wish.request.model, wish.operation.kind)
    tokens, output = cost.token_estimate(wish.body_size), wish.output_tokens
    costs = [cost.estimate(target.price, tokens, output) for target in route.targets]
    dearest = 0
    for estimate in costs:
        if estimate is not None and estimate > dearest:
            dearest = estimate
    return Weighed(
        snapshot=snapshot,
        caller=caller,
        wish=wish,
        route=route,
        input_tokens=tokens,
        costs=costs,
        reserved=Costs(requests=1, tokens=tokens + output, nano_dollars=dearest),
    )


def ask_of(weighed: Weighed, request_id: str, *, budgeted: bool) -> Ask:
    """The question put to routing. A request is looked into only where that can matter."""
    wish = weighed.wish
    traits = None
    if weighed.route.steered or wish.hints is not None:
        traits = traits_of(wish, weighed.caller, request_id, weighed.input_tokens)
    return Ask(
        costs=weighed.costs,
        input_tokens=weighed.input_tokens,
        output_tokens=wish.output_tokens,
        budgeted=budgeted,
        unknown_price_ok=weighed.snapshot.on_unknown_price == "allow",
        traits=traits,
    )
