"""The story of a file as its owner lives it: uploaded, listed, looked at, fetched, deleted.

What a file holds is no business of this module. Bytes are streamed into the media store and never held whole.
"""

from collections.abc import AsyncIterable, Sequence

from msgspec import Struct

from gateway.clock import SYSTEM, Clock, ulid
from gateway.config.snapshot import Caller
from gateway.errors import Conflict, InvalidRequest, NotFound, TooLarge
from gateway.store import batches, files
from gateway.store.engine import Database, undoing
from gateway.store.files import FileRow, Slice
from gateway.store.media import MediaStore, OpenFile, OverLimitError, StoredFile

MAX_FILE = 200 * 1024 * 1024
"""Bytes of one uploaded file, as OpenAI allows for a batch."""
LIFE = 30 * 86_400.0
"""Seconds for which a file is kept when nothing was said."""
SHORTEST, LONGEST = 3_600, 2_592_000
"""Between these many seconds a client may choose (OpenAI's `expires_after`)."""
BATCH, BATCH_OUTPUT = "batch", "batch_output"
PURPOSES = (BATCH, "vision", "user_data")
"""What files are kept for: batches read the first, videos are made from pictures among all (OpenAI's words)."""
MAX_FILENAME = 200


class Label(Struct, frozen=True, kw_only=True):
    """What is said of a file that is stored; `life` is in seconds."""

    filename: str
    purpose: str
    life: float = LIFE


class FileContent(Struct, frozen=True, kw_only=True):
    """A file that is open for reading; whoever got it closes `file`."""

    row: FileRow
    file: OpenFile


class Files:
    """All verbs on files. One per process; holds no state of its own."""

    def __init__(self, database: Database, media: MediaStore, clock: Clock = SYSTEM) -> None:
        self._database = database
        self._media = media
        self._clock = clock

    async def create(self, caller: Caller, label: Label, chunks: AsyncIterable[bytes]) -> FileRow:
        """Store a file. Raises TooLarge, InvalidRequest."""
        if label.purpose not in PURPOSES:
            raise InvalidRequest(
                f"`purpose` is {label.purpose[:40]!r}; allowed: {', '.join(PURPOSES)}.", param="purpose"
            )
        try:
            stored = await self._media.write(chunks, MAX_FILE)
        except OverLimitError as error:
            raise TooLarge(f"`file` is larger than {MAX_FILE} bytes.", param="file") from error
        row = row_of(caller.id, stored, label, self._clock.now())
        async with undoing(lambda: self._media.remove([stored.name])), self._database.write() as transaction:
            await files.add(transaction, row)
        return row

    async def get(self, caller: Caller, file: str) -> FileRow:
        """One of the caller's files. Raises NotFound."""
        async with self._database.read() as transaction:
            found = await files.get(transaction, caller.id, file, self._clock.now())
        if found is None:
            raise no_such_file("file_id")
        return found

    async def page(self, caller: Caller, wanted: Slice) -> tuple[Sequence[FileRow], bool]:
        """A slice of the caller's files by creation, and whether there are more behind them."""
        more = Slice(
            limit=wanted.limit + 1,
            after=wanted.after,
            newest_first=wanted.newest_first,
            purpose=wanted.purpose,
        )
        async with self._database.read() as transaction:
            found = await files.page(transaction, caller.id, more, self._clock.now())
        return found[: wanted.limit], len(found) > wanted.limit

    async def delete(self, caller: Caller, file: str) -> None:
        """Forget a file and its bytes. Raises NotFound, and Conflict while a batch reads it."""
        async with self._database.write() as transaction:
            found = await files.hold(transaction, caller.id, file, self._clock.now())
            if found is None:
                raise no_such_file("file_id")
            reader = await batches.reader_of(transaction, file)
            if reader is not None:
                raise Conflict(
                    f"The file `{file}` is read by the batch `{reader}`; cancel that, or wait for its end.",
                    code="file_in_use",
                    retry=False,
                )
            await files.remove(transaction, file)
        await self._media.remove([found.name])

    async def content(self, caller: Caller, file: str) -> FileContent:
        """The bytes, open for reading. Raises NotFound."""
        row = await self.get(caller, file)
        try:
            return FileContent(row=row, file=await self._media.open(row.name))
        except FileNotFoundError as error:
            raise no_such_file("file_id") from error


def row_of(caller: str, stored: StoredFile, label: Label, now: float) -> FileRow:
    """The row of a file whose bytes are stored."""
    return FileRow(
        id=f"file-{ulid(now)}",
        caller=caller,
        name=stored.name,
        filename=label.filename[:MAX_FILENAME],
        purpose=label.purpose,
        size=stored.size,
        sha256=stored.sha256,
        created_at=now,
        expires_at=now + label.life,
    )


def life_of(value: object, name: str) -> float:
    """The seconds in `{anchor: created_at, seconds}`, or LIFE when nothing was said. Raises InvalidRequest."""
    if value is None:
        return LIFE
    told = value if isinstance(value, dict) else {}
    try:
        seconds = int(str(told.get("seconds")))
    except ValueError:
        seconds = 0
    if told.get("anchor") != "created_at" or not SHORTEST <= seconds <= LONGEST:
        raise InvalidRequest(
            f"`{name}` must be {{anchor: created_at, seconds: {SHORTEST} to {LONGEST}}}.", param=name
        )
    return float(seconds)


def no_such_file(param: str) -> NotFound:
    """The same for a file that never was, one that has expired, and somebody else's."""
    return NotFound("There is no file with this id.", code="file_not_found", param=param)
