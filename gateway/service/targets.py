"""What this process knows of every target, for operators: health and its reason, speed, load, what it is for."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from gateway.config.snapshot import Route, RouteTarget, Snapshot, Terms
from gateway.routing import health
from gateway.routing.health import NEW, Health
from gateway.service.board import Board

_ORDER = ("open", "throttled", "half_open", "closed")


class TargetRow(Struct, frozen=True, kw_only=True):
    """One target. `models` are the routes it serves, none for one that a client named as `provider/model`.

    `state` is closed, open, half_open or throttled; `reason` the kind of error it is or was last shut for.
    `learnt`: another process found that out.
    `failures` of `failures_to_open` in a row; `openings` in a row; `probing`: a probe is out. Times are seconds:
    `shut_seconds` until it may be called, `rest_seconds` of a rest as configured. What was never measured is None.
    """

    target: str
    models: Sequence[str]
    state: str
    reason: str | None
    learnt: bool
    shut_seconds: float
    failures: int
    failures_to_open: int | None
    openings: int
    rest_seconds: float | None
    probing: bool
    in_flight: int
    first_token_seconds: float | None
    tokens_per_second: float | None
    context_window: int | None
    max_output: int | None
    terms: Mapping[str, Any]


def target_rows(snapshot: Snapshot, board: Board) -> list[TargetRow]:
    """Every target of the configuration and every other one that was called, what is in trouble first."""
    now = board.clock.monotonic()
    places: dict[str, list[tuple[Route, RouteTarget]]] = {name: [] for name in board.known}
    for route, target in _configured(snapshot.routes.values()):
        places.setdefault(target.id, []).append((route, target))
    rows = [_row(name, found, board.known.get(name, NEW), now) for name, found in places.items()]
    return sorted(rows, key=lambda row: (_ORDER.index(row.state), row.target))


def route_rows(snapshot: Snapshot, board: Board) -> list[dict[str, Any]]:
    """How busy each route is, and how much of its budget for retries is in use."""
    return [
        {"model": name, "policy": route.policy, "attempts": route.retries.attempts, **board.load(route)}
        for name, route in snapshot.routes.items()
    ]


def _configured(routes: Iterable[Route]) -> Iterator[tuple[Route, RouteTarget]]:
    for route in routes:
        for target in (*route.targets, *route.shadows):
            yield route, target


def _row(name: str, found: Sequence[tuple[Route, RouteTarget]], seen: Health, now: float) -> TargetRow:
    target = found[0][1] if found else None
    return TargetRow(
        target=name,
        models=list(dict.fromkeys(route.model for route, _ in found)),
        state=health.state(seen, now),
        reason=str(seen.shut) if seen.shut else None,
        learnt=seen.heard,
        shut_seconds=max(0.0, seen.shut_until - now) if seen.shut else 0.0,
        failures=seen.failures,
        failures_to_open=target.health.failures if target else None,
        openings=seen.openings,
        rest_seconds=target.health.rest if target else None,
        probing=bool(seen.shut) and now < seen.probe_until,
        in_flight=seen.in_flight,
        first_token_seconds=seen.latency,
        tokens_per_second=seen.speed,
        context_window=target.context_window if target else None,
        max_output=target.max_output if target else None,
        terms=_told(target.terms) if target and target.terms else {},
    )


def _told(terms: Terms) -> dict[str, Any]:
    """The terms that say something."""
    plain = msgspec.to_builtins(Terms())
    return {name: value for name, value in msgspec.to_builtins(terms).items() if value != plain[name]}
