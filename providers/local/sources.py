"""Reads what a client sent along: a picture, or the frames of a video. Broken files are the order's fault."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

import av
import numpy as np
from PIL import Image, ImageOps

from providers.local.encode import Pixels
from providers.local.engine import OrderError

MAX_PIXELS = 40_000_000
"""A picture that would unpack to more is refused before a single pixel is decoded."""

_FORMATS = ("PNG", "JPEG", "WEBP")
_HALF_TICK = 0.001  # seconds: times of frames are rounded

_Shown: TypeAlias = tuple[float, Pixels]


class Footage:
    """A video in its own size; after its end its last picture stands still."""

    def __init__(self, path: Path) -> None:
        """Raises OrderError for a file that holds no video that can be read."""
        self._pictures = _pictures(path)
        first = next(self._pictures, None)
        if first is None:
            raise _no_footage()
        self._now = first
        self._next: _Shown | None = first

    def at(self, seconds: float) -> Pixels:
        """What it shows at this moment, which must not be before the last one that was asked for."""
        while self._next is not None and self._next[0] <= seconds + _HALF_TICK:
            self._now, self._next = self._next, next(self._pictures, None)
        return self._now[1]


def read_picture(path: Path, field: str = "input_reference") -> Image.Image:
    """The picture, upright and in RGB. `field` is what the client called it. Raises OrderError."""
    try:
        with warnings.catch_warnings(), Image.open(path, formats=_FORMATS) as picture:
            warnings.simplefilter("error")
            if picture.width * picture.height > MAX_PIXELS:
                raise OrderError(
                    "invalid_input_reference",
                    f"'{field}' is {picture.width}x{picture.height} pixels; "
                    f"at most {MAX_PIXELS // 1_000_000} million are allowed.",
                )
            picture.draft("RGB", (4096, 4096))
            return ImageOps.exif_transpose(picture).convert("RGB")
    except (OSError, SyntaxError, ValueError, Warning, Image.DecompressionBombError) as broken:
        raise OrderError(
            "invalid_input_reference", f"'{field}' is not a PNG, JPEG or WebP picture that can be read."
        ) from broken


def _pictures(path: Path) -> Iterator[_Shown]:
    """The time of each frame, and its pixels."""
    try:
        with av.open(path, "r") as file:
            stream = file.streams.video[0]
            if stream.width * stream.height > MAX_PIXELS:
                raise _no_footage()
            for frame in file.decode(stream):
                yield frame.time or 0.0, np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
    except (av.FFmpegError, IndexError, ValueError) as broken:
        raise _no_footage() from broken


def _no_footage() -> OrderError:
    return OrderError("invalid_input_reference", "'video' is not a video that can be read.")
