"""Finds what a video is made from that did not come along: videos and files of ours, and clips behind links."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

from msgspec.structs import replace

from gateway.config.snapshot import Caller
from gateway.errors import InvalidRequest, NotFound
from gateway.service.sniff import HEAD, media_type
from gateway.service.video_content import VIDEO, check_ready
from gateway.service.video_inputs import MAX_CLIP, MAX_PICTURE, Filed, Upload, checked_clip, checked_picture
from gateway.service.video_ports import VideoParts
from gateway.service.video_request import Change, Wish, ask_of, begun_with, seconds_shown
from gateway.store import files
from gateway.store.jobs import Job
from gateway.store.media import PIECE, Draft, MediaStore, OverLimitError, whole
from gateway.store.media_rows import MediaRow
from gateway.transport.ssrf import RefusedLink
from providers.mp4 import Clip, clip, reader

LINK_SECONDS = 30.0
"""How long fetching a linked video may take."""


def stored_file(media: MediaStore, row: MediaRow) -> Upload:
    """A stored file as if it had come along."""

    async def chunks() -> AsyncIterator[bytes]:
        try:
            file = await media.open(row.name)
        except FileNotFoundError as error:
            raise NotFound("The content of this video has expired.", code="expired") from error
        try:
            async with aclosing(file.pieces(0, row.size)) as pieces:
                async for piece in pieces:
                    yield piece
        finally:
            file.close()

    return Upload(mime=row.mime, sha256=row.sha256, size=row.size, chunks=chunks)


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
            async with self._parts.media.draft(MAX_CLIP) as draft:
                await self._fetch(source.field, source.link, draft)
                yield _with(wish, checked_clip(await _drafted(draft), source.field))
        elif source.file is not None:
            yield _with(wish, source.file)

    async def pictures(self, caller: Caller, filed: Sequence[tuple[str, Filed]]) -> list[tuple[str, Upload]]:
        """Pictures that the caller has uploaded as files, with their roles.

        Raises InvalidRequest for one that is not there, not theirs, or no picture.
        """
        return [(role, await self._picture(caller, one)) for role, one in filed]

    async def _picture(self, caller: Caller, filed: Filed) -> Upload:
        parts = self._parts
        async with parts.database.read() as transaction:
            row = await files.get(transaction, caller.id, filed.id, parts.clock.now())
        if row is None:
            message = f"`{filed.field}` is {filed.id[:40]!r}; there is no file with this id."
            raise InvalidRequest(message, code="file_not_found", param=filed.field)
        if row.size > MAX_PICTURE:
            message = f"`{filed.field}` leads to {row.size} bytes; at most {MAX_PICTURE} are allowed."
            raise InvalidRequest(message, code="file_too_large", param=filed.field)
        file = await parts.media.open(row.name)
        try:
            mime = media_type(await whole(file, min(row.size, HEAD)))
        finally:
            file.close()
        stored = MediaRow(
            name=row.name, role="", mime=mime or "", size=row.size, sha256=row.sha256, created_at=row.created_at
        )  # fmt: skip
        return checked_picture(stored_file(parts.media, stored), filed.field)

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

    async def _fetch(self, field: str, link: str, draft: Draft) -> None:
        try:
            async with self._parts.fetcher.opened(link, seconds=LINK_SECONDS) as answer:
                async for piece in answer:
                    await draft.add(piece)
        except RefusedLink as error:
            message = f"`{field}` cannot be used: {error.reason}."
            raise InvalidRequest(message, param=field) from error
        except OverLimitError as error:
            message = f"`{field}` leads to more than {MAX_CLIP} bytes."
            raise InvalidRequest(message, code="invalid_video", param=field) from error


async def _drafted(draft: Draft) -> Upload:
    """A draft as if it had come along, as long as it is there."""

    async def chunks() -> AsyncIterator[bytes]:
        for at in range(0, draft.size, PIECE):
            yield await draft.read(at, PIECE)

    mime = media_type(draft.head)
    found = await asyncio.to_thread(_clip, await draft.on_disk()) if mime == "video/mp4" else None
    return Upload(mime=mime, sha256=await draft.sha256(), size=draft.size, chunks=chunks, clip=found)


def _clip(path: Path) -> Clip | None:
    with path.open("rb") as file:
        return clip(reader(file), path.stat().st_size)


def _with(wish: Wish, file: Upload) -> Wish:
    """The wish with a video that says itself how long and how large it is."""
    measured = file.clip
    if measured is None:
        return wish
    return begun_with(wish, file, measured.seconds, f"{measured.width}x{measured.height}")
