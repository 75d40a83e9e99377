"""One chat or embeddings request from admission to settlement, told in the order in which it happens.

Way down: `admit` (plan, reservation), `run` (attempts). Way back: `note` what a whole answer told, or `read`
and `broken` for a stream (which may go on elsewhere: `continuation.py`), then `settle`, exactly once.
"""

import asyncio
import re
from typing import cast

from msgspec import Raw, Struct, structs

from gateway.clock import Clock
from gateway.config.live import Live
from gateway.config.snapshot import Caller, Route, RouteTarget, Snapshot
from gateway.errors import GatewayError, LimitExceeded, UpstreamFailed
from gateway.limits.template import Costs
from gateway.lines import Lines
from gateway.routing import cost
from gateway.routing.health import patience
from gateway.routing.plan import REASONS, plan
from gateway.routing.policies import POLICIES
from gateway.service.admission import Admission, Grant
from gateway.service.board import Board
from gateway.service.books import Books
from gateway.service.continuation import Part, said_of, successors
from gateway.service.failover import Attempt as Attempts
from gateway.service.failover import Walk, first_answer
from gateway.service.hedge import HEDGE, Hedge, Purse
from gateway.service.holds import Holds
from gateway.service.outputs import Outputs
from gateway.service.pictures import Pictures
from gateway.service.shadows import Shadows
from gateway.service.stream import Reading
from gateway.service.weighing import ask_of, continued, reservation, weigh
from gateway.service.wish import Wish, built
from gateway.store.ledger import Entry
from gateway.telemetry.record import CONTINUATION, Attempt, Call
from gateway.transport.client import Answer, Upstream
from providers.errors import ErrorKind, ProviderError
from providers.types import ChatRequest, Completion, HttpRequest, HttpResponse, Usage

_FIELD = re.compile(r"[A-Za-z0-9_.\[\]-]{1,64}")
"""What a dropped parameter may be called to be named in a header: the name is the client's own text."""
_MOST_NAMES = 2000
NOTHING = Costs(requests=1)
"""What a request uses that no target answered."""
_ASCII = {word: word.encode() for word in (*POLICIES, *REASONS)}


class Parts(Struct, frozen=True, kw_only=True):
    """What the story needs of the rest of the gateway."""

    live: Live
    upstream: Upstream
    admission: Admission
    board: Board
    books: Books
    clock: Clock
    pictures: Pictures
    shadows: Shadows
    outputs: Outputs


class Story:
    """One request from admission to settlement."""

    __slots__ = (
        "_asked", "_attempt", "_call", "_caller", "_chosen", "_deadline", "_grant", "_holds", "_part", "_parts",
        "_plan", "_reserved", "_route", "_said", "_snapshot", "_usage", "_used", "_weighed", "_wish",
    )  # fmt: skip

    def __init__(self, parts: Parts, call: Call, caller: Caller, wish: Wish) -> None:
        self._parts = parts
        self._call = call
        self._caller = caller
        self._wish = wish
        self._snapshot: Snapshot = parts.live.current
        self._weighed = weigh(self._snapshot, caller, wish)
        self._route: Route = self._weighed.route
        self._grant: Grant | None = None
        self._holds: Holds | None = None
        self._chosen: RouteTarget | None = None
        self._attempt: Attempt | None = None
        self._usage: Usage | None = None
        self._said = None if self._route.on_cut == "error" else said_of(self._route, wish.request)
        self._used = self._part = NOTHING
        call.model, call.stream = self._route.model, wish.stream
        call.key_id, call.organisation = caller.id, caller.organisation

    # -- the way down

    async def admit(self) -> None:
        """Plan, then reserve in every limit of the key what the first target of the plan may cost."""
        call, parts = self._call, self._parts
        now = parts.clock.monotonic()
        self._asked = ask_of(self._weighed, call.request_id)
        made = self._plan = plan(self._route, self._asked, parts.board.known, now, parts.board.dice)
        costs = self._reserved = reservation(self._weighed, made, self._usual())
        try:
            grant = self._grant = await parts.admission.admit(
                self._caller, self._route.model, call.request_id, costs, now
            )
        except GatewayError as error:
            call.admission, call.admitted_at = "denied", parts.clock.monotonic()
            call.dimension = error.dimension if isinstance(error, LimitExceeded) else ""
            raise
        call.admission, call.backend = "allowed", grant.verdict.backend
        parts.board.enter(self._route)

    def _usual(self) -> int | None:
        """Output tokens that nearly all such answers stay below, where that matters."""
        if not self._caller.soft:
            return None
        return self._parts.outputs.p95(self._caller.id, self._route.model)

    async def run(self) -> Completion | Reading:
        """Attempt, by the plan, until a target answers."""
        parts, call, route, made = self._parts, self._call, self._route, self._plan
        wish, traits = self._wish, self._asked.traits
        if traits is not None and route.shadows:
            parts.shadows.send(route, traits, wish, call.request_id)
        now = call.admitted_at = call.routed_at = parts.clock.monotonic()
        call.policy, call.reason, call.candidates = made.policy, made.reason, len(made.order)
        call.skipped = made.skipped
        self._deadline = now + route.timeouts.total
        walk = Walk(
            route=route,
            plan=made,
            deadline=self._deadline,
            clock=parts.clock,
            board=parts.board,
            whole=not wish.stream,
        )
        attempt = self._hedged(walk) if route.hedge and wish.stream else self._try
        result: Completion | Reading = await first_answer(walk, attempt)
        if isinstance(result, Completion):
            usage = result.usage or self._estimated(cost.token_estimate(len(result.body)))
            self._note(usage, result.finish_reason, result.model, result.id)
        return result

    def _hedged(self, walk: Walk) -> Attempts[Completion | Reading]:
        """Attempts of which the first is raced by a second when it is late."""
        parts = self._parts
        purse = Purse(
            admission=parts.admission,
            books=parts.books,
            clock=parts.clock,
            weighed=self._weighed,
            call=self._call,
            usual=self._usual(),
            holds=self._held,
        )
        return Hedge(walk, self._try, purse, self._choose).attempt

    def _choose(self, target: RouteTarget, result: Completion | Reading) -> None:
        """Of several attempts that had content, take the one at this target."""
        attempts = self._call.attempts
        self._said = result.said if isinstance(result, Part) else self._said
        self._chosen = target
        self._attempt = self._call.chosen = next(one for one in reversed(attempts) if one.target == target.id)

    async def _try(self, target: RouteTarget, kind: str) -> Completion | Reading:
        """One call to one target, on the record."""
        call, clock = self._call, self._parts.clock
        attempt = Attempt(
            target=target.id,
            provider=target.target.provider,
            model=target.target.model,
            operation=self._wish.operation.name,
            number=len(call.attempts) + 1,
            kind=kind,
            started=clock.monotonic(),
            listed=self._route.model in self._snapshot.routes,
        )
        call.attempts += (attempt,)
        try:
            if kind in ("failover", CONTINUATION) or (target.quota is not None and kind != HEDGE):
                await self._hold(target)
            result = await self._ask(target, attempt)
        except ProviderError as error:
            if self._holds is not None and kind != HEDGE:
                await self._holds.leave(Costs(requests=int(error.sent)))
            attempt.error, attempt.ended = str(error.kind), clock.monotonic()
            attempt.status = attempt.status or error.status
            raise
        except asyncio.CancelledError:
            attempt.error, attempt.ended = "cancelled", clock.monotonic()
            raise
        self._chosen, self._attempt, call.chosen = target, attempt, attempt
        if self._said is not None and isinstance(result, Part):
            self._said = result.said
        return result

    def _held(self) -> Holds:
        if self._holds is None:
            self._holds = Holds(self._parts.admission, self._call.request_id, self._reserved)
        return self._holds

    async def _hold(self, target: RouteTarget) -> None:
        """Reserve what this target needs beyond what is held. Raises ProviderError if it is to be passed over."""
        await self._held().hold(self._weighed, target, self._usual(), self._parts.clock.monotonic())

    async def _ask(self, target: RouteTarget, attempt: Attempt) -> Completion | Reading:
        operation, wish, place = self._wish.operation, self._wish, target.target
        spoken = operation.dialects.get(place.dialect)
        if spoken is None:
            why = f"`{target.id}` cannot do {operation.name}: its dialect `{place.dialect}` has none."
            raise ProviderError(ErrorKind.UNSUPPORTED, why, param="model", sent=False)
        said = None if self._said is None else self._said.fresh()
        request = wish.request if said is None else said.request_for(target)
        if wish.output_tokens is None and self._caller.hard:  # what was reserved, the answer cannot pass
            cap = {"max_completion_tokens": Raw(b"%d" % target.default_cap)}
            request = structs.replace(request, body={**request.body, **cap})
        if spoken.media_urls is not None and isinstance(request, ChatRequest):
            request = await self._parts.pictures.attach(spoken.media_urls(request), request)
        http = built(wish, spoken, request, target)
        attempt.url = http.url
        answer = await self._send(http, target)
        try:
            attempt.status = answer.status
            attempt.dropped = http.dropped
            if answer.status < 300 and wish.stream and isinstance(request, ChatRequest) and spoken.stream:
                decoder = spoken.stream(request, place)
                if said is None:
                    reading = Reading(answer, decoder, request, target.timeouts)
                else:
                    reading = Part(answer, decoder, said, request, target)
                await reading.begin()
                attempt.first_content = self._parts.clock.monotonic()
                return reading
            response = HttpResponse(status=answer.status, headers=answer.headers, body=await answer.read())
        except BaseException:
            answer.close()
            raise
        if answer.status >= 300:
            raise spoken.error(response)
        return spoken.read(request, place, response)

    async def _send(self, http: HttpRequest, target: RouteTarget) -> Answer:
        now, timeouts, board = asyncio.get_running_loop().time(), target.timeouts, self._parts.board
        left = self._deadline - self._parts.clock.monotonic()
        if board.known[target.id].shut is not None and len(self._plan.order) > 1:
            left = min(left, patience(board.known[target.id], board.clock.monotonic()))
        if self._wish.stream:
            headers, wait = timeouts.headers, timeouts.first_token
        else:  # an answer that is not streamed sends its headers when it is finished
            headers = wait = timeouts.total
        wait = min(left, wait)
        return await self._parts.upstream.send(
            http, connect=timeouts.connect, headers=headers, deadline=now + wait
        )

    # -- the way back

    def read(self, reading: Reading) -> None:
        """Take over what a stream told until it ended or was left."""
        usage = reading.usage
        if usage is None:  # cut or left before the usage came: count what went out
            usage = self._estimated(reading.shown)
        self._note(usage, reading.finish_reason, reading.model, reading.id)

    def _estimated(self, output: int) -> Usage:
        return Usage(input=self._weighed.input_tokens, output=output)

    async def broken(self, reading: Reading, error: ProviderError) -> Reading:
        """A stream failed after content was passed on: too late for a failover that nobody sees.

        Gives the stream that goes on where this one broke, if the route wants one and a target can; the old
        one is closed and booked then. Raises UpstreamFailed otherwise.
        """
        said, attempt, chosen, route = self._said, self._attempt, self._chosen, self._route
        board, call = self._parts.board, self._call
        if attempt is not None and chosen is not None:
            attempt.error = str(error.kind)
            board.fail(chosen, error, route.targets)
            if said is not None and said.continuable and self._may_call():
                self.read(reading)
                said.cut(chosen, error, self._usage or Usage())
                reading.close()
                self._book(attempt, chosen)
                if self._holds is not None:
                    await self._holds.leave(self._part)
                self._weighed = continued(self._weighed, self._used, said.used.output)
                try:
                    return await self._go_on()
                except UpstreamFailed:
                    pass  # what the others said was about a request that is not the client's
        call.truncated = True
        raise UpstreamFailed([error.with_traceback(None)]) from error

    async def _go_on(self) -> Reading:
        parts, call, route, board = self._parts, self._call, self._route, self._parts.board
        made = plan(route, self._asked, board.known, parts.clock.monotonic(), board.dice)
        made = successors(route, made, (one.target for one in call.attempts if one.error != "cancelled"))
        walk = Walk(
            route=route,
            plan=made,
            deadline=self._deadline,
            clock=parts.clock,
            board=board,
            spent=len(call.attempts),
        )
        free = bool(made.order) and board.is_well(made.order[0])
        if not free and not board.take_retry(route):
            raise UpstreamFailed([ProviderError(ErrorKind.UNAVAILABLE, "no retry is left")])
        try:
            return await first_answer(walk, self._try_part)
        finally:
            if not free:
                board.give_retry(route, 1)

    def _may_call(self) -> bool:
        left = self._route.retries.attempts - len(self._call.attempts)
        return left > 0 and self._parts.clock.monotonic() < self._deadline

    async def _try_part(self, target: RouteTarget, _kind: str) -> Reading:
        """One call to a target that may go on; a refusal concerns what we added, so another may take it."""
        try:
            return cast("Reading", await self._try(target, CONTINUATION))
        except ProviderError as error:
            if error.kind is ErrorKind.INVALID_REQUEST:
                error.kind = ErrorKind.UNSUPPORTED
            raise

    def _note(self, usage: Usage, finish_reason: str | None, model: str, identity: str) -> None:
        attempt, chosen = self._attempt, self._chosen
        if attempt is None or chosen is None:
            return
        attempt.usage, attempt.finish_reason = usage, finish_reason
        attempt.response_model, attempt.response_id = model, identity
        attempt.cost = cost.bill(chosen.price, usage)
        self._usage = usage

    async def settle(self) -> None:
        """Book what was used, free the slot, write the ledger."""
        self._parts.board.leave(self._route)
        if self._attempt is not None and self._chosen is not None:
            self._book(self._attempt, self._chosen)
        if self._grant is not None:
            await self._parts.admission.settle(self._grant, self._used)
        if self._holds is not None:
            await self._holds.settle(self._part)

    def _book(self, attempt: Attempt, chosen: RouteTarget) -> None:
        """Close the call that gave the answer, or a part of it, and charge what it used."""
        parts, usage, before = self._parts, self._usage, self._used
        if usage is None:
            return
        self._chosen = self._usage = None
        ended = attempt.ended = parts.clock.monotonic()
        first = attempt.first_content
        began = attempt.started if first is None else first
        parts.board.end(chosen, ended, usage.output, ended - began, whole=first is None)
        name = self._wish.operation.name
        tokens, paid, now = usage.input + usage.output, attempt.cost or 0, parts.admission.now()
        part = self._part = self._used = Costs(tokens=tokens, nano_dollars=paid, at=now)
        if before is not NOTHING:
            self._used = structs.replace(
                part, tokens=before.tokens + tokens, nano_dollars=before.nano_dollars + paid
            )
        parts.books.enter(
            Entry(
                source=self._call.request_id,
                kind=name if before is NOTHING else f"{name}.{attempt.number}",
                caller=self._caller.id,
                organisation=self._caller.organisation,
                project=self._caller.project,
                user=self._caller.user,
                model=self._route.model,
                target=chosen.id,
                input_tokens=usage.input,
                output_tokens=usage.output,
                nano_dollars=attempt.cost,
                created_at=now,
            )
        )
        if self._caller.soft:
            parts.outputs.note(self._caller.id, self._route.model, usage.output)

    def headers(self) -> Lines:
        """What the client is told beside the answer."""
        made = self._grant.headers() if self._grant is not None else []
        call = self._call
        made += (b"x-fairlead-attempts: %d\r\n" % len(call.attempts),)
        if call.policy:
            why = (_ASCII[call.policy], _ASCII[call.reason], call.candidates)
            made += (b"x-fairlead-route: %b; reason=%b; candidates=%d\r\n" % why,)
        attempt = self._attempt
        if attempt is not None:
            made += (b"x-fairlead-target: %b\r\n" % attempt.target.encode(),)
            if attempt.cost is not None:
                made += (b"x-fairlead-cost-usd: %b\r\n" % cost.dollars(attempt.cost).encode(),)
        told = attempt or (call.attempts[-1] if call.attempts else None)
        if told is not None and told.dropped:
            names = ",".join(name for name in told.dropped if _FIELD.fullmatch(name))
            made += (b"x-fairlead-dropped-params: %b\r\n" % names[:_MOST_NAMES].encode(),)
        return made
