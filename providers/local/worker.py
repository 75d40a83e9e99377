"""What the worker does for its clients, HTTP aside: accepts, finds, cancels and deletes jobs."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from providers.local.content import File
from providers.local.engine import CLIP, SPRITESHEET, THUMBNAIL, VIDEO, Model, Order
from providers.local.fields import (
    Fields,
    fingerprint,
    footage_of,
    read_change,
    read_footage,
    read_order,
    read_remix,
)
from providers.local.gpu import Gpus
from providers.local.queue import Inputs, Job, Queue
from providers.local.refusal import RefusalError
from providers.local.runner import Runner
from providers.local.settings import Settings

_VARIANTS = {
    "video": (VIDEO, "mp4", "video/mp4"),
    "thumbnail": (THUMBNAIL, "webp", "image/webp"),
    "spritesheet": (SPRITESHEET, "jpg", "image/jpeg"),
}
_LONGEST_TOKEN = 255
_UNKNOWN_WAIT = 2.0  # seconds, while no job has told yet how long jobs take
_POLL_SHORTEST, _POLL_LONGEST, _POLL_SHARE = 0.2, 5.0, 0.1


class Sent(Struct, frozen=True, kw_only=True):
    """How an order came: its idempotency key, if it has one, and whether it may wait behind others."""

    token: str | None = None
    waits: bool = True


class Worker:
    """The queue, the runner and the rules between them."""

    def __init__(self, settings: Settings, queue: Queue, runner: Runner, gpus: Gpus) -> None:
        self.settings = settings
        self.runner = runner
        self._gpus = gpus
        self._queue = queue

    def create(self, fields: Fields, sent: Sent) -> Job:
        """Accept a new video, or find the one accepted under the same idempotency key."""
        mark = fingerprint(fields)
        known = self._known(sent.token, mark)
        if known is not None:
            return known
        order, inputs = read_order(fields, self._models())
        return self._accept(order, inputs, sent, mark)

    def change(self, operation: str, fields: Fields, sent: Sent) -> Job:
        """Accept an edit or an extension (`edit`, `extend`) of a video made here or sent along."""
        mark = f"{operation} {fingerprint(fields)}"
        known = self._known(sent.token, mark)
        if known is not None:
            return known
        source_id, data = read_footage(fields)
        if source_id is not None:
            source = self.find(source_id)
            if source.status != "completed":
                raise _not_completed(source, status=400)
            data = self._queue.video(source)
        order = read_change(operation, fields, footage_of(data), self._models())
        return self._accept(msgspec.structs.replace(order, source=source_id), {CLIP: data}, sent, mark)

    def remix(self, source_id: str, fields: Fields, sent: Sent) -> Job:
        """Accept a finished video again with another prompt: drawn over, or made anew from its order."""
        source = self.find(source_id)
        mark = f"{source.id} {fingerprint(fields)}"
        known = self._known(sent.token, mark)
        if known is not None:
            return known
        if source.status != "completed":
            raise _not_completed(source, status=400)
        order = read_remix(fields, source.order, self._models())
        redrawn = order.clip and order.operation == "remix"
        inputs = {CLIP: self._queue.video(source)} if redrawn else self._queue.inputs(source)
        return self._accept(msgspec.structs.replace(order, source=source.id), inputs, sent, mark)

    def find(self, job_id: str) -> Job:
        """The job with that id. Raises RefusalError (404)."""
        job = self._queue.get(job_id)
        if job is None:
            raise RefusalError(404, "not_found", f"Video with id {job_id[:80]!r} not found.")
        return job

    def page(self, *, limit: int, after: str | None, newest_first: bool) -> tuple[Sequence[Job], bool]:
        """One page of jobs, and whether there are more behind it."""
        if after is not None:
            self.find(after)
        jobs = self._queue.page(limit=limit + 1, after=after, newest_first=newest_first)
        return jobs[:limit], len(jobs) > limit

    def cancel(self, job_id: str) -> Job:
        """Stop a job that is not at its end; it is then failed with the code `cancelled`."""
        job = self.find(job_id)
        self._queue.fail(job.id, "cancelled", "The video was cancelled.", int(time.time()))
        self.runner.abandon(job)
        return self.find(job.id)

    def delete(self, job_id: str) -> Job:
        """Forget a job and its files, stopping it where needed; the job as it last was."""
        job = self.cancel(job_id)
        self._queue.delete(job)
        return job

    def file(self, job_id: str, variant: str) -> File:
        """A finished job's file. Raises RefusalError."""
        job = self.find(job_id)
        if variant not in _VARIANTS:
            raise RefusalError(
                404,
                "variant_unavailable",
                f"'variant' is {variant[:80]!r}: this worker has {', '.join(_VARIANTS)}.",
                param="variant",
            )
        if job.status != "completed":
            raise _not_completed(job, status=404)
        stored, suffix, mime = _VARIANTS[variant]
        return File(
            path=self._queue.folder(job) / stored,
            name=f"{job.id}.{suffix}",
            mime=mime,
            etag=f'"{job.id}-{variant}"',
        )

    def poll_after(self, job: Job) -> float:
        """Seconds after which asking again is worth it: a tenth of what the job still takes."""
        left = self.runner.done_in(job)
        return min(
            _POLL_LONGEST, max(_POLL_SHORTEST, _POLL_SHARE * (_UNKNOWN_WAIT if left is None else left))
        )

    def describe(self) -> Mapping[str, Any]:
        """What it can make and how busy it is, for a gateway that has work to hand out."""
        runner, queued = self.runner, len(self._queue.waiting())
        ready, left = runner.ready, runner.done_in()
        return {
            "object": "worker",
            "engine": self.settings.engine,
            "ready": ready is not None,
            "models": [] if ready is None else [self._model(model) for model in ready.models],
            "versions": {} if ready is None else dict(ready.versions),
            "running": int(runner.running is not None),
            "queued": queued,
            "queue_size": self.settings.queue_size,
            "free_slots": int(runner.idle and not queued),
            "eta_s": None if left is None else round(left, 2),
            "restarts": runner.restarts,
            "gpus": [msgspec.to_builtins(gpu) for gpu in self._gpus.seen],
        }

    def _model(self, model: Model) -> Mapping[str, Any]:
        """What it can make and how fast: `rate` is seconds of work per megapixel and second of video, at its steps."""
        rate = self.runner.rate(model.id)
        return {**msgspec.to_builtins(model), "rate": None if rate is None else round(rate, 6)}

    def _known(self, token: str | None, mark: str) -> Job | None:
        """The job that was accepted under this idempotency key before."""
        if token is None:
            return None
        if not 1 <= len(token) <= _LONGEST_TOKEN:
            raise RefusalError(
                400,
                "invalid_value",
                f"The header 'Idempotency-Key' has {len(token)} characters: 1 to {_LONGEST_TOKEN} are taken.",
            )
        job = self._queue.by_token(token)
        if job is not None and job.fingerprint != mark:
            raise RefusalError(
                422,
                "idempotency_mismatch",
                f"The idempotency key {token[:80]!r} was used for another request: give each video its own.",
            )
        return job

    def _models(self) -> Sequence[Model]:
        if self.runner.ready is None:
            raise RefusalError(
                503, "engine_starting", "The engine is being loaded: ask again in a moment.", retry_after=1
            )
        return self.runner.ready.models

    def _accept(self, order: Order, inputs: Inputs, sent: Sent, mark: str) -> Job:
        runner, waiting = self.runner, len(self._queue.waiting())
        if not sent.waits and (waiting or not runner.idle):
            message = "Another video is being made, and this one is not to wait here (x-worker-queue)."
            raise _full("no_free_slot", message, runner.done_in())
        if waiting >= self.settings.queue_size:
            message = f"{waiting} videos wait already, which is all this worker takes (--queue-size)."
            raise _full("queue_full", message, runner.slot_free_in())
        job = self._queue.add(order, inputs, token=sent.token, fingerprint=mark, now=int(time.time()))
        runner.feed()
        return self.find(job.id)


def _full(code: str, message: str, wait: float | None) -> RefusalError:
    """Come back in so many seconds; None: nobody knows yet."""
    after = max(1.0, _UNKNOWN_WAIT if wait is None else wait)
    return RefusalError(429, code, message, retry_after=after)


def _not_completed(job: Job, status: int) -> RefusalError:
    return RefusalError(
        status,
        "video_not_completed",
        f"Video {job.id} is {job.status}: only a completed one can be used for this.",
    )
