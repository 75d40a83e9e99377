"""Tells a request that is repeated from a new wish, and writes a new job so that no repetition makes another."""

from msgspec import Struct

from gateway.config.snapshot import Caller
from gateway.errors import Conflict, InvalidRequest, Unprocessable
from gateway.service.video_ports import VideoParts
from gateway.service.webhooks import notice_of
from gateway.store import idempotency, jobs, outbox
from gateway.store.engine import Transaction
from gateway.store.idempotency import IdempotencyKey, Use
from gateway.store.jobs import Job

RETRY_WINDOW = 600.0
"""For how long, in seconds, a request that says it is a retry is taken for the one it repeats."""
MAX_KEY = 255


class Origin(Struct, frozen=True, kw_only=True):
    """How a request came in: the route it was sent to, and what tells a repetition from a new wish.

    `key` is the client's Idempotency-Key; `retries` is what the official clients count in
    `x-stainless-retry-count`, the only trace of a repeated create (they send no key). `base_url` is where the
    client found us, `trace` the W3C traceparent of the request. `cache`: a video that the same request made
    before will do.
    """

    route: str
    base_url: str = ""
    key: str | None = None
    retries: int = 0
    cache: bool = False
    trace: str = ""


class Repeats:
    """Finds and writes the jobs of requests that may be repeated."""

    def __init__(self, parts: VideoParts) -> None:
        self._parts = parts

    async def known(self, caller: Caller, fingerprint: bytes, origin: Origin) -> Job | None:
        """The job this request made before."""
        if origin.key is None and origin.retries == 0:
            return None
        async with self._parts.database.read() as transaction:
            if origin.key is not None:
                use = await idempotency.find(transaction, idempotency_key(caller.id, origin))
            else:
                use = await self._alike(transaction, caller, fingerprint)
        return None if use is None else await self.replay(caller, use, fingerprint)

    async def replay(self, caller: Caller, use: Use, fingerprint: bytes) -> Job:
        """The job of an earlier use. Raises Unprocessable for another request's, Conflict when it was deleted."""
        if use.fingerprint != fingerprint:
            raise Unprocessable(
                "This Idempotency-Key was used for another request; use a new key.", param="Idempotency-Key"
            )
        async with self._parts.database.read() as transaction:
            found = await jobs.get(transaction, caller.id, use.job)
        if found is None:
            message = "This Idempotency-Key belongs to a video that was deleted; use a new key."
            raise Conflict(message, param="Idempotency-Key", retry=False)
        return found

    async def write(self, caller: Caller, job: Job, origin: Origin) -> Use:
        """The one transaction: job, files, reservation, idempotency key and what is to be told, or none of them."""
        use = Use(job=job.id, fingerprint=job.fingerprint)
        async with self._parts.database.write() as transaction:
            if origin.key is not None:
                key = idempotency_key(caller.id, origin)
                use = await idempotency.take(transaction, key, use, job.created_at)
            elif origin.retries:
                use = await self._alike(transaction, caller, job.fingerprint) or use
            if use.job == job.id:
                await jobs.insert_job(transaction, job)
                told = None if job.completed_at is None else notice_of(job, job.completed_at)
                if told is not None:
                    await outbox.add(transaction, told)
        return use

    async def _alike(self, transaction: Transaction, caller: Caller, fingerprint: bytes) -> Use | None:
        since = self._parts.clock.now() - RETRY_WINDOW
        job = await jobs.find_alike(transaction, caller.id, fingerprint, since)
        return None if job is None else Use(job=job, fingerprint=fingerprint)


def idempotency_key(caller: str, origin: Origin) -> IdempotencyKey:
    """The client's key, with the quotes of the draft standard taken off. Raises InvalidRequest."""
    key = (origin.key or "").strip().strip('"')
    if not 0 < len(key) <= MAX_KEY or not key.isprintable():
        raise InvalidRequest(
            f"`Idempotency-Key` must hold 1 to {MAX_KEY} printable characters.", param="Idempotency-Key"
        )
    return IdempotencyKey(caller=caller, route=origin.route, key=key)
