"""Settles whether a submit that was never answered began a video, where the provider can list what it has.

Theory of operation
-------------------
A submit in doubt is never made again: that could be paid for twice. Where the dialect lists the account's newest
operations, these are looked at, after 1, 2, 4, ... seconds until the time for doubts is over. One of them is
taken for ours when all of this holds:

* the dialect says that it is what we asked for, words and all (`VideoSearch`);
* it was created at about the time of the submit;
* no attempt of ours has it, whoever's job that is;
* nobody else's submit of the same words at that time is in doubt, or still under way: it could be theirs;
* it is the only one.

An operation that does not tell yet what it shows is looked at again, as long as the job may live, and so is a
provider that does not answer. All else stays in doubt, and the job fails when the time is over.
"""

from collections.abc import Sequence
from enum import Enum

from msgspec.structs import replace

from gateway.service import attempts as rules
from gateway.service.attempts import SUBMIT, Place
from gateway.service.video_calls import ask as call
from gateway.service.video_moves import Moves
from gateway.service.video_submit import Tools, request_of
from gateway.store import jobs
from gateway.store.engine import Database
from gateway.store.jobs import Attempt, Begun, Job
from providers.adapter import VideoSearch
from providers.errors import ProviderError
from providers.types import Json, VideoSighting

_SKEW = 5.0
"""Seconds by which a provider's clock may differ from ours."""
_WINDOW = 120.0
"""Seconds after the beginning of a submit in which the provider may have begun the video: longer than it takes."""


class Clue(Enum):
    """What a look at a provider's list gives when it does not give the operation."""

    NOTHING = "nothing"
    LATER = "later"
    """It cannot be told yet."""


class Doubts:
    """The step of a job whose submit may or may not have been heard."""

    def __init__(self, tools: Tools, moves: Moves, database: Database) -> None:
        self._tools = tools
        self._moves = moves
        self._database = database

    async def uncertain(self, job: Job) -> None:
        """Look for what the submit may have begun; fail when the time to settle the doubt is over."""
        moves, now = self._moves, self._moves.clock.now()
        attempt, clue = job.attempts[-1], await self._looked(job)
        tries = job.tries + 1
        over = clue is Clue.NOTHING and rules.waited(tries) >= moves.figures.uncertain
        if not isinstance(clue, Clue):
            found = replace(attempt, certainty=rules.CREATED, operation=clue, error_code=None)
            await moves.go(replace(job, tries=0, due_at=now), "created", found)
        elif over or job.deleted_at is not None or now >= job.deadline_at:
            code = "submit_uncertain" if job.deleted_at is None else "cancelled"
            await moves.fail(job, code, replace(attempt, ended_at=now))
        else:
            due = min(now + rules.pause(tries + 1), job.deadline_at)
            await moves.go(replace(job, tries=tries, due_at=due), "wait")

    async def _looked(self, job: Job) -> Json | Clue:
        """The operation that this job's submit began, or how it stands with that."""
        attempt = job.attempts[-1]
        place = rules.locate(self._tools.snapshot(), job.model, attempt)
        search = self._tools.searches.get(attempt.dialect)
        if place is None or search is None:
            return Clue.NOTHING
        try:
            seen = await self._seen(job, search, place)
        except ProviderError as error:
            return Clue.LATER if SUBMIT[error.kind].away or SUBMIT[error.kind].busy else Clue.NOTHING
        since, until = attempt.started_at - _SKEW, attempt.started_at + _WINDOW
        seen = [one for one in seen if int(since) <= one.created_at <= until]
        if not seen:
            return Clue.NOTHING
        async with self._database.read() as transaction:
            begun = await jobs.begun_at(transaction, attempt.base_url, since - _WINDOW, until + _WINDOW)
        return ours(
            job, seen, [one for one in begun if (one.job, one.attempt.number) != (job.id, attempt.number)]
        )

    async def _seen(self, job: Job, search: VideoSearch, place: Place) -> Sequence[VideoSighting]:
        target = await self._tools.tokens.ready(place.target)
        response = await call(self._tools.upstream, search.video_recent(target), place.timeouts)
        asked = request_of(job, job.attempts[-1], self._tools)
        return search.video_sightings(asked, target, response)


def ours(job: Job, seen: Sequence[VideoSighting], others: Sequence[Begun]) -> Json | Clue:
    """Which of the operations seen is certainly this job's; `others` are all other attempts of that time."""
    free = [one for one in seen if not any(_has(other.attempt, one.operation) for other in others)]
    certain = [one for one in free if one.certain]
    if not certain:
        return Clue.LATER if free else Clue.NOTHING
    if len(certain) > 1 or any(_may_have(other, job) for other in others):
        return Clue.NOTHING
    return certain[0].operation


def _has(attempt: Attempt, operation: Json) -> bool:
    return attempt.operation is not None and operation.items() <= attempt.operation.items()


def _may_have(other: Begun, job: Job) -> bool:
    """Whether the operation could as well be that of another attempt, which does not know its own."""
    return other.attempt.certainty == rules.UNKNOWN and other.request.get("prompt") == job.request.get(
        "prompt"
    )
