"""What makes a loaded model faster or smaller, by its settings.

Only the first-block cache and tiling change what is seen. The others compute the same elsewhere, or in another
order, which may move the last bit.
"""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from diffusers import FirstBlockCacheConfig

from providers.local.diffusion.settings import ModelSettings, SetupError


def apply_levers(
    pipeline: Any, denoisers: Sequence[Any], settings: ModelSettings, device: torch.device
) -> None:
    """Change the parts of the pipeline in place; other pipelines made of them have it too. Raises SetupError."""
    for denoiser in denoisers:
        try:
            denoiser.set_attention_backend(settings.attention)
        except (ValueError, RuntimeError, ImportError) as refused:
            raise SetupError(f"attention {settings.attention!r} cannot be used here: {refused}") from refused
        if "transformer" in settings.compile:
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
