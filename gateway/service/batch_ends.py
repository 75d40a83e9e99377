"""The two steps that a batch makes itself: its file is looked at, and in the end its results are written."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from gateway.service.batch_input import Checked, Inspection, Line, Mistake, lines, read_line
from gateway.service.batch_ports import BatchParts
from gateway.service.batch_work import undone
from gateway.service.files import BATCH_OUTPUT, Label, row_of
from gateway.store import batch_rows, batches, files
from gateway.store.batch_rows import BatchRow
from gateway.store.batches import Batch
from gateway.store.files import FileRow
from gateway.store.media import OpenFile, StoredFile

_PAGE = 200
"""Results read at a time."""
_MOST = 1 << 50
"""Bytes of a file of results: what clients may send is bounded, and so is what they are answered."""


class _Details(Struct):
    cached_tokens: int | None = 0
    reasoning_tokens: int | None = 0


class _Usage(Struct):
    prompt_tokens: int | None = 0
    completion_tokens: int | None = 0
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None


class _Body(Struct):
    usage: _Usage | None = None


class _Response(Struct):
    body: _Body


class _Line(Struct):
    response: _Response


_usage = msgspec.json.Decoder(_Line).decode


class Tokens:
    """Adds up what the answers of a batch say they used."""

    def __init__(self) -> None:
        self._input = self._output = self._cached = self._reasoning = 0

    def add(self, line: str) -> None:
        """Count one line of the output file; one that tells no usage counts nothing."""
        with suppress(msgspec.MsgspecError):
            used = _usage(line).response.body.usage
            if used is not None:
                self._input += used.prompt_tokens or 0
                self._output += used.completion_tokens or 0
                self._cached += (used.prompt_tokens_details or _Details()).cached_tokens or 0
                self._reasoning += (used.completion_tokens_details or _Details()).reasoning_tokens or 0

    def told(self) -> dict[str, object]:
        """OpenAI's BatchUsage."""
        return {
            "input_tokens": self._input,
            "input_tokens_details": {"cached_tokens": self._cached},
            "output_tokens": self._output,
            "output_tokens_details": {"reasoning_tokens": self._reasoning},
            "total_tokens": self._input + self._output,
        }


async def inspected(parts: BatchParts, batch: Batch) -> Batch:
    """The batch with its rows counted and ready to be begun, or failed for what is wrong with its file."""
    checked = await _looked(parts, batch)
    now = parts.clock.now()
    if checked.errors:
        failed = replace(batch, status=batches.FAILED, errors=checked.errors, ended_at=now, due_at=None)
        return replace(failed, total=0)
    return replace(
        batch,
        status=batches.IN_PROGRESS,
        total=checked.total,
        model=checked.model,
        in_progress_at=now,
        due_at=None,
    )


async def _looked(parts: BatchParts, batch: Batch) -> Checked:
    caller = parts.caller_of(batch.caller)
    if caller is None:
        gone = Mistake("invalid_api_key", "The key that this batch belongs to is not there any more.")
        return Checked(errors=[gone.told(None)])
    file = await opened(parts, batch)
    if file is None:
        gone = Mistake("file_not_found", "The file of this batch is gone.", "input_file_id")
        return Checked(errors=[gone.told(None)])
    try:
        return await Inspection(parts.snapshot(), caller, batch.endpoint).look(file)
    finally:
        file.close()


async def opened(parts: BatchParts, batch: Batch) -> OpenFile | None:
    """The file of a batch, open for reading; None when it is gone. Whoever got it closes it."""
    async with parts.database.read() as transaction:
        row = await files.get_any(transaction, batch.input_file)
    try:
        return await parts.media.open(row.name if row else "")
    except FileNotFoundError:
        return None


async def finish(parts: BatchParts, batch: Batch) -> Batch | None:
    """Write the files of a batch whose rows are over, and end it; None when somebody else has claimed it since."""
    tokens, stored = Tokens(), list[StoredFile]()
    kept = False
    try:
        output = await _stored(parts, _completed(parts, batch, tokens), stored)
        errors = await _stored(parts, _failed(parts, batch), stored)
        ended = _ended(parts, batch, tokens)
        rows: list[FileRow] = []
        if output is not None:
            rows.append(_row(batch, output, "output", ended.ended_at or 0.0))
            ended = replace(ended, output_file=rows[-1].id)
        if errors is not None:
            rows.append(_row(batch, errors, "error", ended.ended_at or 0.0))
            ended = replace(ended, error_file=rows[-1].id)
        kept = await _written(parts, ended, rows)
        return ended if kept else None
    finally:
        if not kept:
            await parts.media.remove(file.name for file in stored)


def _ended(parts: BatchParts, batch: Batch, tokens: Tokens) -> Batch:
    return replace(
        batch,
        status=batch.ending or batches.COMPLETED,
        usage=None if batch.endpoint == "/v1/videos" else tokens.told(),
        ended_at=parts.clock.now(),
        due_at=None,
    )


async def _written(parts: BatchParts, batch: Batch, rows: Sequence[FileRow]) -> bool:
    async with parts.database.write() as transaction:
        if not await batches.save(transaction, batch):
            return False
        for row in rows:
            await files.add(transaction, row)
        await batch_rows.remove(transaction, batch.id)
    return True


async def _stored(
    parts: BatchParts, told: AsyncGenerator[str], stored: list[StoredFile]
) -> StoredFile | None:
    """The file of these lines; None when there are none."""
    async with parts.media.draft(_MOST) as draft, aclosing(told):
        async for line in told:
            await draft.add(line.encode() + b"\n")
        if draft.size == 0:
            return None
        stored.append(await draft.keep())
    return stored[-1]


async def _completed(parts: BatchParts, batch: Batch, tokens: Tokens) -> AsyncGenerator[str]:
    async with aclosing(_results(parts, batch, batch_rows.COMPLETED)) as results:
        async for line in results:
            tokens.add(line)
            yield line


async def _failed(parts: BatchParts, batch: Batch) -> AsyncGenerator[str]:
    async with aclosing(_results(parts, batch, batch_rows.FAILED)) as results:
        async for line in results:
            yield line
    file = await opened(parts, batch) if batch.ending and batch.started < batch.total else None
    if file is None or batch.ending is None:
        return
    try:
        async with aclosing(lines(file, batch.next_at)) as left:
            number = batch.started
            async for one in left:
                number += 1
                yield undone(row_at(batch, number, one), batch.ending).result or ""
    finally:
        file.close()


async def _results(parts: BatchParts, batch: Batch, state: str) -> AsyncGenerator[str]:
    after = 0
    while True:
        async with parts.database.read() as transaction:
            page = await batch_rows.results(transaction, batch.id, state, after, _PAGE)
        for row in page:
            after = row.number
            yield row.result or ""
        if len(page) < _PAGE:
            return


def row_at(batch: Batch, number: int, line: Line) -> BatchRow:
    """The row of a line that nobody has begun, in a file that was looked at."""
    data = line.data or b""
    return BatchRow(
        batch=batch.id,
        number=number,
        caller=batch.caller,
        custom_id=read_line(data, batch.endpoint).custom_id,
        start=line.start,
        size=len(data),
        started_at=0.0,
        due_at=None,
    )


def _row(batch: Batch, stored: StoredFile, what: str, now: float) -> FileRow:
    label = Label(filename=f"{batch.id}_{what}.jsonl", purpose=BATCH_OUTPUT, life=batch.output_life)
    return row_of(batch.caller, stored, label, now)
