"""Asks a second target when the first is later than it nearly always is. Streams only, before their first content.

Theory of operation
-------------------
A hedge starts when the first target has been silent for longer than 95 of 100 of its first contents took
(`Health.late`), if three purses allow it: the route's, which gains SHARE of a call with every request and so
bounds the extra load; the limits, in which the second call is reserved like the first, the key's and those of its
target; and the route's `attempts`, among which it counts. Whoever gives content first is the answer. The other is
cancelled, and what it is taken to have cost, its input, is booked: to its target, to the key in its limits and, as
`hedge`, in the ledger. Where a broken text is continued, each call has words of its own (`Said.fresh`), and a target
that was only outrun may be asked to go on.

A first that fails while its hedge runs leaves the hedge to answer; a hedge that fails leaves the first. Only
when both fail does failover hear of it, as a failure of the first. The loop in `failover.py` keeps the board for
the first target; what concerns the second, or a first that lost, is told here.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple, TypeAlias

from msgspec import Struct

from gateway.clock import Clock
from gateway.config.snapshot import RouteTarget
from gateway.errors import GatewayError
from gateway.limits.template import Costs
from gateway.limits.unsettled import HEDGE_LEASE
from gateway.routing import cost
from gateway.routing.health import TELLING_SAMPLES
from gateway.service.admission import Admission, Grant
from gateway.service.books import Books
from gateway.service.failover import Walk
from gateway.service.holds import Holds
from gateway.service.weighing import Weighed, may_cost
from gateway.store.ledger import Entry
from gateway.telemetry.record import Call
from providers.errors import ProviderError
from providers.types import Usage

Try: TypeAlias = Callable[[RouteTarget, str], Coroutine[Any, Any, Any]]
"""One call to one target, of a kind; gives something with `close`."""


HEDGE = "hedge"
"""The kind of the second attempt."""
_NOTHING = Costs(requests=0, concurrent=0)


class Purse(Struct, kw_only=True):
    """What a hedge is paid from. `usual` are the output tokens such an answer has, as in `weighing.reservation`.

    `grant` is what the key holds for the second call, `quota` what its target does; `holds` gives what the
    request holds otherwise.
    """

    admission: Admission
    books: Books
    clock: Clock
    weighed: Weighed
    call: Call
    holds: Callable[[], Holds]
    usual: int | None = None
    grant: Grant | None = None
    quota: Grant | None = None

    async def take(self, target: RouteTarget) -> bool:
        """Reserve a call to this target in the key's limits and its own; false when they do not allow it."""
        weighed = self.weighed
        worst, probably = may_cost(weighed, target, self.usual)
        tokens = weighed.input_tokens + weighed.output_tokens
        reserved = Costs(requests=0, tokens=tokens, nano_dollars=worst, probably=probably, concurrent=0)
        lease, now = f"{self.call.request_id}{HEDGE_LEASE}", self.clock.monotonic()
        try:
            if target.quota is not None:
                self.quota = await self.admission.admit(
                    target.quota, "", f"{lease}.quota", Costs(tokens=tokens), now
                )
            self.grant = await self.admission.admit(weighed.caller, weighed.route.model, lease, reserved, now)
        except GatewayError:  # no room for two, which is no reason to refuse the one that runs
            if self.quota is not None:
                await self.admission.settle(self.quota, _NOTHING)
            return False
        return True

    async def give_back(self, used: Costs, *, second_won: bool) -> None:
        """Book what the call that lost is taken to have used."""
        if self.grant is not None:
            await self.admission.settle(self.grant, used)
        lost = Costs(tokens=used.tokens)
        if second_won:
            await self.holds().swap(self.quota, lost)
        elif self.quota is not None:
            await self.admission.settle(self.quota, lost)

    def book(self, loser: RouteTarget) -> Costs:
        """Enter what a call that lost cost: its input, since nobody tells what it wrote."""
        weighed = self.weighed
        attempt = next(one for one in reversed(self.call.attempts) if one.target == loser.id)
        attempt.cost = cost.bill(loser.price, Usage(input=weighed.input_tokens, output=0))
        now = self.admission.now()
        self.books.enter(
            Entry(
                source=self.call.request_id,
                kind=HEDGE,
                caller=weighed.caller.id,
                organisation=weighed.caller.organisation,
                project=weighed.caller.project,
                user=weighed.caller.user,
                model=weighed.route.model,
                target=loser.id,
                input_tokens=weighed.input_tokens,
                nano_dollars=attempt.cost,
                created_at=now,
            )
        )
        return Costs(
            requests=0,
            tokens=weighed.input_tokens,
            nano_dollars=attempt.cost or 0,
            concurrent=0,
            at=now,
        )


class Runner(NamedTuple):
    """One of two calls. `began` is monotonic seconds."""

    task: asyncio.Task[Any]
    target: RouteTarget
    began: float


class Hedge:
    """The attempts of one request. `choose` is told whose answer was taken after a race."""

    def __init__(
        self, walk: Walk, attempt: Try, purse: Purse, choose: Callable[[RouteTarget, Any], None]
    ) -> None:
        self._walk = walk
        self._try = attempt
        self._purse = purse
        self._choose = choose

    async def attempt(self, target: RouteTarget, kind: str) -> Any:
        """One attempt, the first one with a hedge when it is late."""
        walk = self._walk
        if kind != "primary" or len(walk.plan.order) < 2:
            return await self._try(target, kind)
        walk.board.save_for_hedge(walk.route)
        seen = walk.board.known[target.id]
        if seen.late is None or seen.samples < TELLING_SAMPLES:
            return await self._try(target, kind)
        first = Runner(asyncio.create_task(self._try(target, kind)), target, walk.began)
        try:
            await asyncio.wait((first.task,), timeout=seen.late)
            other = walk.plan.order[1]
            if first.task.done() or not await self._may_call(other):
                return await first.task
            return await self._race(first, other)
        finally:
            await _ended((first,))

    async def _may_call(self, other: RouteTarget) -> bool:
        walk = self._walk
        if walk.route.retries.attempts < 2 or not walk.board.take_hedge(walk.route):
            return False
        return await self._purse.take(other)

    async def _race(self, first: Runner, other: RouteTarget) -> Any:
        walk = self._walk
        walk.beside = (other,)
        now = walk.clock.monotonic()
        walk.board.start(other, now)
        second = Runner(asyncio.create_task(self._try(other, HEDGE)), other, now)
        winner: Runner | None = None
        try:
            winner = await _first_good((first, second))
        finally:
            await _ended((first, second))
            loser = first if winner is second else second
            used = self._left(loser, raced=winner is not None)
            await self._purse.give_back(used, second_won=winner is second)
        if winner is None:
            return first.task.result()  # raises: what that means is failover's to decide
        if winner is second:
            walk.winner, walk.began = other, second.began
        self._choose(winner.target, winner.task.result())
        return winner.task.result()

    def _left(self, loser: Runner, *, raced: bool) -> Costs:
        """Tell the board how a call ended that gave no answer; what it is booked with.

        One that failed is not billed, nor is one that ends because the client is gone.
        """
        board, error = self._walk.board, _failure(loser.task)
        if error is not None:
            board.fail(loser.target, error)
        elif raced:
            now = self._walk.clock.monotonic()
            board.outrun(loser.target, now, now - loser.began)
        board.end(loser.target)
        if error is not None or not raced:
            return _NOTHING
        if not loser.task.cancelled():
            loser.task.result().close()
        return self._purse.book(loser.target)


async def _first_good(runners: tuple[Runner, Runner]) -> Runner | None:
    """The first to give content; None when both failed. Raises what is no failure of a provider."""
    waiting = {runner.task for runner in runners}
    while waiting:
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for runner in runners:
            if runner.task in done and _failure(runner.task) is None:
                runner.task.result()
                return runner
    return None


def _failure(task: asyncio.Task[Any]) -> ProviderError | None:
    error = None if task.cancelled() else task.exception()
    return error if isinstance(error, ProviderError) else None


async def _ended(runners: tuple[Runner, ...]) -> None:
    """Cancel the calls that still run and wait until they have let go, which needs no network."""
    for runner in runners:
        runner.task.cancel()
    await asyncio.wait([runner.task for runner in runners])
