"""Reservations that nobody settled: what a process that died still held, read from Redis to be seen and closed.

Whoever holds a reservation renews it (`service/admission.py`), so one that was not renewed for longer than a
lease lives has lost its owner, or belongs to a video job. It ends with its record; a budget keeps it longer,
until its period ends.

What was settled is noted beside the budgets until its process has written it to the ledger. A note that stays has lost
its owner too: its money is spent and counted, and only the ledger does not know.
"""

import math
import re
from collections.abc import AsyncIterator, Sequence
from urllib.parse import unquote

import msgspec
from msgspec import Struct

from gateway.limits import words
from gateway.limits.connection import Connection, Word
from gateway.limits.counters import RECORD_MS
from gateway.limits.nodes import Nodes
from gateway.limits.periods import SECONDS
from gateway.limits.rules import BUDGET, CONCURRENT, WINDOW, Dimension
from gateway.limits.scripts import script
from gateway.limits.template import BUCKETS

HEDGE_KIND = "hedge"
"""The kind of a hedge's row in the ledger."""
HEDGE_LEASE = f"-{HEDGE_KIND}"
"""What the lease of a hedge ends with; those of a request's other calls with a point and a number."""

_PAGE = 500
_pack = msgspec.msgpack.Encoder().encode
_COUNTER = re.compile(
    r"gw:\{(?P<place>.*?)\}:(?P<kind>[wbcj]):(?P<owner>.*?)(?::(?P<name>requests|tokens|video_seconds|dollars):(?P<per>.+))?"
)
_SLOTS = {"c": "concurrent", "j": "video_jobs"}
_KINDS = {"w": WINDOW, "b": BUDGET, "c": CONCURRENT, "j": CONCURRENT}


class _Record(Struct):
    """The part of a lease's record that is of interest here; see acquire.lua."""

    costs: Sequence[int]
    keys: Sequence[str] = ()


class _Note(Struct):
    """What a settled lease spent: its date in the ledger (Unix seconds), and the budgets; see settle.lua."""

    at: float
    costs: Sequence[int]
    keys: Sequence[str]


_read_note = msgspec.msgpack.Decoder(_Note).decode


class Unsettled(Struct, frozen=True, kw_only=True):
    """One reservation: the id of its request or job, seconds since it was renewed, and what it holds.

    `held` is (counter, amount) of all that it counts in. `place` is the part of the counters' keys that a cluster
    places them by. `spent` says that it is settled, and only not in the ledger: the amounts are what was used.
    """

    lease: str
    place: str
    age: float
    held: Sequence[tuple[str, int]]
    spent: bool = False

    @property
    def request(self) -> str:
        """The request or job that it belongs to: a request may hold several."""
        return self.lease.partition(".")[0].removesuffix(HEDGE_LEASE)

    @property
    def hedge(self) -> bool:
        """Whether it was held for a hedge alone."""
        return self.lease.endswith(HEDGE_LEASE)

    @property
    def nano_dollars(self) -> int:
        """The most it holds in a budget; 0 when it holds no money."""
        return max((amount for key, amount in self.held if _kind(key) == BUDGET), default=0)

    def owner(self) -> dict[str, str]:
        """Whose it is, by the ledger's columns, as far as its counters say."""
        told: dict[str, str] = {}
        for key, _ in self.held:
            found = _COUNTER.fullmatch(key)
            scope, _, name = found["owner"].partition(":") if found else ("", "", "")
            if scope == "model":
                told["caller"], _, model = name.rpartition(":")
                told["model"] = unquote(model)
            elif scope:
                told["caller" if scope == "key" else scope] = unquote(name)
        if self.place not in ("-", told.get("caller")):
            told["organisation"] = self.place
        return told

    def sentence(self) -> str:
        """It in a line: `req_1  12m0s  $4.10 of key:team-a per day:2026-11-20; 1 request at a time of key:team-a`."""
        told = "; ".join(_told(key, amount) for key, amount in self.held if amount)
        spent = "spent, and not in the ledger: " if self.spent else ""
        return f"{self.lease}  {words.wait(self.age)}  {spent}{told}"

    def dimensions(self) -> tuple[Dimension, ...]:
        """What it counts in, as far as it takes to settle it."""
        return tuple(_dimension(key, amount) for key, amount in self.held)


def _told(key: str, amount: int) -> str:
    found = _COUNTER.fullmatch(key)
    if found is None:
        return f"{amount} of {key}"
    name = found["name"] or _SLOTS[found["kind"]]
    per = f" per {found['per']}" if found["per"] else ""
    return f"{words.amount(name, amount)} of {found['owner']}{per}"


def _dimension(key: str, amount: int) -> Dimension:
    found = _COUNTER.fullmatch(key)
    kind, name, per = (found["kind"], found["name"] or "", found["per"] or "") if found else ("", "", "")
    return Dimension(
        name=name or _SLOTS.get(kind, ""),
        kind=_KINDS.get(kind, CONCURRENT),
        key=key,
        limit=amount,
        cost=amount,
        window=float(SECONDS.get(per, 0)),
        buckets=BUCKETS.get(per, 1),
        per=per,
    )


async def unsettled(redis: Nodes, older: float, names: str = "*") -> AsyncIterator[Unsettled]:
    """Every reservation that was not renewed for `older` seconds, of all nodes; only those with such `names`.

    Raises StoreError.
    """
    async for node in redis.masters():
        async for found in _of_node(node, older, names):
            yield found


async def unwritten(redis: Nodes, older: float) -> AsyncIterator[Unsettled]:
    """What was spent at least `older` seconds ago and noted, and that nobody has found in the ledger since.

    Raises StoreError.
    """
    async for node in redis.masters():
        seconds, microseconds = await node.call(("TIME",))
        now = int(seconds) + int(microseconds) / 1e6
        async for key in _keys(node, "gw:{*}:u"):
            place = unquote(key.decode().removeprefix("gw:{").removesuffix("}:u"))
            told = await node.call(("HGETALL", key))
            for lease, note in zip(told[::2], map(_read_note, told[1::2]), strict=True):
                held = list(zip(note.keys, note.costs, strict=True))
                if now - note.at >= older:
                    yield Unsettled(
                        lease=lease.decode(), place=place, age=now - note.at, held=held, spent=True
                    )


async def _of_node(redis: Connection, older: float, names: str) -> AsyncIterator[Unsettled]:
    async for key in _keys(redis, f"gw:{{*}}:l:{names}"):
        record = await redis.call(("GET", key))
        age = (RECORD_MS - await redis.call(("PTTL", key))) / 1000
        if record and age >= older:  # an empty one is settled
            yield _unsettled(key.decode(), record, age)


async def _keys(redis: Connection, pattern: str) -> AsyncIterator[bytes]:
    cursor: bytes | int = 0
    while True:
        cursor, keys = await redis.call(("SCAN", cursor, "MATCH", pattern, "COUNT", _PAGE))
        for key in keys:
            yield key
        if int(cursor) == 0:
            return


def _unsettled(key: str, record: bytes, age: float) -> Unsettled:
    told = msgspec.msgpack.decode(record, type=_Record)
    place, _, lease = key.removeprefix("gw:{").partition("}:l:")
    held = list(zip(told.keys, told.costs, strict=False))
    return Unsettled(lease=lease, place=unquote(place), age=age, held=held)


def _kind(key: str) -> str:
    found = _COUNTER.fullmatch(key)
    return _KINDS[found["kind"]] if found else WINDOW


async def close(redis: Nodes, one: Unsettled, nano_dollars: int) -> None:
    """Settle it: its budgets have spent so much, its slots are free, its windows end by themselves.

    Nothing happens to one that was settled meanwhile; one that is `spent` is not noted any more. Raises StoreError.
    """
    if one.spent:
        notes = f"{one.held[0][0].partition('}')[0]}}}:u"
        await redis.call(notes, ("HDEL", notes, one.lease))
        return
    keys = [key for key, _ in one.held]
    settle, kinds = script("settle"), [_kind(key) for key in keys]
    used = [nano_dollars if kind == BUDGET else cost for kind, (_, cost) in zip(kinds, one.held, strict=True)]
    asked = _pack([(kind, 0, cost, 0, 1) for kind, (_, cost) in zip(kinds, one.held, strict=True)])
    record = f"{keys[0].partition('}')[0]}}}:l:{one.lease}"
    command: tuple[Word, ...] = (
        "EVALSHA",
        settle.sha,
        len(keys) + 1,
        record,
        *keys,
        "",
        asked,
        _pack((math.inf, used)),
    )
    await redis.call(keys[0], command, settle)
