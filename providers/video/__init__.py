"""Video dialects: one module each, found by name in `VIDEO`, and in the other tables if it can do that, too."""

from collections.abc import Mapping

from providers.adapter import VideoAdapter, VideoCancel, VideoRecall
from providers.video import kling, kling_classic, luma, luma_legacy, openai, runway

VIDEO: Mapping[str, VideoAdapter] = {
    "kling": kling,
    "kling_classic": kling_classic,
    "luma": luma,
    "luma_legacy": luma_legacy,
    "openai": openai,
    "runway": runway,
}
VIDEO_CANCEL: Mapping[str, VideoCancel] = {"openai": openai, "runway": runway}
VIDEO_RECALL: Mapping[str, VideoRecall] = {"kling": kling}
