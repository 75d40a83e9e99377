"""An OTLP collector on loopback that keeps every span it is sent, and the settings that lead to it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Wire

from tests.transport.faulty import Faulty, Step, answer, send


@dataclass(frozen=True)
class Span:
    """One span as it was received. Ids are hexadecimal, `parent` empty for a root; times are nanoseconds.

    `links` are trace and span.
    """

    name: str
    kind: str
    trace: str
    id: str
    parent: str
    failed: bool
    start: int
    end: int
    attributes: Mapping[str, Any]
    resource: Mapping[str, Any]
    schema: str
    links: Sequence[tuple[str, str]]


class Collector:
    """`async with Collector() as collector`: whatever is exported to `collector.url` is in `spans()`."""

    def __init__(self, *steps: Step) -> None:
        self.server = Faulty()
        self.server.always(*(steps or (send(answer()),)))

    async def __aenter__(self) -> Self:
        await self.server.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.server.__aexit__(kind, error, trace)

    @property
    def url(self) -> str:
        return self.server.url

    @property
    def received(self) -> bytes:
        """Every byte of every export."""
        return b"".join(
            seen.line.encode() + str(seen.headers).encode() + seen.body for seen in self.server.requests
        )

    def spans(self) -> list[Span]:
        """Every span received, in order."""
        return [span for seen in self.server.requests for span in _read(seen.body)]

    def traces(self) -> list[list[Span]]:
        """Spans by trace, each trace with its server span first."""
        found: dict[str, list[Span]] = {}
        for span in self.spans():
            found.setdefault(span.trace, []).append(span)
        return [
            sorted(spans, key=lambda span: (span.kind != "SERVER", span.start)) for spans in found.values()
        ]


def _read(body: bytes) -> Iterator[Span]:
    request = ExportTraceServiceRequest.FromString(body)
    for resource in request.resource_spans:
        about = {one.key: _plain(one.value) for one in resource.resource.attributes}
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield Span(
                    name=span.name,
                    kind=Wire.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
                    trace=span.trace_id.hex(),
                    id=span.span_id.hex(),
                    parent=span.parent_span_id.hex(),
                    failed=span.status.code == 2,
                    start=span.start_time_unix_nano,
                    end=span.end_time_unix_nano,
                    attributes={one.key: _plain(one.value) for one in span.attributes},
                    resource=about,
                    schema=scope.schema_url,
                    links=[(link.trace_id.hex(), link.span_id.hex()) for link in span.links],
                )


def _plain(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_plain(one) for one in value.array_value.values]
    return getattr(value, kind)


def export_to(url: str, patch: pytest.MonkeyPatch, **more: str) -> dict[str, str]:
    """Settings of a gateway that sends its traces there. The SDK reads the process's own environment."""
    settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_TRACES_SAMPLER": "always_on", **more}
    for name, value in settings.items():
        patch.setenv(name, value)
    return settings
