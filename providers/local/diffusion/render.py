"""An order turned into frames: which calls of the model it takes, and what of their clips is kept.

Theory of operation. Everything is made on a canvas whose edges the model can do, with the ordered picture in
its middle: what is put in is padded with its own edges, what comes out is cut. So a clip that goes on from a
video, or is drawn over one, meets it pixel by pixel. What is longer than the model makes at once comes in
segments, each going on from the end of the one before. Chance comes from a generator on the CPU, seeded by
the order, whatever the device.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from providers.local.diffusion.canvas import Canvas
from providers.local.diffusion.model import VideoModel
from providers.local.diffusion.plan import Segment, clip_up
from providers.local.encode import Pixels
from providers.local.engine import CLIP, IMAGE, LAST_FRAME, Order
from providers.local.sources import Footage, read_picture


class Rendering:
    """One order on its way through a model."""

    def __init__(self, model: VideoModel, order: Order, folder: Path, told: Callable[[float], None]) -> None:
        """`told` hears what share is done, 0 to 1."""
        self.count = max(1, round(order.seconds * model.fps))
        extends = order.operation == "extend"
        self._given = round((order.seconds - order.added) * model.fps) if extends else 0
        self.canvas = Canvas.of(order.width, order.height, model.grid.multiple)
        self._model, self._order, self._folder, self._told = model, order, folder, told
        self._done = self._work = 0

    def new_frames(self) -> Iterator[Pixels]:
        """The frames behind those that are given: rows, columns, colours. Raises OrderError."""
        return self._redrawn() if self._order.clip and not self._given else self._begun()

    def given_frames(self) -> Iterator[Pixels]:
        """The frames an extension begins with, in their own size."""
        return self._footage(self._given)

    def _begun(self) -> Iterator[Pixels]:
        """From words, from a picture, or from the end of the video that is given."""
        behind = deque(self._source(self._given) if self._given else (), maxlen=self._model.grid.tail)
        plan = self._model.grid.segments(max(1, self.count - self._given), self._given)
        self._work = sum(segment.frames for segment in plan)
        dice = self._dice()
        for segment in plan:
            start = list(behind)[len(behind) - segment.overlap :]
            if self._order.image and not start:
                start = [self._picture(IMAGE, "input_reference")]
            ends = self._order.last_frame and segment is plan[-1]
            last = self._picture(LAST_FRAME, "last_frame") if ends else None
            clip = self._run(*self._model.begin(start, last, segment.frames), segment.frames, dice)
            fresh = clip[_kept(segment, to_the_end=ends)]
            behind.extend(Image.fromarray(frame) for frame in fresh[-self._model.grid.tail :])
            yield from self.canvas.cut(fresh)

    def _redrawn(self) -> Iterator[Pixels]:
        """Over the video that was sent along, as many frames at a time as the model makes, by the same chance."""
        self._work, source = self.count, self._source(self.count)
        for length in self._model.grid.windows(self.count):
            footage = [next(source) for _ in range(length)]
            footage += footage[-1:] * (clip_up(length, self._model.grid.stride) - length)
            kind, call = self._model.redraw(footage, self._order.strength)
            yield from self.canvas.cut(self._run(kind, call, length, self._dice())[:length])

    def _run(self, kind: str, call: dict[str, Any], work: int, dice: torch.Generator) -> Pixels:
        size = {"width": self.canvas.full_width, "height": self.canvas.full_height}
        clip = self._model.run(
            (kind, call | size | dict(self._model.words(self._order))),
            dice,
            lambda part: self._told((self._done + part * work) / self._work),
        )
        self._done += work
        return self.canvas.full(clip)

    def _source(self, count: int) -> Iterator[Image.Image]:
        """The same on the canvas."""
        return (self.canvas.put(Image.fromarray(frame)) for frame in self._footage(count))

    def _footage(self, count: int) -> Iterator[Pixels]:
        """The first frames of the video that was sent along, at the model's rate."""
        if count:
            footage = Footage(self._folder / CLIP)
            for index in range(count):
                yield footage.at(index / self._model.fps)

    def _picture(self, name: str, field: str) -> Image.Image:
        return self.canvas.put(read_picture(self._folder / name, field))

    def _dice(self) -> torch.Generator:
        return torch.Generator("cpu").manual_seed(self._order.seed)


def _kept(segment: Segment, *, to_the_end: bool) -> Sequence[int]:
    """Which frames of a clip are new and wanted; to get to its very end some in between are left out."""
    if to_the_end:
        return [int(at) for at in np.linspace(segment.overlap, segment.frames - 1, segment.keep).round()]
    return range(segment.overlap, segment.overlap + segment.keep)
