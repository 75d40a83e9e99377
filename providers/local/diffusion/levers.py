"""What makes a loaded model faster or smaller, by its settings.

The first-block cache, quantised weights and tiling change what is seen. The others compute the same elsewhere, or
in another order, which may move the last bit.
"""

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import torch
from diffusers import ContextParallelConfig, FirstBlockCacheConfig
from torch.distributed.device_mesh import init_device_mesh
from torchao.quantization import (
    Float8DynamicActivationFloat8WeightConfig,
    Int8WeightOnlyConfig,
    PerRow,
    quantize_,
)

from providers.local.diffusion.settings import ModelSettings, SetupError

_QUANTIZED: Mapping[str, Any] = {
    "int8": Int8WeightOnlyConfig(),  # half the memory of bfloat16, computed in what the rest is in
    "fp8": Float8DynamicActivationFloat8WeightConfig(granularity=PerRow()),  # computed in fp8, too
}


def quantize(denoisers: Sequence[Any], how: str | None, device: torch.device | None) -> None:
    """Round the weights of the repeated blocks, moving them to `device`, if any, one by one. Raises SetupError.

    What stands before and behind the blocks is small, and a picture shows it most.
    """
    for denoiser in denoisers if how is not None else ():
        kinds = _blocks(denoiser, "quantize")
        for block in denoiser.modules():
            if type(block).__name__ not in kinds:
                continue
            try:
                quantize_(block, _QUANTIZED[str(how)], device=device)
            except (AssertionError, RuntimeError) as refused:
                raise SetupError(
                    f"quantize {how!r} cannot be used here ({refused}): fp8 needs an NVIDIA card of the kinds "
                    f"Ada (RTX 40, L40), Hopper (H100, H200) or later, or an AMD MI300; int8 runs everywhere."
                ) from refused


def apply_levers(
    pipeline: Any, denoisers: Sequence[Any], settings: ModelSettings, device: torch.device
) -> None:
    """Change the parts of the pipeline in place; other pipelines made of them have it too. Raises SetupError."""
    for denoiser in denoisers:
        try:
            denoiser.set_attention_backend(settings.attention)
        except (ValueError, RuntimeError, ImportError) as refused:
            raise SetupError(f"attention {settings.attention!r} cannot be used here: {refused}") from refused
        if settings.context_parallel > 1:
            _share(denoiser, settings.context_parallel, device)
        if "transformer" in settings.compile and _blocks(denoiser, "compile"):
            denoiser.compile_repeated_blocks(fullgraph=True)
    if "vae" in settings.compile:
        pipeline.vae.decoder.compile()
    if settings.vae_tiling:
        pipeline.vae.enable_tiling()
    if settings.offload:
        stream = device.type == "cuda"
        pipeline.enable_group_offload(
            onload_device=device,
            offload_device=torch.device("cpu"),
            offload_type="leaf_level",
            use_stream=stream,
        )
    if settings.prompt_cache and getattr(pipeline, "text_encoder", None) is not None:
        _remember(pipeline.text_encoder, settings.prompt_cache)


def _blocks(denoiser: Any, lever: str) -> Sequence[str]:
    """The classes of its repeated blocks. Raises SetupError where diffusers names none."""
    kinds: Sequence[str] = denoiser._repeated_blocks or ()  # noqa: SLF001 - what compile_repeated_blocks reads
    if not kinds:
        raise SetupError(
            f"{lever} cannot be used for {type(denoiser).__name__}, of which diffusers names no repeated blocks: "
            f"leave it out."
        )
    return kinds


def _share(denoiser: Any, parts: int, device: torch.device) -> None:
    """Let as many processes, whose group must be there, compute a part of each step's tokens."""
    # diffusers makes a mesh for the accelerator alone, and divides by how many of those there are, none on a CPU
    mesh = init_device_mesh(device.type, (1, parts), mesh_dim_names=("ring", "ulysses"))
    with patch.object(torch.accelerator, "device_count", lambda: parts):
        denoiser.enable_parallelism(config=ContextParallelConfig(ulysses_degree=parts, mesh=mesh))


@contextmanager
def block_cache(denoisers: Sequence[Any], threshold: float | None) -> Iterator[None]:
    """Skip most of a step that would change its first block's output by less than `threshold`; for one clip.

    Nothing is carried over to the next clip, whose bytes would otherwise depend on this one.
    """
    with ExitStack() as after:
        for denoiser in denoisers if threshold is not None else ():
            denoiser.enable_cache(FirstBlockCacheConfig(threshold=threshold))
            after.callback(denoiser.disable_cache)
        yield


def _remember(encoder: Any, most: int) -> None:
    """Let a text encoder keep its last `most` answers: the negative prompt is nearly always the same."""
    encode, known = encoder.forward, OrderedDict[tuple[Any, ...], Any]()

    def remembering(*given: Any, **named: Any) -> Any:
        key = tuple(_mark(value) for value in (*given, *named, *named.values()))
        if key not in known:
            known[key] = encode(*given, **named)
        known.move_to_end(key)
        if len(known) > most:
            known.popitem(last=False)
        return known[key]

    encoder.forward = remembering


def _mark(value: Any) -> Any:
    """Something to look up by, the same for tensors of the same content."""
    if isinstance(value, torch.Tensor):
        return value.shape, value.dtype, value.cpu().numpy().tobytes()
    return value
