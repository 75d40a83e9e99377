"""Video dialects: one module each, found by name in `VIDEO`, and in the other tables if it can do that, too."""

from collections.abc import Mapping

from providers.adapter import (
    VideoAdapter,
    VideoAsking,
    VideoCancel,
    VideoInline,
    VideoRecall,
    VideoSearch,
    VideoSigned,
    VideoWorker,
)
from providers.video import (
    fal,
    gemini_omni,
    kling,
    kling_classic,
    luma,
    luma_legacy,
    minimax,
    minimax_v1,
    openai,
    openrouter,
    replicate,
    runway,
    seedance,
    sglang,
    together,
    veo,
    vllm_omni,
    wan,
    worker,
    xai,
)

VIDEO: Mapping[str, VideoAdapter] = {
    "fal": fal,
    "gemini_omni": gemini_omni,
    "kling": kling,
    "kling_classic": kling_classic,
    "luma": luma,
    "luma_legacy": luma_legacy,
    "minimax": minimax,
    "minimax_v1": minimax_v1,
    "openai": openai,
    "openrouter": openrouter,
    "replicate": replicate,
    "runway": runway,
    "seedance": seedance,
    "sglang": sglang,
    "together": together,
    "veo": veo,
    "vllm_omni": vllm_omni,
    "wan": wan,
    "worker": worker,
    "xai": xai,
}
VIDEO_CANCEL: Mapping[str, VideoCancel] = {
    "fal": fal,
    "gemini_omni": gemini_omni,
    "minimax": minimax,
    "openai": openai,
    "replicate": replicate,
    "runway": runway,
    "seedance": seedance,
    "vllm_omni": vllm_omni,
    "wan": wan,
    "worker": worker,
}
VIDEO_INLINE: Mapping[str, VideoInline] = {"gemini_omni": gemini_omni, "veo": veo}
VIDEO_RECALL: Mapping[str, VideoRecall] = {"kling": kling}
VIDEO_SEARCH: Mapping[str, VideoSearch] = {
    "luma_legacy": luma_legacy,
    "minimax": minimax,
    "openai": openai,
    "seedance": seedance,
}
VIDEO_SIGNED: Mapping[str, VideoSigned] = {"fal": fal}
VIDEO_ASKING: Mapping[str, VideoAsking] = {"minimax": minimax, "minimax_v1": minimax}
VIDEO_WORKER: Mapping[str, VideoWorker] = {"worker": worker}
