"""Reads Kling's answers: those of today's video API, and the older ones that resellers still give.

An answer is an envelope `{code, message, data}`; a code that is not 0 is an error, whatever the status.
Why a task failed is told in words alone. Source: VIDEO_WIRE 3.6, 2026-11-20.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from providers.errors import ErrorKind, ProviderError
from providers.reading import public_text, read_error
from providers.types import HttpResponse, VideoOutput, VideoUpdate
from providers.video.answers import gone, moderated, no_file, read

POLL_SECONDS = 3.0
"""Kling asks not to be polled more often."""

_STATES: Mapping[str, str] = {
    "submitted": "queued",
    "processing": "in_progress",
    "succeeded": "completed",
    "succeed": "completed",
    "failed": "failed",
}
_KINDS: Mapping[str, ErrorKind] = {
    "1000": ErrorKind.AUTHENTICATION,
    "1001": ErrorKind.AUTHENTICATION,
    "1002": ErrorKind.AUTHENTICATION,
    "1003": ErrorKind.AUTHENTICATION,
    "1004": ErrorKind.AUTHENTICATION,
    "1100": ErrorKind.AUTHENTICATION,
    "1101": ErrorKind.QUOTA,
    "1102": ErrorKind.QUOTA,
    "1103": ErrorKind.AUTHENTICATION,
    "1200": ErrorKind.INVALID_REQUEST,
    "1201": ErrorKind.INVALID_REQUEST,
    "1202": ErrorKind.NOT_FOUND,
    "1203": ErrorKind.NOT_FOUND,
    "1301": ErrorKind.CONTENT_POLICY,
    "1302": ErrorKind.RATE_LIMITED,
    "1303": ErrorKind.RATE_LIMITED,
    "5000": ErrorKind.UNAVAILABLE,
    "5001": ErrorKind.UNAVAILABLE,
    "5002": ErrorKind.UNAVAILABLE,
}
_MODERATION = ("risk control", "content security", "sensitive")
"""Words of a failed task's message that say so."""


class _Envelope(Struct):
    code: int = 0
    message: str = ""
    data: Any = None


class Task(Struct, frozen=True, kw_only=True):
    """A task, in whichever of the two shapes it came."""

    id: str
    status: str
    message: str = ""
    url: str = ""
    seconds: str = ""


_envelope = msgspec.json.Decoder(_Envelope)


def read_task(response: HttpResponse) -> Task | None:
    """The one task an answer tells of; None when it tells of none. Raises ProviderError."""
    envelope = read(_envelope, response)
    if response.status >= 300 or envelope.code != 0:
        raise read_failure(response)
    data = envelope.data
    if isinstance(data, dict) and isinstance(data.get("result"), list):
        data = data["result"]
    if isinstance(data, list):
        data = data[0] if data else None
    if data is None:
        return None
    task = _task(data) if isinstance(data, dict) else None
    if task is None:
        raise ProviderError(
            ErrorKind.PROTOCOL, "The provider's answer tells of no task.", status=response.status
        )
    return task


def read_failure(response: HttpResponse) -> ProviderError:
    """What an error says, by Kling's own codes."""
    return read_error(response, _KINDS)


def update(task: Task | None) -> VideoUpdate:
    """What became of a task; no task is one that Kling does not know."""
    if task is None:
        return gone()
    state = _STATES.get(task.status, "in_progress")
    if state == "failed":
        message = public_text(task.message)
        if any(words in message.lower() for words in _MODERATION):
            return moderated(message)
        message = message or "Kling gave the video up."
        return VideoUpdate(state=state, code="provider_error", message=message)
    if state != "completed":
        return VideoUpdate(state=state, operation={"id": task.id}, retry_after=POLL_SECONDS)
    if not task.url:
        return no_file()
    return VideoUpdate(
        state=state,
        progress=100,
        operation={"id": task.id, "url": task.url},
        output=VideoOutput(seconds=_seconds(task.seconds)),
    )


def _task(data: dict[str, Any]) -> Task | None:
    old = "task_id" in data
    result = data.get("task_result")
    files = (result.get("videos") if isinstance(result, dict) else None) if old else data.get("outputs")
    file = next((one for one in files or () if isinstance(one, dict) and one.get("url")), {})
    try:
        return msgspec.convert(
            {
                "id": data["task_id" if old else "id"],
                "status": data["task_status" if old else "status"],
                "message": data.get("task_status_msg" if old else "message") or "",
                "url": file.get("url", ""),
                "seconds": file.get("duration") or "",
            },
            Task,
            strict=False,
        )
    except (KeyError, msgspec.ValidationError):
        return None


def _seconds(text: str) -> float | None:
    try:
        seconds = float(text)
    except ValueError:
        return None
    return seconds if 0 < seconds < 36_000 else None
