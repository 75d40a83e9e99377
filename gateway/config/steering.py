"""What a file says about which requests a target is asked for, compiled to its terms."""

from collections.abc import Callable, Iterable, Sequence

from gateway.config import model
from gateway.config.problems import Path
from gateway.config.snapshot import Route, Terms

_CHAT_ONLY = {
    "when": "say what a video target takes by seconds, sizes, inputs and operations",
    "shadow": "a copy of a video would be paid for",
}


def terms_of(targets: Sequence[model.Target]) -> list[Terms | None]:
    """The terms of each target; None for any request. Canaries take their parts of [0, 1) in their order."""
    made: list[Terms | None] = []
    low = 0.0
    for target in targets:
        high = low + (target.canary or 0.0) / 100.0
        when = target.when or model.When()
        terms = Terms(
            tools=when.tools,
            images=when.images,
            json_schema=when.json_schema,
            min_input=when.min_input or 0,
            max_input=when.max_input,
            tags=frozenset(target.tags),
            region=target.region or "",
            canary=(low, high) if target.canary is not None else None,
            shadow=(target.shadow or 0.0) / 100.0,
        )
        made.append(None if terms == Terms() else terms)
        low = high
    return made


def check(kind: str, targets: Sequence[model.Target], report: Callable[[Path, str], None]) -> None:
    """Report terms that cannot hold: paths are below the model."""
    for at, target in enumerate(targets):
        for name, why in _CHAT_ONLY.items():
            if kind == "video" and getattr(target, name):
                report(("targets", at, name), f"is for models of kind chat and embedding: {why}")
        if target.canary is not None and target.shadow is not None:
            report(("targets", at, "shadow"), "cannot be said of a canary: a target is one or the other")
    if sum(target.canary or 0.0 for target in targets) > 100:
        report(("targets",), "have canaries of more than 100 percent together")
    if all(target.canary is not None or target.shadow is not None for target in targets):
        report(("targets",), "need one that is neither canary nor shadow")


def tags_and_regions(targets: Iterable[tuple[Sequence[str], str | None]]) -> tuple[set[str], set[str]]:
    """What a key may be held to: every tag, and every region with the wider ones that it lies in."""
    tags: set[str] = set()
    regions: set[str] = set()
    for carried, region in targets:
        tags.update(carried)
        parts = (region or "").split("-")
        regions.update("-".join(parts[:end]) for end in range(1, len(parts) + 1) if region)
    return tags, regions


def is_steered(route: Route) -> bool:
    """Whether anything must be known of a request beyond its size and price."""
    return route.affinity or bool(route.shadows) or any(target.terms is not None for target in route.targets)
