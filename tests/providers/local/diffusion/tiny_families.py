"""Tiny pipelines with random weights of the kinds that `make-tiny` does not make, from diffusers' own classes."""

import string
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from diffusers.pipelines.ltx2 import LTX2TextConnectors
from diffusers.pipelines.ltx2.vocoder import LTX2Vocoder

from providers.local.diffusion import tiny


def _wan() -> Any:
    return diffusers.WanPipeline(**tiny._wan_parts(), transformer=tiny._wan_transformer(16))


def _wan_two() -> Any:
    """Like Wan 2.2 T2V A14B: one transformer for the early steps, one for the late."""
    both = {name: tiny._wan_transformer(16) for name in ("transformer", "transformer_2")}
    return diffusers.WanPipeline(**tiny._wan_parts(), **both, boundary_ratio=0.9)


def _ltx_before() -> Any:
    """Like LTX 0.9.1."""
    return diffusers.LTXPipeline(**tiny._ltx().components)


def _ltx_before_picture() -> Any:
    return diffusers.LTXImageToVideoPipeline(**tiny._ltx().components)


def _sight(kind: Any) -> dict[str, Any]:
    """What looks at the first picture."""
    config = transformers.CLIPVisionConfig(
        hidden_size=16,
        projection_dim=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=16,
        patch_size=8,
    )
    size = {"height": 16, "width": 16}
    eye = transformers.CLIPImageProcessor(crop_size=size, size=size, do_center_crop=False)
    return {"image_encoder": kind(config).eval(), "image_processor": eye}


def _wan_picture() -> Any:
    """Like Wan 2.1 I2V, which also looks at the picture by CLIP."""
    transformer = tiny._wan_transformer(36, image_dim=16)
    sight = _sight(transformers.CLIPVisionModel)
    return diffusers.WanImageToVideoPipeline(**tiny._wan_parts(), **sight, transformer=transformer)


def _skyreels_parts(channels: int, **more: Any) -> dict[str, Any]:
    parts = tiny._wan_parts()
    parts["transformer"] = diffusers.SkyReelsV2Transformer3DModel(
        patch_size=(1, 2, 2),
        num_attention_heads=2,
        attention_head_dim=12,
        in_channels=channels,
        out_channels=16,
        text_dim=tiny._WIDTH,
        freq_dim=64,
        ffn_dim=64,
        num_layers=2,
        cross_attn_norm=True,
        qk_norm="rms_norm_across_heads",
        rope_max_seq_len=256,
        **more,
    )
    return parts


def _skyreels() -> Any:
    return diffusers.SkyReelsV2Pipeline(**_skyreels_parts(16))


def _skyreels_picture() -> Any:
    return diffusers.SkyReelsV2ImageToVideoPipeline(
        **_skyreels_parts(36, image_dim=16), **_sight(transformers.CLIPVisionModelWithProjection)
    )


def _skyreels_forcing() -> Any:
    return diffusers.SkyReelsV2DiffusionForcingPipeline(**_skyreels_parts(16))


def _cog_parts(channels: int) -> dict[str, Any]:
    tokenizer = tiny._tokenizer()
    return {
        "tokenizer": tokenizer,
        "text_encoder": tiny._text_encoder(
            len(tokenizer), transformers.T5Config, transformers.T5EncoderModel
        ),
        "vae": diffusers.AutoencoderKLCogVideoX(
            down_block_types=("CogVideoXDownBlock3D",) * 4,
            up_block_types=("CogVideoXUpBlock3D",) * 4,
            block_out_channels=(8, 8, 8, 8),
            latent_channels=4,
            layers_per_block=1,
            norm_num_groups=2,
            temporal_compression_ratio=4,
        ),
        "transformer": diffusers.CogVideoXTransformer3DModel(
            num_attention_heads=4,
            attention_head_dim=16,
            in_channels=channels,
            out_channels=4,
            time_embed_dim=2,
            text_embed_dim=tiny._WIDTH,
            num_layers=2,
            sample_width=4,
            sample_height=4,
            sample_frames=9,
            patch_size=2,
            temporal_compression_ratio=4,
            max_text_seq_length=226,
            use_rotary_positional_embeddings=True,
        ),
        "scheduler": diffusers.CogVideoXDDIMScheduler(),
    }


def _cog() -> Any:
    return diffusers.CogVideoXPipeline(**_cog_parts(4))


def _cog_picture() -> Any:
    return diffusers.CogVideoXImageToVideoPipeline(**_cog_parts(8))


_LETTERS = (
    *string.ascii_letters,
    *string.digits,
    *string.punctuation,
    "\u0120",
    "\u010a",
)  # byte-level blanks


def _letters(*special: str, endings: str = "") -> dict[str, int]:
    """A vocabulary of single letters, and of letters at the end of a word."""
    known = dict.fromkeys((*special, *_LETTERS, *(one + endings for one in _LETTERS)))
    return {token: place for place, token in enumerate(known)}


def _small(config: Any, tokens: int, **more: Any) -> Any:
    """A text encoder's configuration."""
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    return config(vocab_size=tokens, **sizes, **more)


def _hunyuan() -> Any:
    words = _letters("<unk>", "<s>", "</s>", "<pad>")
    ends = _letters("<|startoftext|>", "<|endoftext|>", endings="</w>")
    clip = _small(
        transformers.CLIPTextConfig,
        len(ends),
        projection_dim=16,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )
    return diffusers.HunyuanVideoPipeline(
        tokenizer=transformers.LlamaTokenizer(vocab=words, merges=[], pad_token="<pad>"),
        text_encoder=transformers.LlamaModel(_small(transformers.LlamaConfig, len(words))).eval(),
        tokenizer_2=transformers.CLIPTokenizer(vocab=ends, merges=[], model_max_length=77),
        text_encoder_2=transformers.CLIPTextModel(clip).eval(),
        vae=diffusers.AutoencoderKLHunyuanVideo(
            latent_channels=4,
            down_block_types=("HunyuanVideoDownBlock3D",) * 4,
            up_block_types=("HunyuanVideoUpBlock3D",) * 4,
            block_out_channels=(8, 8, 8, 8),
            layers_per_block=1,
            norm_num_groups=4,
        ),
        transformer=diffusers.HunyuanVideoTransformer3DModel(
            in_channels=4,
            out_channels=4,
            num_attention_heads=2,
            attention_head_dim=16,
            num_layers=1,
            num_single_layers=1,
            num_refiner_layers=1,
            guidance_embeds=True,
            text_embed_dim=16,
            pooled_projection_dim=16,
            rope_axes_dim=(4, 6, 6),
        ),
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=7.0),
    )


def _hunyuan15_parts(task: str) -> dict[str, Any]:
    words = _letters("<|endoftext|>")
    glyphs = transformers.ByT5Tokenizer()
    rope = {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 1e6}
    qwen = _small(transformers.Qwen2_5_VLTextConfig, len(words), num_key_value_heads=2, rope_parameters=rope)
    chat = "{% for one in messages %}{{ one.role }} {{ one.content }}\n{% endfor %}"
    return {
        "tokenizer": transformers.Qwen2Tokenizer(vocab=words, merges=[], chat_template=chat),
        "text_encoder": transformers.Qwen2_5_VLTextModel(qwen).eval(),
        "tokenizer_2": glyphs,
        "text_encoder_2": tiny._text_encoder(len(glyphs), transformers.T5Config, transformers.T5EncoderModel),
        "vae": diffusers.AutoencoderKLHunyuanVideo15(
            latent_channels=4,
            block_out_channels=(8, 8, 8, 8, 8),
            layers_per_block=1,
            spatial_compression_ratio=16,
            temporal_compression_ratio=4,
            downsample_match_channel=False,
            upsample_match_channel=False,
        ),
        "transformer": diffusers.HunyuanVideo15Transformer3DModel(
            in_channels=9,
            out_channels=4,
            num_attention_heads=2,
            attention_head_dim=16,
            num_layers=2,
            num_refiner_layers=1,
            mlp_ratio=2.0,
            text_embed_dim=16,
            text_embed_2_dim=tiny._WIDTH,
            image_embed_dim=16,
            rope_axes_dim=(4, 6, 6),
            target_size=32,
            task_type=task,
        ),
        "scheduler": diffusers.FlowMatchEulerDiscreteScheduler(shift=7.0),
        "guider": diffusers.ClassifierFreeGuidance(guidance_scale=6.0),
    }


def _hunyuan15() -> Any:
    return diffusers.HunyuanVideo15Pipeline(**_hunyuan15_parts("t2v"))


def _hunyuan15_picture() -> Any:
    sight = transformers.SiglipVisionConfig(
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=27,
        patch_size=1,
    )  # 729 patches, a number that the pipeline takes for granted
    return diffusers.HunyuanVideo15ImageToVideoPipeline(
        **_hunyuan15_parts("i2v"),
        image_encoder=transformers.SiglipVisionModel(sight).eval(),
        feature_extractor=transformers.SiglipImageProcessor(size={"height": 27, "width": 27}),
    )


def _ltx2() -> Any:
    words = _letters("<unk>", "<bos>", "<eos>", "<pad>")
    heads = {"num_key_value_heads": 2, "head_dim": 8, "pad_token_id": 3}
    gemma = transformers.Gemma3Config(
        text_config=_small(transformers.Gemma3TextConfig, len(words), **heads),
        vision_config={
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
        },
    )
    connectors = {
        f"{kind}_connector_{name}": value
        for kind in ("video", "audio")
        for name, value in {
            "num_attention_heads": 2,
            "attention_head_dim": 8,
            "num_layers": 1,
            "num_learnable_registers": None,
        }.items()
    }
    return diffusers.LTX2Pipeline(
        tokenizer=transformers.GemmaTokenizer(vocab=words, merges=[]),
        text_encoder=transformers.Gemma3ForConditionalGeneration(gemma).eval(),
        connectors=LTX2TextConnectors(
            caption_channels=16,
            text_proj_in_factor=3,
            connector_rope_base_seq_len=32,
            rope_type="split",
            **connectors,
        ),
        transformer=diffusers.LTX2VideoTransformer3DModel(
            in_channels=4,
            out_channels=4,
            num_attention_heads=2,
            attention_head_dim=8,
            cross_attention_dim=16,
            audio_in_channels=4,
            audio_out_channels=4,
            audio_num_attention_heads=2,
            audio_attention_head_dim=4,
            audio_cross_attention_dim=8,
            num_layers=2,
            caption_channels=16,
            rope_type="split",
        ),
        vae=diffusers.AutoencoderKLLTX2Video(
            latent_channels=4,
            block_out_channels=(8, 8, 8),
            decoder_block_out_channels=(8, 8, 8),
            layers_per_block=(1, 1, 1, 1),
            decoder_layers_per_block=(1, 1, 1, 1),
            spatio_temporal_scaling=(True,) * 3,
            decoder_spatio_temporal_scaling=(True,) * 3,
            decoder_inject_noise=(False,) * 4,
            downsample_type=("spatiotemporal",) * 3,
            upsample_residual=(False,) * 3,
            upsample_factor=(1,) * 3,
        ),
        audio_vae=diffusers.AutoencoderKLLTX2Audio(
            base_channels=4,
            ch_mult=(1,),
            num_res_blocks=1,
            resolution=32,
            latent_channels=2,
            mel_bins=8,
            mid_block_add_attention=False,
        ),
        vocoder=LTX2Vocoder(
            in_channels=16,
            hidden_channels=32,
            upsample_kernel_sizes=[4, 4],
            upsample_factors=[2, 2],
            resnet_kernel_sizes=[3],
            resnet_dilations=[[1, 3, 5]],
        ),
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(),
    )


KINDS: Mapping[str, Callable[[], Any]] = {
    "wan-words": _wan,
    "wan-two": _wan_two,
    "wan-picture": _wan_picture,
    "ltx-before": _ltx_before,
    "ltx-before-picture": _ltx_before_picture,
    "skyreels": _skyreels,
    "skyreels-picture": _skyreels_picture,
    "skyreels-forcing": _skyreels_forcing,
    "cog": _cog,
    "cog-picture": _cog_picture,
    "hunyuan": _hunyuan,
    "hunyuan15": _hunyuan15,
    "hunyuan15-picture": _hunyuan15_picture,
    "ltx2": _ltx2,
}


def make(kind: str, folder: Path) -> None:
    """Write one of `KINDS` to `folder`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        KINDS[kind]().save_pretrained(folder)
