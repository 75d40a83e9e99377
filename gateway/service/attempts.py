"""What the outcome of one attempt at a video means, and who is asked next (pure).

Theory of operation
-------------------
Asking a target for a video costs money the moment it accepts, so an outcome is one of three:

* created: the target gave an operation to ask after.
* not_created: it is certain that nothing was started. Somebody else may be asked, or the same one later.
* unknown: the request went out and no readable answer came back. It may have been accepted. Unless the
  target recognises a repeated token (`idempotent_submit`), nobody is asked again: a doubtful video
  is parked and not paid for twice.

A refusal says when the same target may be asked again: never (it cannot do it, or our credential is out), or
after a pause: while it is busy up to the job's deadline, while it is away as long as we are patient. A
target that lost an operation it had accepted is asked once more, and a worker that went away when it is back.
`choose` picks the first target of the plan that nobody has asked yet, else one whose pause is over, else says
how long to wait, else gives up.
"""

from collections.abc import Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from gateway.config.snapshot import RouteTarget, Snapshot, Timeouts
from gateway.store.jobs import Attempt
from providers.errors import ErrorKind, ProviderError
from providers.types import Target, VideoLimits

CREATED, NOT_CREATED, UNKNOWN = "created", "not_created", "unknown"

JOB_LOST, WORKER_AWAY = "job_lost", "worker_away"
MAX_PAUSE = 30.0
MAX_POLL = 10.0


class Reading(Struct, frozen=True, kw_only=True):
    """What one kind of error at a submit means.

    `final`: the request itself is at fault, nobody will do better. `busy`: the same target will take it
    later. `away`: it may come back; and it may have accepted, if the request reached it at all.
    """

    code: str
    final: bool = False
    busy: bool = False
    away: bool = False


_AWAY = Reading(code="provider_error", away=True)
_BUSY = Reading(code="provider_overloaded", busy=True)

SUBMIT: Mapping[ErrorKind, Reading] = {
    ErrorKind.INVALID_REQUEST: Reading(code="invalid_request", final=True),
    ErrorKind.CONTEXT_LENGTH: Reading(code="invalid_request", final=True),
    ErrorKind.CONTENT_POLICY: Reading(code="moderation_blocked", final=True),
    ErrorKind.UNSUPPORTED: Reading(code="unsupported_parameter"),
    ErrorKind.AUTHENTICATION: Reading(code="provider_auth_error"),
    ErrorKind.QUOTA: Reading(code="provider_quota_exceeded"),
    ErrorKind.NOT_FOUND: Reading(code="model_unavailable"),
    ErrorKind.RATE_LIMITED: _BUSY,
    ErrorKind.OVERLOADED: _BUSY,
    ErrorKind.UNAVAILABLE: _AWAY,
    ErrorKind.TIMEOUT: _AWAY,
    ErrorKind.PROTOCOL: _AWAY,
}

MESSAGES: Mapping[str, str] = {
    "provider_error": "The provider failed to make this video.",
    "provider_overloaded": "Every provider that could make this video is too busy.",
    "provider_quota_exceeded": "The gateway's account with the provider is used up.",
    "provider_auth_error": "The provider refused the gateway's credential.",
    "model_unavailable": "The provider does not offer this model any more.",
    "unsupported_parameter": "No provider of this model can do everything that was asked for.",
    "submit_uncertain": "The provider may or may not have accepted this video, so nobody was asked again.",
    "generation_timeout": "The video was not finished in time.",
    "result_unavailable": "The provider made this video, but its file could not be fetched.",
    "cancelled": "The video was cancelled.",
    "no_route": "The model of this video is not configured any more.",
    JOB_LOST: "The provider lost this video.",
    WORKER_AWAY: "The worker that made this video does not answer any more.",
}
"""What a client is told for each code. For errors about the request the provider's own words are used."""


class Patience(Struct, frozen=True, kw_only=True):
    """Until when, in Unix seconds, a target that is busy, or away, is asked again."""

    busy: float
    away: float


class Choice(Struct, frozen=True, kw_only=True):
    """Who is asked next, or when to look again; with neither, nobody is left.

    `in_line` says that it waits for a worker's slot. `eta` is the seconds until it is probably done, where a
    worker makes it; None when not known.
    """

    target: RouteTarget | None = None
    wait_until: float | None = None
    in_line: bool = False
    eta: float | None = None


def certainty(error: ProviderError) -> str:
    """Whether a failed submit may have started something: not_created or unknown."""
    return UNKNOWN if error.sent and SUBMIT[error.kind].away else NOT_CREATED


def retry_at(error: ProviderError, refusals: int, now: float, patience: Patience) -> float | None:
    """When a target may be asked again after so many refusals in a row; None for never."""
    reading = SUBMIT[error.kind]
    until = patience.busy if reading.busy else patience.away if reading.away else now
    at = now + max(pause(refusals), error.retry_after or 0.0)
    return at if at < until else None


def ask_again_after_loss(attempts: Sequence[Attempt], now: float) -> float | None:
    """When the target of the last attempt may be asked again after it lost the job: now, but only once."""
    lost = [attempt for attempt in attempts[:-1] if attempt.error_code == JOB_LOST]
    return None if any(attempt.target == attempts[-1].target for attempt in lost) else now


def pause(failures: int) -> float:
    """Seconds to wait after that many failures in a row: 1, 2, 4, ... at most MAX_PAUSE."""
    return min(MAX_PAUSE, 2.0 ** min(failures - 1, 10))


def waited(failures: int) -> float:
    """Seconds of all pauses up to that one."""
    return sum(pause(failure) for failure in range(1, failures + 1))


def poll_after(age: float, told: float | None, least: float) -> float:
    """Seconds to the next poll of a target that has had the job for `age`; it may ask for a longer pause."""
    return max(least, min(MAX_POLL, age / 10.0), told or 0.0)


def choose(order: Sequence[RouteTarget], attempts: Sequence[Attempt], now: float) -> Choice:
    """Who of the ordered targets is asked next."""
    last = {attempt.target: attempt for attempt in attempts}
    waits: list[float] = []
    ready: RouteTarget | None = None
    for target in order:
        if target.id not in last:
            return Choice(target=target)
        at = last[target.id].retry_at
        if at is None:
            continue
        if at <= now:
            ready = ready or target
        waits.append(at)
    if ready is not None:
        return Choice(target=ready)
    return Choice(wait_until=min(waits, default=None))


def recognises_repeats(target: Target) -> bool:
    """Whether this target answers a repeated submit with the operation it already started."""
    return target.video.idempotent_submit


class Place(Struct, frozen=True, kw_only=True):
    """Where an operation lives: the target to ask, and how long to wait for it."""

    target: Target
    timeouts: Timeouts


def locate(snapshot: Snapshot, model: str, attempt: Attempt) -> Place | None:
    """Where to ask after an attempt's operation: where it was created, with today's credential.

    None when its provider is not configured any more.
    """
    route = snapshot.resolve(model, "video")
    for each in route.targets if route else ():
        if each.id == attempt.target:
            return Place(target=_as_it_was(each.target, attempt), timeouts=each.timeouts)
    row = snapshot.providers.get(attempt.provider)
    face = row.face("video") if row else None
    if face is None:
        return None
    return Place(
        target=_as_it_was(face.target(attempt.provider_model, {}, VideoLimits()), attempt),
        timeouts=Timeouts(),
    )


def _as_it_was(target: Target, attempt: Attempt) -> Target:
    return replace(target, dialect=attempt.dialect, base_url=attempt.base_url)
