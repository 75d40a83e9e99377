"""Which route a model's name leads a caller to (pure)."""

from gateway.config.snapshot import Caller, Route, Snapshot
from gateway.errors import Forbidden, NotFound


def allowed_route(snapshot: Snapshot, caller: Caller, model: str, kind: str) -> Route:
    """The route of a model of that kind (chat, embedding, video), the caller's own aliases heeded.

    Raises NotFound, and Forbidden where the caller's key does not include the model.
    """
    if caller.aliases and model in caller.aliases:
        model = caller.aliases[model]
    route = snapshot.resolve(model, kind)
    if route is None:
        what = "video model" if kind == "video" else "model"
        raise NotFound(
            f"The {what} `{model}` does not exist. GET /v1/models lists what this key can use.",
            code="model_not_found",
            param="model",
        )
    if not caller.may_use(model):
        raise Forbidden(f"This key may not use the model `{model}`.", param="model")
    return route
