"""Header lines as they go over the wire: `name: value`, CR, LF. What is told with every answer is made as such at once.

Names are lower case; values hold neither CR nor LF.
"""

from collections.abc import Iterable
from typing import TypeAlias

Lines: TypeAlias = list[bytes]


def lines(fields: Iterable[tuple[bytes, bytes]]) -> Lines:
    """Fields that are names and values, as lines."""
    return [b"%b: %b\r\n" % field for field in fields]


def pairs(lines: Iterable[bytes]) -> list[tuple[bytes, bytes]]:
    """Their names and values, as ASGI wants them."""
    return [(name, value) for name, _, value in (line[:-2].partition(b": ") for line in lines)]


def texts(lines: Iterable[bytes]) -> dict[str, str]:
    """The same as texts."""
    return {name.decode(): value.decode() for name, value in pairs(lines)}
