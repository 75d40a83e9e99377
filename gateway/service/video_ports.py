"""What the video stories need from outside, and the figures they run by."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from msgspec import Struct

from gateway.clock import SYSTEM, Clock
from gateway.config.snapshot import Caller, Snapshot
from gateway.media.workshop import Workshop
from gateway.service.field_values import MAX_DEADLINE
from gateway.service.moderation import Moderator
from gateway.service.video_links import Links
from gateway.service.video_results import Results
from gateway.store.engine import Database
from gateway.store.jobs import Attempt, Job
from gateway.store.media import MediaStore
from gateway.store.outbox import Notice
from gateway.telemetry.record import Sending
from gateway.transport.fetch import Fetcher
from gateway.transport.post import Poster


class Admission(Protocol):
    """Lets a job in and settles it at its end, perhaps in another process."""

    async def admit(
        self, caller: Caller, *, model: str, video_ms: int, nano_dollars: int | None, lease: str
    ) -> Any:
        """Reserve, or raise the refusal. Returns JSON with everything `settle` needs; it is kept in the job.

        `nano_dollars` is None when the price is not known, which a key with a dollar limit is refused.
        """

    async def settle(
        self, lease: str, held: Any, *, video_ms: int, nano_dollars: int, at: float = math.inf
    ) -> bool:
        """Book what was used instead of what was reserved; a second booking of this lease does nothing.

        `at` is the date of the charge in the ledger, in Unix seconds. False when it is not certain that it was
        booked: the job must not be let go of before it is.
        """

    async def unsettled(self, older: float) -> Mapping[str, Any]:
        """What was reserved for jobs at least so many seconds ago and is not settled: what `admit` gave, by lease."""


class Observe:
    """What telemetry may want to know of jobs. This one does not listen; override what is of interest."""

    def job_accepted(self, job: Job) -> None:
        """A new job is in the database; replays of an old one are not told."""

    def job_cached(self, job: Job) -> None:
        """A job was answered at once with what an earlier one had made."""

    def job_attempt(self, job: Job, attempt: Attempt) -> None:
        """An attempt has begun, or has changed: see its `certainty`, `error_code` and `ended_at`."""

    def job_finished(self, job: Job) -> None:
        """A job is completed or failed, and that is in the database."""

    @contextmanager
    def sending(self, notice: Notice) -> Iterator[Sending]:
        """A webhook is being sent as long as the block runs, which fills in how it was taken."""
        yield Sending(
            trace_id=1, span_id=1, sampled=False, number=notice.tries + 1, url=notice.url, started=0.0
        )

    def webhook_sent(self, notice: Notice) -> None:
        """A webhook was sent, or could not be; this is how it stands now."""


WEBHOOK_WAITS = (5.0, 30.0, 120.0, 600.0, 1800.0, 3600.0, 7200.0, 14_400.0, 28_800.0, 28_800.0)
"""Eleven tries within a day."""


class Figures(Struct, frozen=True, kw_only=True):
    """How video jobs are run. Times in seconds.

    `deadline`: longest life of a job, whose request may say less. `keep`: how long finished content can be
    fetched. `patience`: how long targets that are away are asked again (busy ones are until the deadline).
    `uncertain`: how long a doubtful submit waits before the job fails. `gone_grace`: for how long after a
    submit a target may not know its own operation yet. `poll`: the shortest pause between two polls of an operation.
    `concurrency`: steps at a time in this process. `lease` is renewed every `renew`. `webhook_waits`: pauses
    after each sending of a webhook in vain.
    """

    deadline: float = MAX_DEADLINE
    keep: float = 86_400.0
    patience: float = 600.0
    uncertain: float = 60.0
    gone_grace: float = 60.0
    poll: float = 0.5
    concurrency: int = 32
    lease: float = 30.0
    renew: float = 10.0
    sweep: float = 300.0
    download_tries: int = 5
    webhook_waits: Sequence[float] = WEBHOOK_WAITS


class VideoParts(Struct, frozen=True, kw_only=True):
    """What everything about video jobs stands on.

    `snapshot` gives the current configuration, `secrets_of` what a caller's webhooks are signed with, by the
    caller's id: none when nobody has that id any more.
    """

    database: Database
    media: MediaStore
    workshop: Workshop
    snapshot: Callable[[], Snapshot]
    admission: Admission
    links: Links
    poster: Poster
    fetcher: Fetcher
    moderator: Moderator
    results: Results
    secrets_of: Callable[[str], Sequence[str]]
    figures: Figures = Figures()
    observe: Observe = Observe()
    clock: Clock = SYSTEM
