"""SGLang's Videos API for diffusion models: answers like OpenAI's, and requests of its own.

A job cannot be stopped: a DELETE forgets it and the GPU works on. Jobs are gone after a restart. Only the
fields named here are ever sent, and no path of an answer is read: both lead into the server's own files.
Source: VIDEO_WIRE 3.15, 2026-11-20.
"""

from providers.types import HttpRequest, Target, VideoRequest
from providers.video import parts
from providers.video.fields import fit
from providers.video.openai import error, video_content, video_created, video_poll, video_update

__all__ = ["error", "video_content", "video_create", "video_created", "video_poll", "video_update"]


def video_create(request: VideoRequest, target: Target) -> HttpRequest:
    """POST JSON, or a form where a picture is sent along: in JSON its field would name a file of the server.

    Raises UNSUPPORTED as `fit` does; for links, too, which the server would follow.
    """
    fitted = fit(request, target)
    asked = fitted.request
    fields = {
        "prompt": asked.prompt,
        "model": target.model,
        "seconds": parts.whole_seconds(asked.seconds),
        "size": asked.size,
        "seed": asked.seed,
        "negative_prompt": asked.negative_prompt,
    }
    files = [("input_reference", media) for media in asked.media]
    if files:
        return parts.post_form(target, "videos", fields, fitted, files)
    return parts.post(target, "videos", fields, fitted)
