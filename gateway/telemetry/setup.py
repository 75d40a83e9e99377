"""Connects the span builder to an OTLP exporter, from the standard `OTEL_*` settings.

With `spans.py` the only importer of the SDK; loaded only when an endpoint is configured.

Export runs on the SDK's own thread behind a bounded queue, whose items are finished calls: a collector that is
down, hung or slow costs a request nothing, and what does not fit is dropped and counted by the SDK.
"""

from collections.abc import Callable, Mapping, Sequence
from threading import Thread
from typing import Any, cast

from msgspec import Struct
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
from opentelemetry.trace import SpanContext, TraceFlags

from gateway.clock import Clock
from gateway.telemetry import names
from gateway.telemetry.record import Call, Sending
from gateway.telemetry.spans import Value, attributes, spans

EXPORT_SECONDS = 5.0
"""How long one export may take before it is given up, and how long all that is left may take at the end."""

_SAMPLED = SpanContext(1, 1, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))


class _Finished(Struct, frozen=True):
    """A call or a sending in the SDK's queue, which asks of its items only whether they are sampled."""

    record: Call | Sending
    context: SpanContext = _SAMPLED


class _CallExporter(OTLPSpanExporter):
    """The SDK's exporter, with its connection, retries and settings; only what it sends is made by us."""

    def __init__(self, resource: Resource, clock: Clock) -> None:
        super().__init__(timeout=EXPORT_SECONDS)
        self._resource = {"attributes": attributes(cast("Mapping[str, Value]", resource.attributes))}
        self._scope = {"name": "fairlead"}
        self._clock = clock

    def export(self, spans_: Sequence[Any]) -> SpanExportResult:
        """Send the spans of finished calls; none after `shutdown`, or the thread would go on trying."""
        if self._shutdown:
            return SpanExportResult.FAILURE
        offset = self._clock.now() - self._clock.monotonic()
        made = [span for finished in spans_ for span in spans(finished.record, offset)]
        scoped = {"scope": self._scope, "spans": made, "schema_url": names.SCHEMA_URL}
        told: Any = {"resource": self._resource, "scope_spans": [scoped]}  # protobuf makes messages of it
        request = ExportTraceServiceRequest(resource_spans=[told])
        sent = self._client.export(request.SerializeToString())
        return SpanExportResult.SUCCESS if sent.success else SpanExportResult.FAILURE


def span_export(version: str, clock: Clock) -> tuple[Callable[[Call | Sending], None], Callable[[], None]]:
    """A function that exports what is finished, and one that flushes and closes: it may block EXPORT_SECONDS."""
    named = Resource({"service.name": "fairlead", "service.version": version})
    resource = Resource.create().merge(named).merge(OTELResourceDetector().detect())  # the environment wins
    exporter = _CallExporter(resource, clock)
    batches = BatchSpanProcessor(exporter)

    def export(record: Call | Sending) -> None:
        batches.on_end(_Finished(record))  # type: ignore[arg-type] # see there

    def close() -> None:
        ending = Thread(target=batches.shutdown, daemon=True)  # the SDK itself would wait for 30 seconds
        ending.start()
        ending.join(EXPORT_SECONDS)
        if ending.is_alive():  # what waits to be tried again, or to be sent at all, is let go
            exporter.shutdown()  # type: ignore[no-untyped-call]  # the SDK gives it no types

    return export, close
