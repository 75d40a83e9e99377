"""`GET /v1/models`: what a key may use, in OpenAI's form with a few extra facts."""

from collections.abc import Mapping
from typing import Any

from gateway.config.snapshot import Caller, Route, Snapshot
from gateway.errors import NotFound

KINDS = ("chat", "embedding", "video")


def model_list(snapshot: Snapshot, caller: Caller) -> dict[str, Any]:
    """Every configured model this caller may use, in the order of the file."""
    rows = [_row(snapshot, route) for route in snapshot.routes.values() if caller.may_use(route.model)]
    return {"object": "list", "data": rows}


def one_model(snapshot: Snapshot, caller: Caller, model: str) -> Mapping[str, Any]:
    """One model. Raises NotFound for one that does not exist or that this caller may not use."""
    found = (snapshot.resolve(model, kind) for kind in KINDS)
    route = next(filter(None, found), None) if caller.may_use(model) else None
    if route is None:
        raise NotFound(f"The model `{model}` does not exist.", code="model_not_found", param="model")
    return _row(snapshot, route)


def _row(snapshot: Snapshot, route: Route) -> dict[str, Any]:
    windows = [target.context_window for target in route.targets if target.context_window is not None]
    return {
        "id": route.model,
        "object": "model",
        "created": snapshot.compiled_at,
        "owned_by": "fairlead",
        "kind": route.kind,
        "policy": route.policy,
        "targets": [target.id for target in route.targets],
        "context_window": max(windows, default=None),
    }
