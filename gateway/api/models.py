"""`GET /v1/models`: what a key may use, in OpenAI's form with a few extra facts."""

from typing import Any

from gateway.config.snapshot import Caller, Route, Snapshot
from gateway.errors import NotFound
from gateway.routing.terms import reaches

KINDS = ("chat", "embedding", "video")


def model_list(snapshot: Snapshot, caller: Caller) -> dict[str, Any]:
    """Every configured model this caller may use, in the order of the file, then its own names for some."""
    names = [*snapshot.routes, *(alias for alias in caller.aliases if alias not in snapshot.routes)]
    found = ((name, _route(snapshot, caller, name)) for name in names)
    return {"object": "list", "data": [_row(snapshot, name, route) for name, route in found if route]}


def one_model(snapshot: Snapshot, caller: Caller, model: str) -> dict[str, Any]:
    """One model. Raises NotFound for one that does not exist or that this caller may not use."""
    route = _route(snapshot, caller, model)
    if route is None:
        raise NotFound(f"The model `{model}` does not exist.", code="model_not_found", param="model")
    return _row(snapshot, model, route)


def _route(snapshot: Snapshot, caller: Caller, model: str) -> Route | None:
    name = caller.aliases.get(model, model)
    found = (snapshot.resolve(name, kind) for kind in KINDS)
    route = next(filter(None, found), None) if caller.may_use(name) else None
    return route if route and (not caller.pinned or reaches(route, caller.tags, caller.region)) else None


def _row(snapshot: Snapshot, name: str, route: Route) -> dict[str, Any]:
    windows = [target.context_window for target in route.targets if target.context_window is not None]
    return {
        "id": name,
        "object": "model",
        "created": snapshot.compiled_at,
        "owned_by": "fairlead",
        "kind": route.kind,
        "policy": route.policy,
        "targets": [target.id for target in route.targets],
        "context_window": max(windows, default=None),
    }
