"""What a limit is, as values. Pure: no clock, no store.

A request takes a *lease* on every dimension it counts in, all or none, before it starts, and settles the
lease with what was really used. Three kinds of dimension:

* `window`: a sliding window cut into `buckets` and counted over one bucket more, so that *no* trailing
  window ever holds more than the limit; at most 1/buckets of it goes unused.
* `concurrent`: leases that are open now; one that is not renewed for its `window` ends by itself.
* `budget`: money in a calendar period; `spent` and `held` are kept apart, and a budget the store has never
  heard of must be seeded from the ledger before anything is admitted. It counts from the moment it is first
  heard of (`Verdict.before`), the ledger up to then: so nothing is counted twice, and nothing falls between.

Amounts are whole numbers: requests, tokens, milliseconds of video, nano-dollars.

What a request counts in is made of a caller's limits in `template.py`.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from gateway.errors import GatewayError, InvalidRequest, LimitExceeded
from gateway.limits import words
from gateway.lines import Lines, texts

WINDOW = "window"
CONCURRENT = "concurrent"
BUDGET = "budget"

LEASE_SECONDS = 60.0
"""How long a lease lives without renewal: what a killed process holds is free again after this."""

RECORD_SECONDS = 86_400.0
"""How long what a lease reserved is remembered, so that another process can settle it."""

SETTLED_SECONDS = 120.0
"""How long a settled lease is remembered, so that settling it again does nothing."""


class Dimension(Struct, frozen=True, kw_only=True):
    """One thing a request counts in. `key` names the counter, `cost` is what the request reserves.

    `name` is the word of the routing file (requests, tokens, ...). `window` is in seconds: for a budget until
    the period ends, for retry advice; for `concurrent` how long a lease lives that nobody renews. `scope` is
    who shares the counter. `since` is when a budget's period began, in Unix seconds: what the ledger is summed
    from to seed it. `per` is the word the window was written with, empty for `concurrent`, whose cost is one.
    A cost of zero is never refused. A `soft` budget holds what the request will probably cost.
    `on_store_error` is how to go on while the store is away: local, open, closed, or empty for the usual way.
    """

    name: str
    kind: str
    key: str
    limit: int
    cost: int
    window: float = 0.0
    buckets: int = 1
    scope: str = "key"
    since: float = 0.0
    per: str = ""
    soft: bool = False
    on_store_error: str = ""


class Verdict(Struct, frozen=True, kw_only=True):
    """A limiter's answer.

    `remaining` and `reset` (seconds until the dimension is whole again) stand in the order of the asked
    dimensions. On a refusal `denied` is the index of the first dimension in the way and `retry_after` the
    seconds until asking again can succeed, None when it never can. `seed` is the index of a budget that
    must be seeded first, with what the ledger has from `before` that date, in Unix seconds. `backend` says who
    decided: redis, local, or open.
    """

    allowed: bool
    remaining: Sequence[int] = ()
    reset: Sequence[float] = ()
    denied: int | None = None
    retry_after: float | None = None
    seed: int | None = None
    before: float = math.inf
    backend: str = "local"


class Limiter(Protocol):
    """What every limiter does. `lease` is an id the caller makes; all calls with it are idempotent."""

    async def acquire(self, lease: str, dimensions: Sequence[Dimension]) -> Verdict:
        """Check every dimension and reserve in all or in none. A lease asked for twice is granted once."""

    async def settle(
        self, lease: str, dimensions: Sequence[Dimension], actuals: Sequence[int], at: float = math.inf
    ) -> None:
        """Book what was really used instead of what was reserved. Never raises; a second call does nothing.

        Any process may settle. A lease the store does not know (it was lost, or granted while the store was
        away) is booked as used now. What exceeds the reservation is booked now, and may pass the limit. `at` is
        the date of the charge in the ledger: a budget that forgot the lease and was seeded with that charge
        does not count it again.
        """

    async def settle_surely(
        self, lease: str, dimensions: Sequence[Dimension], actuals: Sequence[int], at: float = math.inf
    ) -> bool:
        """The same, but true only once the store has said that it did; false asks to be called again."""

    def written(self, notes: str, leases: Sequence[str]) -> None:
        """The ledger has what these leases spent. `notes` is where it was noted till then (`template.notes`).

        What `settle` books is noted by the store, so that it is known of a process that dies before its ledger is
        written. Never raises.
        """

    async def abandoned(self, names: str, older: float, /) -> Mapping[str, Sequence[Dimension]]:
        """Leases that outlive their process, by a pattern like `video_*`, not renewed for so many seconds.

        None when the store cannot be asked now.
        """

    async def renew(self, lease: str, dimensions: Sequence[Dimension]) -> bool:
        """Keep a lease, and the slot it holds, alive for another LEASE_SECONDS. Never raises.

        A lease the store does not know holds again all that it held, whatever the limits say. False when the
        store could not be told.
        """

    async def seed(self, dimension: Dimension, spent: int) -> None:
        """Tell the store what a budget's ledger says, unless it knows by now."""

    async def forgot(self) -> bool:
        """Whether the store may have lost something since this was asked last; true the first time. Never raises."""

    async def age(self, key: str) -> float:
        """Seconds for which the store has forgotten nothing of what lies with that counter. Never raises."""

    def now(self) -> float:
        """Unix seconds, by the clock that the store goes by: what calendar periods are read from."""

    async def close(self) -> None:
        """Let go of connections."""


_OPENAI = tuple(
    (
        name,
        f"x-ratelimit-limit-{name}: %d\r\n".encode(),
        f"x-ratelimit-remaining-{name}: %d\r\n".encode(),
        f"x-ratelimit-reset-{name}: %b\r\n".encode(),
    )
    for name in ("requests", "tokens")
)


def headers(dimensions: Sequence[Dimension], verdict: Verdict) -> Lines:
    """What every answer says about the limits: OpenAI's six fields, the IETF draft's two, and when to retry.

    Of several limits on requests (or tokens) OpenAI's fields show the one with the least left. Nothing is
    said where nobody counted. Bytes and few calls, because this is written on every answer.
    """
    told: Lines = []
    tightest: dict[str, tuple[int, int, float]] = {}
    policies = standings = b""
    soonest = verdict.retry_after
    for dimension, remaining, reset in zip(dimensions, verdict.remaining, verdict.reset, strict=False):
        name, left = dimension.name, remaining if remaining > 0 else 0  # noqa: FURB136 - max() is a call
        item = words.item(name, dimension.limit, dimension.per, dimension.scope)
        policies += item.policy
        standings += b"%b%d" % (item.begins, left // item.scale)
        if item.timed:
            standings += b";t=%d" % -(-(reset if soonest is None or reset < soonest else soonest) // 1)
        if name not in tightest or left < tightest[name][1]:
            tightest[name] = (dimension.limit, left, reset)
    for name, limit, remains, resets in _OPENAI:
        if name in tightest:
            most, left, reset = tightest[name]
            told += (limit % most, remains % left, resets % words.duration(reset).encode())
    if policies:
        told += (b"ratelimit-policy: %b\r\n" % policies[:-2], b"ratelimit: %b\r\n" % standings[2:])
    if not verdict.allowed and soonest is not None:
        told.append(b"retry-after: %d\r\n" % math.ceil(soonest))
        told.append(b"retry-after-ms: %d\r\n" % math.ceil(soonest * 1000))
    return told


def refusal(dimensions: Sequence[Dimension], verdict: Verdict) -> GatewayError:
    """The error for a verdict that refused: which limit, how large, and when to come back.

    A request larger than a limit is told so with a 400: waiting would never help. A budget that is used up
    is the telling cause when several limits are in the way, and tells clients not to repeat the call.
    """
    for dimension in dimensions:
        if dimension.cost > dimension.limit:
            return _never(dimension)
    standing = list(zip(dimensions, verdict.remaining, strict=False))
    blocking = [pair for pair in standing if pair[0].cost > pair[1]]
    budget = next((pair for pair in blocking if pair[0].kind == BUDGET), None)
    retry_after = 1.0 if verdict.retry_after is None else verdict.retry_after
    told = texts(headers(dimensions, verdict))
    if budget is not None:
        return _out_of_budget(*budget, retry_after, told)
    dimension = dimensions[verdict.denied or 0]
    most = words.limit(dimension.name, dimension.limit, dimension.per)
    return LimitExceeded(
        f"Rate limit reached: {words.WHO[dimension.scope]} may use {most}. Try again in {words.wait(retry_after)}.",
        retry_after=retry_after,
        headers=told,
    )


def _never(dimension: Dimension) -> InvalidRequest:
    needs = words.amount(dimension.name, dimension.cost)
    most = words.limit(dimension.name, dimension.limit, dimension.per)
    return InvalidRequest(
        f"This request may need {needs}, more than the whole limit of {most}, so it can never be "
        "admitted. Ask for less (a shorter input, a lower max_completion_tokens, a shorter video), or have "
        "the limit raised.",
        code="request_exceeds_limit",
    )


def _out_of_budget(dimension: Dimension, left: int, wait: float, told: Mapping[str, str]) -> LimitExceeded:
    most = words.limit(dimension.name, dimension.limit, dimension.per)
    error = LimitExceeded(
        f"The budget of {words.WHO[dimension.scope]}, {most}, has "
        f"{words.amount(dimension.name, max(0, left))} left; this request may cost "
        f"{words.amount(dimension.name, dimension.cost)}. A new budget begins in {words.wait(wait)}.",
        code="insufficient_quota",
        retry_after=wait,
        retry=False,
        headers=told,
    )
    error.type = "insufficient_quota"
    return error
