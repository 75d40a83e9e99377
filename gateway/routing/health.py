"""What we think of one target, and how each event changes it: a breaker and a latency, as pure reducers.

Theory of operation
-------------------
A target is in one of three conditions, read from two numbers and the time:

* closed: calls go through. `failures` counts failures in a row; a success sets it to 0.
* open: after `HealthRule.failures` failures in a row no call is made until `shut_until`. The rest is shortened
  by up to half by the dice, so that replicas do not come back at the same instant. A target that fails at once
  costs its probe next to nothing: it is asked again after each `rest`, so that its recovery is noticed within
  one. So is one that lets its callers wait for a timeout, but its probes are hurried: they wait for little longer
  than the target used to take (`patience`) and then go elsewhere. One that has only become slow would never pass
  those, so now and then a probe may take as long as any call: after twice the rest, four times, ..., MAX_REST at
  most. It leaves its place to the hurried ones meanwhile.
* half-open: the rest is over and one call, the probe, is let through while all others still go elsewhere.
  A successful probe closes the breaker, a failed one opens it again, a probe that was cancelled or ended
  in an error that says nothing about health frees the place for the next.

A 429 is not a failure: the target *rests* until the time it named, and the breaker does not move. Errors
about our credential or an unknown model put the target *out* for a while. `shut` remembers why a target is
shut, so that a request that finds no open target can be told the true reason.

What shut a target here is told to the other processes as a `Rest`, and what shut it there is `heard` here: it is
then shut as long and as often in a row as there, and each process probes it by itself when the rest is over.

Two averages say how fast it is, both with a half-life of HALF_LIFE seconds:

* latency, the time to the first content event. A sample above the average counts at once (peak), so a target
  that turns slow is avoided now and trusted again slowly.
* speed, output tokens per second from the first content to the end, from answers of TELLING_TOKENS and more.

An answer that was not streamed hides its first content: a long one is a sample of speed over its whole time, a
short one of latency. `in_flight` counts open calls.

`late` follows the time that 95 of 100 first contents take: each sample above it raises it by LATER, each one
below lowers it by so much less that both balance when one in twenty is above. It takes TELLING_SAMPLES to trust.
"""

import math

from msgspec import Struct
from msgspec.structs import replace

from gateway.config.snapshot import HealthRule
from gateway.routing.outcomes import OUTCOMES, Effect
from providers.errors import ErrorKind, ProviderError

MAX_REST = 300.0
HURRY = 1.0
"""Seconds that a hurried probe waits at least."""
DEFAULT_RATE_REST = 1.0
"""Seconds a target rests after a 429 that named no time."""
PROBE_SECONDS = 30.0
"""How long a half-open target waits for word of its probe before it lets the next one through."""
HALF_LIFE = 10.0
"""Seconds after which a sample of latency or speed counts half."""
TELLING_SAMPLES = 20
LATER = 1.2
_SOONER = LATER ** (-0.05 / 0.95)
TELLING_TOKENS = 16
"""Output tokens from which on an answer says something about speed."""


ON_THE_WAY = 0.1
"""Seconds that word of a rest may travel: rests that differ by less are the same."""


class Health(Struct, frozen=True, kw_only=True):
    """One target as this process sees it. Times are monotonic seconds.

    `shut` is why the target is shut (None when it never was), `openings` counts breaker openings in a row.
    While a half-open target's probe is out, `probe_until` is when the next may go if nothing is heard of it.
    `latency` is seconds, `speed` output tokens per second; None until measured. `latency_at` and `speed_at` are
    when the last sample came. `late` is the 95th percentile of latency, from `samples` of them. `heard`: not this
    process but another one found out why it is shut. `rest` is how long the last rest was; a probe of a target that
    hangs is hurried until `patient_at`, and `pause` is how long there was none that was not.
    """

    failures: int = 0
    openings: int = 0
    shut: ErrorKind | None = None
    shut_at: float = 0.0
    shut_until: float = 0.0
    probe_until: float = 0.0
    in_flight: int = 0
    latency: float | None = None
    latency_at: float = 0.0
    speed: float | None = None
    speed_at: float = 0.0
    late: float | None = None
    samples: int = 0
    heard: bool = False
    rest: float = 0.0
    pause: float = 0.0
    patient_at: float = 0.0


class Rest(Struct, frozen=True, kw_only=True):
    """What one process tells the others of a target that it shut: why, for how many `seconds` more, how often in a row.

    `until` tells one rest of a target from the next, by whatever clock the processes share.
    """

    target: str
    kind: ErrorKind
    openings: int
    seconds: float
    until: int = 0


NEW = Health()


def state(health: Health, now: float) -> str:
    """`closed`, `open`, `half_open` or `throttled`."""
    if health.shut is None:
        return "closed"
    if now < health.shut_until:
        return "throttled" if health.shut is ErrorKind.RATE_LIMITED else "open"
    return "half_open" if health.openings else "closed"


def is_open_to(health: Health, now: float) -> bool:
    """Whether a call may go to this target now."""
    if health.shut is None:
        return True
    return now >= health.shut_until and (not health.openings or now >= health.probe_until)


def started(health: Health, now: float) -> Health:
    """A call goes out. On a half-open target it is the probe."""
    if health.shut is None or not health.openings or now < health.shut_until:
        return replace(health, in_flight=health.in_flight + 1)
    if health.shut is not ErrorKind.TIMEOUT or now < health.patient_at:
        return replace(health, in_flight=health.in_flight + 1, probe_until=now + PROBE_SECONDS)
    pause = min(MAX_REST, 2.0 * health.pause)
    return replace(
        health,
        in_flight=health.in_flight + 1,
        shut_until=now + health.rest,
        pause=pause,
        patient_at=now + pause,
    )


def patience(health: Health, now: float) -> float:
    """Seconds for which a call that has just `started` may wait for its answer, if others can take it."""
    if health.shut is not ErrorKind.TIMEOUT or now < health.shut_until:
        return math.inf
    return _patience(health)


def _patience(health: Health) -> float:
    usual = health.late if health.late is not None and health.samples >= TELLING_SAMPLES else 0.0
    return max(HURRY, 2.0 * usual, 2.0 * (health.latency or 0.0))


def answered(health: Health, now: float, seconds: float, *, whole: bool = False) -> Health:
    """The target gave its first content, or its `whole` answer, after `seconds`; the call is still open.

    A call that began before the target was shut says nothing about why it was: it stays shut.
    """
    latency, latency_at = (health.latency, health.latency_at) if whole else (seconds, now)
    late, samples = health.late, health.samples
    if not whole:
        late = seconds if late is None else late * (LATER if seconds > late else _SOONER)
        samples += 1
    if now < health.shut_until and now - seconds < health.shut_at:
        return replace(health, latency=latency, latency_at=latency_at, late=late, samples=samples)
    known = health.latency
    if known is not None and latency is not None and latency < known:
        latency = known + (latency - known) * (1.0 - 0.5 ** ((now - health.latency_at) / HALF_LIFE))
    return Health(
        in_flight=health.in_flight,
        latency=latency,
        latency_at=latency_at,
        speed=health.speed,
        speed_at=health.speed_at,
        late=late,
        samples=samples,
    )


def outrun(health: Health, now: float, seconds: float) -> Health:
    """Another target gave its content first; this one took longer than `seconds`. That is no failure."""
    known, late, samples = health.latency or 0.0, health.late, health.samples
    if late is not None and seconds > late:
        late, samples = late * LATER, samples + 1
    return replace(health, latency=max(known, seconds), latency_at=now, late=late, samples=samples)


def ended(
    health: Health, now: float = 0.0, tokens: int = 0, seconds: float = 0.0, *, whole: bool = False
) -> Health:
    """A call is over, however it went. When none is left, a probe that told nothing has freed its place.

    `tokens` came out in `seconds`, from the first content on or, when the answer came `whole`, from the call on;
    no seconds when nothing was measured.
    """
    left = health.in_flight - 1 if health.in_flight > 0 else 0
    probe_until = health.probe_until if left else 0.0
    if seconds > 0.0 and tokens >= TELLING_TOKENS:
        known, sample = health.speed, tokens / seconds
        if known is not None:
            sample = known + (sample - known) * (1.0 - 0.5 ** ((now - health.speed_at) / HALF_LIFE))
        return replace(health, in_flight=left, probe_until=probe_until, speed=sample, speed_at=now)
    if seconds > 0.0 and whole:
        known, sample = health.latency, seconds
        if known is not None and sample < known:
            sample = known + (sample - known) * (1.0 - 0.5 ** ((now - health.latency_at) / HALF_LIFE))
        return replace(health, in_flight=left, probe_until=probe_until, latency=sample, latency_at=now)
    return replace(health, in_flight=left, probe_until=probe_until)


def mended(health: Health) -> Health:
    """Whatever shut the target may be mended: only what was measured stays."""
    return Health(
        in_flight=health.in_flight,
        latency=health.latency,
        latency_at=health.latency_at,
        speed=health.speed,
        speed_at=health.speed_at,
        late=health.late,
        samples=health.samples,
    )


def to_tell(target: str, health: Health, now: float) -> Rest | None:
    """What the others should know of this target: that it was shut here, while that lasts."""
    if health.shut is None or health.heard or health.shut_until <= now:
        return None
    seconds = health.shut_until - now
    return Rest(target=target, kind=health.shut, openings=health.openings, seconds=seconds)


def told(health: Health, rest: Rest, now: float) -> Health:
    """Another process shut this target. Who knows of as long a rest learns nothing."""
    until = now + rest.seconds
    if health.shut is not None and until <= health.shut_until + ON_THE_WAY:
        return health
    return replace(
        health,
        shut=rest.kind,
        shut_at=now,
        shut_until=until,
        openings=max(health.openings, rest.openings),
        probe_until=0.0,
        heard=True,
        rest=rest.seconds,
        pause=max(health.pause, rest.seconds),
        patient_at=max(health.patient_at, until + rest.seconds),
    )


def untold(health: Health, now: float) -> Health:
    """What another process said of this target is taken back; what was found out here stays."""
    if health.heard and now < health.shut_until - ON_THE_WAY:
        return mended(health)
    return health


def failed(health: Health, error: ProviderError, rule: HealthRule, now: float, dice: float) -> Health:
    """A call failed with `error`. `dice` is a random number in [0, 1)."""
    outcome = OUTCOMES[error.kind]
    if outcome.effect is Effect.FAILURE:
        return _failure(health, error.kind, rule, now, dice)
    if outcome.effect is Effect.REST:
        rest = DEFAULT_RATE_REST if error.retry_after is None else error.retry_after
        until = max(health.shut_until, now + rest)
        return replace(health, shut=error.kind, shut_at=now, shut_until=until, probe_until=0.0, heard=False)
    if outcome.effect in (Effect.TARGET_OUT, Effect.CREDENTIAL_OUT):
        until = now + outcome.out
        return replace(health, shut=error.kind, shut_at=now, shut_until=until, probe_until=0.0, heard=False)
    return replace(health, probe_until=0.0)


def _failure(health: Health, kind: ErrorKind, rule: HealthRule, now: float, dice: float) -> Health:
    failures = health.failures + 1
    was_probe = health.openings > 0 and now >= health.shut_until
    if failures < rule.failures and not was_probe:
        return replace(health, failures=failures)
    if health.openings and now < health.shut_until:  # a call that began before the breaker opened
        return replace(health, failures=failures)
    rest, hangs = rule.rest, kind is ErrorKind.TIMEOUT
    if hangs:  # rest and probe together take no longer than the rest of others
        rest = max(rest - _patience(health), rest / 2.0)
    again = hangs and health.shut is kind and was_probe
    rest *= 1.0 - dice / 2.0
    return replace(
        health,
        failures=failures,
        openings=health.openings + 1,
        shut=kind,
        shut_at=health.shut_at if again else now,  # a patient probe that is out still tells something
        shut_until=now + rest,
        probe_until=0.0,
        heard=False,
        rest=rest,
        pause=health.pause if again else rule.rest,
        patient_at=health.patient_at if again else now + 2.0 * rule.rest,
    )
