"""Tells what would become of a request: who would be asked, in which order and why. Asks nobody, holds nothing.

The plan is the one that `routing/plan.py` makes for a real request, and the calls are built as for a real one.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from gateway.clock import ulid
from gateway.config.snapshot import NANO, Caller, Route, RouteTarget, Snapshot
from gateway.limits.template import Costs
from gateway.routing import explain, terms, video
from gateway.routing.outcomes import OUTCOMES
from gateway.routing.plan import Ask, plan
from gateway.service.access import allowed_route
from gateway.service.admission import Room
from gateway.service.board import Board
from gateway.service.limit_rows import MEASURES
from gateway.service.video_request import Wish as VideoWish
from gateway.service.video_request import wanted
from gateway.service.video_routes import complete, drawn_for
from gateway.service.weighing import Weighed, ask_of, reservation
from gateway.service.wish import Wish, built
from providers.errors import ProviderError
from providers.types import ChatRequest

_OURS = frozenset(("model", "stream", "stream_options"))
"""Fields that every call sets anew: no change worth telling."""


class Row(Struct, kw_only=True, omit_defaults=True):
    """One candidate. `rank` is its place in the order of asking, left out with `why_not`.

    `dropped` and `changed` name fields that it would not be told, or told otherwise; `refused` is what it, or
    rather its dialect, has against the request.
    """

    target: str
    rank: int | None = None
    why_not: str | None = None
    cost_usd: float | None = None
    expected_seconds: float | None = None
    first_token_seconds: float | None = None
    tokens_per_second: float | None = None
    in_flight: int | None = None
    state: str | None = None
    shut_seconds: float | None = None
    dropped: Sequence[str] = ()
    changed: Sequence[str] = ()
    refused: str | None = None
    breaks_off: bool = False
    """A refusal after which no other target is asked."""


class Explanation(Struct, kw_only=True):
    """What would become of a request. `picked` is None when nobody would answer; `why` says it in words.

    `costs` is what would be reserved for it.
    """

    model: str
    kind: str
    policy: str
    picked: str | None
    why: str
    candidates: Sequence[Row]
    request: Mapping[str, Any]
    shadows: Sequence[str] = ()
    costs: Costs


def of_request(weighed: Weighed, request_id: str, board: Board) -> Explanation:
    """Of a chat or embeddings request."""
    now = board.clock.monotonic()
    route = weighed.route
    ask = ask_of(weighed, request_id)
    made = plan(route, ask, board.known, now, board.dice)
    targets = {target.id: target for target in route.targets}
    rows = []
    for one in explain.standings(route, ask, made, board.known, now):
        row = Row(
            target=one.target,
            rank=one.rank,
            why_not=one.why_not,
            cost_usd=_usd(one.cost),
            expected_seconds=one.expected_seconds,
            first_token_seconds=one.health.latency,
            tokens_per_second=one.health.speed,
            in_flight=one.health.in_flight,
            state=one.state,
            shut_seconds=one.shut_seconds or None,
        )
        _tell_effects(row, weighed.wish, targets[one.target])
        rows.append(row)
    picked = _picked(rows)
    return Explanation(
        model=route.model,
        kind=route.kind,
        policy=route.policy,
        picked=picked,
        why=str(made.cause) if made.cause else _why(explain.why(made), picked, rows),
        candidates=rows,
        request=_told(ask),
        shadows=[one.id for one in terms.shadows(route, ask.traits)] if ask.traits else (),
        costs=reservation(weighed, made, None),
    )


def of_video(snapshot: Snapshot, caller: Caller, wish: VideoWish, board: Board) -> Explanation:
    """Of a video request. Raises what the request itself would be refused with."""
    route = allowed_route(snapshot, caller, wish.ask.model, "video")
    now = board.clock.now()
    want = wanted(complete(snapshot, route, caller, drawn_for(route, wish.ask, ulid(now)), now), now)
    order = video.order(route, want, board.dice)
    left_out = [target for target in route.targets if target not in order]
    rows = [
        Row(
            target=one.id,
            rank=rank or None,
            why_not=video.unfit(one, want),
            cost_usd=_usd(video.cost(video.rate(one, want), want.seconds)),
        )
        for rank, one in [*enumerate(order, 1), *((0, one) for one in left_out)]
    ]
    return Explanation(
        model=route.model,
        kind=route.kind,
        policy=route.policy,
        picked=order[0].id,
        why=_why_video(route, order),
        candidates=rows,
        request={
            "seconds": want.seconds,
            "size": want.size,
            "inputs": list(want.inputs),
            "tags": sorted(want.tags),
            "region": want.region,
        },
        costs=Costs(
            concurrent=0,
            nano_dollars=video.dearest(order, want) or 0,
            video_ms=round(want.seconds * 1000),
        ),
    )


def _why_video(route: Route, order: Sequence[RouteTarget]) -> str:
    if len(order) == 1:
        return explain.OTHERWISE["only"]
    return explain.OTHERWISE["canary"] if terms.is_canary(order[0]) else explain.BY_POLICY[route.policy]


def body(told: Explanation, rooms: Iterable[Room] = ()) -> dict[str, Any]:
    """The explanation as the API shows it, with what is left in the key's limits."""
    shown: dict[str, Any] = {"object": "route.explanation", **msgspec.to_builtins(told)}
    del shown["costs"]
    shown["limits"] = [_limit(room) for room in rooms]
    return shown


def _limit(room: Room) -> dict[str, Any]:
    one = room.dimension
    scale = MEASURES.get(one.name, 1)
    return {
        "limit": one.name,
        "per": one.per,
        "of": one.limit / scale,
        "left": max(0, room.left) / scale,
        "needed": one.cost / scale,
        "enough": room.left >= one.cost,
        "reset_seconds": room.reset,
    }


def _usd(nano: int | None) -> float | None:
    return None if nano is None else nano / NANO


def _picked(rows: Iterable[Row]) -> str | None:
    """The first that would be asked: one that refuses beforehand is passed over, unless nobody else may do better."""
    for row in rows:
        if row.rank is None or row.breaks_off:
            return None
        if row.refused is None:
            return row.target
    return None


def _why(of_first: str, picked: str | None, rows: Sequence[Row]) -> str:
    if picked is None:
        return next(row.refused for row in rows if row.refused) or of_first
    return of_first if picked == rows[0].target else "the next after those that refuse the request"


def _tell_effects(row: Row, wish: Wish, target: RouteTarget) -> None:
    spoken = wish.operation.dialects.get(target.target.dialect)
    request = wish.request
    if spoken is None:
        row.refused = f"its dialect `{target.target.dialect}` cannot do {wish.operation.name}"
        return
    if spoken.media_urls is not None and isinstance(request, ChatRequest) and spoken.media_urls(request):
        return  # the call cannot be built before the pictures are fetched
    try:
        http = built(wish, spoken, request, target)
    except ProviderError as error:
        row.refused, row.breaks_off = str(error), not OUTCOMES[error.kind].next
        return
    row.dropped = list(http.dropped)
    if target.target.dialect == "openai":
        row.changed = _changed(request.body, msgspec.json.decode(http.body), http.dropped)


def _changed(said: Mapping[str, msgspec.Raw], sent: Mapping[str, Any], dropped: Sequence[str]) -> list[str]:
    """Top-level fields that are sent otherwise than they were said, or under a name that was not said."""
    given = {name: msgspec.json.decode(value) for name, value in said.items()}
    names = (given.keys() | sent.keys()) - _OURS - set(dropped)
    missing = object()
    return sorted(name for name in names if given.get(name, missing) != sent.get(name, missing))


def _told(ask: Ask) -> dict[str, Any]:
    told: dict[str, Any] = {"input_tokens": ask.input_tokens, "output_tokens": ask.output_tokens}
    if ask.traits is not None:
        traits = ask.traits
        told |= {name: getattr(traits, name) for name in terms.NEEDS}
        told |= {"tags": sorted(traits.tags), "region": traits.region, "session": bool(traits.session)}
    return told
