"""One chat or embeddings request from admission to settlement, told in the order in which it happens.

Way down: `admit` (plan, reservation), `run` (attempts). Way back: `note` what a whole answer told, or `read`
and `broken` for a stream, then `settle`, exactly once.
"""

import asyncio
import re
from collections.abc import Sequence
from typing import TypeAlias

from msgspec import Raw, Struct, structs

from gateway.clock import Clock
from gateway.config.live import Live
from gateway.config.snapshot import Caller, Route, RouteTarget, Snapshot, Timeouts
from gateway.errors import Forbidden, GatewayError, LimitExceeded, NotFound
from gateway.limits.template import Costs
from gateway.routing import cost
from gateway.routing.plan import Ask, plan
from gateway.service.admission import Admission, Grant
from gateway.service.board import Board
from gateway.service.books import Books
from gateway.service.failover import Walk, first_answer
from gateway.service.holds import Holds
from gateway.service.outputs import Outputs
from gateway.service.pictures import Pictures
from gateway.service.stream import Reading
from gateway.service.wish import Request, Spoken, Wish
from gateway.store.ledger import Entry
from gateway.telemetry.record import Attempt, Call
from gateway.transport.client import Answer, Upstream
from providers.errors import ErrorKind, ProviderError
from providers.types import ChatRequest, Completion, HttpRequest, HttpResponse, Usage

Headers: TypeAlias = list[tuple[bytes, bytes]]

_FIELD = re.compile(r"[A-Za-z0-9_.\[\]-]{1,64}")
"""What a dropped parameter may be called to be named in a header: the name is the client's own text."""
_MOST_NAMES = 2000


class Parts(Struct, frozen=True, kw_only=True):
    """What the story needs of the rest of the gateway."""

    live: Live
    upstream: Upstream
    admission: Admission
    board: Board
    books: Books
    clock: Clock
    pictures: Pictures
    outputs: Outputs


class Story:
    """One request from admission to settlement."""

    __slots__ = (
        "_attempt", "_call", "_caller", "_chosen", "_costs", "_deadline", "_dropped", "_grant", "_holds", "_input",
        "_parts", "_plan", "_reserved", "_route", "_snapshot", "_usage", "_wish",
    )  # fmt: skip

    def __init__(self, parts: Parts, call: Call, caller: Caller, wish: Wish) -> None:
        self._parts = parts
        self._call = call
        self._caller = caller
        self._wish = wish
        self._snapshot: Snapshot = parts.live.current
        self._route = _route(self._snapshot, caller, wish)
        self._grant: Grant | None = None
        self._holds: Holds | None = None
        self._chosen: RouteTarget | None = None
        self._attempt: Attempt | None = None
        self._dropped: Sequence[str] = ()
        self._usage: Usage | None = None
        call.model, call.stream = self._route.model, wish.stream
        call.key_id, call.organisation = caller.id, caller.organisation

    # -- the way down

    async def admit(self) -> None:
        """Plan, then reserve in every limit of the key what the first target of the plan may cost."""
        call, parts = self._call, self._parts
        now = parts.clock.monotonic()
        self._reserve(now)
        try:
            grant = self._grant = await parts.admission.admit(
                self._caller, self._route.model, call.request_id, self._reserved, now
            )
        except GatewayError as error:
            call.admission, call.admitted_at = "denied", parts.clock.monotonic()
            call.dimension = error.dimension if isinstance(error, LimitExceeded) else ""
            raise
        call.admission, call.backend = "allowed", grant.verdict.backend
        parts.board.enter(self._route)

    def _reserve(self, now: float) -> None:
        """Plan, and say what to reserve: the client's cap, or what each target gives out at most without one."""
        wish, route, caller, parts = self._wish, self._route, self._caller, self._parts
        tokens, output, choices = cost.token_estimate(wish.body_size), wish.output_tokens, wish.choices
        self._input = tokens
        self._costs = [
            cost.estimate(target.price, tokens, target.default_cap * choices if output is None else output)
            for target in route.targets
        ]
        budgeted = caller.hard or caller.soft
        ask = Ask(
            costs=self._costs,
            input_tokens=tokens,
            budgeted=budgeted,
            unknown_price_ok=self._snapshot.on_unknown_price == "allow",
        )
        made = self._plan = plan(route, ask, parts.board.known, now, parts.board.dice)
        if output is None:
            output = route.default_cap * choices
        worst = probably = (made.cost or 0) if budgeted else 0
        if caller.soft and made.order:
            worst, probably = self._cost(made.order[0])
        self._reserved = Costs(tokens=tokens + output, nano_dollars=worst, probably=probably)

    def _cost(self, target: RouteTarget) -> tuple[int, int]:
        """Nano-dollars that this request may cost there at most, and that it will probably cost."""
        worst = self._costs[self._route.targets.index(target)] or 0
        if not self._caller.soft:
            return worst, worst
        usual = self._parts.outputs.p95(self._caller.id, self._route.model)
        probably = None if usual is None else cost.estimate(target.price, self._input, usual)
        return worst, worst if probably is None else min(worst, probably)

    async def run(self) -> Completion | Reading:
        """Attempt, by the plan, until a target answers."""
        parts, call, route, made = self._parts, self._call, self._route, self._plan
        now = call.admitted_at = call.routed_at = parts.clock.monotonic()
        call.policy, call.candidates, call.skipped = made.policy, len(made.order), made.skipped
        self._deadline = now + route.timeouts.total
        walk = Walk(route=route, plan=made, deadline=self._deadline, clock=parts.clock, board=parts.board)
        result: Completion | Reading = await first_answer(walk, self._try)
        if isinstance(result, Completion):
            usage = result.usage or self._estimated(cost.token_estimate(len(result.body)))
            self._note(usage, result.finish_reason, result.model, result.id)
        return result

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
            if kind == "failover" or target.quota is not None:
                await self._hold(target)
            result = await self._ask(target, attempt)
        except ProviderError as error:
            if self._holds is not None:
                await self._holds.leave(Costs(requests=int(error.sent)))
            attempt.error, attempt.ended = str(error.kind), clock.monotonic()
            attempt.status = attempt.status or error.status
            raise
        except asyncio.CancelledError:
            attempt.error, attempt.ended = "cancelled", clock.monotonic()
            raise
        self._chosen, self._attempt, call.chosen = target, attempt, attempt
        return result

    async def _hold(self, target: RouteTarget) -> None:
        """Reserve what this target needs beyond what is held. Raises ProviderError if it is to be passed over."""
        parts, caller, held = self._parts, self._caller, self._reserved
        now = parts.clock.monotonic()
        holds = self._holds = self._holds or Holds(parts.admission, self._call.request_id)
        if caller.hard or caller.soft:
            worst, probably = self._cost(target)
            if worst > held.nano_dollars:
                more = Costs(
                    requests=0,
                    concurrent=0,
                    nano_dollars=worst - held.nano_dollars,
                    probably=max(0, probably - held.probably),
                )
                await holds.top_up(caller, target, self._route.model, more, now)
                self._reserved = structs.replace(held, nano_dollars=worst, probably=probably)
        if target.quota is not None:
            await holds.enter(target, target.quota, Costs(tokens=held.tokens), now)

    async def _ask(self, target: RouteTarget, attempt: Attempt) -> Completion | Reading:
        operation, wish, place = self._wish.operation, self._wish, target.target
        spoken = operation.dialects.get(place.dialect)
        if spoken is None:
            why = f"`{target.id}` cannot do {operation.name}: its dialect `{place.dialect}` has none."
            raise ProviderError(ErrorKind.UNSUPPORTED, why, param="model", sent=False)
        request = wish.request
        if wish.output_tokens is None and self._caller.hard:  # what was reserved, the answer cannot pass
            cap = {"max_completion_tokens": Raw(b"%d" % target.default_cap)}
            request = structs.replace(request, body={**request.body, **cap})
        if spoken.media_urls is not None and isinstance(request, ChatRequest):
            request = await self._parts.pictures.attach(spoken.media_urls(request), request)
        http = self._built(spoken, request, target)
        attempt.url = http.url
        answer = await self._send(http, target.timeouts)
        try:
            attempt.status = answer.status
            self._dropped = http.dropped
            if answer.status < 300 and wish.stream and isinstance(request, ChatRequest) and spoken.stream:
                reading = Reading(answer, spoken.stream(request, place), target.timeouts)
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

    def _built(self, spoken: Spoken, request: Request, target: RouteTarget) -> HttpRequest:
        """The call to make. What is refused here never reached the target."""
        try:
            http = spoken.build(request, target.target)
        except ProviderError as error:
            error.sent = False
            raise
        if http.dropped and self._wish.strict:
            raise ProviderError(
                ErrorKind.UNSUPPORTED,
                f"`{target.id}` cannot be told {', '.join(http.dropped)}, and x-fairlead-strict is set.",
                code="unsupported_parameter",
                param=http.dropped[0],
                sent=False,
            )
        return http

    async def _send(self, http: HttpRequest, timeouts: Timeouts) -> Answer:
        now = asyncio.get_running_loop().time()
        left = self._deadline - self._parts.clock.monotonic()
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
        return Usage(input=self._input, output=output)

    def broken(self, error: ProviderError) -> None:
        """A stream failed after content was passed on: too late for another target."""
        self._call.truncated = True
        if self._attempt is not None and self._chosen is not None:
            self._attempt.error = str(error.kind)
            self._parts.board.fail(self._chosen, error, self._route.targets)

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
        parts, attempt, usage = self._parts, self._attempt, self._usage
        parts.board.leave(self._route)
        if attempt is None or self._chosen is None or usage is None:
            used = Costs(requests=1)
        else:
            parts.board.end(self._chosen)
            attempt.ended = parts.clock.monotonic()
            used = Costs(requests=1, tokens=usage.input + usage.output, nano_dollars=attempt.cost or 0)
            parts.books.enter(
                Entry(
                    source=self._call.request_id,
                    kind=self._wish.operation.name,
                    caller=self._caller.id,
                    organisation=self._caller.organisation,
                    project=self._caller.project,
                    user=self._caller.user,
                    model=self._route.model,
                    target=self._chosen.id,
                    input_tokens=usage.input,
                    output_tokens=usage.output,
                    nano_dollars=attempt.cost,
                    created_at=parts.admission.now(),
                )
            )
            if self._caller.soft:
                parts.outputs.note(self._caller.id, self._route.model, usage.output)
        if self._grant is not None:
            await parts.admission.settle(self._grant, used)
        if self._holds is not None:
            await self._holds.settle(used)

    def headers(self) -> Headers:
        """What the client is told beside the answer."""
        made = self._grant.headers() if self._grant is not None else []
        made += ((b"x-fairlead-attempts", b"%d" % len(self._call.attempts)),)
        attempt = self._attempt
        if attempt is not None:
            made += ((b"x-fairlead-target", attempt.target.encode()),)
            if attempt.cost is not None:
                made += ((b"x-fairlead-cost-usd", cost.dollars(attempt.cost).encode()),)
        if self._dropped:
            names = ",".join(name for name in self._dropped if _FIELD.fullmatch(name))
            made += ((b"x-fairlead-dropped-params", names[:_MOST_NAMES].encode()),)
        return made


def _route(snapshot: Snapshot, caller: Caller, wish: Wish) -> Route:
    model = wish.request.model
    route = snapshot.resolve(model, wish.operation.kind)
    if route is None:
        raise NotFound(
            f"The model `{model}` does not exist. GET /v1/models lists what this key can use.",
            code="model_not_found",
            param="model",
        )
    if not caller.may_use(model):
        raise Forbidden(f"This key may not use the model `{model}`.", param="model")
    return route
