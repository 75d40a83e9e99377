"""The record of one call: plain values that the request path fills in and the exporters read afterwards.

Filling a record must stay cheap: no formatting, no library, no clock of its own. Times are monotonic
seconds. What is kept of a request is an allow-list; prompts, answers, keys and query strings have no field.
"""

import random
import re
from collections.abc import Mapping, Sequence

from msgspec import Struct

from providers.types import Usage

CONTINUATION = "continuation"
"""The kind of an attempt that went on where another target's stream broke."""

_LOW_64 = (1 << 64) - 1
_TRACEPARENT = re.compile(rb"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")


class Attempt(Struct, kw_only=True, gc=False):
    """One call to one target. `kind` is primary, retry, failover, continuation, hedge or shadow.

    `error` is an ErrorKind or None.

    `listed` is false for a `provider/model` of a client's own invention: no metric may be named after it.

    `first_content` is when the client's first piece was there (streams only); `cost` is nano-dollars, None
    when the price is not known. `dropped` names what the target could not be told.
    """

    target: str
    provider: str
    model: str
    operation: str
    number: int
    kind: str
    started: float
    listed: bool = True
    url: str = ""
    first_content: float | None = None
    ended: float = 0.0
    status: int | None = None
    error: str | None = None
    response_id: str = ""
    response_model: str = ""
    finish_reason: str | None = None
    usage: Usage | None = None
    cost: int | None = None
    dropped: Sequence[str] = ()


class Call(Struct, kw_only=True):
    """One request from arrival to its last byte.

    `parent_id` is the caller's span id, 0 without one. `sampled` is decided at the start by the trace id
    (or by the caller); errors, failovers and slow calls are exported anyway.
    """

    request_id: str
    trace_id: int
    parent_id: int
    sampled: bool
    method: str
    route: str
    path: str
    started: float
    key_id: str = ""
    organisation: str = ""
    model: str = ""
    stream: bool = False
    admission: str = ""
    dimension: str = ""
    backend: str = ""
    admitted_at: float = 0.0
    policy: str = ""
    reason: str = ""
    candidates: int = 0
    skipped: Mapping[str, str] = {}
    routed_at: float = 0.0
    attempts: list[Attempt] = []
    chosen: Attempt | None = None
    status: int = 0
    error: str | None = None
    truncated: bool = False
    disconnected: bool = False
    ended: float = 0.0

    @property
    def span_id(self) -> int:
        """The id of its own span, whether that is ever exported or not."""
        return int(self.request_id[-16:], 16) or 1

    @property
    def traceparent(self) -> str:
        """What stands for it in another's trace (W3C)."""
        return traceparent(self.trace_id, self.span_id, sampled=self.sampled)


class Sending(Struct, kw_only=True):
    """One sending of a webhook, a trace of its own. `link` is the traceparent of the request it goes back to.

    `number` counts the sendings from 1. `status` is the receiver's, None when it gave none; `error` is None
    when it was delivered.
    """

    trace_id: int
    span_id: int
    sampled: bool
    number: int
    url: str
    started: float
    link: str = ""
    status: int | None = None
    error: str | None = None
    ended: float = 0.0

    @property
    def traceparent(self) -> str:
        """What the receiver is shown of it (W3C)."""
        return traceparent(self.trace_id, self.span_id, sampled=self.sampled)


def traceparent(trace_id: int, span_id: int, *, sampled: bool) -> str:
    """A span as others refer to it (W3C `traceparent`, version 00)."""
    return f"00-{trace_id:032x}-{span_id:016x}-{sampled:02x}"


def span_of(header: str) -> tuple[int, int] | None:
    """Trace and span that a traceparent stands for; None when it is none."""
    found = _parent(header.encode(errors="replace"))
    return found and found[:2]


def trace_of(traceparent: bytes | None, rate: int) -> tuple[int, int, bool]:
    """Trace id, parent span id (0 without one) and whether to keep the trace.

    A valid W3C `traceparent` (version 00, 2021 recommendation) is taken over and its sampled flag decides;
    otherwise a new trace is kept with a probability of `rate` out of 2**64.
    """
    parent = _parent(traceparent) if traceparent else None
    if parent is not None:
        return parent
    trace_id = random.getrandbits(128) or 1
    return trace_id, 0, (trace_id & _LOW_64) < rate


def _parent(header: bytes) -> tuple[int, int, bool] | None:
    found = _TRACEPARENT.fullmatch(header)
    if found is None:
        return None
    trace_id, parent_id, flags = (int(part, 16) for part in found.groups())
    return (trace_id, parent_id, bool(flags & 1)) if trace_id and parent_id else None
