"""The story of a batch as its owner lives it: created, looked at, listed, cancelled.

Creating writes one row; the file is looked at and its requests are made by the batch runner.
"""

from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct

from gateway.clock import SYSTEM, Clock, ulid
from gateway.config.snapshot import Caller
from gateway.errors import Conflict, InvalidRequest, NotFound, Unprocessable
from gateway.service.batch_input import ENDPOINTS
from gateway.service.files import BATCH, life_of, no_such_file
from gateway.service.video_repeats import RETRY_WINDOW, Origin, idempotency_key
from gateway.store import batch_rows, batches, files, idempotency
from gateway.store.batches import Batch
from gateway.store.engine import Database, Transaction
from gateway.store.idempotency import Use

WINDOW, WINDOW_SECONDS = "24h", 86_400.0
"""In what time a batch is worked off; what is not done by then is not begun any more."""
_MAX_PAIRS, _MAX_KEY, _MAX_VALUE = 16, 64, 512


class NewBatch(Struct, frozen=True, kw_only=True):
    """A batch to make, with every field checked. `output_life` is for how many seconds its results are kept."""

    endpoint: str
    input_file: str
    metadata: Mapping[str, str] | None
    output_life: float


class Batches:
    """All verbs on batches. One per process; holds no state of its own. `wake` rouses the runner."""

    def __init__(self, database: Database, wake: Callable[[], None], clock: Clock = SYSTEM) -> None:
        self._database = database
        self._wake = wake
        self._clock = clock

    async def create(self, caller: Caller, wanted: NewBatch, origin: Origin) -> Batch:
        """A new batch, or the one that this request, repeated, already made. Raises NotFound, InvalidRequest."""
        batch = self._batch(caller, wanted, origin)
        async with self._database.write() as transaction:
            made = await self._made(transaction, batch, origin)
            if made != batch.id:
                return await self._found(transaction, caller, made)
            file = await files.hold(transaction, caller.id, batch.input_file, batch.created_at)
            if file is None:
                raise no_such_file("input_file_id")
            if file.purpose != BATCH:
                message = f"The file `{file.id}` was not uploaded with purpose `{BATCH}`."
                raise InvalidRequest(message, code="invalid_file_purpose", param="input_file_id")
            await batches.add(transaction, batch)
        self._wake()
        return batch

    async def get(self, caller: Caller, batch: str) -> Batch:
        """One of the caller's batches. Raises NotFound."""
        async with self._database.read() as transaction:
            return await self._found(transaction, caller, batch)

    async def page(self, caller: Caller, after: str | None, limit: int) -> tuple[Sequence[Batch], bool]:
        """Up to `limit` of the caller's batches, newest first, and whether there are more behind them."""
        async with self._database.read() as transaction:
            found = await batches.page(transaction, caller.id, after, limit + 1)
        return found[:limit], len(found) > limit

    async def cancel(self, caller: Caller, batch: str) -> Batch:
        """Begin no more of its requests; videos that are being made are cancelled. Raises NotFound, Conflict."""
        now = self._clock.now()
        async with self._database.write() as transaction:
            stopped = await batches.cancel(transaction, caller.id, batch, now)
            found = await self._found(transaction, caller, batch)
        if not stopped and found.ending != batches.CANCELLED:
            message = f"The batch `{batch}` is {found.status} and cannot be cancelled any more."
            raise Conflict(message, code="batch_not_cancellable", retry=False)
        async with (
            self._database.write() as transaction
        ):  # not in the one above: a row that ends locks in turn
            await batch_rows.hurry(transaction, batch, now)
        self._wake()
        return found

    async def _made(self, transaction: Transaction, batch: Batch, origin: Origin) -> str:
        """The id of the batch that this request made before; this one's when it did not."""
        if origin.key is not None:
            use = Use(job=batch.id, fingerprint=f"{batch.input_file} {batch.endpoint}".encode())
            key = idempotency_key(batch.caller, origin)
            taken = await idempotency.take(transaction, key, use, batch.created_at)
            if taken.fingerprint != use.fingerprint:
                message = "This Idempotency-Key was used for another request; use a new key."
                raise Unprocessable(message, param="Idempotency-Key")
            return taken.job
        if origin.retries:
            since = batch.created_at - RETRY_WINDOW
            return await batches.find_alike(transaction, batch, since) or batch.id
        return batch.id

    async def _found(self, transaction: Transaction, caller: Caller, batch: str) -> Batch:
        found = await batches.get(transaction, caller.id, batch)
        if found is None:
            raise NotFound("There is no batch with this id.", code="batch_not_found", param="batch_id")
        return found

    def _batch(self, caller: Caller, wanted: NewBatch, origin: Origin) -> Batch:
        now = self._clock.now()
        return Batch(
            id=f"batch_{ulid(now)}",
            caller=caller.id,
            endpoint=wanted.endpoint,
            input_file=wanted.input_file,
            metadata=wanted.metadata,
            base_url=origin.base_url,
            output_life=wanted.output_life,
            created_at=now,
            expires_at=now + WINDOW_SECONDS,
            due_at=now,
        )


def read(fields: Mapping[str, object]) -> NewBatch:
    """The batch in a decoded JSON object. Raises InvalidRequest naming field, value and way out."""
    endpoint = _text(fields, "endpoint")
    if endpoint not in ENDPOINTS:
        allowed = ", ".join(ENDPOINTS)
        raise InvalidRequest(f"`endpoint` is {endpoint[:80]!r}; allowed: {allowed}.", param="endpoint")
    window = _text(fields, "completion_window")
    if window != WINDOW:
        message = f"`completion_window` is {window[:20]!r}; it must be {WINDOW}."
        raise InvalidRequest(message, param="completion_window")
    return NewBatch(
        endpoint=endpoint,
        input_file=_text(fields, "input_file_id"),
        metadata=_metadata(fields.get("metadata")),
        output_life=life_of(fields.get("output_expires_after"), "output_expires_after"),
    )


def _text(fields: Mapping[str, object], name: str) -> str:
    value = fields.get(name)
    if value is None:
        raise InvalidRequest(f"`{name}` is required.", code="missing_required_parameter", param=name)
    if not isinstance(value, str) or len(value) > _MAX_VALUE or "\0" in value:
        message = f"`{name}` must be a string of at most {_MAX_VALUE} characters."
        raise InvalidRequest(message, code="invalid_type", param=name)
    return value


def _metadata(value: object) -> Mapping[str, str] | None:
    if value is None:
        return None
    fine = isinstance(value, dict) and len(value) <= _MAX_PAIRS
    for key, text in value.items() if isinstance(value, dict) else ():
        fine = fine and isinstance(text, str) and len(key) <= _MAX_KEY and len(text) <= _MAX_VALUE
    if not fine:
        raise InvalidRequest(
            f"`metadata` must hold at most {_MAX_PAIRS} strings of {_MAX_VALUE} characters, under names of "
            f"{_MAX_KEY}.",
            param="metadata",
        )
    return value  # type: ignore[return-value]  # looked at above
