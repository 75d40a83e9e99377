"""The testcard engine: a moving picture that shows what was asked for, quickly and without a GPU.

It proves the way from a request to a playable file. The same order gives the same bytes on one machine:
every colour and every path comes from the order's own fields.
"""

import hashlib
import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import av
import msgspec
import numpy as np

from providers.local.backdrop import Backdrop, Lights, Picture, Scene
from providers.local.card import Card
from providers.local.encode import even, write_video
from providers.local.engine import CLIP, IMAGE, Engine, Model, Order, Output
from providers.local.settings import PACE_VARIABLE

MODEL = Model(
    id="testcard",
    min_edge=64,
    max_short_edge=1080,
    max_long_edge=1920,
    default_size="720x1280",
    min_seconds=1,
    max_seconds=60,
    default_seconds=4,
    fps=24,
)


class TestCard:
    """Draws each frame and hands it to the encoder at once, or `pace` seconds for a second of video."""

    __test__ = False  # not a test, whatever its name

    def __init__(self, pace: float = 0.0) -> None:
        self._pace = pace

    def models(self) -> Sequence[Model]:
        """One model, which can do everything the worker offers."""
        return (MODEL,)

    def versions(self) -> Mapping[str, str]:
        """What a video's bytes depend on."""
        return {"python": platform.python_version()} | {
            name: version(name) for name in ("av", "numpy", "pillow")
        }

    def render(self, order: Order, folder: Path, report: Callable[[int], None]) -> Output:
        """Draw the video; a remix is drawn anew from the source's order with the new prompt.

        An edit lays the card over the video it begins with; an extension shows that as it is, and goes on
        with the card over its last picture.
        """
        count = max(1, round(order.seconds * MODEL.fps))
        output = Output(
            width=even(order.width), height=even(order.height), fps=MODEL.fps, seconds=count / MODEL.fps
        )
        frames = _frames(order, folder, output, count)
        write_video(folder, _slowly(frames, self._pace / output.fps), output, report)
        return output


def load() -> Engine:
    """The engine, ready at once: it has no weights."""
    return TestCard(float(os.environ.get(PACE_VARIABLE, "0")))


def _slowly(frames: Iterator[av.VideoFrame], pause: float) -> Iterator[av.VideoFrame]:
    """The frames, none sooner after the one before than the pause, in seconds."""
    for frame in frames:
        if pause:
            time.sleep(pause)
        yield frame


def _frames(order: Order, folder: Path, output: Output, count: int) -> Iterator[av.VideoFrame]:
    backdrop: Backdrop
    untouched = 0
    if order.clip:
        backdrop = Scene(folder / CLIP, output.width, output.height)
        untouched = round((order.seconds - order.added) * output.fps) if order.operation == "extend" else 0
    elif order.image:
        backdrop = Picture(folder / IMAGE, output.width, output.height)
    else:
        backdrop = Lights(_dice(order), output.width, output.height)
    card = Card(order, output, count)
    for index in range(count):
        frame = backdrop.frame(index / output.fps)
        if index >= untouched:
            card.draw(frame, index)
        yield frame


def _dice(order: Order) -> np.random.Generator:
    """Chance that is the same for the same words and seed, whatever was drawn before."""
    told = (order.seed, order.prompt, order.negative_prompt, order.style_preset, order.camera_movement)
    return np.random.default_rng(int.from_bytes(hashlib.sha256(msgspec.json.encode(told)).digest()))
