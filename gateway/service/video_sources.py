"""Finds what a video is made from that did not come with its request: videos of ours, and clips behind links."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from msgspec.structs import replace

from gateway.errors import Conflict, InvalidRequest, NotFound
from gateway.service import job_states
from gateway.service.sniff import HEAD, media_type
from gateway.service.video_inputs import MAX_CLIP, Upload, checked_clip
from gateway.service.video_ports import VideoParts
from gateway.service.video_request import Change, Wish, ask_of, begun_with, seconds_shown
from gateway.store.jobs import Job
from gateway.store.media import MediaStore, OverLimitError, StoredFile
from gateway.store.media_rows import MediaRow
from gateway.transport.ssrf import RefusedLink
from providers.mp4 import clip

VIDEO = "video"
LINK_SECONDS = 30.0
"""How long fetching a linked video may take."""
_PIECE = 1 << 20


def stored_file(media: MediaStore, row: MediaRow) -> Upload:
    """A stored file as if it had come along."""

    async def chunks() -> AsyncIterator[bytes]:
        try:
            file = await media.open(row.name)
        except FileNotFoundError as error:
            raise NotFound("The content of this video has expired.", code="expired") from error
        try:
            for at in range(0, row.size, _PIECE):
                yield await file.read(at, min(_PIECE, row.size - at))
        finally:
            file.close()

    return Upload(mime=row.mime, sha256=row.sha256, size=row.size, chunks=chunks)


def check_ready(job: Job, now: float) -> None:
    """Raise NotFound or Conflict for a job without content: failed, not there yet, expired."""
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
    """The content of a job is gone."""
    return NotFound(f"The content of the video `{job.id}` has expired.", code="expired")


class Sources:
    """Where edits and extensions begin. One per process; holds no state of its own."""

    def __init__(self, parts: VideoParts) -> None:
        self._parts = parts

    @asynccontextmanager
    async def begun(self, change: Change, ours: Job | None) -> AsyncIterator[Wish]:
        """The wish with its video, which can be read until the block is left; `ours` is the job that it names.

        Raises InvalidRequest, NotFound, Conflict.
        """
        wish, source = change.wish, change.source
        if ours is not None:
            yield self._from_ours(ours, wish)
        elif source.link is not None:
            file = await self._fetched(source.field, source.link)
            try:
                yield _with(wish, await self._measured(source.field, file))
            finally:
                await self._parts.media.remove([file.name])
        elif source.file is not None:
            yield _with(wish, source.file)

    def _from_ours(self, ours: Job, wish: Wish) -> Wish:
        check_ready(ours, self._parts.clock.now())
        row, made = ours.file(VIDEO), ask_of(ours)
        if row is None or row.size > MAX_CLIP:
            message = f"The video `{ours.id}` is larger than the {MAX_CLIP} bytes that can be begun with."
            raise InvalidRequest(message, code="invalid_video", param="video.id")
        seconds = (ours.output or {}).get("seconds") or seconds_shown(made)
        begun = begun_with(wish, stored_file(self._parts.media, row), seconds, made.size)
        ask = replace(begun.ask, model=begun.ask.model or ours.model, remixed_from=ours.id)
        return replace(begun, ask=ask)

    async def _fetched(self, field: str, link: str) -> StoredFile:
        try:
            async with (
                self._parts.media.draft(MAX_CLIP) as draft,
                self._parts.fetcher.opened(link, seconds=LINK_SECONDS) as answer,
            ):
                async for piece in answer:
                    await draft.add(piece)
                return await draft.keep()
        except RefusedLink as error:
            message = f"`{field}` cannot be used: {error.reason}."
            raise InvalidRequest(message, param=field) from error
        except OverLimitError as error:
            message = f"`{field}` leads to more than {MAX_CLIP} bytes."
            raise InvalidRequest(message, code="invalid_video", param=field) from error

    async def _measured(self, field: str, stored: StoredFile) -> Upload:
        file = await self._parts.media.open(stored.name)
        try:
            mime = media_type(await file.read(0, HEAD))
            found = await asyncio.to_thread(clip, file.at, stored.size) if mime == "video/mp4" else None
        finally:
            file.close()
        row = MediaRow(
            name=stored.name, role=VIDEO, mime=mime or "", size=stored.size, sha256=stored.sha256,
            created_at=self._parts.clock.now(),
        )  # fmt: skip
        upload = replace(stored_file(self._parts.media, row), mime=mime, clip=found)
        return checked_clip(upload, field)


def _with(wish: Wish, file: Upload) -> Wish:
    """The wish with a video that says itself how long and how large it is."""
    measured = file.clip
    if measured is None:
        return wish
    return begun_with(wish, file, measured.seconds, f"{measured.width}x{measured.height}")
