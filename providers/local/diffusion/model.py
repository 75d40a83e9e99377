"""One loaded model: what may be asked of it, and one call of one of its pipelines.

The calls of two kinds of pipelines differ in how pictures and videos are given: most have an argument for
each, those of LTX take a list of conditions.
"""

import inspect
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from diffusers.pipelines.ltx.pipeline_ltx_condition import LTXVideoCondition
from PIL import Image

from providers.local.diffusion.levers import block_cache
from providers.local.diffusion.loading import Pipelines
from providers.local.diffusion.plan import clip_up, round_up
from providers.local.diffusion.settings import ModelSettings
from providers.local.diffusion.wording import CAMERA_MOVEMENTS, STYLE_PRESETS, negative, positive
from providers.local.encode import Pixels
from providers.local.engine import Model, Order

_SHORTEST, _USUAL_SECONDS, _CHAINED_SECONDS = 0.25, 4.0, 60.0
_WARMING_STEPS = 2
_DENOISING = 0.9  # the share of a call's time that is told of step by step; decoding is the rest

Call: TypeAlias = tuple[str, dict[str, Any]]
"""The class of the pipeline that is called, and what it is called with."""

Together: TypeAlias = Callable[[str, Call, torch.Generator], AbstractContextManager[None]]
"""Around a call of the model of that name; see `peers`."""


def alone(_name: str, _call: Call, _dice: torch.Generator) -> AbstractContextManager[None]:
    """By this process only."""
    return nullcontext()


class VideoModel:
    """A model in memory, under the name clients use."""

    def __init__(
        self, name: str, directory: Path, settings: ModelSettings, together: Together = alone
    ) -> None:
        """Load it. Raises SetupError."""
        self.name = name
        self._together = together
        self._settings = settings
        self._pipelines = Pipelines(directory, settings)
        self._family = self._pipelines.family
        self._styles = STYLE_PRESETS if settings.style_presets is None else settings.style_presets
        self._movements = CAMERA_MOVEMENTS if settings.camera_movements is None else settings.camera_movements
        self.grid = self._pipelines.grid
        self.fps = self._family.fps

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self._pipelines.device

    def describe(self) -> Model:
        """What may be asked of it."""
        settings, family = self._settings, self._family
        short, long = sorted(int(edge) for edge in settings.max_size.split("x"))
        once = family.frames / family.fps
        longest = (settings.max_seconds or _CHAINED_SECONDS) if family.picture else once
        longest = min(longest, settings.max_seconds or longest)
        able = {
            "generate": family.words or family.picture,
            "remix": family.words or family.picture or family.footage,
            "edit": family.footage,
            "extend": family.picture,
        }
        return Model(
            id=self.name,
            operations=[operation for operation, kind in able.items() if kind],
            min_edge=settings.min_edge,
            max_short_edge=short,
            max_long_edge=long,
            sizes=settings.sizes,
            default_size=settings.default_size or (settings.sizes or [family.size])[0],
            min_seconds=min(_SHORTEST, longest),
            max_seconds=longest,
            default_seconds=min(settings.default_seconds or _USUAL_SECONDS, longest),
            fps=family.fps,
            image="none" if not family.picture else "optional" if family.words else "required",
            last_frame=family.last,
            style_presets=sorted(self._styles),
            camera_movements=sorted(self._movements),
            redraws=family.footage is not None,
            strength=settings.strength if family.footage else None,
            steps=self._steps(str(family.words or family.picture or family.footage)),
            lossy=settings.lossy,
            experimental=family.experimental,
        )

    def warm(self) -> None:
        """Run the buckets of the settings once, a few steps each, so that what is compiled is ready."""
        for bucket in self._settings.warm:
            wide, high, count = (int(edge) for edge in bucket.split("x"))
            width, height = (round_up(edge, self.grid.multiple) for edge in (wide, high))
            start = [] if self._family.words else [Image.new("RGB", (width, height))]
            kind, call = self.begin(start, None, clip_up(count, self.grid.stride))
            few = {"prompt": "", "width": width, "height": height, "num_inference_steps": _WARMING_STEPS}
            self.run((kind, call | few), torch.Generator("cpu"), lambda _share: None)

    def begin(self, start: Sequence[Image.Image], last: Image.Image | None, frames: int) -> Call:
        """A clip of `frames` that begins with `start`, if that is not empty, and ends with `last`."""
        kind, words = self._family.picture, self._family.words
        if not start:
            return str(words), {"num_frames": frames, "frames": frames}
        call: dict[str, Any] = {"num_frames": frames, "image": start[-1], "last_image": last}
        if self._family.conditions:
            conditions = [LTXVideoCondition(video=list(start))]
            if last is not None:
                conditions.append(LTXVideoCondition(video=[last], frame_index=frames - 1))
            call = {"num_frames": frames, "conditions": conditions}
        return str(kind), call

    def redraw(self, footage: Sequence[Image.Image], strength: float | None) -> Call:
        """The `footage` drawn over; `strength` is how much of it becomes new."""
        wanted = self._settings.strength if strength is None else strength
        share = min(1.0, max(wanted, 1.01 / self._steps(str(self._family.footage))))  # one step at least
        call: dict[str, Any] = {"video": list(footage), "strength": share}
        if self._family.conditions:
            kept = LTXVideoCondition(video=list(footage), strength=1 - share)
            call = {"num_frames": len(footage), "conditions": [kept], "denoise_strength": share}
        return str(self._family.footage), call

    def words(self, order: Order) -> Mapping[str, str]:
        """The prompts of an order."""
        movement = self._movements.get(order.camera_movement or "")
        style = self._styles.get(order.style_preset or "")
        return {
            "prompt": positive(order.prompt, movement, style),
            "negative_prompt": negative(self._settings.negative_prompt, order.negative_prompt),
        }

    def run(self, call: Call, dice: torch.Generator, told: Callable[[float], None]) -> Pixels:
        """Make the clip: frames, rows, columns, colours. Tells what share is done, 0 to 1."""
        kind, given = call
        pipeline = self._pipelines.named(kind)
        steps = self._steps(kind)
        wanted = {
            "num_inference_steps": steps,
            "guidance_scale": self._settings.guidance_scale,
            "generator": dice,
            "frame_rate": self.fps,
            "fps": self.fps,
            "output_type": "pt",
        } | given
        taken = _parameters(pipeline)
        wanted = {name: value for name, value in wanted.items() if name in taken and value is not None}
        expected = max(1, int(steps * _share(given)))
        # a pipeline that draws over a video does not tell the cache which of its two calls a step is
        threshold = None if "video" in given else self._settings.first_block_cache
        with (
            self._together(self.name, call, dice),
            torch.inference_mode(),
            block_cache(self._pipelines.denoisers, threshold),
            counted(pipeline.scheduler, expected, lambda part: told(part * _DENOISING)),
        ):
            made = pipeline(**wanted).frames[0]
        return _pixels(made)

    def _steps(self, kind: str) -> int:
        usual = _parameters(self._pipelines.named(kind))["num_inference_steps"].default
        return self._settings.steps or int(usual)


@contextmanager
def counted(scheduler: Any, expected: int, told: Callable[[float], None]) -> Iterator[None]:
    """Tell of every step the scheduler makes: every pipeline has one, not every one has a callback.

    Some pipelines work with copies of it, one for each frame: the one that is farthest counts.
    """
    kind, done = type(scheduler), Counter[int]()

    class Counting(kind):  # type: ignore[misc,valid-type]  # known at run time only; a copy is of it, too
        def step(self, *given: Any, **named: Any) -> Any:
            done[id(self)] += 1
            told(min(1.0, max(done.values()) / expected))
            return super().step(*given, **named)

    scheduler.__class__ = Counting
    try:
        yield
    finally:
        scheduler.__class__ = kind


def _share(given: Mapping[str, Any]) -> float:
    """What part of the steps a call makes: as much as becomes new of the video it draws over."""
    share: float = given.get("strength") or given.get("denoise_strength") or 1.0
    return share


def _parameters(pipeline: Any) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(type(pipeline).__call__).parameters


def _pixels(video: torch.Tensor) -> Pixels:
    """From frames, colours, rows, columns between 0 and 1; rounded where it was made, to move less."""
    whole = (video.float() * 255).round().clamp(0, 255).to(torch.uint8)
    return np.asarray(whole.permute(0, 2, 3, 1).contiguous().cpu().numpy())
