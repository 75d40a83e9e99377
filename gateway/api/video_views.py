"""How a job looks to clients: OpenAI's Video object, and the older generation object, from one record (pure)."""

import math
from collections.abc import Sequence
from typing import Any

from gateway.config.snapshot import NANO
from gateway.service.job_states import TERMINAL
from gateway.service.video_request import ask_of, seconds_shown
from gateway.store.jobs import Attempt, Job
from providers.types import Json

_POLL_AFTER = ((10.0, 1000), (60.0, 2000), (300.0, 5000))
"""A job younger than so many seconds is worth a look after so many milliseconds."""
_POLL_AFTER_LONG = 10_000
_SHOWN_ATTEMPTS = 20
_TELLING = 5
"""Percent from which on progress says how long the rest will take."""


def video(job: Job, now: float) -> dict[str, Any]:
    """OpenAI's Video object: its thirteen keys always, of the strict types (VIDEO_WIRE 1.4), then ours.

    `now` is Unix seconds.
    """
    ask = ask_of(job)
    return {
        "id": job.id,
        "object": "video",
        "model": job.model,
        "status": job.state,
        "progress": job.progress,
        "created_at": int(job.created_at),
        "completed_at": _whole(job.completed_at),
        "expires_at": _whole(job.expires_at),
        "prompt": ask.prompt,
        "size": ask.size,
        "seconds": f"{seconds_shown(ask):g}",
        "remixed_from_video_id": ask.remixed_from,
        "error": job.error,
        **_extras(job, now),
    }


def generation(job: Job, video_url: str | None, now: float) -> dict[str, Any]:
    """The job as `/v1/video/generations` shows it (VIDEO_WIRE 2.4)."""
    ask = ask_of(job)
    return {
        "id": job.id,
        "job_id": job.id,
        "task_id": job.id,
        "object": "video.generation",
        "model": job.model,
        "status": job.state,
        "progress": job.progress,
        "created_at": int(job.created_at),
        "completed_at": _whole(job.completed_at),
        "expires_at": _whole(job.expires_at),
        "prompt": ask.prompt,
        "duration": seconds_shown(ask),
        "resolution": ask.size,
        "style_preset": ask.style_preset,
        "camera_movement": ask.camera_movement,
        "seed": ask.seed,
        "negative_prompt": ask.negative_prompt,
        "video_url": video_url,
        "error_message": job.error["message"] if job.error else None,
        "error": job.error,
        **_extras(job, now),
    }


def page(jobs: Sequence[Job], now: float, *, more: bool) -> dict[str, Any]:
    """A page of Video objects; `last_id` is what the next page is asked after."""
    return {
        "object": "list",
        "data": [video(job, now) for job in jobs],
        "first_id": jobs[0].id if jobs else None,
        "last_id": jobs[-1].id if jobs else None,
        "has_more": more,
    }


def poll_after_ms(job: Job, now: float) -> int:
    """Milliseconds after which looking again is worth it; the official client sleeps that long."""
    age = now - job.created_at
    return next((pause for limit, pause in _POLL_AFTER if age < limit), _POLL_AFTER_LONG)


def eta(job: Job, now: float) -> int | None:
    """Seconds until it is probably done, by how fast it came so far; None when that cannot be told.

    A provider's first percents say little, and at 100 only the download is left, whose length nobody knows.
    """
    if job.state in TERMINAL or not job.attempts or not _TELLING <= job.progress < 100:
        return None
    elapsed = max(0.0, now - job.attempts[-1].started_at)
    return math.ceil(elapsed * (100 - job.progress) / job.progress)


def is_over(job: Job) -> bool:
    """Whether nothing will change any more."""
    return job.state in TERMINAL


def _extras(job: Job, now: float) -> dict[str, Any]:
    last = job.attempts[-1] if job.attempts else None
    return {
        "provider": last.provider if last else None,
        "provider_model": last.provider_model if last else None,
        "cost_usd": _dollars(job.cost),
        "warnings": list(job.warnings),
        "output": job.output,
        "provenance": _provenance(job),
        "eta": eta(job, now),
        "attempts": [_attempt(attempt) for attempt in job.attempts[-_SHOWN_ATTEMPTS:]],
    }


def _provenance(job: Job) -> Json | None:
    """Of the file that can be fetched: None before there is one, and when it has expired."""
    file = job.file("video")
    return file.provenance if file else None


def _attempt(attempt: Attempt) -> dict[str, Any]:
    """What happened there; never the provider's own id or address."""
    return {
        "provider": attempt.provider,
        "provider_model": attempt.provider_model,
        "certainty": attempt.certainty,
        "error_code": attempt.error_code,
        "started_at": int(attempt.started_at),
        "ended_at": _whole(attempt.ended_at),
        "cost_usd": _dollars(attempt.cost),
    }


def _whole(time: float | None) -> int | None:
    return None if time is None else int(time)


def _dollars(nano: int | None) -> float | None:
    return None if nano is None else nano / NANO
