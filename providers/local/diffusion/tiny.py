"""`fairlead worker make-tiny`: tiny pipelines with random weights, in the true format of diffusers.

They make noise, in a fraction of a second on any CPU: for a first try of an installation, and for tests. The
same command gives the same weights on one machine.
"""

import argparse
import string
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers

from providers.local.diffusion.settings import SetupError

_WIDTH = 32  # of the text encoder's output
_WORDS = (
    "a an the of in on at with and over under through red green blue yellow black white small big cat dog ball car "
    "boat bird sea city street forest sky night day sun rain snow camera pan zoom slow fast left right up down style "
    "film anime photo blurry static low quality"
)


def run(given: argparse.Namespace) -> int:
    """The command: `family` and `dir` as its parser read them."""
    if given.dir.exists():
        raise SetupError(f"{given.dir} exists already: name a directory that does not.")
    transformers.utils.logging.disable_progress_bar()
    make(given.family, given.dir)
    sys.stdout.write(f"A tiny {given.family} model is in {given.dir}: fairlead worker --model {given.dir}\n")
    return 0


def make(family: str, folder: Path) -> None:
    """Write a tiny pipeline of that family (see `FAMILIES`) to `folder`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        FAMILIES[family]().save_pretrained(folder, safe_serialization=True)


def _tokenizer() -> Any:
    special = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -20.0)]
    words = [(f"▁{word}", -3.0 - place / 100) for place, word in enumerate(_WORDS.split())]
    known = {token for token, _ in words}
    letters = string.ascii_letters + string.digits + ".,!?'-:;()"
    letter_tokens = [(letter, -8.0) for letter in f"▁{letters}" if letter not in known]
    return transformers.T5Tokenizer(vocab=[*special, *words, *letter_tokens], extra_ids=0)


def _text_encoder(tokens: int, config: Any, kind: Any) -> Any:
    return kind(
        config(
            vocab_size=tokens,
            d_model=_WIDTH,
            d_kv=8,
            d_ff=64,
            num_layers=2,
            num_heads=4,
            feed_forward_proj="gated-gelu",
        )
    ).eval()


def _umt5(tokens: int) -> Any:
    return _text_encoder(tokens, transformers.UMT5Config, transformers.UMT5EncoderModel)


def _wan_transformer(in_channels: int, **more: Any) -> Any:
    return diffusers.WanTransformer3DModel(
        patch_size=(1, 2, 2),
        num_attention_heads=2,
        attention_head_dim=12,
        in_channels=in_channels,
        out_channels=16,
        text_dim=_WIDTH,
        freq_dim=64,
        ffn_dim=64,
        num_layers=2,
        cross_attn_norm=True,
        qk_norm="rms_norm_across_heads",
        rope_max_seq_len=256,
        **more,
    )


def _wan_parts() -> dict[str, Any]:
    tokenizer = _tokenizer()
    return {
        "tokenizer": tokenizer,
        "text_encoder": _umt5(len(tokenizer)),
        "vae": diffusers.AutoencoderKLWan(
            base_dim=4,
            z_dim=16,
            dim_mult=[1, 1, 1, 1],
            num_res_blocks=1,
            temperal_downsample=[False, True, True],
        ),
        "scheduler": diffusers.UniPCMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
        ),
    }


def _wan() -> Any:
    """Like Wan 2.2 TI2V 5B: from words and from a picture by one transformer."""
    return diffusers.WanPipeline(**_wan_parts(), transformer=_wan_transformer(16), expand_timesteps=True)


def _wan_a14b() -> Any:
    """Like Wan 2.2 I2V A14B: from a first and a last picture, by two transformers."""
    parts = _wan_parts()
    return diffusers.WanImageToVideoPipeline(
        **parts,
        image_processor=None,
        image_encoder=None,
        transformer=_wan_transformer(36),
        transformer_2=_wan_transformer(36),
        boundary_ratio=0.9,
    )


def _ltx() -> Any:
    """Like LTX 0.9.5 and later: one pipeline for words, pictures and videos."""
    tokenizer = _tokenizer()
    return diffusers.LTXConditionPipeline(
        tokenizer=tokenizer,
        text_encoder=_text_encoder(len(tokenizer), transformers.T5Config, transformers.T5EncoderModel),
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(),
        transformer=diffusers.LTXVideoTransformer3DModel(
            in_channels=16,
            out_channels=16,
            patch_size=1,
            patch_size_t=1,
            num_attention_heads=4,
            attention_head_dim=8,
            cross_attention_dim=_WIDTH,
            num_layers=2,
            caption_channels=_WIDTH,
        ),
        vae=ltx_vae(16, (8, 8, 8, 8)),
    )


def ltx_vae(channels: int, widths: tuple[int, int, int, int]) -> Any:
    """LTX's video autoencoder with one layer in each block: latent `channels`, and how wide the blocks are."""
    return diffusers.AutoencoderKLLTXVideo(
        latent_channels=channels,
        block_out_channels=widths,
        decoder_block_out_channels=widths,
        layers_per_block=(1, 1, 1, 1, 1),
        decoder_layers_per_block=(1, 1, 1, 1, 1),
        spatio_temporal_scaling=(True, True, True, False),
        decoder_spatio_temporal_scaling=(True, True, True, False),
        decoder_inject_noise=(False,) * 5,
        upsample_residual=(False,) * 4,
        upsample_factor=(1,) * 4,
        timestep_conditioning=False,
        patch_size=4,
        patch_size_t=1,
        encoder_causal=True,
        decoder_causal=False,
    )


FAMILIES: Mapping[str, Callable[[], Any]] = {"wan": _wan, "wan-a14b": _wan_a14b, "ltx": _ltx}
