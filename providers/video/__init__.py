"""Video dialects: one module each, found by name in `VIDEO`, and in the other tables if it can do that, too."""

from collections.abc import Mapping

from providers.adapter import VideoAdapter, VideoCancel, VideoInline, VideoRecall
from providers.video import (
    fal,
    gemini_omni,
    kling,
    kling_classic,
    luma,
    luma_legacy,
    openai,
    replicate,
    runway,
    veo,
)

VIDEO: Mapping[str, VideoAdapter] = {
    "fal": fal,
    "gemini_omni": gemini_omni,
    "kling": kling,
    "kling_classic": kling_classic,
    "luma": luma,
    "luma_legacy": luma_legacy,
    "openai": openai,
    "replicate": replicate,
    "runway": runway,
    "veo": veo,
}
VIDEO_CANCEL: Mapping[str, VideoCancel] = {
    "fal": fal,
    "gemini_omni": gemini_omni,
    "openai": openai,
    "replicate": replicate,
    "runway": runway,
}
VIDEO_INLINE: Mapping[str, VideoInline] = {"gemini_omni": gemini_omni, "veo": veo}
VIDEO_RECALL: Mapping[str, VideoRecall] = {"kling": kling}
VIDEO_REMIX: frozenset[str] = frozenset(("openai",))
"""Dialects that can make a variation of a video they made."""
