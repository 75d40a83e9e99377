"""`fairlead worker bench`: what a model costs by its settings, beside a plain call of diffusers in the same run.

Both make the same clip from words. The plain call stops at the frames, ours goes on to the finished file. The
first run of each is not counted: it is where things are compiled and memory is taken.
"""

import argparse
import gc
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any, TypeAlias

import diffusers
import torch
from msgspec import Struct
from msgspec.structs import replace

from providers.local.diffusion.canvas import Canvas
from providers.local.diffusion.directory import find_directory
from providers.local.diffusion.engine import Diffusion
from providers.local.diffusion.loading import Pipelines, keep_quiet
from providers.local.diffusion.model import VideoModel, counted
from providers.local.diffusion.settings import ModelSettings, SetupError, one_model, read_models
from providers.local.engine import Order

_DENOISED = 85  # percent up to which the engine tells of steps
_PROMPT, _AGAINST = "A red kite over a grey sea, slow tracking shot", "blurry, low quality"
_MIB = 2**20


Once: TypeAlias = Callable[[Callable[[], None]], None]
"""Makes the clip; calls what it is given at each step."""


class Cost(Struct, frozen=True):
    """Medians over the runs, in seconds, and the most memory that was held, in bytes."""

    clip: float
    step: float
    memory: int


class Task(Struct, frozen=True, kw_only=True):
    """The clip that both make. `frames` is what the model makes of it in one call."""

    order: Order
    frames: int
    fps: int
    device: str
    canvas: Canvas


def run(given: argparse.Namespace) -> int:
    """The command: `model` or `config`, `size`, `seconds`, `steps` and `runs` as its parser read them."""
    keep_quiet()
    models = one_model(given.model) if given.config is None else read_models(given.config)
    name, settings = next(iter(models.items()))
    settings = replace(settings, steps=given.steps or settings.steps)
    directory = find_directory(settings.path)
    task, ours = _ours(VideoModel(name, directory, settings), given)
    bare = _cost(_plain(directory, settings, task), given.runs)
    order, versions = task.order, f"torch {torch.__version__}, diffusers {diffusers.__version__}"
    _tell(f"{name}, {order.size}, {task.frames} frames at {task.fps} a second, on {task.device}, {versions}")
    _tell(f"{'':16}{'s per video second':>20}{'ms per step':>14}{'peak MiB':>11}")
    for label, cost in (("plain diffusers", bare), ("fairlead", ours)):
        _tell(
            f"{label:16}{cost.clip / order.seconds:20.3f}{1000 * cost.step:14.1f}{cost.memory / _MIB:11.0f}"
        )
    _tell(f"fairlead takes {ours.clip / bare.clip:.2f} of the time of plain diffusers, its file included")
    return 0


def _ours(model: VideoModel, given: argparse.Namespace) -> tuple[Task, Cost]:
    """What is to be made, and what it costs us. The model is gone from memory afterwards."""
    described = model.describe()
    width, height = (int(edge) for edge in (given.size or described.default_size).split("x"))
    order = Order(
        model=model.name,
        prompt=_PROMPT,
        negative_prompt=_AGAINST,
        width=width,
        height=height,
        seconds=given.seconds,
        seed=1,
    )
    segments = model.grid.segments(max(1, round(order.seconds * model.fps)))
    if described.image == "required" or len(segments) != 1:
        raise SetupError("bench times one clip from words: name a model that can, or fewer --seconds.")
    cost = _cost(lambda told: _render(model, order, told), given.runs)
    canvas = Canvas.of(width, height, model.grid.multiple)
    task = Task(
        order=order, frames=segments[0].frames, fps=model.fps, device=str(model.device), canvas=canvas
    )
    return task, cost


def _plain(directory: Path, settings: ModelSettings, task: Task) -> Once:
    """A call as a script would make it: the same weights, no levers."""
    bare = ModelSettings(path=settings.path, device=settings.device, dtype=settings.dtype, prompt_cache=0)
    pipelines = Pipelines(directory, bare)
    pipeline = pipelines.named(str(pipelines.family.words))
    told: dict[str, Any] = {"num_inference_steps": settings.steps, "guidance_scale": settings.guidance_scale}
    call = {name: value for name, value in told.items() if value is not None}

    def once(told: Callable[[], None]) -> None:
        with torch.inference_mode(), counted(pipeline.scheduler, 1, lambda _share: told()):
            pipeline(
                prompt=_PROMPT,
                negative_prompt=_AGAINST,
                width=task.canvas.full_width,
                height=task.canvas.full_height,
                num_frames=task.frames,
                generator=torch.Generator("cpu").manual_seed(1),
                **call,
            )

    return once


def _render(model: VideoModel, order: Order, told: Callable[[], None]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        engine = Diffusion({model.name: model})
        engine.render(order, Path(folder), lambda percent: told() if percent <= _DENOISED else None)


def _cost(once: Once, runs: int) -> Cost:
    """Run it once for nothing and then `runs` times."""
    clips, steps = list[float](), list[float]()
    once(lambda: None)
    if torch.accelerator.is_available():
        torch.accelerator.reset_peak_memory_stats()
    for _ in range(runs):
        times = list[float]()
        began = time.perf_counter()
        once(lambda: times.append(_synchronise()))  # noqa: B023 - called before the next round
        clips.append(_synchronise() - began)
        steps += [after - before for before, after in pairwise(times)]
    memory = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if torch.accelerator.is_available():
        memory = torch.accelerator.max_memory_allocated()
    gc.collect()
    return Cost(median(clips), median(steps) if steps else 0.0, memory)


def _synchronise() -> float:
    """Wait for the device; the time then."""
    if torch.accelerator.is_available():
        torch.accelerator.synchronize()
    return time.perf_counter()


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
