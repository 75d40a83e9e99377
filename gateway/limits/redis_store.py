"""The limiter of a fleet: one Redis counts for every process, and a process alone knows what to do without it.

Theory of operation. `acquire`, `settle` and `renew` are one script call each over `nodes.py`. Three
failures in a row open a breaker: from then on nobody waits for Redis, and `alone.py` decides. In the
background Redis is asked once a second; when it answers, what could not be settled meanwhile is settled, and
only then the breaker closes.

A call without an answer may have been carried out, and nothing is undone by guessing. A lease that went on
regardless is settled in Redis when it ends, with what it used: right if Redis had granted it, and if Redis
never heard of it, it is booked as used now. A lease that was refused is settled with nothing. What waits to
be settled is bounded; beyond the bound the oldest is forgotten: its slot and its windows end by themselves,
its money stays held until somebody closes it (`unsettled.py`).

A Redis that lost its memory is told again what every process holds: see `service/recall.py`.
"""

import asyncio
import contextlib
import logging
import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeAlias

import msgspec

from gateway.limits.alone import Alone
from gateway.limits.connection import MovingError, RefusedError, Reply, Script, StoreError, Word
from gateway.limits.epochs import Epochs
from gateway.limits.memory import MemoryLimiter
from gateway.limits.nodes import Nodes
from gateway.limits.rules import Dimension, Verdict
from gateway.limits.scripts import script
from gateway.limits.unsettled import unsettled

FAILURES = 3
"""So many calls in a row without success open the breaker."""

PROBE_SECONDS = 1.0
"""How often Redis is asked whether it is back."""

OWED_MOST = 10_000
"""How many leases may wait to be settled when Redis is back."""

_BATCH = 100
_GRANTED, _SEED, _NEVER = 1, 2, -1

Owed: TypeAlias = tuple[str, Sequence[Dimension], tuple[float, Sequence[int], bool]]
"""A lease, its dimensions, and what settle.lua is told: the date of the charge, the amounts, whether to note them."""

_log = logging.getLogger("fairlead.limits")
_pack = msgspec.msgpack.Encoder().encode


class RedisLimiter:
    """Implements `rules.Limiter` on one Redis or Redis Cluster, for as many processes as like.

    `on_error` is asked in each outage: local, open or closed for limits that do not say so themselves.
    `replicas` is the number of processes that share each limit without Redis. `server_clock`, in milliseconds,
    stands in for the server's own in tests.
    """

    def __init__(
        self,
        url: str,
        fallback: MemoryLimiter,
        on_error: Callable[[], str],
        *,
        replicas: int = 1,
        server_clock: Callable[[], int] | None = None,
    ) -> None:
        self._redis = Nodes(url)
        self._epochs = Epochs(self._redis)
        self._alone = Alone(fallback, on_error, replicas)
        self._server_clock = server_clock
        self._here = fallback.now
        self._acquire, self._settle = script("acquire"), script("settle")
        self._renew, self._seed = script("renew"), script("seed")
        self._failures = 0
        self._owed: deque[Owed] = deque(maxlen=OWED_MOST)
        self._written: deque[tuple[str, Sequence[str]]] = deque(maxlen=OWED_MOST)
        self._came_back = 0
        self._mending: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def unsettled(self) -> int:
        """How many leases wait to be settled when Redis is back."""
        return len(self._owed)

    async def acquire(self, lease: str, dimensions: Sequence[Dimension]) -> Verdict:
        """See `rules.Limiter`. Raises Unavailable when Redis is away and `on_error` is `closed`."""
        if not dimensions:
            return Verdict(allowed=True, backend="redis")
        if self._failures >= FAILURES:
            return await self._alone.acquire(lease, dimensions)
        try:
            command = self._command(self._acquire, lease, dimensions)
            reply = await self._redis.call(dimensions[0].key, command, self._acquire)
        except StoreError as error:
            if not isinstance(error, MovingError):  # which says nothing about any other key
                self._failed(error)
            return await self._in_doubt(lease, dimensions)
        except asyncio.CancelledError:
            self._book(_nothing(lease, dimensions))  # what nobody was given nobody settles
            raise
        self._answered()
        verdict = _verdict(reply)
        self._alone.remember(dimensions, verdict)
        return verdict

    async def settle(
        self, lease: str, dimensions: Sequence[Dimension], actuals: Sequence[int], at: float = math.inf
    ) -> None:
        """See `rules.Limiter`. Does not wait for the answer."""
        await self._alone.settle(lease, dimensions, actuals, at)
        if dimensions:
            self._book((lease, dimensions, (at, actuals, True)))

    def written(self, notes: str, leases: Sequence[str]) -> None:
        """See `rules.Limiter`. What is not settled yet is noted later, and forgotten after that."""
        self._written.append((notes, leases))
        if self._owed or self._failures >= FAILURES:
            self._mend()
        else:
            self._forget_notes()

    async def settle_surely(
        self, lease: str, dimensions: Sequence[Dimension], actuals: Sequence[int], at: float = math.inf
    ) -> bool:
        """See `rules.Limiter`. Nothing is kept here to be settled later: whoever asked does."""
        await self._alone.settle(lease, dimensions, actuals, at)
        if self._failures >= FAILURES:
            return False
        command = self._command(self._settle, lease, dimensions, (at, actuals))
        try:
            await self._redis.call(dimensions[0].key, command, self._settle)
        except RefusedError as error:
            _log.error("Redis refused to settle a lease: %s", error)
        except StoreError as error:
            if not isinstance(error, MovingError):
                self._failed(error)
            return False
        self._answered()
        return True

    async def abandoned(self, names: str, older: float, /) -> Mapping[str, Sequence[Dimension]]:
        """See `rules.Limiter`."""
        found: dict[str, Sequence[Dimension]] = {}
        if self._failures < FAILURES:
            with contextlib.suppress(StoreError):
                async for one in unsettled(self._redis, older, names):
                    found[one.lease] = one.dimensions()
        return found

    async def renew(self, lease: str, dimensions: Sequence[Dimension]) -> bool:
        """See `rules.Limiter`."""
        await self._alone.renew(lease, dimensions)
        if dimensions:
            if self._failures >= FAILURES:
                return False
            try:
                command = self._command(self._renew, lease, dimensions)
                await self._redis.call(dimensions[0].key, command, self._renew)
            except StoreError:
                return False
        return True

    async def seed(self, dimension: Dimension, spent: int) -> None:
        """See `rules.Limiter`."""
        if self._failures < FAILURES:
            try:
                command = self._command(self._seed, "", [dimension], (spent,))
                await self._redis.call(dimension.key, command, self._seed)
            except StoreError as error:
                self._failed(error)
            else:
                return
        await self._alone.seed(dimension, spent)

    async def forgot(self) -> bool:
        """See `rules.Limiter`. While Redis is away nobody knows; what it says when it is back counts as new."""
        if self._failures >= FAILURES:
            self._epochs.lose()
            return False
        try:
            return await self._epochs.look()
        except StoreError:
            return False

    async def age(self, key: str) -> float:
        """See `rules.Limiter`. While Redis is away there is nobody to wait for."""
        if self._failures < FAILURES:
            with contextlib.suppress(StoreError):
                return await self._epochs.age(key)
        return math.inf

    def now(self) -> float:
        """See `rules.Limiter`: Redis's time, so that a host whose clock is wrong counts in no period of its own."""
        ahead = self._redis.ahead()
        return self._here() if ahead is None else asyncio.get_running_loop().time() + ahead

    async def close(self) -> None:
        """Let go of the connection, once what was sent is answered."""
        self._closed = True
        if self._mending is not None:
            self._mending.cancel()
        with contextlib.suppress(StoreError):
            await self._redis.ping()
        await self._redis.close()

    async def _in_doubt(self, lease: str, dimensions: Sequence[Dimension]) -> Verdict:
        """Decide alone about a lease that Redis may have granted without being able to say so."""
        refused = True
        try:
            verdict = await self._alone.acquire(lease, dimensions)
            refused = verdict.denied is not None
        finally:
            if refused:
                self._book(_nothing(lease, dimensions))
        return verdict

    def _command(
        self, script: Script, lease: str, dimensions: Sequence[Dimension], told: object = ()
    ) -> tuple[Word, ...]:
        place = dimensions[0].key.partition("}")[0]  # the part of every key that a cluster places it by
        keys = [dimension.key for dimension in dimensions]
        now = "" if self._server_clock is None else self._server_clock()
        record = f"{place}}}:l:{lease}"
        asked = _pack([(d.kind, d.limit, d.cost, d.window, d.buckets) for d in dimensions])
        return "EVALSHA", script.sha, len(keys) + 1, record, *keys, now, asked, _pack(told)

    def _book(self, owed: Owed) -> None:
        """Settle in Redis, now or when it is back."""
        if self._failures < FAILURES:
            self._post(owed)
        else:
            self._owe(owed)

    def _post(self, owed: Owed) -> None:
        command, failed = self._command(self._settle, *owed), partial(self._not_settled, owed)
        self._redis.post(owed[1][0].key, command, self._settle, failed)

    def _not_settled(self, owed: Owed, error: StoreError) -> None:
        if isinstance(error, RefusedError):
            _log.error("Redis refused to settle a lease: %s", error)
        else:
            self._came_back += 1
            self._owe(owed)

    def _forget_notes(self) -> None:
        for _ in range(len(self._written)):
            notes, leases = self._written.popleft()
            failed = partial(self._not_forgotten, (notes, leases))
            self._redis.post(notes, ("HDEL", notes, *leases), None, failed)

    def _not_forgotten(self, written: tuple[str, Sequence[str]], error: StoreError) -> None:
        if not isinstance(error, RefusedError):
            self._came_back += 1
            self._written.append(written)
            self._mend()

    def _owe(self, owed: Owed) -> None:
        self._owed.append(owed)
        self._mend()

    def _failed(self, error: StoreError) -> None:
        self._failures += 1
        if self._failures == FAILURES:
            _log.error(
                "Redis at %s failed %d times in a row (%s): requests go on without it, mode %s unless a limit says "
                "otherwise",
                self._redis.address,
                FAILURES,
                error,
                self._alone.mode(),
            )
            self._mend()

    def _answered(self) -> None:
        if self._failures:
            self._failures = 0
            self._alone.forget()

    def _mend(self) -> None:
        if not self._closed and (self._mending is None or self._mending.done()):
            self._mending = asyncio.create_task(self._repair())

    async def _repair(self) -> None:
        """Ask until Redis answers, then settle what is owed."""
        pause = PROBE_SECONDS if self._failures >= FAILURES else 0.0
        while True:
            await asyncio.sleep(pause)
            pause = PROBE_SECONDS
            try:
                await self._redis.ping()
                came_back = self._came_back
                while self._owed and self._came_back == came_back:
                    for _ in range(min(_BATCH, len(self._owed))):
                        self._post(self._owed.popleft())
                    await self._redis.ping()  # answered after them all
            except StoreError:
                continue
            if self._failures >= FAILURES:
                _log.warning("Redis at %s answers again", self._redis.address)
            self._answered()
            if not self._owed:
                self._forget_notes()
            if not self._owed and not self._written:
                return  # else a node of the cluster is away, or a slot is being handed over


def _nothing(lease: str, dimensions: Sequence[Dimension]) -> Owed:
    """What settles a lease that nobody used."""
    return lease, dimensions, (math.inf, [0] * len(dimensions), False)


def _verdict(reply: Reply) -> Verdict:
    what, index, wait = reply[:3]
    if what == _SEED:
        return Verdict(allowed=False, seed=index, before=wait / 1000, backend="redis")
    remaining, reset = reply[3::2], [milliseconds / 1000 for milliseconds in reply[4::2]]
    if what == _GRANTED:
        return Verdict(allowed=True, remaining=remaining, reset=reset, backend="redis")
    return Verdict(
        allowed=False,
        remaining=remaining,
        reset=reset,
        denied=index,
        retry_after=None if wait == _NEVER else wait / 1000,
        backend="redis",
    )
