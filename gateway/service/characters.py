"""Characters: clips that a client names once, to be seen in the videos it makes later.

A character is kept until it is deleted. Nothing is learnt from it here: a video that names some of them is
given their clips as references, by a target whose model takes such (`reference_video`).
"""

from collections.abc import Mapping, Sequence

from gateway.clock import ulid
from gateway.config.snapshot import Caller
from gateway.errors import Conflict, InvalidRequest, NotFound
from gateway.service import field_values as values
from gateway.service.video_inputs import Upload, source
from gateway.service.video_ports import VideoParts
from gateway.service.video_repeats import RETRY_WINDOW
from gateway.service.video_sources import stored_file
from gateway.store import characters as rows
from gateway.store.characters import Character
from gateway.store.engine import undoing
from gateway.store.media_rows import MediaRow

MOST = 100
"""How many a key may have."""
MAX_NAME = 80


def read(fields: Mapping[str, object]) -> tuple[str, Upload]:
    """Name and clip in a decoded form. Raises InvalidRequest."""
    left = {name: value for name, value in fields.items() if value is not None}
    name = values.needed(left, "name", MAX_NAME)
    found = source("video", left.pop("video", None), text=False)
    if found.file is None:
        message = "`video` must be an uploaded MP4 in which the character can be seen."
        raise InvalidRequest(message, code="invalid_type", param="video")
    return name, found.file


class Characters:
    """All verbs on characters. One per process; holds no state of its own."""

    def __init__(self, parts: VideoParts) -> None:
        self._parts = parts

    async def create(self, caller: Caller, name: str, clip: Upload, *, retried: bool = False) -> Character:
        """A new one, or the one that this request, `retried`, already made. Raises Conflict."""
        parts, now = self._parts, self._parts.clock.now()
        async with parts.database.read() as transaction:
            since = now - RETRY_WINDOW
            known = await rows.find_alike(transaction, caller.id, name, clip.sha256, since)
            full = await rows.count(transaction, caller.id) >= MOST
        if known is not None and retried:
            return known
        if full:
            message = f"This key has {MOST} characters, which is the most; delete one of them first."
            raise Conflict(message, code="too_many_characters", retry=False)
        file = await parts.media.write(clip.chunks(), clip.size)
        row = MediaRow(
            name=file.name, role="character", mime=clip.mime or "", size=file.size, sha256=file.sha256,
            created_at=now,
        )  # fmt: skip
        made = Character(id=f"char_{ulid(now)}", caller=caller.id, name=name, clip=row, created_at=now)
        async with undoing(lambda: parts.media.remove([file.name])), parts.database.write() as transaction:
            await rows.add(transaction, made)
        return made

    async def get(self, caller: Caller, character: str) -> Character:
        """One of the caller's. Raises NotFound."""
        async with self._parts.database.read() as transaction:
            found = await rows.get(transaction, caller.id, character)
        if found is None:
            raise _not_found()
        return found

    async def delete(self, caller: Caller, character: str) -> None:
        """Forget one and its clip; videos that were made with it stay. Raises NotFound."""
        async with self._parts.database.write() as transaction:
            file = await rows.drop(transaction, caller.id, character)
        if file is None:
            raise _not_found()
        await self._parts.media.remove([file])

    async def clips(self, caller: Caller, characters: Sequence[str]) -> list[Upload]:
        """The clips of some of the caller's, in this order. Raises InvalidRequest for one that is not there."""
        found = []
        for at, character in enumerate(characters):
            try:
                found.append(stored_file(self._parts.media, (await self.get(caller, character)).clip))
            except NotFound as error:
                param = f"characters[{at}].id"
                raise InvalidRequest(error.message, code="character_not_found", param=param) from error
        return found


def _not_found() -> NotFound:
    return NotFound("There is no character with this id.", code="character_not_found", param="character_id")
