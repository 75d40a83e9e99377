"""Sizes as providers name them: a ratio and a tier for pixels, and pixels for those again (pure arithmetic).

Source: VIDEO_WIRE 2.5, 2026-11-20.
"""

from collections.abc import Mapping, Sequence

from msgspec import Struct

TOLERANCE = 0.03
"""How far, as a share, an offered ratio may be from the one asked for."""

_TIERS: Sequence[tuple[str, int, int]] = (
    ("480p", 520, 480),
    ("720p", 800, 720),
    ("1080p", 1200, 1080),
    ("2k", 1500, 1440),
    ("4k", 100_000, 2160),
)
"""Name, the longest short edge that still counts, the short edge it stands for; in pixels."""


class Shape(Struct, frozen=True):
    """What is asked of a provider: its own word for the ratio, and the tier."""

    ratio: str
    tier: str


def tier(size: str) -> str:
    """The tier of a `WIDTHxHEIGHT`, by its short edge."""
    short = min(_edges(size, "x"))
    return next((name for name, longest, _ in _TIERS if short <= longest), _TIERS[-1][0])


def shape(size: str, offered: Mapping[str, Sequence[str]]) -> Shape | None:
    """The nearest ratio on offer in the tier of `size`; None when none is near enough.

    Pixels that are on offer are found in whatever tier they stand.
    """
    exact = size.replace("x", ":")
    for at, words in offered.items():
        if exact in words:
            return Shape(exact, at)
    wanted, at = _quotient(size, "x"), tier(size)

    def off(ratio: str) -> float:
        return abs(_quotient(ratio, ":") / wanted - 1)

    nearest = min(offered.get(at, ()), key=off, default=None)
    return None if nearest is None or off(nearest) > TOLERANCE else Shape(nearest, at)


def pixels(ratio: str, at: str) -> str:
    """The `WIDTHxHEIGHT` of a ratio in a tier: `pixels("16:9", "720p")` is 1280x720."""
    width, height = _edges(ratio, ":")
    if min(width, height) < 100:
        short = next(edge for name, _, edge in _TIERS if name == at)
        scale = short / min(width, height)
        width, height = (2 * round(edge * scale / 2) for edge in (width, height))
    return f"{width}x{height}"


def _edges(text: str, between: str) -> tuple[int, int]:
    width, _, height = text.partition(between)
    return int(width), int(height)


def _quotient(text: str, between: str) -> float:
    width, height = _edges(text, between)
    return width / height
