"""From a directory to pipelines on a device. Pipelines of one model share their parts."""

import inspect
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from safetensors import SafetensorError

from providers.local.diffusion.directory import read_index
from providers.local.diffusion.families import Family, family_by_signature, family_of
from providers.local.diffusion.levers import apply_levers, quantize
from providers.local.diffusion.plan import Grid
from providers.local.diffusion.settings import ModelSettings, SetupError

_STRIDES = ("vae_scale_factor_temporal", "vae_temporal_compression_ratio", "vae_temporal_scale_factor")
_SCALES = ("vae_scale_factor_spatial", "vae_spatial_compression_ratio", "vae_spatial_scale_factor")
_COARSER = {1: 1, 2: 2, 4: 2, 8: 4}  # by devices: edges that much coarser give each as many tokens
_USUAL_STRIDE, _USUAL_SCALE, _SMALLEST_MULTIPLE = 4, 8, 16


class Pipelines:
    """The pipelines of one model, made from the same parts when they are first asked for."""

    def __init__(self, directory: Path, settings: ModelSettings) -> None:
        """Load the weights. Raises SetupError for what cannot make videos."""
        index = read_index(directory)
        self.family = _family(directory, index)
        self.device = _device(settings)
        self._parts = settings.context_parallel
        self.first: Any = _load(directory, self.family, self.device, settings)
        quantize(self.denoisers, settings.quantize, None if settings.offload else self.device)
        if not settings.offload:
            self.first.to(self.device)
        apply_levers(self.first, self.denoisers, settings, self.device)
        self._made = {type(self.first).__name__: self.first}

    @property
    def denoisers(self) -> Sequence[Any]:
        """The networks that do the work, one or two."""
        found = (getattr(self.first, name, None) for name in ("transformer", "transformer_2"))
        return [one for one in found if one is not None]

    @property
    def grid(self) -> Grid:
        """What clips of this model look like."""
        patch = self.denoisers[0].config.get("patch_size") if self.denoisers else None
        edge = patch[-1] if isinstance(patch, list | tuple) else patch or 1
        return Grid(
            stride=_fact(self.first, _STRIDES, _USUAL_STRIDE),
            multiple=max(_SMALLEST_MULTIPLE, _fact(self.first, _SCALES, _USUAL_SCALE) * edge)
            * _COARSER[self._parts],
            longest=self.family.frames,
            tail=self.family.tail,
        )

    def named(self, name: str) -> Any:
        """The pipeline of that class of diffusers."""
        if name not in self._made:
            kind = getattr(diffusers, name)
            wanted = inspect.signature(kind.__init__).parameters
            needed = [part for part, one in wanted.items() if one.default is one.empty and part != "self"]
            there = {**self.first.config, **self.first.components}
            given = {part: one for part, one in there.items() if part in wanted}
            self._made[name] = kind(**dict.fromkeys(needed) | given)
            self._made[name].set_progress_bar_config(disable=True)
        return self._made[name]


def keep_quiet() -> None:
    """Leave the log to what an operator can use."""
    for library in (diffusers, transformers):
        library.utils.logging.set_verbosity_error()
        library.utils.logging.disable_progress_bar()
    warnings.filterwarnings("ignore", category=FutureWarning)


def _family(directory: Path, index: Mapping[str, Any]) -> Family:
    name = index["_class_name"]
    kind = getattr(diffusers, name, None)
    if kind is None:
        raise SetupError(
            f"the model {directory} is a {name}, which diffusers {diffusers.__version__} does not have: "
            f"install a newer diffusers."
        )
    parameters = {
        one.name: None if one.default is one.empty else one.default
        for one in inspect.signature(kind.__call__).parameters.values()
    }
    family = family_of(index) or family_by_signature(name, parameters)
    if family is None:
        raise SetupError(f"the model {directory} is a {name}, which makes no videos from words.")
    return family


def _device(settings: ModelSettings) -> torch.device:
    if settings.device != "auto":
        return _named_device(settings.device)
    found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return found or torch.device("cpu")


def _named_device(name: str) -> torch.device:
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as refused:
        raise SetupError(f"device {name!r} cannot be used here: {_first_line(refused)}") from refused


def _load(directory: Path, family: Family, device: torch.device, settings: ModelSettings) -> Any:
    usual = "float32" if device.type == "cpu" else "bfloat16"
    kind = getattr(torch, usual if settings.dtype == "auto" else settings.dtype)
    kinds = {"default": kind} | dict.fromkeys(family.exact, torch.float32)
    try:
        pipeline = diffusers.DiffusionPipeline.from_pretrained(directory, dtype=kinds, local_files_only=True)
    except (OSError, ValueError, KeyError, SafetensorError) as broken:
        raise SetupError(
            f"the model {directory} cannot be loaded: {_first_line(broken)}; fetch it again, or name another."
        ) from broken
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _first_line(problem: BaseException) -> str:
    return str(problem).strip().partition("\n")[0].rstrip(".") or type(problem).__name__


def _fact(pipeline: Any, names: Sequence[str], usual: int) -> int:
    return next((int(value) for name in names if (value := getattr(pipeline, name, None))), usual)
