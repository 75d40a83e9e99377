"""vLLM-Omni's Videos API: answers like OpenAI's, and requests of its own, which are forms only.

A poll of a failed job is answered with a 4xx or 5xx that holds the job; jobs are gone after a restart. Only
the fields named here are ever sent: others may hold paths of the server. Source: VIDEO_WIRE 3.14, 2026-11-20.
"""

from collections.abc import Mapping

from providers.types import HttpRequest, Target, VideoRequest
from providers.video import parts
from providers.video.fields import fit
from providers.video.openai import (
    error,
    video_cancel,
    video_content,
    video_created,
    video_poll,
    video_update,
)

__all__ = [
    "error",
    "video_cancel",
    "video_content",
    "video_create",
    "video_created",
    "video_poll",
    "video_update",
]

_FILES: Mapping[str, str] = {"first_frame": "input_reference", "reference_image": "input_references"}


def video_create(request: VideoRequest, target: Target) -> HttpRequest:
    """POST a form. Raises UNSUPPORTED as `fit` does; for links, too, which the server would follow."""
    fitted = fit(request, target)
    asked = fitted.request
    seconds = parts.whole_seconds(asked.seconds)
    fields = {
        "prompt": asked.prompt,
        "model": target.model,
        "seconds": None if seconds is None else str(seconds),
        "size": asked.size,
        "seed": asked.seed,
        "negative_prompt": asked.negative_prompt,
        "generate_sound": parts.sound(asked, target),
    }
    files = [(_FILES[media.role], media) for media in asked.media]
    return parts.post_form(target, "videos", fields, fitted, files)
