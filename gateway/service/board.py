"""What this process knows of its targets: health by target id, and how much of the load is retries.

Holds state; every change is a pure reducer of `routing/health.py`.
"""

import math
from collections.abc import Callable, Iterable
from random import random

from gateway.clock import SYSTEM, Clock
from gateway.config.snapshot import Route, RouteTarget
from gateway.routing import health
from gateway.routing.health import Health, Rest
from gateway.routing.outcomes import OUTCOMES, Effect
from providers.errors import ErrorKind, ProviderError

MOST_TARGETS = 5000
"""Targets remembered; clients can name as many as they like by `provider/model`."""
_MENDABLE = frozenset((ErrorKind.AUTHENTICATION, ErrorKind.QUOTA, ErrorKind.NOT_FOUND))
HEDGE_EVERY = 20
"""Requests of a route that pay for one hedge: 5 % more load at most."""
SAVED_HEDGES = 5
"""Hedges that quiet times may save up."""
SPARE_RETRIES = 3
"""Retries that may run at once however small the load is; beyond that a route's budget counts."""


class Board:
    """Health of every target this process has called, and the running calls of every route."""

    def __init__(self, clock: Clock = SYSTEM, dice: Callable[[], float] = random) -> None:
        self.clock = clock
        self.dice = dice
        self.known: dict[str, Health] = {}
        self._active: dict[str, int] = {}
        self._retrying: dict[str, int] = {}
        self._saved: dict[str, int] = {}

    def enter(self, route: Route) -> None:
        """A request begins on this route."""
        self._active[route.model] = self._active.get(route.model, 0) + 1

    def leave(self, route: Route) -> None:
        """A request that entered is over."""
        left = self._active[route.model] - 1
        if left:
            self._active[route.model] = left
        else:
            del self._active[route.model]

    def load(self, route: Route) -> dict[str, int]:
        """How many requests run on a route, how many of them are retries, and how many retries may."""
        running = self._active.get(route.model, 0)
        return {
            "running": running,
            "retrying": self._retrying.get(route.model, 0),
            "retries_allowed": self._most_retries(route),
        }

    def _most_retries(self, route: Route) -> int:
        return max(SPARE_RETRIES, math.ceil(route.retries.budget * self._active.get(route.model, 0)))

    def reconsider(self) -> None:
        """The configuration changed: what was shut for a credential or a model's name may be right now."""
        for name, seen in self.known.items():
            if seen.shut in _MENDABLE:
                self.known[name] = health.mended(seen)

    def to_tell(self) -> list[tuple[Rest, float]]:
        """What was shut here and is still, each with the moment until when."""
        now = self.clock.monotonic()
        rests = [(health.to_tell(name, seen, now), seen.shut_until) for name, seen in self.known.items()]
        return [(rest, until) for rest, until in rests if rest is not None]

    def hear(self, rest: Rest) -> None:
        """Another process shut a target."""
        seen = self.known.get(rest.target)
        if seen is not None or len(self.known) < MOST_TARGETS:
            self.known[rest.target] = health.told(seen or health.NEW, rest, self.clock.monotonic())

    def unhear(self, target: str) -> None:
        """What another process said of a target is taken back."""
        if target in self.known:
            self.known[target] = health.untold(self.known[target], self.clock.monotonic())

    def take_retry(self, route: Route) -> bool:
        """Ask for leave to call once more for one request; `give_retry` must follow when granted."""
        running = self._retrying.get(route.model, 0)
        if running >= self._most_retries(route):
            return False
        self._retrying[route.model] = running + 1
        return True

    def give_retry(self, route: Route, count: int) -> None:
        """`count` retries are over."""
        self._retrying[route.model] -= count

    def is_well(self, target: RouteTarget) -> bool:
        """Whether nothing has gone wrong with this target since its last success."""
        seen = self.known.get(target.id, health.NEW)
        return seen.shut is None and not seen.failures

    def is_shut(self, target: RouteTarget) -> bool:
        """Whether this target is not to be called now."""
        seen = self.known.get(target.id, health.NEW)
        return not health.is_open_to(seen, self.clock.monotonic())

    def save_for_hedge(self, route: Route) -> None:
        """A request came that may have to be hedged: it pays its part."""
        saved = self._saved.get(route.model, 0)
        self._saved[route.model] = min(saved + 1, HEDGE_EVERY * SAVED_HEDGES)

    def take_hedge(self, route: Route) -> bool:
        """Ask for leave to hedge one request."""
        saved = self._saved.get(route.model, 0)
        if saved < HEDGE_EVERY:
            return False
        self._saved[route.model] = saved - HEDGE_EVERY
        return True

    def outrun(self, target: RouteTarget, now: float, seconds: float) -> None:
        """A call was given up after `seconds`, because another one had its content first."""
        self.known[target.id] = health.outrun(self.known[target.id], now, seconds)

    def start(self, target: RouteTarget, now: float) -> None:
        """A call goes out; `end` must follow."""
        known = self.known
        if target.id not in known:
            if len(known) >= MOST_TARGETS:
                self._forget_idle()
            known[target.id] = health.NEW
        known[target.id] = health.started(known[target.id], now)

    def _forget_idle(self) -> None:
        for name in [name for name, seen in self.known.items() if not seen.in_flight]:
            del self.known[name]

    def answered(self, target: RouteTarget, now: float, seconds: float, *, whole: bool = False) -> None:
        """The first content, or the `whole` answer, came after `seconds`."""
        known = self.known
        known[target.id] = health.answered(known[target.id], now, seconds, whole=whole)

    def end(
        self,
        target: RouteTarget,
        now: float = 0.0,
        tokens: int = 0,
        seconds: float = 0.0,
        *,
        whole: bool = False,
    ) -> None:
        """A call that was started is over; the rest is what it told of speed (see `health.ended`)."""
        known = self.known
        known[target.id] = health.ended(known[target.id], now, tokens, seconds, whole=whole)

    def fail(self, target: RouteTarget, error: ProviderError, peers: Iterable[RouteTarget] = ()) -> None:
        """A call failed. An error about our credential also shuts the peers that use the same one."""
        now, dice = self.clock.monotonic(), self.dice()
        hit = [target]
        if OUTCOMES[error.kind].effect is Effect.CREDENTIAL_OUT:
            hit += [peer for peer in peers if peer.target.provider == target.target.provider]
        for one in hit:
            seen = self.known.get(one.id, health.NEW)
            self.known[one.id] = health.failed(seen, error, one.health, now, dice)
