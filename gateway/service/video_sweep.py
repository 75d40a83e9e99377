"""Clears away what time has made worthless.

Expired content and files, old idempotency keys and webhooks, orphaned bytes, what is reserved for jobs that never came
to be.
"""

from gateway.service.video_ports import VideoParts
from gateway.store import files, idempotency, jobs, media_rows, outbox

KEY_LIFE = 2 * 86_400.0
"""Seconds for which an idempotency key is remembered."""
NOTICE_LIFE = 30 * 86_400.0
"""Seconds for which a webhook that is over can be sent again."""
ORPHAN_AGE = 3_600.0
"""A file this old without a row was written by a process that died before it could write the row."""
UNWRITTEN_AGE = 120.0
"""A reservation this old without a job was made by a process that died before it could write the job."""


async def sweep(parts: VideoParts) -> None:
    """One round. Safe beside running jobs and other processes that do the same."""
    now = parts.clock.now()
    async with parts.database.write() as transaction:
        await idempotency.forget(transaction, now - KEY_LIFE)
        await outbox.forget(transaction, now - NOTICE_LIFE)
        expired = await media_rows.drop_expired_media(transaction, now)
        expired += await files.drop_expired(transaction, now)
    await parts.media.remove(expired)
    old = await parts.media.older_than(now - ORPHAN_AGE)
    async with parts.database.read() as transaction:
        known = await media_rows.known_media(transaction, old) | await files.known(transaction, old)
    await parts.media.remove(name for name in old if name not in known)
    await _let_go(parts)


async def _let_go(parts: VideoParts) -> None:
    held = await parts.admission.unsettled(UNWRITTEN_AGE)
    if not held:
        return
    async with parts.database.read() as transaction:
        known = await jobs.open_leases(transaction, list(held))
    for lease in held.keys() - known:
        await parts.admission.settle(lease, held[lease], video_ms=0, nano_dollars=0)
