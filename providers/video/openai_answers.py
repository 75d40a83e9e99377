"""Reads OpenAI's Video object and those that imitate it: what became of a job, why, and what was rendered.

What imitations do differently and is read all the same (VIDEO_WIRE 3.14, 3.15 and 3.17, 2026-11-20): a
failed job answered with a 4xx or 5xx status (vLLM-Omni), error codes that are numbers (vLLM-Omni) or missing
(SGLang), status words besides OpenAI's four. A word nobody knows counts as in progress: the job's deadline
decides.
"""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import msgspec
from msgspec import Raw, Struct

from providers.reading import public_text, retry_after
from providers.types import UNREADABLE, HttpResponse, VideoOutput, VideoUpdate
from providers.video.answers import read
from providers.video.tasks import number, whole

_STATES: Mapping[str, str] = {
    "queued": "queued",
    "pending": "queued",
    "submitted": "queued",
    "in_progress": "in_progress",
    "processing": "in_progress",
    "running": "in_progress",
    "completed": "completed",
    "succeeded": "completed",
    "failed": "failed",
    "error": "failed",
    "cancelled": "failed",
    "canceled": "failed",
    "deleted": "failed",
    "expired": "failed",
}
_CODE_OF_STATUS: Mapping[str, str] = {
    "cancelled": "cancelled",
    "canceled": "cancelled",
    "deleted": "cancelled",
    "expired": "job_expired",
}
"""What a status says about the reason when there is no error object."""

MODERATION = frozenset(
    ("moderation_blocked", "content_policy_violation", "content_filter", "content_policy", "sentinel_block")
)
_BLAMED = MODERATION | {
    "invalid_request",
    "invalid_request_error",
    "invalid_value",
    "invalid_input_reference",
}
"""Codes of failed jobs that say that the request is at fault, so that no other provider should be asked."""


class _Error(Struct):
    code: Any = None
    message: Any = None


class Video(Struct):
    """What is read of a Video object. Everything but the id and the status may be missing or odd."""

    id: str
    status: str
    progress: Any = None
    size: Any = None
    seconds: Any = None
    error: _Error | str | None = None
    output: Any = None
    fps: Any = None
    duration_s: Any = None


_video = msgspec.json.Decoder(Video)


def read_video(response: HttpResponse) -> Video | None:
    """The Video object of an answer of any status: a failed job may come with a status of its own."""
    try:
        return _video.decode(response.body)
    except UNREADABLE:
        return None


class Listed(Struct):
    """A video in a list, with what tells it from others. All but the id, the words and the time may be missing."""

    id: str
    prompt: str
    created_at: float
    model: Any = None
    seconds: Any = None
    size: Any = None

    def fits(self, model: str, seconds: float | None, size: str | None) -> bool:
        """Whether nothing that is told differs from what was asked for."""
        told = number(self.seconds)
        return (
            self.model in (None, model)
            and (told is None or seconds is None or told == seconds)
            and (self.size is None or size is None or self.size == size)
        )


class _List(Struct):
    data: list[Raw]


_list = msgspec.json.Decoder(_List)
_listed = msgspec.json.Decoder(Listed)


def read_list(response: HttpResponse) -> list[Listed]:
    """The videos of a list that say what they show. Raises PROTOCOL for an answer that is no list."""
    found = []
    for one in read(_list, response).data:
        with suppress(*UNREADABLE):
            found.append(_listed.decode(one))
    return found


def update(video: Video, response: HttpResponse) -> VideoUpdate:
    """What the object says of its job; the operation is left out."""
    state = _STATES.get(video.status, "in_progress")
    code, message = _reason(video) if state == "failed" else ("", "")
    return VideoUpdate(
        state=state,
        progress=_progress(video.progress),
        output=_output(video) if state == "completed" else None,
        code=code,
        message=message,
        blamed=code in _BLAMED,
        retry_after=_wait(response.headers),
    )


def _reason(video: Video) -> tuple[str, str]:
    """Code and message of a failed job; `provider_error` where the provider has no word for it."""
    told = video.error if isinstance(video.error, _Error) else _Error(message=video.error)
    code = told.code if isinstance(told.code, str) and told.code and not told.code.isdigit() else ""
    code = code or _CODE_OF_STATUS.get(video.status, "provider_error")
    message = public_text(told.message) if isinstance(told.message, str) else ""
    return (
        "moderation_blocked" if code in MODERATION else code,
        message or f"The provider gave the video up ({video.status}).",
    )


def _progress(value: object) -> int | None:
    done = whole(value)
    return None if done is None else min(100, done)


def _output(video: Video) -> VideoOutput:
    """What was rendered: from `output` (our worker), else from what the Video object says."""
    told = video.output if isinstance(video.output, dict) else {}
    width, _, height = str(video.size).partition("x")
    audio = told.get("has_audio")
    return VideoOutput(
        width=whole(told.get("width", width)),
        height=whole(told.get("height", height)),
        fps=number(told.get("fps", video.fps)),
        seconds=number(told.get("seconds", video.duration_s or video.seconds)),
        has_audio=audio if isinstance(audio, bool) else None,
        gpu_seconds=number(told.get("gpu_seconds")),
    )


def _wait(headers: Mapping[str, str]) -> float | None:
    """`openai-poll-after-ms` (VIDEO_WIRE 1.6), else what `retry-after` says."""
    poll = number(headers.get("openai-poll-after-ms"))
    return poll / 1000 if poll is not None else retry_after(headers)
