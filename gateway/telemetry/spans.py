"""Builds the spans of a finished call: one SERVER span, admission, routing, and a CLIENT span per attempt.

Spans are built after the reply, from values, and only for calls that are kept: that is thirty times cheaper
than opening live ones. Imported only when an exporter is configured.
"""

from collections.abc import Iterator
from random import getrandbits
from urllib.parse import urlsplit

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.util.types import AttributeValue

from gateway.telemetry import names
from gateway.telemetry.record import Attempt, Call

_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_SCOPE = InstrumentationScope("fairlead", schema_url=names.SCHEMA_URL)
Attributes = dict[str, AttributeValue]


class _Maker:
    """Makes the spans of one call. `offset` turns monotonic seconds into Unix nanoseconds."""

    def __init__(self, call: Call, resource: Resource, offset: float) -> None:
        self._call = call
        self._resource = resource
        self._offset = offset
        self._server = self._context(call.trace_id)

    def _at(self, monotonic: float) -> int:
        return int((monotonic + self._offset) * 1e9)

    @staticmethod
    def _context(trace_id: int) -> SpanContext:
        return SpanContext(trace_id, getrandbits(64) or 1, is_remote=False, trace_flags=_SAMPLED)

    def _span(
        self, name: str, kind: SpanKind, times: tuple[float, float], attributes: Attributes
    ) -> ReadableSpan:
        call = self._call
        own = self._context(call.trace_id)
        parent: SpanContext | None = self._server
        if kind is SpanKind.SERVER:
            own = self._server
            remote = SpanContext(call.trace_id, call.parent_id, is_remote=True, trace_flags=_SAMPLED)
            parent = remote if call.parent_id else None
        failed = "error.type" in attributes
        return ReadableSpan(
            name=name,
            context=own,
            parent=parent,
            resource=self._resource,
            attributes=attributes,
            kind=kind,
            instrumentation_scope=_SCOPE,
            status=Status(StatusCode.ERROR if failed else StatusCode.UNSET),
            start_time=self._at(times[0]),
            end_time=self._at(times[1]),
        )

    def server(self) -> ReadableSpan:
        call = self._call
        attributes: Attributes = {
            "http.request.method": call.method,
            "http.route": call.route,
            "http.response.status_code": call.status,
            "url.path": call.path,
            "url.scheme": "http",
            "gateway.request.id": call.request_id,
            "gateway.key.id": call.key_id,
            "gateway.tenant.id": call.organisation,
            "gateway.model.alias": call.model,
        }
        if call.truncated or (call.error and call.status >= 500):
            attributes["error.type"] = call.error or "truncated"
        return self._span(
            f"{call.method} {call.route}",
            SpanKind.SERVER,
            (call.started, call.ended),
            attributes,
        )

    def admission(self) -> ReadableSpan:
        call = self._call
        attributes: Attributes = {
            "gateway.admission.result": call.admission,
            "gateway.limit.backend": call.backend,
        }
        if call.dimension:
            attributes["gateway.limit.dimension"] = call.dimension
        times = (call.started, call.admitted_at)
        return self._span("gateway.admit", SpanKind.INTERNAL, times, attributes)

    def routing(self) -> ReadableSpan:
        call = self._call
        attributes: Attributes = {
            "gateway.route.policy": call.policy,
            "gateway.route.reason": call.reason,
            "gateway.route.candidates": call.candidates,
            "gateway.candidates.skipped": [f"{target}: {why}" for target, why in call.skipped.items()],
        }
        if call.chosen is not None:
            attributes["gateway.target.id"] = call.chosen.target
        times = (call.admitted_at, call.routed_at)
        return self._span("gateway.route", SpanKind.INTERNAL, times, attributes)

    def attempt(self, attempt: Attempt) -> ReadableSpan:
        attributes = _attempt_attributes(self._call, attempt)
        name = f"{attempt.operation} {attempt.model}"
        times = (attempt.started, attempt.ended)
        return self._span(name, SpanKind.CLIENT, times, attributes)


def _attempt_attributes(call: Call, attempt: Attempt) -> Attributes:
    where = urlsplit(attempt.url)
    told: Attributes = {
        "gen_ai.operation.name": attempt.operation,
        "gen_ai.provider.name": attempt.provider,
        "gen_ai.request.model": attempt.model,
        "gen_ai.request.stream": call.stream,
        "server.address": where.hostname or "",
        "gateway.target.id": attempt.target,
        "gateway.attempt.number": attempt.number,
        "gateway.attempt.kind": attempt.kind,
        "http.request.resend_count": attempt.number - 1,
    }
    optional: dict[str, AttributeValue | None] = {
        "server.port": where.port,
        "http.response.status_code": attempt.status,
        "error.type": attempt.error,
        "gen_ai.response.id": attempt.response_id or None,
        "gen_ai.response.model": attempt.response_model or None,
        "gen_ai.response.finish_reasons": [attempt.finish_reason] if attempt.finish_reason else None,
        "gateway.cost.usd": None if attempt.cost is None else attempt.cost / 1e9,
    }
    if attempt.first_content is not None:
        optional["gen_ai.response.time_to_first_chunk"] = attempt.first_content - attempt.started
    if attempt.usage is not None:
        optional |= {
            "gen_ai.usage.input_tokens": attempt.usage.input,
            "gen_ai.usage.output_tokens": attempt.usage.output,
            "gen_ai.usage.cache_read.input_tokens": attempt.usage.cached,
            "gen_ai.usage.cache_write.input_tokens": attempt.usage.cache_write,
            "gen_ai.usage.reasoning.output_tokens": attempt.usage.reasoning,
        }
    return told | {name: value for name, value in optional.items() if value is not None}


def spans(call: Call, resource: Resource, offset: float) -> Iterator[ReadableSpan]:
    """The call's span tree. `offset` is Unix time minus monotonic time, in seconds."""
    maker = _Maker(call, resource, offset)
    yield maker.server()
    if call.admission:
        yield maker.admission()
    if call.routed_at:
        yield maker.routing()
    for attempt in call.attempts:
        yield maker.attempt(attempt)
