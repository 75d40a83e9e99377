"""The ordered picture in the middle of one whose edges the model can do."""

import numpy as np
from msgspec import Struct
from PIL import Image, ImageOps

from providers.local.diffusion.plan import round_up
from providers.local.encode import Pixels, even


class Canvas(Struct, frozen=True):
    """What is ordered, `width` x `height`, made even for the file's pixel format, and what the model makes."""

    width: int
    height: int
    full_width: int
    full_height: int

    @classmethod
    def of(cls, width: int, height: int, multiple: int) -> "Canvas":
        """The smallest canvas for that size."""
        width, height = even(width), even(height)
        return cls(width, height, round_up(width, multiple), round_up(height, multiple))

    def put(self, picture: Image.Image) -> Image.Image:
        """The picture cut to the ordered shape, and padded with its own edges."""
        cut = np.asarray(_fitted(picture, self.width, self.height))
        top, left = self._corner
        rows, columns = self.full_height - self.height - top, self.full_width - self.width - left
        return Image.fromarray(np.pad(cut, ((top, rows), (left, columns), (0, 0)), mode="edge"))

    def cut(self, clip: Pixels) -> Pixels:
        """The ordered part of frames of the full size."""
        top, left = self._corner
        return clip[:, top : top + self.height, left : left + self.width]

    def full(self, clip: Pixels) -> Pixels:
        """The clip in the full size, which a model that chooses its own does not give."""
        if clip.shape[1:3] == (self.full_height, self.full_width):
            return clip
        frames = (Image.fromarray(frame) for frame in clip)
        return np.stack([np.asarray(_fitted(one, self.full_width, self.full_height)) for one in frames])

    @property
    def _corner(self) -> tuple[int, int]:
        return (self.full_height - self.height) // 2, (self.full_width - self.width) // 2


def _fitted(picture: Image.Image, width: int, height: int) -> Image.Image:
    """Scaled to cover that size, the surplus cut off on both sides."""
    return ImageOps.fit(picture, (width, height), Image.Resampling.LANCZOS)
