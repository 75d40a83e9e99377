"""How limits are written: amounts and durations for people and for headers. Pure.

Header fields follow OpenAI's `x-ratelimit-*` (durations like Go's: `20ms`, `1s`, `6m0s`) and the IETF draft
of `RateLimit-Policy` and `RateLimit`, in which every number is a whole one.
"""

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from gateway.limits.periods import SECONDS


class _Unit(NamedTuple):
    header: str  # the IETF quota unit
    scale: int  # of our amounts in one of those
    text: str  # an amount, in a sentence
    text_scale: int  # of our amounts in one of those
    decimals: int  # shown at least


_UNITS: Mapping[str, _Unit] = {
    "requests": _Unit("requests", 1, "{} request(s)", 1, 0),
    "tokens": _Unit("tokens", 1, "{} token(s)", 1, 0),
    "concurrent": _Unit("concurrent-requests", 1, "{} request(s) at a time", 1, 0),
    "video_seconds": _Unit("video-seconds", 1000, "{} second(s) of video", 1000, 0),
    "video_jobs": _Unit("video-jobs", 1, "{} unfinished video job(s) at a time", 1, 0),
    "dollars": _Unit("micro-usd", 1000, "${}", 1_000_000_000, 2),
}


WHO: Mapping[str, str] = {
    "key": "this key",
    "model": "this key, for this model,",
    "user": "this key's user",
    "project": "this key's project",
    "organisation": "this key's organisation",
}
"""Who shares a limit, in a sentence; nothing that the client did not know."""


def amount(name: str, value: int) -> str:
    """An amount of a dimension in a sentence: `100,000 tokens`, `$0.50`, `$0.0005`, `12.5 seconds of video`."""
    unit = _UNITS[name]
    whole, _, fraction = f"{value / unit.text_scale:,.6f}".partition(".")
    fraction = fraction.rstrip("0").ljust(unit.decimals, "0")
    shown = f"{whole}.{fraction}" if fraction else whole
    return unit.text.format(shown).replace("(s)", "" if shown == "1" else "s")


def limit(name: str, value: int, per: str) -> str:
    """A limit in a sentence: `60 requests per minute`, `20 requests at a time`."""
    return f"{amount(name, value)} per {per}" if per else amount(name, value)


def duration(seconds: float) -> str:
    """A duration as Go prints it, to the millisecond: `20ms`, `1.5s`, `6m0s`, `1h0m0s`."""
    return _duration(math.ceil(seconds * 1000))


@lru_cache(maxsize=1024)
def _duration(milliseconds: int) -> str:
    if milliseconds <= 0:
        return "0s"
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    text = f"{rest / 1000:g}s"
    if hours:
        return f"{hours}h{minutes}m{text}"
    return f"{minutes}m{text}" if minutes else text


def wait(seconds: float) -> str:
    """A duration in a sentence: to the millisecond only while that matters."""
    return duration(seconds if seconds < 1 else math.ceil(seconds))


class Item(NamedTuple):
    """One limit in the IETF fields: its `RateLimit-Policy` item, and how its `RateLimit` item begins.

    A comma and a space end the former and begin the latter. `scale` is how many of our amounts make one of
    the draft's; `timed` says whether the item tells in how many seconds there is more.
    """

    policy: bytes
    begins: bytes
    scale: int
    timed: bool


@lru_cache(maxsize=4096)
def item(name: str, value: int, per: str, scope: str = "key") -> Item:
    """What never changes of a limit: `"tokens-minute";q=100000;qu="tokens";w=60`."""
    unit = _UNITS[name]
    label = f"{name}-{per}" if per else name
    if scope != "key":
        label += f"-{scope}"
    policy = f'"{label}";q={value // unit.scale}'
    if unit.header != "requests":
        policy += f';qu="{unit.header}"'
    if per:
        policy += f";w={SECONDS[per]}"
    return Item(f"{policy}, ".encode(), f', "{label}";r='.encode(), unit.scale, bool(per))
