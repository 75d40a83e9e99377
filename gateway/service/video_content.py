"""Opens the files of a finished job; stills that its provider did not give are made when first asked for.

Making them then, and not when the job ends, keeps the end of a job free of anything that can fail, and costs nothing
for the many videos whose stills nobody wants. What was made is kept as long as the video is.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from functools import partial

from msgspec import Struct

from gateway.errors import Conflict, NotFound
from gateway.media.workshop import WorkshopError
from gateway.service import job_states
from gateway.service.video_ports import VideoParts
from gateway.store import jobs, media_rows
from gateway.store.jobs import Job
from gateway.store.media import OpenFile
from gateway.store.media_rows import MediaRow

log = logging.getLogger("fairlead.media")

VIDEO, THUMBNAIL, SPRITESHEET = "video", "thumbnail", "spritesheet"
VARIANTS = (VIDEO, THUMBNAIL, SPRITESHEET)
_HOPELESS = 10_000
"""How many files without a still are remembered."""


class Content(Struct, frozen=True, kw_only=True):
    """A stored file that is open for reading; whoever got it closes `file`."""

    job: Job
    row: MediaRow
    file: OpenFile


class Contents:
    """The files of all jobs, for one process."""

    def __init__(self, parts: VideoParts) -> None:
        self._parts = parts
        self._making: dict[str, asyncio.Task[Sequence[MediaRow]]] = {}
        self._hopeless: OrderedDict[str, None] = OrderedDict()

    async def open(self, job: Job, variant: str) -> Content:
        """One of VARIANTS, open. Raises NotFound, and Conflict while the job is not over."""
        check_ready(job, self._parts.clock.now())
        row = job.file(variant) or await self._made(job, variant)
        if row is None:
            message = f"The video `{job.id}` has no {variant}."
            raise NotFound(message, code="variant_unavailable", param="variant")
        try:
            return Content(job=job, row=row, file=await self._parts.media.open(row.name))
        except FileNotFoundError as error:
            raise expired(job) from error

    async def _made(self, job: Job, variant: str) -> MediaRow | None:
        """A still of the job's video, made now; None when there can be none. Many may ask at the same time."""
        video = job.file(VIDEO)
        if video is None or video.name in self._hopeless:
            return None
        task = self._making.get(job.id)
        if task is None:
            task = self._making[job.id] = asyncio.create_task(self._make(job, video))
            task.add_done_callback(partial(self._over, job.id))
        rows = await asyncio.shield(task)  # one who leaves takes nothing from the others
        return next((row for row in rows if row.role == variant), None)

    def _over(self, job: str, task: asyncio.Task[Sequence[MediaRow]]) -> None:
        del self._making[job]
        if not task.cancelled():
            task.exception()  # whoever asked may be gone: then it is nobody's

    async def _make(self, job: Job, video: MediaRow) -> Sequence[MediaRow]:
        parts = self._parts
        try:
            async with parts.media.on_disk(video.name, video.size) as path:
                made = await parts.workshop.stills(path, video.mime)
        except FileNotFoundError as error:
            raise expired(job) from error
        except WorkshopError as error:
            log.warning("no stills of the video %s: %s", job.id, error)
            self._hopeless[video.name] = None
            if len(self._hopeless) > _HOPELESS:
                self._hopeless.popitem(last=False)
            return ()
        stills = ((THUMBNAIL, "image/webp", made.thumbnail), (SPRITESHEET, "image/jpeg", made.spritesheet))
        rows = [await self._stored(*still) for still in stills if job.file(still[0]) is None]
        async with parts.database.write() as transaction:
            kept = await jobs.lock(transaction, job.id)
            if kept:
                await media_rows.add_media(transaction, job.id, rows)
        if not kept:
            await parts.media.remove(row.name for row in rows)
            raise NotFound("There is no video with this id.", code="video_not_found", param="video_id")
        return rows

    async def _stored(self, role: str, mime: str, data: bytes) -> MediaRow:
        async def chunks() -> AsyncIterator[bytes]:
            yield data

        stored = await self._parts.media.write(chunks(), len(data))
        return MediaRow(
            name=stored.name, role=role, mime=mime, size=stored.size, sha256=stored.sha256,
            created_at=self._parts.clock.now(),
        )  # fmt: skip


def check_ready(job: Job, now: float) -> None:
    """Raise NotFound or Conflict when a job has no content, or none yet, or none any more."""
    if job.state == job_states.FAILED:
        raise NotFound(f"The video `{job.id}` failed, so it has no content.", code="result_unavailable")
    if job.state != job_states.COMPLETED:
        raise Conflict(
            f"The video `{job.id}` is {job.state}; its content is there once it is completed.",
            code="video_not_ready",
            retry=False,
        )
    if job.expires_at is not None and job.expires_at <= now:
        raise expired(job)


def expired(job: Job) -> NotFound:
    """Its bytes are gone."""
    return NotFound(f"The content of the video `{job.id}` has expired.", code="expired")
