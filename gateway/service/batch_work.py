"""Makes the request of one row of a batch: the same story that the request would have at the door.

A row of chat or embeddings is over when it is answered. A row of videos is over when its video is: OpenAI's
batch output holds videos that are completed or failed (guide to batches, read 2026-11-21). What the key's own
limits refuse waits until they allow it; what providers could not answer is asked a few times more.
"""

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from gateway.config.snapshot import Caller
from gateway.errors import (
    GatewayError,
    InvalidRequest,
    LimitExceeded,
    NotFound,
    Unauthenticated,
    Unavailable,
    UpstreamFailed,
)
from gateway.service.batch_input import Request, read_line
from gateway.service.batch_ports import BatchParts
from gateway.service.field_values import json_fields
from gateway.service.job_states import TERMINAL
from gateway.service.video_repeats import Origin
from gateway.service.video_request import VIDEOS, read
from gateway.store import batches, files
from gateway.store.batch_rows import COMPLETED, FAILED, BatchRow
from gateway.store.batches import Batch
from gateway.store.jobs import Job
from gateway.store.media import part
from gateway.telemetry.record import Call

ROUTE = "batch rows"
"""Under which the idempotency keys of rows are kept: a client's own keys cannot meet them."""
_UNDONE: Mapping[str, str] = {
    batches.EXPIRED: "This request could not be executed before the completion window expired.",
    batches.CANCELLED: "This request was not executed because the batch was cancelled.",
}
FIRST_PAUSE = 1.0
"""Seconds before a row that was not answered is made again; each further time twice as long."""
_SHORTEST, _LONGEST = 0.25, 10.0
_encode = msgspec.json.Encoder().encode


class Turn(Struct, frozen=True, kw_only=True):
    """A row to make, with the batch it belongs to, its owner, and its line of the file."""

    row: BatchRow
    batch: Batch
    caller: Caller
    request: Request


class Work:
    """Makes one step of a row, and says how the row stands then; writing that down is the runner's business."""

    def __init__(self, parts: BatchParts) -> None:
        self._parts = parts

    async def step(self, row: BatchRow) -> BatchRow:
        """Make the request, or see what has become of its video."""
        async with self._parts.database.read() as transaction:
            batch = await batches.get_any(transaction, row.batch)
            file = await files.get_any(transaction, batch.input_file)
        caller = self._parts.caller_of(row.caller)
        try:
            if caller is None:
                raise Unauthenticated("The key that this batch belongs to is not there any more.")
            if row.job is not None:
                return await self._watched(row, row.job, batch, caller)
            if batch.ending is not None:
                return undone(row, batch.ending)
            data = await self._line(row, file.name if file else "")
        except GatewayError as error:
            return self._refused(row, error)
        request = read_line(data, batch.endpoint)
        return await self._made(Turn(row=row, batch=batch, caller=caller, request=request))

    def stumbled(self, row: BatchRow) -> BatchRow:
        """How a row stands whose step met an error that nobody expected: made again, but not for ever."""
        message = "This gateway met an error while it made this request."
        return self._put_off(
            row, GatewayError(message, code="internal_error"), again=row.tries < self._parts.figures.tries
        )

    async def _line(self, row: BatchRow, name: str) -> bytes:
        try:
            file = await self._parts.media.open(name)
        except FileNotFoundError as error:
            raise NotFound("The file of this batch is gone.", code="file_not_found") from error
        try:
            return await part(file, row.start, row.start + row.size)
        finally:
            file.close()

    async def _made(self, turn: Turn) -> BatchRow:
        """Make the request, on the record."""
        endpoint, recorder = turn.batch.endpoint, self._parts.recorder
        call = recorder.begin("POST", f"{endpoint} (batch)", endpoint, None)
        call.key_id, call.organisation = turn.caller.id, turn.caller.organisation
        turn = replace(turn, row=replace(turn.row, request_id=call.request_id))
        try:
            if endpoint in self._parts.faces.wishes:
                after = await self._answered(turn, call)
            else:
                after = await self._ordered(turn)
            call.status = 200
        except GatewayError as error:
            call.status, call.error = error.status, error.code
            return self._refused(turn.row, error)
        finally:
            recorder.end(call)
        return after

    async def _answered(self, turn: Turn, call: Call) -> BatchRow:
        """Chat or embeddings: over when it is answered."""
        parts = self._parts
        read_wish = parts.faces.wishes[turn.batch.endpoint]
        wish = read_wish(bytes(turn.request.body), int(parts.clock.now()), strict=False)
        if wish.stream:
            raise InvalidRequest("`stream` must be false: in a batch answers are whole.", param="stream")
        reply = await parts.chat.serve(call, turn.caller, wish)
        await reply.settle()
        return over(turn.row, 200, reply.body)

    async def _ordered(self, turn: Turn) -> BatchRow:
        """A video: accepted once, however often this is repeated, and over when it is made."""
        row = turn.row
        wish = read(VIDEOS, json_fields(bytes(turn.request.body)))
        name = hashlib.sha256(row.custom_id.encode()).hexdigest()
        origin = Origin(route=ROUTE, base_url=turn.batch.base_url, key=f"{row.batch} {name}")
        job = await self._parts.videos.create(turn.caller, wish, origin)
        return self._seen(replace(row, job=job.id), job)

    async def _watched(self, row: BatchRow, job: str, batch: Batch, caller: Caller) -> BatchRow:
        """See whether the video is made; of a batch that ends, one that is not is cancelled."""
        videos = self._parts.videos
        found = await videos.get(caller, job)
        if batch.ending is None or found.state in TERMINAL:
            return self._seen(row, found)
        with suppress(NotFound):
            await videos.delete(caller, job)
        return undone(row, batch.ending)

    def _seen(self, row: BatchRow, job: Job) -> BatchRow:
        now = self._parts.clock.now()
        if job.state in TERMINAL:
            return over(row, 200, _encode(self._parts.faces.video(job, now)))
        pause = min(_LONGEST, max(_SHORTEST, (now - job.created_at) / 4))
        return replace(row, due_at=now + pause)

    def _refused(self, row: BatchRow, error: GatewayError) -> BatchRow:
        """Put off what may be allowed or answered later; the end of anything else."""
        ours = isinstance(error, LimitExceeded | Unavailable)
        theirs = isinstance(error, UpstreamFailed) and (error.status == 429 or error.status >= 500)
        again = ours or (theirs and row.tries < self._parts.figures.tries)
        return self._put_off(row, error, again=again)

    def _put_off(self, row: BatchRow, error: GatewayError, *, again: bool) -> BatchRow:
        """The row to be made again after a pause, or its end with this error."""
        if again:
            longest = self._parts.figures.wait
            pause = min(longest, max(error.retry_after or 0.0, FIRST_PAUSE * 2 ** min(row.tries, 10)))
            return replace(row, tries=row.tries + 1, due_at=self._parts.clock.now() + pause)
        return over(row, error.status, self._parts.faces.error(error))


def over(row: BatchRow, status: int, body: bytes) -> BatchRow:
    """The row with its answer, as OpenAI's output and error files tell it."""
    told = msgspec.json.format(body, indent=-1)  # a line must not break
    response = {"status_code": status, "request_id": row.request_id or "", "body": Raw(told)}
    return _ended(row, COMPLETED if status < 300 else FAILED, response, None)


def undone(row: BatchRow, ending: str) -> BatchRow:
    """The row of a batch that was cancelled, or whose time was over, before the row was."""
    return _ended(row, FAILED, None, {"code": f"batch_{ending}", "message": _UNDONE[ending]})


def _ended(row: BatchRow, state: str, response: Any, error: Any) -> BatchRow:
    identity = f"batch_req_{row.batch.removeprefix('batch_')}_{row.number}"
    line = {"id": identity, "custom_id": row.custom_id, "response": response, "error": error}
    told = _encode(line).decode(errors="replace")  # a provider's answer need not be text throughout
    return replace(row, state=state, result=told, due_at=None)
