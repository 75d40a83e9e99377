"""What moves behind the words of a test card: coloured light grown from a seed, or the client's picture."""

import colorsys
import math
from pathlib import Path
from typing import Protocol

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageOps

from providers.local.encode import frame_of
from providers.local.sources import Footage, read_picture

_GRID = 160  # cells along the longer edge; the scaler makes the rest, which is why a frame costs 2 ms
_LIGHTS = 6
_TURN = 2 * math.pi


Cells = NDArray[np.float32]


class Backdrop(Protocol):
    """Something to draw on."""

    def frame(self, seconds: float) -> av.VideoFrame:
        """A fresh yuv420p frame for this moment of the video."""


class Lights:
    """Waves of three colours with soft lights wandering over them."""

    def __init__(self, dice: np.random.Generator, width: int, height: int) -> None:
        self._size = width, height
        cells = _GRID / max(width, height)
        rows, columns = max(4, round(height * cells)), max(4, round(width * cells))
        y, x = np.mgrid[0:rows, 0:columns].astype(np.float32) / np.float32(max(rows, columns))
        self._x, self._y = x, y
        self._reach = columns / max(rows, columns), rows / max(rows, columns)
        self._waves = [dice.uniform((2, -4, 0), (5, 4, _TURN)) for _ in range(2)]
        self._paths = [
            dice.uniform((0, 0, 0.03, 0.03, 8), (_TURN, _TURN, 0.12, 0.12, 60)) for _ in range(_LIGHTS)
        ]
        hue = dice.random()
        self._colours = [
            _colour(hue, 0.85, 0.2),
            _colour(hue + 0.12, 0.75, 0.5),
            _colour(hue + 0.45, 0.7, 0.35),
        ]
        self._glow = [_colour(hue + 0.1 * dice.standard_normal(), 0.7, 0.3) for _ in range(_LIGHTS)]

    def frame(self, seconds: float) -> av.VideoFrame:
        """The light at this moment; speeds are a few turns a minute."""
        base, second, third = self._colours
        near, far = (self._wave(wave, seconds) for wave in self._waves)
        rgb = base + near * (second - base) + far * third
        for path, colour in zip(self._paths, self._glow, strict=True):
            rgb += self._light(path, seconds) * colour
        return frame_of(np.clip(rgb, 0, 255).astype(np.uint8), *self._size)

    def _wave(self, shape: NDArray[np.float64], seconds: float) -> Cells:
        across, down, start = shape.astype(np.float32)
        moved = np.float32(start + seconds * 0.9)
        wave: Cells = 0.5 + 0.5 * np.sin(across * self._x + down * self._y + moved)
        return wave[..., None]

    def _light(self, path: NDArray[np.float64], seconds: float) -> Cells:
        start_x, start_y, turns_x, turns_y, focus = path
        right, bottom = self._reach
        x = right * (0.5 + 0.45 * math.sin(start_x + _TURN * turns_x * seconds))
        y = bottom * (0.5 + 0.45 * math.sin(start_y + _TURN * turns_y * seconds))
        distance = (self._x - np.float32(x)) ** 2 + (self._y - np.float32(y)) ** 2
        light: Cells = np.exp(-distance * np.float32(focus))
        return light[..., None]


class Picture:
    """The client's picture, cut to the video's shape, under a camera that sways a little."""

    def __init__(self, path: Path, width: int, height: int) -> None:
        """Raises OrderError for a file that is no PNG, JPEG or WebP, is broken, or unpacks to too much."""
        self._size = width, height
        self._slack = width // 12, height // 12
        wide, high = width + self._slack[0], height + self._slack[1]
        cut = ImageOps.fit(read_picture(path), (wide, high), Image.Resampling.LANCZOS)
        self._rgb = np.asarray(ImageEnhance.Brightness(cut).enhance(0.8))

    def frame(self, seconds: float) -> av.VideoFrame:
        """The part of the picture the camera sees at this moment."""
        width, height = self._size
        x = round(self._slack[0] * (0.5 + 0.5 * math.sin(seconds * 0.8)))
        y = round(self._slack[1] * (0.5 + 0.5 * math.cos(seconds * 0.6)))
        return frame_of(np.ascontiguousarray(self._rgb[y : y + height, x : x + width]), width, height)


class Scene:
    """Another video, scaled to the video's size."""

    def __init__(self, path: Path, width: int, height: int) -> None:
        """Raises OrderError for a file that holds no video that can be read."""
        self._size = width, height
        self._footage = Footage(path)

    def frame(self, seconds: float) -> av.VideoFrame:
        """What it shows at this moment, which must not be before the last one that was asked for."""
        return frame_of(self._footage.at(seconds), *self._size)


def _colour(hue: float, saturation: float, value: float) -> Cells:
    return np.array(colorsys.hsv_to_rgb(hue % 1.0, saturation, value), np.float32) * 255
