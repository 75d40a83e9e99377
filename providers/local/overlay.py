"""Lays pictures with transparency over yuv420p frames, touching only the pixels they cover.

Blending a small overlay into the planes costs a tenth of what a whole frame in RGB costs to convert.
"""

import av
import numpy as np
from av.video.plane import VideoPlane
from PIL import Image

from providers.local.encode import Pixels, even, frame_of

_WHITE = (235, 128, 128)
"""White in yuv420p of limited range, one value per plane."""


class Overlay:
    """A picture with transparency, prepared for the three planes of a frame."""

    def __init__(self, picture: Image.Image) -> None:
        """`picture` is RGBA of any size."""
        self.width, self.height = even(picture.width), even(picture.height)
        canvas = Image.new("RGBA", (self.width, self.height))
        canvas.paste(picture)
        rgba = np.asarray(canvas)
        alpha = (rgba[..., 3].astype(np.uint16) * 257) >> 8  # 0 to 256, so that a shift divides
        coarse = (alpha[::2, ::2] + alpha[1::2, ::2] + alpha[::2, 1::2] + alpha[1::2, 1::2]) >> 2
        frame = frame_of(np.ascontiguousarray(rgba[..., :3]), self.width, self.height)
        self._layers = [
            (_pixels(plane) * share, np.uint16(256) - share)
            for plane, share in zip(frame.planes, (alpha, coarse, coarse), strict=True)
        ]

    def lay(self, frame: av.VideoFrame, x: int, y: int) -> None:
        """Blend over `frame`, upper left corner at (`x`, `y`) rounded down to even; cut at the edges."""
        for plane, step, (paint, keep) in zip(frame.planes, (1, 2, 2), self._layers, strict=True):
            top, left = y // 2 * 2 // step, x // 2 * 2 // step
            under = _pixels(plane)[top : top + paint.shape[0], left : left + paint.shape[1]]
            rows, columns = under.shape
            under[:] = (under * keep[:rows, :columns] + paint[:rows, :columns]) >> 8


def fill_white(frame: av.VideoFrame, area: tuple[int, int, int, int]) -> None:
    """Paint the area (left, top, right, bottom; pixels, rounded down to even ones) white."""
    for plane, step, value in zip(frame.planes, (1, 2, 2), _WHITE, strict=True):
        left, top, right, bottom = (edge // 2 * 2 // step for edge in area)
        _pixels(plane)[top:bottom, left:right] = value


def _pixels(plane: VideoPlane) -> Pixels:
    """The plane's own memory as rows and columns, without the padding at the end of each row."""
    rows = np.frombuffer(memoryview(plane), np.uint8)
    return rows.reshape(-1, plane.line_size)[: plane.height, : plane.width]
