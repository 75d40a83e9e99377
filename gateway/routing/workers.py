"""What workers tell of themselves, put in the place of what was known of them (pure).

A worker is asked for its models instead of being described in the routing file. What the file does say of a
target counts more; a model that a worker does not have is not asked of it, and one that it has can be asked for
as `provider/model`, and is listed so, without any entry.
"""

from collections.abc import Mapping

from msgspec.structs import replace

from gateway.config.snapshot import ProviderRow, Route, RouteTarget, Snapshot
from providers.types import Target, VideoLimits, WorkerStatus
from providers.video import VIDEO_WORKER

Seen = Mapping[str, WorkerStatus]
"""What each worker told last, by its base URL."""


def is_worker(target: Target) -> bool:
    """Whether a target is a worker, which is asked for what it can make and given jobs when it has a slot."""
    return target.dialect in VIDEO_WORKER


def workers(snapshot: Snapshot) -> Mapping[str, ProviderRow]:
    """The workers of a configuration, by base URL."""
    faces = (row.face("video") for row in snapshot.providers.values())
    return {row.base_url: row for row in faces if row is not None and row.dialect in VIDEO_WORKER}


def discover(snapshot: Snapshot, seen: Seen) -> Snapshot:
    """The configuration with what its workers told."""
    if not seen:
        return snapshot
    routes = {
        name: _discovered(route, seen) if route.kind == "video" else route
        for name, route in snapshot.routes.items()
    }

    def on_demand(name: str, kind: str) -> Route | None:
        route = snapshot.on_demand(name, kind)
        if route is None or kind != "video":
            return route
        found = _discovered(route, seen)
        return found if any(one.target.video.operations for one in found.targets) else None

    for url, row in workers(snapshot).items():
        for model in seen[url].models if url in seen else ():
            name = f"{row.id}/{model}"
            route = None if name in routes else on_demand(name, "video")
            if route is not None:
                routes[name] = route
    return replace(snapshot, routes=routes, on_demand=on_demand, made={})


def _discovered(route: Route, seen: Seen) -> Route:
    return replace(route, targets=[_seen(target, seen) for target in route.targets])


def _seen(target: RouteTarget, seen: Seen) -> RouteTarget:
    """A target as its worker describes it; one that it does not have can do nothing."""
    status = seen.get(target.target.base_url) if is_worker(target.target) else None
    if status is None:
        return target
    model = status.models.get(target.target.model)
    if model is None:
        return replace(target, target=replace(target.target, video=VideoLimits(operations=())), pace=None)
    limits = replace(model.limits, **target.written)
    return replace(
        target, target=replace(target.target, video=limits), pace=model.rate, redraw=model.strength
    )
