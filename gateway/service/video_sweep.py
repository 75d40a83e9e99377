"""Clears away what time has made worthless: expired content and files, old keys and webhooks, orphaned bytes."""

from gateway.service.video_ports import VideoParts
from gateway.store import files, idempotency, media_rows, outbox

KEY_LIFE = 2 * 86_400.0
"""Seconds for which an idempotency key is remembered."""
NOTICE_LIFE = 30 * 86_400.0
"""Seconds for which a webhook that is over can be sent again."""
ORPHAN_AGE = 3_600.0
"""A file this old without a row was written by a process that died before it could write the row."""


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
