"""The diffusion engine as the worker's child process runs it."""

import gc
import os
import platform
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from itertools import chain
from pathlib import Path

import msgspec

# before the libraries read them: whatever is loaded lies on this machine, and threads that wait must not spin
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch

from providers.local.diffusion.loading import keep_quiet
from providers.local.diffusion.model import VideoModel
from providers.local.diffusion.peers import Peers
from providers.local.diffusion.render import Rendering
from providers.local.diffusion.settings import ModelSettings, SetupError
from providers.local.encode import frame_of, write_video
from providers.local.engine import CANNOT_LOAD, Engine, Model, Order, OrderError, Output, Writing
from providers.local.estimate import steps_of

_LIBRARIES = ("av", "diffusers", "numpy", "pillow", "torch", "torchao", "transformers")
_MAKING = 95  # percent of a job's time for the frames; the rest is for the file
_NO_MEMORY = ("allocate memory", "out of memory")


class Diffusion:
    """The models of one process."""

    def __init__(self, models: Mapping[str, VideoModel]) -> None:
        self._models = models

    def models(self) -> Sequence[Model]:
        """What they can make."""
        return [model.describe() for model in self._models.values()]

    def versions(self) -> Mapping[str, str]:
        """What a video's bytes depend on."""
        return {"python": platform.python_version()} | {name: version(name) for name in _LIBRARIES}

    def render(self, order: Order, folder: Path, report: Callable[[int], None]) -> Writing:
        """Make the frames; the file is left. Raises OrderError, also when the memory does not suffice."""
        model = self._models[order.model]
        with _memory_told(model, order):
            work = Rendering(model, order, folder, lambda share: report(int(share * _MAKING)))
            made = list(work.new_frames())
        canvas = work.canvas
        output = Output(
            width=canvas.width,
            height=canvas.height,
            fps=model.fps,
            seconds=work.count / model.fps,
            steps=steps_of(order, model.describe()),
        )

        def write(told: Callable[[int], None]) -> Output:
            pictures = chain(work.given_frames(), made)
            frames = (frame_of(picture, canvas.width, canvas.height) for picture in pictures)
            left = 99 - _MAKING
            write_video(folder, frames, output, lambda percent: told(_MAKING + percent * left // 99))
            return output

        return write


def load(told: str) -> Engine:
    """The engine with its models in memory; `told` maps their names to their settings, in JSON.

    Ends the process with `CANNOT_LOAD` when the settings or the weights are at fault.
    """
    keep_quiet()
    settings = msgspec.json.decode(told, type=dict[str, ModelSettings])
    try:
        with ExitStack() as unless_loaded:
            peers = Peers(settings)
            unless_loaded.callback(peers.close)
            models = {
                name: VideoModel(name, Path(one.path), one, peers.together) for name, one in settings.items()
            }
            unless_loaded.pop_all()
    except SetupError as wrong:
        sys.stderr.write(f"fairlead worker: {wrong}\n")
        sys.exit(CANNOT_LOAD)
    for model in models.values():
        model.warm()
    return Diffusion(models)


@contextmanager
def _memory_told(model: VideoModel, order: Order) -> Iterator[None]:
    """Turn a lack of memory into the order's error, and give back what was taken."""
    try:
        yield
    except (RuntimeError, MemoryError) as failed:
        if not isinstance(failed, MemoryError) and not any(words in str(failed) for words in _NO_MEMORY):
            raise
        problem = OrderError(
            "out_of_memory",
            f"{order.seconds:g} s at {order.size} need more memory than {model.device} has free: "
            f"ask for a smaller size or for fewer seconds, or set offload or vae_tiling for {model.name}.",
        )
    else:
        return
    gc.collect()  # only now is the failed computation gone
    if torch.accelerator.is_available():
        torch.accelerator.empty_cache()
    raise problem
