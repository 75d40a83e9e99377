"""Time and chance for everything above that must be able to be tested without either."""

import os
import time
from collections.abc import Callable
from typing import NamedTuple

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no letter that reads like a digit


class Clock(NamedTuple):
    """Two clocks: `now` is Unix seconds for the world, `monotonic` seconds for measuring and deadlines."""

    now: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic


SYSTEM = Clock()


def ulid(now: float) -> str:
    """A 26-character id that sorts by creation: 48 bits of milliseconds, 80 random bits."""
    value = (int(now * 1000) << 80) | int.from_bytes(os.urandom(10))
    return "".join(_ALPHABET[(value >> shift) & 31] for shift in range(125, -1, -5))
