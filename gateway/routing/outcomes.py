"""What an error means: the one table that failover and health read. Nobody else decides (pure).

| kind             | same target again          | next target         | the target's health        |
|------------------|----------------------------|---------------------|----------------------------|
| invalid_request  | no                         | no                  | -                          |
| unsupported      | no                         | yes                 | -                          |
| context_length   | no                         | larger windows only | -                          |
| content_policy   | no                         | no                  | -                          |
| authentication   | no                         | yes                 | credential out, 5 min      |
| quota            | no                         | yes                 | credential out, 10 min     |
| not_found        | no                         | yes                 | target out, 10 min         |
| rate_limited     | if the wait is short       | yes                 | rests until Retry-After    |
| overloaded, unavailable, timeout, protocol | once, if only candidate | yes | failure        |

One exception: a *slip*, the first 500 of a target that was well, is asked again where it happened (once, while
another call is left for somebody else).
"""

from collections.abc import Mapping
from enum import Enum

from msgspec import Struct

from providers.errors import ErrorKind, ProviderError


class Effect(Enum):
    """What an error does to what we think of a target."""

    NONE = "none"
    FAILURE = "failure"
    REST = "rest"
    TARGET_OUT = "target_out"
    CREDENTIAL_OUT = "credential_out"


class Outcome(Struct, frozen=True, kw_only=True):
    """What follows from one kind of error.

    `again`: the same target may be called once more when it is the only candidate. `next`: another target
    may do better; with `larger_window` only one with a larger context window. `out` is how long, in
    seconds, a target or credential stays out.
    """

    again: bool = False
    next: bool = False
    larger_window: bool = False
    effect: Effect = Effect.NONE
    out: float = 0.0


_TRANSIENT = Outcome(again=True, next=True, effect=Effect.FAILURE)

OUTCOMES: Mapping[ErrorKind, Outcome] = {
    ErrorKind.INVALID_REQUEST: Outcome(),
    ErrorKind.UNSUPPORTED: Outcome(next=True),
    ErrorKind.CONTEXT_LENGTH: Outcome(next=True, larger_window=True),
    ErrorKind.CONTENT_POLICY: Outcome(),
    ErrorKind.AUTHENTICATION: Outcome(next=True, effect=Effect.CREDENTIAL_OUT, out=300.0),
    ErrorKind.QUOTA: Outcome(next=True, effect=Effect.CREDENTIAL_OUT, out=600.0),
    ErrorKind.NOT_FOUND: Outcome(next=True, effect=Effect.TARGET_OUT, out=600.0),
    ErrorKind.RATE_LIMITED: Outcome(again=True, next=True, effect=Effect.REST),
    ErrorKind.OVERLOADED: _TRANSIENT,
    ErrorKind.UNAVAILABLE: _TRANSIENT,
    ErrorKind.TIMEOUT: _TRANSIENT,
    ErrorKind.PROTOCOL: _TRANSIENT,
}


def is_slip(error: ProviderError, failures: int) -> bool:
    """Whether a failure is a passing one of a target that is well: a 500, the first of `failures` in a row.

    A 503 says that it is busy, and a broken connection may mean anything: those go elsewhere at once.
    """
    return error.status == 500 and OUTCOMES[error.kind].again and failures == 1
