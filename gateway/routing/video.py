"""Which targets can make a wanted video, what they would charge, and in which order to ask them (pure).

A target that cannot make the wanted length or size, or cannot start from the given pictures, is never asked:
for video a silently different result is worse than a refusal. Only then the route's policy decides.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from gateway.config.snapshot import Route, RouteTarget, VideoLimits
from gateway.routing.health import NEW
from gateway.routing.policies import POLICIES, Aim, Candidate, Dice

_ANYTHING = VideoLimits()


class Wanted(Struct, frozen=True, kw_only=True):
    """What routing must know of a request.

    `inputs` are the roles of its pictures and clips. `home` is the only target that may serve it (a remix
    starts from something that exists only there). `priced` excludes targets of unknown price.
    """

    seconds: float
    size: str
    inputs: Sequence[str] = ()
    home: str | None = None
    priced: bool = False


class Mismatch(Struct, frozen=True, kw_only=True):
    """Why no target takes a request: the field in the way, its value, and what would work, in words.

    `field` is seconds, size, inputs or price; `home` when the only possible target is not there any more.
    """

    field: str
    value: str
    allowed: str = ""


def eligible(route: Route, wanted: Wanted) -> list[RouteTarget]:
    """The targets that can make it, in the order of the configuration."""
    return [target for target in route.targets if unfit(target, wanted) is None]


def unfit(target: RouteTarget, wanted: Wanted) -> str | None:
    """Why a target cannot make it: home, seconds, size, inputs, or unknown price; None when it can."""
    if wanted.home not in (None, target.id):
        return "home"
    for field, fits in _FITS.items():
        if not fits(target.video or _ANYTHING, wanted):
            return field
    return "unknown price" if wanted.priced and _price(target) is None else None


def order(route: Route, wanted: Wanted, dice: Dice) -> list[RouteTarget]:
    """The targets to ask, best first by the route's policy."""
    candidates = [
        Candidate(target, NEW, cost(_price(target), wanted.seconds)) for target in eligible(route, wanted)
    ]
    return [candidate.target for candidate in POLICIES[route.policy](candidates, Aim(), dice)]


def cost(price: int | None, seconds: float) -> int | None:
    """Nano-dollars of a video, rounded up; None when the price per second is not known."""
    return None if price is None else math.ceil(price * seconds)


def dearest(targets: Iterable[RouteTarget], seconds: float) -> int | None:
    """What the most expensive of these would charge; None when the price of any is not known."""
    costs = [cost(_price(target), seconds) for target in targets]
    known = [one for one in costs if one is not None]
    return max(known) if known and len(known) == len(costs) else None


def mismatch(route: Route, wanted: Wanted) -> Mismatch:
    """Why `eligible` is empty: the field that no target takes, else the fields that exclude each other."""
    limits = [target.video or _ANYTHING for target in route.targets]
    for field, fits in _FITS.items():
        if not any(fits(each, wanted) for each in limits):
            return Mismatch(field=field, value=_value(wanted, field), allowed=_ALLOWED[field](limits))
    if not any(all(fits(each, wanted) for fits in _FITS.values()) for each in limits):
        value = f"{_value(wanted, 'size')} for {_value(wanted, 'seconds')} seconds"
        makers = [each for each in limits if _fits_seconds(each, wanted)]
        return Mismatch(field="size", value=value, allowed=_allowed_sizes(makers))
    if wanted.home is not None:
        return Mismatch(field="home", value=wanted.home)
    return Mismatch(field="price", value=route.model)


def fill(route: Route, seconds: float | None, size: str | None, usual: Wanted) -> tuple[float, str]:
    """Length and size of a request that left one or both open.

    The usual ones where some target offers them together with what was said, else those of the first target
    that can do what was said.
    """
    best = replace(usual, seconds=seconds or usual.seconds, size=size or usual.size)
    limits = [target.video or _ANYTHING for target in route.targets]
    offers = [_offer(each, best, seconds, size) for each in limits]
    for wanted in (best, *offers):
        if any(_fits_seconds(each, wanted) and _fits_size(each, wanted) for each in limits):
            return wanted.seconds, wanted.size
    return offers[0].seconds, offers[0].size  # what was said is to blame, not what was filled in


def _offer(limits: VideoLimits, best: Wanted, seconds: float | None, size: str | None) -> Wanted:
    """The nearest to `best` that one target offers, with what was said left as it is."""
    return replace(
        best,
        seconds=best.seconds if seconds or _fits_seconds(limits, best) else _shortest(limits),
        size=best.size if size or _fits_size(limits, best) else next(iter(limits.sizes or ()), best.size),
    )


def _price(target: RouteTarget) -> int | None:
    return None if target.price is None else target.price.per_second


def _fits_seconds(limits: VideoLimits, wanted: Wanted) -> bool:
    if limits.seconds is not None and wanted.seconds not in limits.seconds:
        return False
    shortest, longest = limits.min_seconds, limits.max_seconds
    return (shortest is None or shortest <= wanted.seconds) and (longest is None or wanted.seconds <= longest)


def _fits_size(limits: VideoLimits, wanted: Wanted) -> bool:
    return limits.sizes is None or wanted.size in limits.sizes


def _fits_inputs(limits: VideoLimits, wanted: Wanted) -> bool:
    return limits.inputs is None or set(wanted.inputs) <= set(limits.inputs)


_FITS: Mapping[str, Callable[[VideoLimits, Wanted], bool]] = {
    "seconds": _fits_seconds,
    "size": _fits_size,
    "inputs": _fits_inputs,
}


def _value(wanted: Wanted, field: str) -> str:
    if field == "seconds":
        return f"{wanted.seconds:g}"
    return wanted.size if field == "size" else ", ".join(wanted.inputs)


def _shortest(limits: VideoLimits) -> float:
    return min(limits.seconds) if limits.seconds else limits.min_seconds or 1.0


def _allowed_seconds(limits: Iterable[VideoLimits]) -> str:
    exact: set[float] = set()
    ranges: list[str] = []
    for each in limits:
        if each.seconds is not None:
            exact.update(each.seconds)
        elif each.max_seconds is not None:
            ranges.append(f"{_shortest(each):g} to {each.max_seconds:g}")
        else:
            ranges.append(f"{_shortest(each):g} or more")
    return ", ".join([*(f"{one:g}" for one in sorted(exact)), *dict.fromkeys(ranges)])


def _allowed_sizes(limits: Iterable[VideoLimits]) -> str:
    return ", ".join(dict.fromkeys(size for each in limits for size in each.sizes or ("any size",)))


def _allowed_inputs(limits: Iterable[VideoLimits]) -> str:
    return ", ".join(dict.fromkeys(role for each in limits for role in each.inputs or ())) or "text only"


_ALLOWED: Mapping[str, Callable[[Iterable[VideoLimits]], str]] = {
    "seconds": _allowed_seconds,
    "size": _allowed_sizes,
    "inputs": _allowed_inputs,
}
