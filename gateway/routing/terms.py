"""Which requests a target takes: what they need, their size, tags, region, and the shares that are drawn (pure).

Draws and homes come from hashes of the request's id and of the session's name, so that every replica decides the
same and nothing is kept.
"""

import hashlib
from collections.abc import Sequence

from msgspec import Struct

from gateway.config.snapshot import Route, RouteTarget, Terms
from gateway.routing.policies import Aim, Candidate, seconds

NEEDS = ("tools", "images", "json_schema")
"""What terms and traits call by the same name: wanted or not, needed or not."""
FEW = 4
"""Open calls a session's home may have however idle the others are."""
CROWDED = 1.25
"""Times the mean number of open calls that a home may have beyond that."""
PATIENCE = 2.0
GRACE = 0.5
"""A home may be expected to take PATIENCE times as long as the policy's first choice, and GRACE seconds more."""


ANY = Terms()
"""Of a target that was given none."""


class Traits(Struct, frozen=True, kw_only=True):
    """What a request needs, `tags` and `region` it asks for, and what is drawn for it.

    `draw` is in [0, 1), the same for one request wherever it is asked. `session` names what stays together,
    empty for nothing.
    """

    tools: bool = False
    images: bool = False
    json_schema: bool = False
    input_tokens: int = 0
    tags: frozenset[str] = frozenset()
    region: str = ""
    draw: float = 0.0
    session: str = ""


def drawn(name: str) -> float:
    """A number in [0, 1) that depends on the name alone, and evenly."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=7).digest()) / (1 << 56)


def unmet(terms: Terms, traits: Traits) -> str | None:
    """Why a target on these terms is not for this request, in a word or two; None when it is."""
    for name in NEEDS:
        wanted = getattr(terms, name)
        if wanted is not None and wanted is not getattr(traits, name):
            return name
    size = traits.input_tokens
    if size < terms.min_input or (terms.max_input is not None and size > terms.max_input):
        return "input size"
    place = misplaced(terms, traits.tags, traits.region)
    if place is not None:
        return place
    return None if is_drawn(terms, traits.draw) else "canary"


def misplaced(terms: Terms, tags: frozenset[str], region: str) -> str | None:
    """Which of these a target on these terms does not have: tags or region; None when it has them all."""
    if not tags <= terms.tags:
        return "tags"
    return "region" if region and not is_within(terms.region, region) else None


def is_within(region: str, wider: str) -> bool:
    """Whether a region is this other one or a part of it, as eu-west-1 is of eu."""
    return region == wider or region.startswith(f"{wider}-")


def reaches(route: Route, tags: frozenset[str], region: str) -> bool:
    """Whether any target of a route has them."""
    return any(is_placed(one, tags, region) for one in route.targets)


def is_placed(target: RouteTarget, tags: frozenset[str], region: str) -> bool:
    """Whether a target has them."""
    return misplaced(target.terms or ANY, tags, region) is None


def is_drawn(terms: Terms, draw: float) -> bool:
    """Whether a canary's part holds this draw; anything else takes every draw."""
    return terms.canary is None or terms.canary[0] <= draw < terms.canary[1]


def is_canary(target: RouteTarget) -> bool:
    """Whether it takes a drawn share of the requests, and those before all others."""
    return target.terms is not None and target.terms.canary is not None


def shadows(route: Route, traits: Traits) -> Sequence[RouteTarget]:
    """The targets that get a copy of this request; each draws for itself."""
    return [
        one
        for one in route.shadows
        if one.terms is not None
        and unmet(one.terms, traits) is None
        and drawn(f"{traits.draw} {one.id}") < one.terms.shadow
    ]


def home(ranked: Sequence[Candidate], session: str, aim: Aim) -> Candidate | None:
    """Where a session belongs among candidates in the order of their policy; None when all are crowded.

    Rendezvous hashing by weight: each target draws for the session, the highest wins, and one that is missing
    moves only its own sessions. A target that is crowded or slow beside the policy's first choice is passed over
    (bounded loads, Mirrokni and others 2016).
    """
    open_calls = sum(one.health.in_flight for one in ranked) + 1
    most = max(FEW, CROWDED * open_calls / len(ranked))
    best = seconds(ranked[0].health, aim)
    fit = [
        one
        for one in ranked
        if one.health.in_flight < most
        and (not best or seconds(one.health, aim) <= PATIENCE * best + GRACE)
        and one.target.weight
    ]
    draws = {id(one): drawn(f"{session} {one.target.id}") ** (1.0 / one.target.weight) for one in fit}
    return max(fit, key=lambda one: draws[id(one)], default=None)
