"""Hears from providers that something has changed at a video, and lets it be looked at sooner.

What a provider sends is believed in nothing: neither a state nor a link is read from it, only the next poll
comes at once. It must know the URL of the attempt, which is signed by us; where the operator wrote down the
secret that a provider signs with (`webhook_secret` among the parts of its key: Replicate, Kling), it must have
signed, too. Source: VIDEO_WIRE 5.7, 2026-11-20.
"""

from collections.abc import Callable, Mapping

from gateway.errors import NotFound
from gateway.service import attempts as rules
from gateway.service import job_states, webhooks
from gateway.service.video_ports import VideoParts
from gateway.store import jobs
from gateway.store.jobs import Job


class Hooks:
    """What providers may tell. One per process; holds no state of its own. `wake` rouses the runner."""

    def __init__(self, parts: VideoParts, wake: Callable[[], None]) -> None:
        self._parts = parts
        self._wake = wake

    async def heard(self, token: str, headers: Mapping[str, str], body: bytes) -> None:
        """Somebody has called the hook with this token. Raises NotFound, whatever is wrong with that."""
        parts = self._parts
        found = parts.links.hooked(token)
        if found is None:
            raise _unknown()
        async with parts.database.read() as transaction:
            job = await jobs.get_any(transaction, found[0])
        if job is None or not self._trusted(job, headers, body):
            raise _unknown()
        if job.attempts and job.attempts[-1].number == found[1]:
            async with parts.database.write() as transaction:
                await jobs.hasten(transaction, job.id, job_states.RUNNING, parts.clock.now())
            self._wake()

    def _trusted(self, job: Job, headers: Mapping[str, str], body: bytes) -> bool:
        place = rules.locate(self._parts.snapshot(), job.model, job.attempts[-1]) if job.attempts else None
        credential = place.target.credential if place else None
        secret = credential.get("webhook_secret") if isinstance(credential, Mapping) else None
        return secret is None or webhooks.genuine(secret.reveal(), headers, body)


def _unknown() -> NotFound:
    return NotFound("There is no such hook.")
