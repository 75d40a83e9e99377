"""Video dialects: one module each, found by name in `VIDEO`, and in `VIDEO_CANCEL` if it can stop a job."""

from collections.abc import Mapping

from providers.adapter import VideoAdapter, VideoCancel
from providers.video import openai

VIDEO: Mapping[str, VideoAdapter] = {"openai": openai}
VIDEO_CANCEL: Mapping[str, VideoCancel] = {"openai": openai}
