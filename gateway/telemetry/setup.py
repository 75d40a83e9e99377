"""Connects the span builder to an OTLP exporter, from the standard `OTEL_*` settings.

With `spans.py` the only importer of the SDK; loaded only when an endpoint is configured.

Export runs on the SDK's own thread behind a bounded queue: a collector that is down, hung or slow costs a
request nothing, and what does not fit is dropped and counted by the SDK.
"""

from collections.abc import Callable
from threading import Thread

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from gateway.clock import Clock
from gateway.telemetry.record import Call
from gateway.telemetry.spans import spans

EXPORT_SECONDS = 5.0
"""How long one export may take before it is given up, and how long all that is left may take at the end."""


def span_export(version: str, clock: Clock) -> tuple[Callable[[Call], None], Callable[[], None]]:
    """A function that exports a finished call, and one that flushes and closes: it may block EXPORT_SECONDS."""
    named = Resource({"service.name": "fairlead", "service.version": version})
    resource = Resource.create().merge(named).merge(OTELResourceDetector().detect())  # the environment wins
    exporter = OTLPSpanExporter(timeout=EXPORT_SECONDS)
    batches = BatchSpanProcessor(exporter)

    def export(call: Call) -> None:
        offset = clock.now() - clock.monotonic()
        for span in spans(call, resource, offset):
            batches.on_end(span)

    def close() -> None:
        ending = Thread(target=batches.shutdown, daemon=True)  # the SDK itself would wait for 30 seconds
        ending.start()
        ending.join(EXPORT_SECONDS)
        if ending.is_alive():  # what waits to be tried again, or to be sent at all, is let go
            exporter.shutdown()  # type: ignore[no-untyped-call]  # the SDK gives it no types

    return export, close
