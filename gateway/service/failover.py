"""The one loop that walks a plan until a target answers. It knows nothing of chat or video.

Theory of operation
-------------------
An *attempt* is one call to one target: it returns as soon as it has something the client may see (the whole
answer, or the first content of a stream) and raises `ProviderError` before that. What a failure means is
read from the table in `routing/outcomes.py`:

* is it a slip of a target that was well? Then the same target once more, since it is the one that the policy
  preferred, as long as a call is left for another one.
* may another target do better? Then the next of the plan, at once. After `context_length` only targets with
  a larger window are left.
* is there no other, and may the same target be asked again? Then once more, after a short random pause, or
  after the pause a 429 asked for when that is at most MAX_WAIT seconds. Not when its breaker is open: it is
  known to be down, was asked as a probe or because nobody else was left, and asking twice would double it all.
* otherwise the client gets the error.

Three bounds hold at once: the route's `attempts` per request, one deadline over all attempts, and a budget
of retries over all requests of a route, so that an outage is not multiplied. A failover to a target that is
well takes nothing from the budget: the request would have gone there at once, had one known. A target that
refused before it was called counts in none of the bounds. After a success the target's call stays open on
the board: whoever reads the answer to its end calls `board.end`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from msgspec import Struct

from gateway.clock import Clock
from gateway.config.snapshot import Route, RouteTarget
from gateway.errors import UpstreamFailed
from gateway.routing.outcomes import OUTCOMES, Effect, Outcome, is_slip
from gateway.routing.plan import Plan
from gateway.service.board import Board
from providers.errors import ErrorKind, ProviderError

MAX_WAIT = 2.0
"""The longest Retry-After, in seconds, that is waited for instead of being passed on."""
PAUSE = 0.2
"""Longest random pause, in seconds, before the only target is asked again."""

T = TypeVar("T")


class Walk(Struct, kw_only=True):
    """One request's way through its plan. `deadline` is monotonic seconds for all attempts together.

    `spent` counts the calls that the request made before this walk; they count among its attempts.
    `whole`: what an attempt returns is the whole answer and not the first content of a stream. `beside` are targets
    that an attempt called beside its own: they count among the route's attempts and are not asked again. `began` is
    when the call in hand went out; an attempt that was answered elsewhere than it was sent sets it, and `winner`.
    """

    route: Route
    plan: Plan
    deadline: float
    clock: Clock
    board: Board
    spent: int = 0
    whole: bool = False
    beside: Sequence[RouteTarget] = ()
    began: float = 0.0
    winner: RouteTarget | None = None


Attempt = Callable[[RouteTarget, str], Awaitable[T]]
"""One call to one target; the second argument is its kind: primary, retry or failover."""


async def first_answer(walk: Walk, attempt: Attempt[T]) -> T:
    """The result of the first attempt that succeeds. Raises UpstreamFailed with every cause met."""
    plan, board, route = walk.plan, walk.board, walk.route
    if not plan.order:
        raise UpstreamFailed([plan.cause or ProviderError(ErrorKind.UNAVAILABLE, "no target")])
    remaining = list(plan.order)
    causes: list[ProviderError] = []
    kind, retries = "primary", 0
    try:
        while True:
            target = remaining[0]
            walk.began = walk.clock.monotonic()
            board.start(target, walk.began)
            try:
                result = await attempt(target, kind)
            except ProviderError as error:
                board.fail(target, error, route.targets)
                board.end(target)
                causes.append(error.with_traceback(None))  # which would hold this frame, and so itself
            except BaseException:
                board.end(target)
                raise
            else:
                now = walk.clock.monotonic()
                board.answered(walk.winner or target, now, now - walk.began, whole=walk.whole)
                return result
            step = _next(walk, remaining, causes)
            if step is None:
                raise UpstreamFailed(causes) from causes[-1]
            kind, pause = step
            free = kind == "failover" and board.is_well(remaining[0])
            if causes[-1].sent and not free:  # a target that was never called cost nobody anything
                if not board.take_retry(route):
                    raise UpstreamFailed(causes) from causes[-1]
                retries += 1
            await asyncio.sleep(pause)
    finally:
        if retries:
            board.give_retry(route, retries)


def _next(
    walk: Walk, remaining: list[RouteTarget], causes: Sequence[ProviderError]
) -> tuple[str, float] | None:
    """Put the target to call next at the front of `remaining`; its kind of attempt, and the pause before it."""
    error = causes[-1]
    outcome = OUTCOMES[error.kind]
    made = walk.spent + len(walk.beside) + sum(cause.sent for cause in causes)
    left = walk.route.retries.attempts - made
    if left <= 0 or walk.clock.monotonic() >= walk.deadline:
        return None
    failed = remaining.pop(0)
    remaining[:] = [target for target in remaining if target not in walk.beside]
    slip = is_slip(error, walk.board.known[failed.id].failures) and (left > 1 or not remaining)
    if outcome.next and not slip:
        if outcome.larger_window:
            window = failed.context_window or 0
            remaining[:] = [target for target in remaining if (target.context_window or 0) > window]
        if remaining:
            return "failover", 0.0
    again = len(causes) > 1 and (outcome.effect is Effect.FAILURE or not error.sent)
    hopeless = again or (outcome.effect is Effect.FAILURE and walk.board.is_shut(failed))
    alone = outcome.again and not hopeless and len(walk.plan.order) == 1
    wait = _pause(walk, outcome, error)
    if wait is None or not (slip or alone):
        return None
    remaining.insert(0, failed)
    return "retry", wait


def _pause(walk: Walk, outcome: Outcome, error: ProviderError) -> float | None:
    """Seconds to wait before the same target is asked again; None when it is not worth waiting."""
    left = walk.deadline - walk.clock.monotonic()
    if outcome.effect is not Effect.REST:
        wait = walk.board.dice() * PAUSE
    elif error.retry_after is None:
        return None
    else:
        wait = error.retry_after
    return wait if wait <= min(MAX_WAIT, left) else None
