"""Answers a request that allows it with a video that the same request made before, as a job of its own.

The new job's files are further names of the same bytes, so what becomes of the first job is of no concern to it.
Where the bytes are gone, cannot be reached, or cannot be named twice, there is no hit and the video is made.
"""

from collections.abc import Sequence

from msgspec.structs import replace

from gateway.config.snapshot import Caller
from gateway.errors import Unavailable
from gateway.service import job_states
from gateway.service.video_ports import VideoParts
from gateway.store import jobs
from gateway.store.jobs import Job

FOUND = "cached_from"
"""The key of a job's output that names the job whose result it is."""


async def find(parts: VideoParts, caller: Caller, key: bytes) -> Job | None:
    """A finished job with that result, with files of its own that nobody else has; None when there is none."""
    now = parts.clock.now()
    async with parts.database.read() as transaction:
        found = await jobs.find_cached(transaction, caller.id, key, now - parts.snapshot().video_cache, now)
    if found is None:
        return None
    names: dict[str, str] = {}
    try:
        for row in found.media:
            names[row.name] = await parts.media.again(row.name)
    except (OSError, Unavailable):
        await parts.media.remove(names.values())
        return None
    return replace(found, media=[replace(row, name=names[row.name], created_at=now) for row in found.media])


def answered(job: Job, found: Job, now: float, keep: float) -> Job:
    """A new job that is complete at once with what was found, and costs nothing."""
    return replace(
        job,
        state=job_states.COMPLETED,
        phase=job_states.DONE,
        progress=100,
        held=[],
        warnings=_once([*job.warnings, *found.warnings]),
        output={**(found.output or {}), FOUND: found.id},
        cost=0,
        completed_at=now,
        expires_at=now + keep,
        due_at=None,
        cache_key=None,
        attempts=[replace(one, number=1, cost=None) for one in found.attempts[-1:]],
        media=found.media,
    )


def _once(warnings: Sequence[str]) -> Sequence[str]:
    return list(dict.fromkeys(warnings))
