"""Video dialects: one module each, found by name in `VIDEO`, and in the other tables if it can do that, too."""

from collections.abc import Mapping

from providers.adapter import VideoAdapter, VideoCancel, VideoInline, VideoRecall
from providers.video import gemini_omni, kling, kling_classic, luma, luma_legacy, openai, runway, veo

VIDEO: Mapping[str, VideoAdapter] = {
    "gemini_omni": gemini_omni,
    "kling": kling,
    "kling_classic": kling_classic,
    "luma": luma,
    "luma_legacy": luma_legacy,
    "openai": openai,
    "runway": runway,
    "veo": veo,
}
VIDEO_CANCEL: Mapping[str, VideoCancel] = {
    "gemini_omni": gemini_omni,
    "openai": openai,
    "runway": runway,
}
VIDEO_INLINE: Mapping[str, VideoInline] = {"gemini_omni": gemini_omni, "veo": veo}
VIDEO_RECALL: Mapping[str, VideoRecall] = {"kling": kling}
