"""Hears from providers that something has changed at a video, and lets it be looked at sooner.

What a provider sends is believed in nothing: neither a state nor a link is read from it, only the next poll
comes at once. It must know the URL of the attempt, which is signed by us. A provider that signs must have signed,
too: with keys that it publishes (fal), or with the secret that the operator wrote down (`webhook_secret` among the
parts of its key: Replicate, Kling). Source: VIDEO_WIRE 5.7, 2026-11-20.
"""

from collections.abc import Callable, Mapping

from gateway.errors import NotFound
from gateway.service import attempts as rules
from gateway.service import job_states, webhooks
from gateway.service.signers import Heard, Signers
from gateway.service.video_ports import VideoParts
from gateway.store import jobs
from gateway.store.jobs import Job
from providers.adapter import VideoAsking
from providers.types import Json


class Hooks:
    """What providers may tell. One per process; holds no state of its own. `wake` rouses the runner."""

    def __init__(
        self,
        parts: VideoParts,
        signers: Signers,
        asking: Mapping[str, VideoAsking],
        wake: Callable[[], None],
    ) -> None:
        self._parts = parts
        self._signers = signers
        self._asking = asking
        self._wake = wake

    async def heard(self, token: str, heard: Heard) -> Json | None:
        """Somebody has called the hook with this token; what they want to hear, if anything.

        Raises NotFound, whatever is wrong with that.
        """
        parts = self._parts
        found = parts.links.hooked(token)
        if found is None:
            raise _unknown()
        async with parts.database.read() as transaction:
            job = await jobs.get_any(transaction, found[0])
        if job is None or not job.attempts or not await self._trusted(job, heard):
            raise _unknown()
        last = job.attempts[-1]
        asking = self._asking.get(last.dialect)
        answer = asking.hook_answer(heard.body) if asking else None
        if answer is None and last.number == found[1]:
            async with parts.database.write() as transaction:
                await jobs.hasten(transaction, job.id, job_states.RUNNING, parts.clock.now())
            self._wake()
        return answer

    async def _trusted(self, job: Job, heard: Heard) -> bool:
        attempt = job.attempts[-1]
        place = rules.locate(self._parts.snapshot(), job.model, attempt)
        credential = place.target.credential if place else None
        secret = credential.get("webhook_secret") if isinstance(credential, Mapping) else None
        if secret is not None:
            return webhooks.genuine(secret.reveal(), heard.headers, heard.body)
        return await self._signers.genuine(attempt.dialect, heard)


def _unknown() -> NotFound:
    return NotFound("There is no such hook.")
