"""What an engine is, and the words the worker and its engine exchange.

The two are separate processes: the worker writes `Task`s, one per line, to the engine's standard input, the
engine writes `Report`s to its standard output. A task that is no longer wanted is called off by a line, too;
the engine leaves it wherever it is, and ends it with a report as any other. One that does not hear is killed.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

from msgspec import Struct

ENGINES: Mapping[str, str] = {
    "testcard": "providers.local.testcard",
    "diffusers": "providers.local.diffusion.engine",
}
"""Engine name to the module whose `load()` gives the engine; imported by the child only."""


class Model(Struct, frozen=True, kw_only=True):
    """One model of an engine, and what may be asked of it.

    A size is allowed when its edges are within `min_edge`, `max_short_edge` and `max_long_edge` (pixels, in
    either orientation) and, where `sizes` is given, when it is one of them. `image` says whether a picture to
    start from is asked for, `last_frame` whether one to end with may be sent. `style_presets` and
    `camera_movements` are the words it knows; None takes any. Where it `redraws`, a remix begins with the
    finished video, of which `strength` becomes new when the order does not say; elsewhere the order is made again
    with the new prompt. `steps` are those of denoising that a whole video takes, None where there are none. `lossy`
    names the operator's levers that trade what is seen for speed or memory. `experimental` models were never tried
    by us.
    """

    id: str
    operations: Sequence[str] = ("generate", "remix", "edit", "extend")
    min_edge: int
    max_short_edge: int
    max_long_edge: int
    sizes: Sequence[str] | None = None
    default_size: str
    min_seconds: float
    max_seconds: float
    default_seconds: float
    fps: int
    image: Literal["none", "optional", "required"] = "optional"
    last_frame: bool = False
    style_presets: Sequence[str] | None = None
    camera_movements: Sequence[str] | None = None
    redraws: bool = False
    strength: float | None = None
    steps: int | None = None
    lossy: Sequence[str] = ()
    experimental: bool = False


class Order(Struct, frozen=True, kw_only=True):
    """What is to be made: checked, complete and never changed, so that a second try gives the same video.

    `width` and `height` are as the client asked; an engine may have to render a little more. `image` says
    whether a picture to start from lies in the task's folder, `last_frame` the same of one to end with,
    `clip` of a video that is edited or extended; `seconds` is then the length of the whole, and `added` how
    much of it is new. `strength` is how much of a video that is drawn over becomes new, 0 to 1; None leaves
    it to the engine. `source` is the id of the video it began with.
    """

    model: str
    prompt: str
    operation: str = "generate"
    width: int
    height: int
    seconds: float
    seed: int
    negative_prompt: str | None = None
    style_preset: str | None = None
    camera_movement: str | None = None
    image: bool = False
    last_frame: bool = False
    clip: bool = False
    added: float = 0.0
    strength: float | None = None
    source: str | None = None

    @property
    def size(self) -> str:
        """`WIDTHxHEIGHT` as the client asked."""
        return f"{self.width}x{self.height}"


class Output(Struct, frozen=True, kw_only=True):
    """What was really rendered, and in how many steps of denoising, None where there are none.

    The worker adds `gpu_seconds`: how long the engine worked on it.
    """

    width: int
    height: int
    fps: float
    seconds: float
    has_audio: bool = False
    steps: int | None = None
    gpu_seconds: float | None = None


class Task(Struct, frozen=True, kw_only=True, tag="task"):
    """One order for the engine. The engine reads its inputs from `folder` and leaves `VIDEO` and its stills there."""

    id: str
    order: Order
    folder: str


CANNOT_LOAD = os.EX_CONFIG
"""Exit status of an engine that would fail again: it has said why on standard error, and is not started anew."""


class CallOff(Struct, frozen=True, kw_only=True, tag="call_off"):
    """The task with that id is not wanted any more."""

    id: str


IMAGE = "input"
LAST_FRAME = "last"
CLIP = "source.mp4"
VIDEO = "video.mp4"
THUMBNAIL = "thumbnail.webp"
SPRITESHEET = "spritesheet.jpg"


class Ready(Struct, frozen=True, kw_only=True, tag="ready"):
    """The engine is loaded. Always the first report, and sent once."""

    models: Sequence[Model]
    versions: Mapping[str, str]


class Progress(Struct, frozen=True, kw_only=True, tag="progress"):
    """How far the task is, 0 to 99; never less than before."""

    percent: int


class Done(Struct, frozen=True, kw_only=True, tag="done"):
    """The task's files are complete and in their place."""

    output: Output


class Failed(Struct, frozen=True, kw_only=True, tag="failed"):
    """The task cannot be done and would fail again: the engine is well and takes the next one."""

    code: str
    message: str


class Freed(Struct, frozen=True, kw_only=True, tag="freed"):
    """The task's pictures are made: its file is written while the engine takes the next task. One at a time."""


class Filed(Struct, frozen=True, kw_only=True, tag="filed"):
    """What became of the task that `Freed` was told of; everything else is about the one after it."""

    ended: Done | Failed


Report: TypeAlias = Ready | Progress | Done | Failed | Freed | Filed

Writing: TypeAlias = Callable[[Callable[[int], None]], Output]
"""Writes a video's files, telling percents on the way."""


class OrderError(Exception):
    """The order itself is at fault. Anything else an engine raises ends it, and the job is tried again."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Engine(Protocol):
    """Makes videos, one at a time, in a process of its own."""

    def models(self) -> Sequence[Model]:
        """What it can make; the first one is the default. Never empty."""

    def versions(self) -> Mapping[str, str]:
        """The libraries that decide what a video looks like, with their versions."""

    def render(self, order: Order, folder: Path, report: Callable[[int], None]) -> Output | Writing:
        """Make the video in `folder`, telling percents on the way. Raises OrderError.

        What only the file still takes may be left to a thread, which calls what is returned then.
        """


def make(engine: Engine, order: Order, folder: Path, report: Callable[[int], None]) -> Output:
    """The video and its file, one after the other. Raises OrderError."""
    made = engine.render(order, folder, report)
    return made if isinstance(made, Output) else made(report)
