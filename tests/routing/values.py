"""Small builders for routing values, so that a test states only what it is about."""

from gateway.config.snapshot import HealthRule, Price, Retries, Route, RouteTarget, Timeouts
from providers.types import Target

NANO = 1_000_000_000


def target(
    name: str, *, price: float | None = 1.0, weight: int = 1, window: int | None = None
) -> RouteTarget:
    """A target `name/model`; `price` is USD per million tokens both ways, None for unknown."""
    known = None if price is None else Price(input=int(price * NANO), output=int(price * NANO))
    return RouteTarget(
        id=f"{name}/model",
        target=Target(provider=name, dialect="openai", base_url="http://127.0.0.1:1/v1", model="model"),
        price=known,
        timeouts=Timeouts(),
        health=HealthRule(failures=5, rest=5.0),
        weight=weight,
        context_window=window,
    )


def route(
    *targets: RouteTarget, policy: str = "in_order", attempts: int = 3, budget: float = 0.2, second: int = 0
) -> Route:
    """A chat route called `fast`."""
    return Route(
        model="fast",
        kind="chat",
        policy=policy,
        targets=targets,
        retries=Retries(attempts=attempts, budget=budget),
        timeouts=Timeouts(total=5.0),
        second=second,
    )
