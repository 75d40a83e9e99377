"""`GET /v1/videos/models`: what each video model can make and for how much, told from what the router decides by."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from litestar import get
from litestar.handlers import HTTPRouteHandler

from gateway.api.videos import AnyRequest, CallerOf
from gateway.clock import SYSTEM, Clock
from gateway.config.snapshot import NANO, Caller, Price, Route, RouteTarget, Snapshot
from gateway.routing.terms import is_placed
from gateway.routing.video import alive, sizes

T = TypeVar("T")


def routes(
    snapshot: Callable[[], Snapshot], caller_of: CallerOf, clock: Clock = SYSTEM
) -> Sequence[HTTPRouteHandler]:
    """The route handler. `snapshot` gives the configuration in force."""

    @get("/v1/videos/models", summary="List what the video models this key may use can make")
    async def list_video_models(request: AnyRequest) -> dict[str, Any]:
        return video_model_list(snapshot(), caller_of(request), clock.now())

    return (list_video_models,)


def video_model_list(snapshot: Snapshot, caller: Caller, now: float) -> dict[str, Any]:
    """Every configured video model this caller may use, in the order of the file.

    A target that would not be asked any more at Unix time `now` is left out, and so is a model without others.
    """
    rows = []
    for route in snapshot.routes.values():
        targets = [target for target in route.targets if alive(target.target.video, now)]
        if caller.pinned:
            targets = [one for one in targets if is_placed(one, caller.tags, caller.region)]
        if route.kind == "video" and targets and caller.may_use(route.model):
            rows.append(_row(snapshot, route, targets))
    return {"object": "list", "data": rows}


def _row(snapshot: Snapshot, route: Route, targets: Sequence[RouteTarget]) -> dict[str, Any]:
    """What some target of the model can do; one video must be within what a single one can, see `targets`."""
    each = [target.target.video for target in targets]
    shortest, longest = [one.min_seconds for one in each], [one.max_seconds for one in each]
    ranged = any(one.seconds is None for one in each)
    exact = _union(one.seconds for one in each)
    return {
        "id": route.model,
        "object": "model",
        "created": snapshot.compiled_at,
        "owned_by": "fairlead",
        "operations": _union(one.operations for one in each),
        "seconds": None if ranged or exact is None else sorted(exact),
        "min_seconds": None if None in shortest else min(one for one in shortest if one is not None),
        "max_seconds": None if None in longest else max(one for one in longest if one is not None),
        "sizes": _union(sizes(one) for one in each),
        "inputs": _union(one.inputs for one in each),
        "targets": [_target(target) for target in targets],
    }


def _target(target: RouteTarget) -> dict[str, Any]:
    """What one target can do; null where anything goes or nothing is known."""
    limits = target.target.video
    return {
        "provider": target.target.provider,
        "model": target.target.model,
        "operations": list(limits.operations),
        "seconds": _listed(limits.seconds),
        "min_seconds": limits.min_seconds,
        "max_seconds": limits.max_seconds,
        "sizes": sizes(limits),
        "sizes_from_picture": sizes(limits, ["first_frame"]),
        "inputs": _listed(limits.inputs),
        "max_inputs": limits.max_inputs,
        "needs": list(limits.needs),
        "links": limits.links,
        "uploads": limits.uploads,
        "audio": limits.audio,
        "fields": _listed(limits.fields),
        "max_prompt": limits.max_prompt,
        "retires_at": None if limits.retires_at is None else int(limits.retires_at),
        "price": _price(target.price),
    }


def _price(price: Price | None) -> Mapping[str, Any] | None:
    """USD per second of video: one for all, or by tier; `silent_per_second` where silence has its own."""
    if price is None:
        return None
    return {
        "per_second": None if price.per_second is None else price.per_second / NANO,
        "per_second_by_tier": {tier: each / NANO for tier, each in price.tiers.items()},
        "silent_per_second_by_tier": {tier: each / NANO for tier, each in price.silent.items()},
    }


def _listed(values: Sequence[T] | None) -> list[T] | None:
    return None if values is None else list(values)


def _union(lists: Iterable[Sequence[T] | None]) -> list[T] | None:
    """All values in the order they are met; None when one of the lists is open."""
    given = list(lists)
    if any(one is None for one in given):
        return None
    return list(dict.fromkeys(value for one in given for value in one or ()))
