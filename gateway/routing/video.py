"""Which targets can make a wanted video, what they would charge, and in which order to ask them (pure).

A target that cannot make the wanted length, size or sound, cannot start from the given pictures, cannot take
so long a prompt, or is about to be shut down, is never asked: for video a silently different result is worse
than a refusal. Only then the route's policy decides. What a provider has no field for, but can be told in
words or done without, is no reason to leave it out, unless the client wants it `strict`.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from gateway.config.snapshot import Route, RouteTarget
from gateway.routing import terms
from gateway.routing.health import NEW
from gateway.routing.policies import POLICIES, Aim, Candidate, Dice
from providers.types import VideoLimits
from providers.video.fields import Words, fold, ratios, units
from providers.video.shapes import pixels, shape, tier

LAST_DAY = 86_400.0
"""Seconds before its end from which a model is not asked any more: a job must be able to finish."""


_KEEPING = frozenset(("edit", "extend"))
"""Operations whose result has the size of the video they begin with."""


class Wanted(Struct, frozen=True, kw_only=True):
    """What routing must know of a request.

    `inputs` are the roles of its pictures and clips; `linked` says that there are links to follow among
    them, `uploaded` that there are bytes. `home` is the only target that may serve it (a remix starts from
    something that exists only there). `priced` excludes targets of unknown price. `audio` says whether it shall
    have sound, `seed` whether it has one, `strength` how much of the video it begins with becomes new; `words`
    are its texts. `strict` wants all of it done natively. `now` is Unix seconds. A video that is edited keeps its
    length and its size, one that is extended its size, whatever else a target makes.
    `tags` and `region` are what the target must have, `draw` is in [0, 1), None where canaries do not matter.
    """

    seconds: float
    size: str
    inputs: Sequence[str] = ()
    home: str | None = None
    priced: bool = False
    linked: bool = False
    uploaded: bool = False
    audio: bool | None = None
    seed: bool = False
    strength: float | None = None
    words: Words | None = None
    strict: bool = False
    now: float = 0.0
    operation: str = "generate"
    tags: frozenset[str] = frozenset()
    region: str = ""
    draw: float | None = None


class Mismatch(Struct, frozen=True, kw_only=True):
    """Why no target takes a request: the field in the way, its value, and what would work, in words.

    `field` is operation, seconds, size, inputs, links, audio, prompt, fields (strict only), model (all are about to be
    shut down) or price; `home` when the only possible target is not there any more.
    """

    field: str
    value: str
    allowed: str = ""


def eligible(route: Route, wanted: Wanted) -> list[RouteTarget]:
    """The targets that can make it, in the order of the configuration."""
    return [target for target in route.targets if unfit(target, wanted) is None]


def unfit(target: RouteTarget, wanted: Wanted) -> str | None:
    """Why a target cannot make it: home, region, seconds, size, inputs, or unknown price; None when it can."""
    if wanted.home not in (None, target.id):
        return "home"
    place = misplaced(target, wanted)
    if place is not None:
        return place
    for field, fits in _FITS.items():
        if not fits(target.target.video, wanted):
            return field
    return "unknown price" if wanted.priced and rate(target, wanted) is None else None


def misplaced(target: RouteTarget, wanted: Wanted) -> str | None:
    """Which of a target's terms leave it out: tags, region or canary."""
    held = target.terms or terms.ANY
    place = terms.misplaced(held, wanted.tags, wanted.region)
    if place is None and wanted.draw is not None and not terms.is_drawn(held, wanted.draw):
        return "canary"
    return place


def order(route: Route, wanted: Wanted, dice: Dice) -> list[RouteTarget]:
    """The targets to ask, best first by the route's policy, but a canary before all."""
    candidates = [
        Candidate(target, NEW, cost(rate(target, wanted), wanted.seconds))
        for target in eligible(route, wanted)
    ]
    ordered = [candidate.target for candidate in POLICIES[route.policy](candidates, Aim(), dice)]
    return sorted(ordered, key=lambda target: not terms.is_canary(target))


def cost(price: int | None, seconds: float) -> int | None:
    """Nano-dollars of a video, rounded up; None when the price per second is not known."""
    return None if price is None else math.ceil(price * seconds)


def rate(target: RouteTarget, wanted: Wanted) -> int | None:
    """Nano-dollars per second of the wanted video; None when not known.

    Where sound has a price of its own, a video of which nothing was said has sound. At a worker that is paid by
    its time it is what its last videos cost.
    """
    price = target.price
    if price is not None and price.gpu_second is not None and target.pace is not None:
        return math.ceil(price.gpu_second * target.pace * _megapixels(wanted.size) * _share(target, wanted))
    if price is None or not price.tiers:
        return None if price is None else price.per_second
    found = shape(wanted.size, ratios(target.target.video, wanted.inputs) or {})
    at = found.tier if found else tier(wanted.size)
    with_sound = price.tiers.get(at)
    return with_sound if wanted.audio is not False else price.silent.get(at, with_sound)


def run(target: RouteTarget, wanted: Wanted) -> float | None:
    """Seconds of work that a worker needs for it, by its last videos; None when not known."""
    if target.pace is None:
        return None
    return target.pace * _megapixels(wanted.size) * wanted.seconds * _share(target, wanted)


def _share(target: RouteTarget, wanted: Wanted) -> float:
    """What part of its steps a worker makes: of a video that it draws over, as much as becomes new."""
    if target.redraw is None or wanted.operation not in ("edit", "remix"):
        return 1.0
    return target.redraw if wanted.strength is None else wanted.strength


def _megapixels(size: str) -> float:
    width, height = map(int, size.split("x"))
    return width * height / 1e6


def dearest(targets: Iterable[RouteTarget], wanted: Wanted) -> int | None:
    """What the most expensive of these would charge; None when the price of any is not known."""
    costs = [cost(rate(target, wanted), wanted.seconds) for target in targets]
    known = [one for one in costs if one is not None]
    return max(known) if known and len(known) == len(costs) else None


def alive(limits: VideoLimits, now: float) -> bool:
    """Whether the model will still be there when a job that begins at Unix time `now` is done."""
    return limits.retires_at is None or now < limits.retires_at - LAST_DAY


def sizes(limits: VideoLimits, inputs: Sequence[str] = ()) -> list[str] | None:
    """The sizes on offer for a video from these inputs, ratios as their pixels; None when any goes."""
    if limits.sizes is not None:
        return list(limits.sizes)
    offered = ratios(limits, inputs)
    if offered is None:
        return None
    return list(dict.fromkeys(pixels(ratio, at) for at, words in offered.items() for ratio in words))


def mismatch(route: Route, wanted: Wanted) -> Mismatch:
    """Why `eligible` is empty: the field that no target takes, else the fields that exclude each other."""
    limits = [target.target.video for target in route.targets]
    for field, fits in _FITS.items():
        if not any(fits(each, wanted) for each in limits):
            return Mismatch(field=field, value=_VALUE[field](wanted), allowed=_ALLOWED[field](limits))
    if not any(all(fits(each, wanted) for fits in _FITS.values()) for each in limits):
        value = f"{wanted.size} for {wanted.seconds:g} seconds"
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
    limits = [target.target.video for target in route.targets]
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
        size=best.size if size or _fits_size(limits, best) else next(iter(_sizes(limits)), best.size),
    )


def _fits_operation(limits: VideoLimits, wanted: Wanted) -> bool:
    return wanted.operation in limits.operations


def _fits_seconds(limits: VideoLimits, wanted: Wanted) -> bool:
    if wanted.operation in ("edit", "remix"):  # as long as what they begin with
        return True
    if limits.seconds is not None and wanted.seconds not in limits.seconds:
        return False
    shortest, longest = limits.min_seconds, limits.max_seconds
    return (shortest is None or shortest <= wanted.seconds) and (longest is None or wanted.seconds <= longest)


def _fits_size(limits: VideoLimits, wanted: Wanted) -> bool:
    if wanted.operation in _KEEPING:
        return True
    if limits.sizes is not None and wanted.size not in limits.sizes:
        return False
    if limits.edges is not None and not _between(wanted.size, limits.edges):
        return False
    offered = ratios(limits, wanted.inputs)
    return offered is None or shape(wanted.size, offered) is not None


def _between(size: str, edges: tuple[int, int, int]) -> bool:
    least, longest_short, longest = edges
    short, long = sorted(map(int, size.split("x")))
    return least <= short <= longest_short and long <= longest


def _fits_inputs(limits: VideoLimits, wanted: Wanted) -> bool:
    given = set(wanted.inputs)
    if limits.max_inputs is not None and len(wanted.inputs) > limits.max_inputs:
        return False
    return (limits.inputs is None or given <= set(limits.inputs)) and (
        wanted.operation != "generate" or given >= set(limits.needs)
    )


def _fits_links(limits: VideoLimits, wanted: Wanted) -> bool:
    return (limits.links or not wanted.linked) and (limits.uploads or not wanted.uploaded)


def _fits_audio(limits: VideoLimits, wanted: Wanted) -> bool:
    if wanted.audio:
        return limits.audio != "never"
    return wanted.audio is None or limits.audio != "always" or not wanted.strict


def _fits_prompt(limits: VideoLimits, wanted: Wanted) -> bool:
    if limits.max_prompt is None or wanted.words is None:
        return True
    return units(fold(wanted.words, limits.fields)[0]) <= limits.max_prompt


def _fits_fields(limits: VideoLimits, wanted: Wanted) -> bool:
    return not wanted.strict or limits.fields is None or set(_fields(wanted)) <= set(limits.fields)


def _fits_life(limits: VideoLimits, wanted: Wanted) -> bool:
    return alive(limits, wanted.now)


_FITS: Mapping[str, Callable[[VideoLimits, Wanted], bool]] = {
    "model": _fits_life,
    "operation": _fits_operation,
    "seconds": _fits_seconds,
    "size": _fits_size,
    "inputs": _fits_inputs,
    "links": _fits_links,
    "audio": _fits_audio,
    "prompt": _fits_prompt,
    "fields": _fits_fields,
}

_VALUE: Mapping[str, Callable[[Wanted], str]] = {
    "model": lambda _: "",
    "operation": lambda wanted: wanted.operation,
    "seconds": lambda wanted: f"{wanted.seconds:g}",
    "size": lambda wanted: wanted.size,
    "inputs": lambda wanted: ", ".join(wanted.inputs) or "text only",
    "links": lambda wanted: "a link" if wanted.linked else "an upload",
    "audio": lambda wanted: str(wanted.audio).lower(),
    "prompt": lambda wanted: f"{units(wanted.words.prompt) if wanted.words else 0} characters",
    "fields": lambda wanted: ", ".join(_fields(wanted)),
}


def _fields(wanted: Wanted) -> list[str]:
    """The names of the fields that not every provider has, as far as they were given."""
    words = [
        name for name in Words.__struct_fields__ if name != "prompt" and getattr(wanted.words, name, None)
    ]
    given = {"seed": wanted.seed, "strength": wanted.strength}
    return [*words, *(name for name, said in given.items() if said)]


def _sizes(limits: VideoLimits) -> list[str]:
    """The sizes on offer from words or a picture; empty when any goes."""
    return list(dict.fromkeys([*(sizes(limits) or ()), *(sizes(limits, ["first_frame"]) or ())]))


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
    return ", ".join(dict.fromkeys(size for each in limits for size in _sizes(each) or (_range(each),)))


def _range(limits: VideoLimits) -> str:
    """The sizes of a model that has no list of them."""
    if limits.edges is None:
        return "any size"
    least, short, long = limits.edges
    return f"{least}x{least} to {long}x{short} or {short}x{long}"


def _allowed_inputs(limits: Sequence[VideoLimits]) -> str:
    roles = ", ".join(dict.fromkeys(role for each in limits for role in each.inputs or ())) or "text only"
    most = [each.max_inputs for each in limits]
    counts = [one for one in most if one is not None]
    return f"{roles}; at most {max(counts)} at once" if counts and len(counts) == len(most) else roles


def _allowed_links(limits: Iterable[VideoLimits]) -> str:
    return "an https:// link" if any(each.links for each in limits) else "an uploaded picture or a data: URI"


def _allowed_prompt(limits: Iterable[VideoLimits]) -> str:
    longest = max(each.max_prompt or 0 for each in limits)
    return f"at most {longest} characters, with everything that has to be said in words"


def _allowed_fields(limits: Iterable[VideoLimits]) -> str:
    return ", ".join(dict.fromkeys(name for each in limits for name in each.fields or ())) or "none of these"


_ALLOWED: Mapping[str, Callable[[Sequence[VideoLimits]], str]] = {
    "model": lambda _: "",
    "operation": lambda limits: ", ".join(dict.fromkeys(one for each in limits for one in each.operations)),
    "seconds": _allowed_seconds,
    "size": _allowed_sizes,
    "inputs": _allowed_inputs,
    "links": _allowed_links,
    "audio": lambda limits: "true" if all(each.audio == "always" for each in limits) else "false",
    "prompt": _allowed_prompt,
    "fields": _allowed_fields,
}
