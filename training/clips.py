"""Captioned clips drawn by rule: a coloured shape that moves over a plain ground. The same number, the same clip."""

from collections.abc import Mapping

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

COLOURS: Mapping[str, tuple[int, int, int]] = {
    "red": (220, 40, 40),
    "green": (40, 170, 70),
    "blue": (50, 80, 220),
    "yellow": (240, 210, 50),
    "black": (20, 20, 24),
    "white": (240, 240, 240),
}
SHAPES = ("ball", "square", "diamond")
MOVES: Mapping[str, tuple[float, float]] = {
    "moves left": (-1.0, 0.0),
    "moves right": (1.0, 0.0),
    "moves up": (0.0, -1.0),
    "moves down": (0.0, 1.0),
    "stays": (0.0, 0.0),
}
"""What a caption says of the movement, and its direction: columns, rows."""

_REACH = 0.3  # of the picture's width or height: how far from the middle a movement begins and ends


class Clip(Struct, frozen=True):
    """`frames` are float32 from -1 to 1: colours, frames, rows, columns."""

    caption: str
    frames: NDArray[np.float32]


def draw(number: int, frames: int, width: int, height: int) -> Clip:
    """The clip of that number."""
    dice = np.random.default_rng(number)
    colour, ground = dice.choice(list(COLOURS), 2, replace=False)
    shape, move = dice.choice(SHAPES), dice.choice(list(MOVES))
    across, down = MOVES[move]
    radius = dice.uniform(0.12, 0.2) * min(width, height)
    offset = dice.uniform(-0.2, 0.2, 2)  # beside the line of the movement
    time = np.linspace(-_REACH, _REACH, frames)
    left = (0.5 + (across * time if across else offset[0])) * width + np.zeros(frames)
    top = (0.5 + (down * time if down else offset[1])) * height + np.zeros(frames)
    cover = _cover(shape, (left, top), radius, (width, height))
    front, back = (np.array(COLOURS[name]) / 127.5 - 1 for name in (colour, ground))
    pixels = cover[None] * front[:, None, None, None] + (1 - cover[None]) * back[:, None, None, None]
    return Clip(f"a {colour} {shape} {move} on {ground}", pixels.astype(np.float32))


def words() -> list[str]:
    """Every word that a caption can have."""
    found = " ".join(["a on", *COLOURS, *SHAPES, *MOVES]).split()
    return list(dict.fromkeys(found))


def _cover(
    shape: str, middle: tuple[NDArray[np.float64], NDArray[np.float64]], radius: float, size: tuple[int, int]
) -> NDArray[np.float64]:
    """How much of each pixel the shape covers, 0 to 1: frames, rows, columns. Edges are one pixel soft."""
    columns, rows = (np.arange(edge) + 0.5 for edge in size)
    across = np.abs(columns[None, None, :] - middle[0][:, None, None])
    down = np.abs(rows[None, :, None] - middle[1][:, None, None])
    distance = {
        "ball": lambda: np.hypot(across, down),
        "square": lambda: np.maximum(across, down) / 0.9,
        "diamond": lambda: (across + down) / 1.2,
    }[shape]()
    return np.clip(radius - distance + 0.5, 0.0, 1.0)
