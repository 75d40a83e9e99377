"""Opens the record of each call and, when the call is over, tells it: metrics, a log line, perhaps spans."""

from collections.abc import Callable, Mapping
from random import getrandbits

from gateway.clock import Clock
from gateway.telemetry.log import Lines, line
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.record import Call, Sending, trace_of

DEFAULT_RATIO = 0.1
SLOW_SECONDS = 30.0
"""A call that took longer is exported whatever the sampling says."""


class Recorder:
    """Where every call is told. `export` takes a finished call that is to be traced; None traces nothing."""

    def __init__(
        self,
        metrics: Metrics,
        lines: Lines,
        clock: Clock,
        *,
        ratio: float = DEFAULT_RATIO,
        export: Callable[[Call | Sending], None] | None = None,
    ) -> None:
        self.metrics = metrics
        self._lines = lines
        self._clock = clock
        self._export = export
        self._rate = int(ratio * (1 << 64)) if export is not None else 0

    def begin(self, method: str, route: str, path: str, traceparent: bytes | None) -> Call:
        """A call arrived."""
        self.metrics.active += 1
        trace_id, parent_id, sampled = trace_of(traceparent, self._rate)
        unique = getrandbits(128) if parent_id else trace_id  # callers may send many requests in one trace
        return Call(
            request_id=f"req_{unique:032x}",
            trace_id=trace_id,
            parent_id=parent_id,
            sampled=sampled,
            method=method,
            route=route,
            path=path,
            started=self._clock.monotonic(),
        )

    def end(self, call: Call) -> None:
        """A call is over: its last byte is out, or nobody waits for it any more."""
        self.metrics.active -= 1
        call.ended = self._clock.monotonic()
        self.metrics.ended(call)
        self._lines.add(line(call, self._clock.now()))
        if self._export is None:
            return
        # what a stranger's `traceparent` asks for does not count
        chosen = call.sampled and (not call.parent_id or call.key_id)
        if chosen or _remarkable(call):
            self._export(call)

    def sending(self, url: str, number: int, link: str) -> Sending:
        """A webhook is about to be sent, for the `number`th time; `link` is the traceparent of where it comes from."""
        trace_id, _, sampled = trace_of(None, self._rate)
        return Sending(
            trace_id=trace_id,
            span_id=getrandbits(64) or 1,
            sampled=sampled,
            number=number,
            url=url,
            started=self._clock.monotonic(),
            link=link,
        )

    def sent(self, sending: Sending) -> None:
        """It was sent, or could not be; what failed is exported whatever the sampling says."""
        sending.ended = self._clock.monotonic()
        if self._export is not None and (sending.sampled or sending.error):
            self._export(sending)


def _remarkable(call: Call) -> bool:
    slow = call.ended - call.started > SLOW_SECONDS
    return slow or call.status >= 500 or call.truncated or len(call.attempts) > 1


def sampling_ratio(environment: Mapping[str, str]) -> float:
    """The share of traces to keep by `OTEL_TRACES_SAMPLER` and `OTEL_TRACES_SAMPLER_ARG`."""
    sampler = environment.get("OTEL_TRACES_SAMPLER", "parentbased_traceidratio").removeprefix("parentbased_")
    if sampler == "always_on":
        return 1.0
    if sampler == "always_off":
        return 0.0
    try:
        return min(1.0, max(0.0, float(environment.get("OTEL_TRACES_SAMPLER_ARG") or DEFAULT_RATIO)))
    except ValueError:
        return DEFAULT_RATIO
