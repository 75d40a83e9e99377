"""Counts and histograms in plain Python, handed to prometheus_client for exposition.

Observing must cost next to nothing, so series are found by one dictionary lookup and a histogram is a list
of counts. Label values come from configuration only; beyond MAX_TARGETS distinct targets they read `_other`.
"""

from bisect import bisect_left
from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeAlias

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from gateway.telemetry import names
from gateway.telemetry.record import CONTINUATION, Attempt, Call

MAX_TARGETS = 300
STOOD_IN = ("failover", CONTINUATION)
"""Kinds of attempt in which one target stands in for another."""
OTHER = "_other"

_Key: TypeAlias = tuple[str, str, str, str, str | None]
"""Target ("" for one of a client's invention), provider, operation, kind of attempt, error."""

Labels: TypeAlias = tuple[str | int, ...]
Gauge: TypeAlias = Iterable[tuple[Sequence[str], float]]
"""Label values and the value of each series."""


class Histogram:
    """Counts of observations per bucket, and their sum."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count one value; a bound belongs to the bucket below it."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def buckets(self) -> list[tuple[str, float]]:
        """Cumulative counts by upper bound, as the exposition wants them."""
        made, running = [], 0
        for bound, count in zip(self.bounds, self.counts, strict=False):
            running += count
            made.append((f"{bound:g}", float(running)))
        made.append(("+Inf", float(running + self.counts[-1])))
        return made


class Family:
    """Histograms of one name, by their label values."""

    def __init__(self, name: str, unit: str, labels: Sequence[str], bounds: Sequence[float]) -> None:
        self.name = name
        self.unit = unit
        self.labels = labels
        self._bounds = bounds
        self.series: dict[Labels, Histogram] = {}

    def at(self, labels: Labels) -> Histogram:
        """The histogram with these label values."""
        found = self.series.get(labels)
        if found is None:
            found = self.series[labels] = Histogram(self._bounds)
        return found


class _AttemptSeries:
    """Everything observed of one (target, operation, kind, error)."""

    __slots__ = ("cost", "count", "duration", "first_chunk", "input", "output", "provider", "target")

    def __init__(self, metrics: "Metrics", target: str, attempt: Attempt) -> None:
        error = attempt.error or ""
        self.count = self.cost = 0
        self.provider = OTHER if target == OTHER else attempt.provider
        self.target = target
        labels = (attempt.operation, self.provider, target, error)
        self.duration = metrics.operations.at(labels)
        self.first_chunk = metrics.first_chunks.at(labels[:3])
        self.input = metrics.tokens.at((*labels[:3], "input"))
        self.output = metrics.tokens.at((*labels[:3], "output"))


class Metrics:
    """All metrics of this process."""

    def __init__(self) -> None:
        http = ("http_request_method", "http_route", "http_response_status_code")
        call = ("gen_ai_operation_name", "gen_ai_provider_name", "gateway_target_id")
        self.requests = Family(names.SERVER_DURATION, "seconds", http, names.SECONDS)
        self.operations = Family(names.OPERATION_DURATION, "seconds", (*call, "error_type"), names.SECONDS)
        self.first_chunks = Family(names.FIRST_CHUNK, "seconds", call, names.SECONDS)
        self.tokens = Family(names.TOKEN_USAGE, "", (*call, "gen_ai_token_type"), names.TOKENS)
        self.overhead = Family(names.OVERHEAD, "seconds", ("http_route",), names.OVERHEAD_SECONDS)
        self.video = Family(
            names.VIDEO_DURATION, "seconds", ("gateway_target_id", "result"), names.VIDEO_SECONDS
        )
        self.webhook_lag = Family(names.WEBHOOK_LAG, "seconds", (), names.WEBHOOK_SECONDS)
        self.tallies: dict[str, Tally[tuple[str, ...]]] = {name: Tally() for name in _COUNTERS}
        self.active = 0
        self.gauges: dict[str, Callable[[], Gauge]] = {}
        self._attempts: dict[_Key, _AttemptSeries] = {}
        self._targets: set[str] = set()

    def ended(self, call: Call) -> None:
        """Observe a finished call."""
        duration = call.ended - call.started
        labels = (call.method, call.route, call.status)
        requests = self.requests.series
        (requests[labels] if labels in requests else self.requests.at(labels)).observe(duration)
        upstream = 0.0
        previous: Attempt | None = None
        for attempt in call.attempts:
            upstream += attempt.ended - attempt.started
            self._attempt(attempt, previous)
            previous = attempt
        if previous is not None:
            route = (call.route,)
            known = self.overhead.series
            overhead = known[route] if route in known else self.overhead.at(route)
            overhead.observe(duration - upstream if duration > upstream else 0.0)
        if call.admission:
            self.tallies[names.ADMISSIONS][(call.admission, call.dimension, call.backend)] += 1
        if call.truncated:
            self.tallies[names.TRUNCATIONS][(call.route,)] += 1
        if call.disconnected:
            self.tallies[names.DISCONNECTS][(call.route,)] += 1

    def count(self, name: str, *labels: str, by: int = 1) -> None:
        """Add to one of the plain counters."""
        self.tallies[name][labels] += by

    def attempted(self, attempt: Attempt) -> None:
        """Observe a call that belongs to no client's request."""
        self._attempt(attempt, None)

    def _attempt(self, attempt: Attempt, previous: Attempt | None) -> None:
        target = attempt.target if attempt.listed else ""
        key = (target, attempt.provider, attempt.operation, attempt.kind, attempt.error)
        series = self._attempts[key] if key in self._attempts else self._new(key, attempt)
        series.count += 1
        series.duration.observe(attempt.ended - attempt.started)
        usage = attempt.usage
        if usage is not None:
            series.input.observe(usage.input)
            series.output.observe(usage.output)
        if attempt.first_content is not None:
            series.first_chunk.observe(attempt.first_content - attempt.started)
        if attempt.cost:
            series.cost += attempt.cost
        if previous is not None and attempt.kind in STOOD_IN:
            labels = (self._label(previous), self._label(attempt), previous.error or "")
            self.tallies[names.FAILOVERS][labels] += 1

    def _new(self, key: _Key, attempt: Attempt) -> _AttemptSeries:
        target = self._label(attempt)
        if target == OTHER:
            key = (OTHER, OTHER, attempt.operation, attempt.kind, attempt.error)
        series = self._attempts.get(key)
        if series is None:
            series = self._attempts[key] = _AttemptSeries(self, target, attempt)
        return series

    def show(self, target: str) -> None:
        """A target of the configuration that gets its gauges before it is called."""
        if len(self._targets) < MAX_TARGETS:
            self._targets.add(target)

    def _label(self, attempt: Attempt) -> str:
        target = attempt.target if attempt.listed else f"{attempt.provider}/{OTHER}"
        if target in self._targets or len(self._targets) < MAX_TARGETS:
            self._targets.add(target)
            return target
        return OTHER

    def exposition(self) -> bytes:
        """The text that Prometheus scrapes."""
        registry = CollectorRegistry()
        registry.register(_Collector(self))
        return generate_latest(registry)

    def families(self) -> Iterator[Metric]:
        """Everything, as prometheus_client's own values."""
        for family in (
            self.requests, self.operations, self.first_chunks, self.tokens, self.overhead, self.video,
            self.webhook_lag,
        ):  # fmt: skip
            yield _histogram(family)
        attempts, costs = self.tallies[names.ATTEMPTS], self.tallies[names.COST]
        attempts.clear()
        costs.clear()
        for (*_, kind, error), series in self._attempts.items():
            attempts[(series.target, str(kind), error or "")] += series.count
            if series.cost:
                costs[(series.provider, series.target)] += series.cost
        for name, labels in _COUNTERS.items():
            scale = 1e-9 if name == names.COST else 1.0
            made = CounterMetricFamily(_prom(name), name, labels=labels)
            for counted, count in self.tallies[name].items():
                made.add_metric(counted, count * scale)
            yield made
        active = GaugeMetricFamily(_prom(names.ACTIVE_REQUESTS), names.ACTIVE_REQUESTS)
        active.add_metric((), self.active)
        yield active
        for name, read in self.gauges.items():
            gauge = GaugeMetricFamily(_prom(name), name, labels=_GAUGES[name])
            for values, value in read():
                if not values or values[0] in self._targets:
                    gauge.add_metric(values, value)
            yield gauge


_COUNTERS: dict[str, Sequence[str]] = {
    names.ADMISSIONS: ("gateway_admission_result", "gateway_limit_dimension", "gateway_limit_backend"),
    names.ATTEMPTS: ("gateway_target_id", "gateway_attempt_kind", "error_type"),
    names.FAILOVERS: ("from", "to", "reason"),
    names.TRUNCATIONS: ("http_route",),
    names.DISCONNECTS: ("http_route",),
    names.COST: ("gen_ai_provider_name", "gateway_target_id"),
    names.RELOADS: ("result",),
    names.OVERLOADS: (),
    names.VIDEO_JOBS: ("gateway_video_state", "gateway_target_id"),
    names.VIDEO_ATTEMPTS: ("gateway_target_id", "error_type"),
    names.BATCHES: ("gateway_batch_status",),
    names.BATCH_ROWS: ("result",),
    names.WEBHOOKS: ("result",),
}
_GAUGES: dict[str, Sequence[str]] = {
    names.TARGET_STATE: ("gateway_target_id",),
    names.TARGET_IN_FLIGHT: ("gateway_target_id",),
    names.TARGET_LATENCY: ("gateway_target_id",),
    names.TARGET_SPEED: ("gateway_target_id",),
    names.TARGET_REST: ("gateway_target_id", "error_type", "gateway_rest_source"),
    names.GENERATION: (),
    names.IN_FLIGHT_LIMIT: (),
}


class _Collector(Collector):
    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        return self._metrics.families()


def _histogram(family: Family) -> HistogramMetricFamily:
    name = _prom(family.name) + (f"_{family.unit}" if family.unit else "")
    made = HistogramMetricFamily(name, family.name, labels=family.labels)
    for labels, histogram in family.series.items():
        made.add_metric([str(label) for label in labels], histogram.buckets(), histogram.total)
    return made


def _prom(name: str) -> str:
    return name.replace(".", "_") + ("_usd" if name == names.COST else "")
