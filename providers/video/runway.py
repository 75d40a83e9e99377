"""Runway's task API. The operation is `{"id": ...}`, and `url` once there is a file.

Bodies are strict there: a key that the model does not know is a 400, so only what its row has is sent.
Tasks above the account's concurrency are accepted and wait; links to files run out, and a poll gives fresh
ones. Source: VIDEO_WIRE 3.4 and appendix B, 2026-11-20.
"""

from collections.abc import Mapping, Sequence
from urllib.parse import quote

import msgspec
from msgspec import Struct

from providers.auth import bearer
from providers.errors import ProviderError
from providers.reading import public_text, read_error
from providers.types import HttpRequest, HttpResponse, Json, Target, VideoRequest, VideoUpdate, encode
from providers.video.answers import file_at, gone, link_of, moderated, no_file, read
from providers.video.fields import fit

POLL_SECONDS = 5.0
"""Runway asks not to be polled more often."""

_STATES: Mapping[str, str] = {
    "PENDING": "queued",
    "THROTTLED": "queued",
    "RUNNING": "in_progress",
    "SUCCEEDED": "completed",
    "FAILED": "failed",
    "CANCELLED": "failed",
}
_CREDIT = 10_000_000
"""Nano-dollars: a credit is a cent."""
_INPUT = ("INPUT_PREPROCESSING", "ASSET.INVALID")


class _Cost(Struct):
    credits: float = 0


class _Task(Struct):
    id: str
    status: str = ""
    progress: float | None = None
    output: Sequence[str] | None = None
    cost: _Cost | None = None
    failure: str | None = None
    failure_code: str | None = msgspec.field(default=None, name="failureCode")


_task = msgspec.json.Decoder(_Task)


def video_create(request: VideoRequest, target: Target) -> HttpRequest:
    """From text, from a picture, or from a video.

    `wire` of a row may say which words the model has for the tier (`resolution`), and which keys of the body
    it does not know (`omit`).
    """
    fitted = fit(request, target)
    asked, shape, wire = fitted.request, fitted.shape, target.video.wire
    picture, source = fitted.media("first_frame"), fitted.media("source_video")
    body: dict[str, object] = {
        "model": target.model,
        "promptText": asked.prompt,
        "promptImage": link_of(picture) if picture else None,
        "videoUri": link_of(source) if source else None,
        "ratio": shape.ratio if shape else None,
        "resolution": wire.get("resolution", {}).get(shape.tier) if shape else None,
        "duration": None if asked.seconds is None else int(asked.seconds),
        "seed": asked.seed,
        "negativePrompt": asked.negative_prompt,
        "audio": asked.audio if target.video.audio == "switch" else None,
    }
    left_out = wire.get("omit", ())
    kind = "video" if source else "image" if picture else "text"
    return HttpRequest(
        method="POST",
        url=f"{target.base_url}/v1/{kind}_to_video",
        headers={"content-type": "application/json", **_headers(target)},
        body=encode(
            {name: value for name, value in body.items() if value is not None and name not in left_out}
        ),
        folded=fitted.folded,
        dropped=fitted.dropped,
    )


def video_created(response: HttpResponse) -> VideoUpdate:
    """The id of the accepted task."""
    return VideoUpdate(state="queued", operation={"id": read(_task, response).id}, retry_after=POLL_SECONDS)


def video_poll(operation: Json, target: Target) -> HttpRequest:
    """GET the task."""
    return HttpRequest(method="GET", url=_url(operation, target), headers=_headers(target))


def video_update(response: HttpResponse) -> VideoUpdate:
    """What the task says; a 404 is `gone`."""
    if response.status == 404:
        return gone()
    if response.status >= 300:
        raise error(response)
    task = read(_task, response)
    state = _STATES.get(task.status, "in_progress")
    if state == "failed":
        return _failed(task)
    if state == "completed":
        return _completed(task)
    progress = None if task.progress is None else min(100, max(0, round(task.progress * 100)))
    return VideoUpdate(state=state, progress=progress, retry_after=POLL_SECONDS)


def video_content(operation: Json, target: Target) -> HttpRequest:
    """GET the file where the task says it is."""
    return file_at(operation["url"], target, _headers(target))


def video_cancel(operation: Json, target: Target) -> HttpRequest:
    """DELETE the task; one that has begun is billed all the same."""
    return HttpRequest(method="DELETE", url=_url(operation, target), headers=_headers(target))


def error(response: HttpResponse) -> ProviderError:
    """What an answer with a status of 300 or above means: `{error, issues}`."""
    return read_error(response)


def _completed(task: _Task) -> VideoUpdate:
    if not task.output:
        return no_file()
    return VideoUpdate(
        state="completed", progress=100, operation={"url": task.output[0]}, cost=_charged(task)
    )


def _failed(task: _Task) -> VideoUpdate:
    code, message = task.failure_code or "", public_text(task.failure or "")
    if code.startswith("SAFETY."):
        return moderated(message)
    if task.status == "CANCELLED":
        message = "The task was cancelled at Runway."
        return VideoUpdate(state="failed", code="cancelled", message=message, cost=_charged(task))
    blamed = code.startswith(_INPUT)
    return VideoUpdate(
        state="failed",
        code="invalid_request" if blamed else "provider_error",
        message=message or "Runway gave the video up.",
        blamed=blamed,
        cost=_charged(task),
    )


def _charged(task: _Task) -> int | None:
    return None if task.cost is None else round(task.cost.credits * _CREDIT)


def _url(operation: Json, target: Target) -> str:
    return f"{target.base_url}/v1/tasks/{quote(operation['id'], safe='')}"


def _headers(target: Target) -> dict[str, str]:
    return {"x-runway-version": "2024-11-06", **bearer(target), **target.headers}
