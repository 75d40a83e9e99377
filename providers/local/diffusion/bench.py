"""`fairlead worker bench`: what a model costs by its settings, beside a plain call of diffusers in the same run.

Both make the same clip from words. The plain call stops at the frames, ours goes on to the finished file. The
first run of each is not timed: it is where things are compiled and memory is taken. In that of the plain call
the floating-point operations between two steps are counted; the rates of both are by this number, so that what
a lever saves shows as a higher one.
"""

import argparse
import gc
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any, TypeAlias

import diffusers
import torch
from msgspec import Struct
from msgspec.structs import replace
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from providers.local.diffusion.canvas import Canvas
from providers.local.diffusion.directory import find_directory
from providers.local.diffusion.engine import Diffusion
from providers.local.diffusion.loading import Pipelines, keep_quiet
from providers.local.diffusion.model import Call, VideoModel, counted
from providers.local.diffusion.peers import Peers
from providers.local.diffusion.settings import ModelSettings, SetupError, one_model, read_models
from providers.local.encode import Pixels
from providers.local.engine import Order, make

_DENOISED = 85  # percent up to which the engine tells of steps
_PROMPT, _AGAINST = "A red kite over a grey sea, slow tracking shot", "blurry, low quality"
_MIB = 2**20
_OWN_MEMORY = Path("/proc/self/status")


Once: TypeAlias = Callable[[Callable[[], None]], None]
"""Makes the clip; calls what it is given at each step."""


class Cost(Struct, frozen=True):
    """Medians over the runs, in seconds, and the most memory that was held, in bytes."""

    clip: float
    step: float
    memory: int

    def told(self, seconds: float, flops: float) -> str:
        """A row of the table, by the length of the video and the operations of a step."""
        rate = flops / self.step / 1e12 if self.step else 0.0
        return f"{self.clip / seconds:20.3f}{1000 * self.step:14.1f}{rate:12.4f}{self.memory / _MIB:11.0f}"


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
    with closing(Peers({name: replace(settings, path=str(directory))})) as peers:
        model = _Timed(name, directory, settings, peers.together)
        task, ours = _ours(model, given)
        beside = 1 - model.spent / model.rendered
        del model
    plain = _plain(directory, settings, task)
    flops = _flops(plain)
    bare = _cost(plain, given.runs)
    order, versions = task.order, f"torch {torch.__version__}, diffusers {diffusers.__version__}"
    _tell(f"{name}, {order.size}, {task.frames} frames at {task.fps} a second, on {task.device}, {versions}")
    _tell(f"{'':16}{'s per video second':>20}{'ms per step':>14}{'TFLOP/s':>12}{'peak MiB':>11}")
    for label, cost in (("plain diffusers", bare), ("fairlead", ours)):
        _tell(f"{label:16}{cost.told(order.seconds, flops)}")
    _tell(
        f"fairlead takes {ours.clip / bare.clip:.2f} of the time of plain diffusers; {beside:.1%} of it is beside "
        f"the model, for the file above all"
    )
    return 0


class _Timed(VideoModel):
    """Adds up, in seconds, what the calls of its pipelines take, and what whole videos do."""

    spent = rendered = 0.0

    def run(self, call: Call, dice: torch.Generator, told: Callable[[float], None]) -> Pixels:
        """As without."""
        began = _synchronise()
        made = super().run(call, dice, told)
        self.spent += _synchronise() - began
        return made


def _ours(model: _Timed, given: argparse.Namespace) -> tuple[Task, Cost]:
    """What is to be made, and what it costs us."""
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
    _render(model, order, lambda: None)
    model.spent = model.rendered = 0.0
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


def _render(model: _Timed, order: Order, told: Callable[[], None]) -> None:
    began = _synchronise()
    with tempfile.TemporaryDirectory() as folder:
        engine = Diffusion({model.name: model})
        make(engine, order, Path(folder), lambda percent: told() if percent <= _DENOISED else None)
    model.rendered += _synchronise() - began


def _flops(once: Once) -> float:
    """Floating-point operations from one step to the next; makes the clip once."""
    attention = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attended}  # noqa: SLF001 - its name
    seen = list[int]()
    with FlopCounterMode(display=False, custom_mapping=attention) as counter:
        once(lambda: seen.append(counter.get_total_flops()))
    return median([after - before for before, after in pairwise(seen)] or [0])


def _attended(query: Any, key: Any, value: Any, *_given: Any, **_named: Any) -> int:
    """The operations of an attention that PyTorch's own counter leaves out, from its shapes."""
    return int(sdpa_flop_count(query, key, value))


def _cost(once: Once, runs: int) -> Cost:
    """Run it so many times."""
    clips, steps = list[float](), list[float]()
    _forget_peak()
    for _ in range(runs):
        times = list[float]()
        began = time.perf_counter()
        once(lambda: times.append(_synchronise()))  # noqa: B023 - called before the next round
        clips.append(_synchronise() - began)
        steps += [after - before for before, after in pairwise(times)]
    gc.collect()
    return Cost(median(clips), median(steps) if steps else 0.0, _peak())


def _forget_peak() -> None:
    if torch.accelerator.is_available():
        torch.accelerator.reset_peak_memory_stats()
    else:
        _OWN_MEMORY.with_name("clear_refs").write_text("5")  # see proc(5)


def _peak() -> int:
    """The most bytes that were held since then: the device's, else the process's."""
    if torch.accelerator.is_available():
        return int(torch.accelerator.max_memory_allocated())
    (line,) = (line for line in _OWN_MEMORY.read_text().splitlines() if line.startswith("VmHWM:"))
    return 1024 * int(line.split()[1])


def _synchronise() -> float:
    """Wait for the device; the time then."""
    if torch.accelerator.is_available():
        torch.accelerator.synchronize()
    return time.perf_counter()


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
