"""Finds the route of a wanted video, fills in what was left open, or says what would work (pure)."""

from collections.abc import Callable, Mapping
from typing import NoReturn

from msgspec.structs import replace

from gateway.config.snapshot import Caller, Route, Snapshot
from gateway.errors import Conflict, GatewayError, InvalidRequest, NotFound
from gateway.routing import video
from gateway.routing.policies import BY_COST
from gateway.routing.terms import drawn, is_canary
from gateway.service.traits import within
from gateway.service.video_request import Ask, field_name, wanted
from gateway.service.wish import Hints

USUAL = video.Wanted(seconds=4.0, size="720x1280")
"""What OpenAI makes when nothing is said (VIDEO_WIRE 1.2)."""


def complete(snapshot: Snapshot, route: Route, caller: Caller, ask: Ask, now: float) -> Ask:
    """The ask with place, length and size chosen.

    Raises InvalidRequest when no target of the route can make it, Forbidden for a region that is not the key's.
    """
    if caller.pinned:
        held = within(caller, Hints(tags=frozenset(ask.tags), region=ask.region))
        ask = replace(ask, tags=tuple(sorted(held.tags)), region=held.region)
    places = {target.id: video.misplaced(target, wanted(ask, now)) for target in route.targets}
    possible = {ask.home: places[ask.home]} if ask.home in places else places
    if all(possible.values()):
        raise _nowhere(route, possible)
    route = replace(route, targets=[target for target in route.targets if not places[target.id]])
    careful = snapshot.on_unknown_price != "allow"
    usual = replace(USUAL, inputs=wanted(ask, now).inputs)
    seconds, size = video.fill(route, ask.seconds, ask.size, usual)
    priced = careful and (caller.hard or caller.soft or route.policy in BY_COST)
    full = replace(ask, model=route.model, seconds=seconds, size=size, priced=priced)
    if not video.eligible(route, wanted(full, now)):
        _refuse(route, full, now)
    return full


def drawn_for(route: Route, ask: Ask, name: str) -> Ask:
    """The ask with its draw, where a canary goes by it: the same for the same name."""
    return replace(ask, draw=drawn(name)) if any(map(is_canary, route.targets)) else ask


def _nowhere(route: Route, places: Mapping[str, str | None]) -> GatewayError:
    why = "; ".join(f"{target}: {reason}" for target, reason in places.items())
    return InvalidRequest(
        f"No target of `{route.model}` takes this request ({why}). Ask for less, or change its terms.",
        code="no_target",
        param="model",
    )


def _refuse(route: Route, ask: Ask, now: float) -> NoReturn:
    found = video.mismatch(route, wanted(ask, now))
    if found.field in _OTHERWISE:
        raise _OTHERWISE[found.field](route, found)
    name = field_name(ask.surface, _odd_input(route, ask) if found.field == "inputs" else found.field)
    raise InvalidRequest(
        f"No target of `{route.model}` can do {name}={found.value}; allowed: {found.allowed}.",
        code="unsupported_value",
        param=name,
    )


def _odd_input(route: Route, ask: Ask) -> str:
    """The first role that no target takes; `inputs` where it is their being together, or their lack."""
    taken = [target.target.video.inputs for target in route.targets]
    given = wanted(ask, 0.0).inputs
    return next((role for role in given if not any(one is None or role in one for one in taken)), "inputs")


def _no_price(route: Route, _found: video.Mismatch) -> GatewayError:
    return InvalidRequest(
        f"No target of `{route.model}` has a known price, which this request needs. "
        "Set `price` on the target, or `on_unknown_price: allow`.",
        code="unknown_price",
        param="model",
    )


def _not_native(route: Route, found: video.Mismatch) -> GatewayError:
    return InvalidRequest(
        f"No target of `{route.model}` has a field for each of {found.value}, and `on_unsupported` is reject. "
        f"There are fields for: {found.allowed}. With `on_unsupported: warn` the rest goes into the prompt.",
        code="unsupported_parameter",
        param="on_unsupported",
    )


def _retired(route: Route, _found: video.Mismatch) -> GatewayError:
    message = f"Every target of `{route.model}` has been shut down by its provider, or will be within a day."
    return NotFound(message, code="model_unavailable", param="model")


def _not_offered(route: Route, found: video.Mismatch) -> GatewayError:
    return InvalidRequest(
        f"No target of `{route.model}` can {found.value} videos; it can: {found.allowed or 'nothing'}. "
        "GET /v1/videos/models tells what each model can do.",
        code="unsupported_operation",
        param="model",
    )


def _moved(_route: Route, _found: video.Mismatch) -> GatewayError:
    message = "The provider that made this video is not configured any more, and only it could remix it."
    return Conflict(message, code="no_route", retry=False)


_OTHERWISE: Mapping[str, Callable[[Route, video.Mismatch], GatewayError]] = {
    "operation": _not_offered,
    "price": _no_price,
    "home": _moved,
    "model": _retired,
    "fields": _not_native,
}
