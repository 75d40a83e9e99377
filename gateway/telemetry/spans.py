"""Builds the spans of a finished call: one SERVER span, admission, routing, and a CLIENT span per attempt.

A webhook that was sent is a span of its own, linked to the request that it goes back to. Spans are built after
the reply, from values, and only for what is kept; and at once as the messages of the OTLP protocol, which takes a
quarter of what the SDK takes to make spans and then messages of them. Imported only when an exporter is configured.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from random import getrandbits
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from opentelemetry.proto.trace.v1.trace_pb2 import Span, SpanFlags, Status

from gateway.telemetry.record import Attempt, Call, Sending, span_of

Value: TypeAlias = str | bool | int | float | Sequence[str]
Attributes: TypeAlias = dict[str, Value]

_LOCAL = SpanFlags.SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK
_REMOTE = _LOCAL | SpanFlags.SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK
_FIELDS: Mapping[type, str] = {
    str: "string_value",
    bool: "bool_value",
    int: "int_value",
    float: "double_value",
}


def _any_value(value: Value) -> Mapping[str, Any]:
    field = _FIELDS.get(type(value))
    if field is not None:
        return {field: value}
    return {"array_value": {"values": [_any_value(each) for each in value]}}  # type: ignore[union-attr] # a sequence


def attributes(told: Mapping[str, Value]) -> list[Any]:
    """Attributes as OTLP has them; protobuf makes its messages of these mappings."""
    return [{"key": key, "value": _any_value(value)} for key, value in told.items()]


class _Maker:
    """Makes the spans of one call. `offset` turns monotonic seconds into Unix nanoseconds."""

    def __init__(self, call: Call, offset: float) -> None:
        self._call = call
        self._offset = offset
        self._trace = call.trace_id.to_bytes(16, "big")
        self._server = call.span_id.to_bytes(8, "big")

    def _at(self, monotonic: float) -> int:
        return int((monotonic + self._offset) * 1e9)

    def _span(
        self, name: str, kind: Span.SpanKind.ValueType, times: tuple[float, float], told: Attributes
    ) -> Span:
        own, parent, remote = _new_id(), self._server, False
        if kind == Span.SPAN_KIND_SERVER:
            caller = self._call.parent_id
            own, parent, remote = self._server, caller.to_bytes(8, "big") if caller else b"", caller > 0
        failed = "error.type" in told
        return Span(
            trace_id=self._trace,
            span_id=own,
            parent_span_id=parent,
            flags=_REMOTE if remote else _LOCAL,
            name=name,
            kind=kind,
            start_time_unix_nano=self._at(times[0]),
            end_time_unix_nano=self._at(times[1]),
            attributes=attributes(told),
            status={"code": Status.STATUS_CODE_ERROR} if failed else None,  # type: ignore[arg-type] # likewise
        )

    def server(self) -> Span:
        call = self._call
        told: Attributes = {
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
            told["error.type"] = call.error or "truncated"
        return self._span(
            f"{call.method} {call.route}",
            Span.SPAN_KIND_SERVER,
            (call.started, call.ended),
            told,
        )

    def admission(self) -> Span:
        call = self._call
        told: Attributes = {
            "gateway.admission.result": call.admission,
            "gateway.limit.backend": call.backend,
        }
        if call.dimension:
            told["gateway.limit.dimension"] = call.dimension
        times = (call.started, call.admitted_at)
        return self._span("gateway.admit", Span.SPAN_KIND_INTERNAL, times, told)

    def routing(self) -> Span:
        call = self._call
        told: Attributes = {
            "gateway.route.policy": call.policy,
            "gateway.route.reason": call.reason,
            "gateway.route.candidates": call.candidates,
            "gateway.candidates.skipped": [f"{target}: {why}" for target, why in call.skipped.items()],
        }
        if call.chosen is not None:
            told["gateway.target.id"] = call.chosen.target
        times = (call.admitted_at, call.routed_at)
        return self._span("gateway.route", Span.SPAN_KIND_INTERNAL, times, told)

    def attempt(self, attempt: Attempt) -> Span:
        told = _attempt_attributes(self._call, attempt)
        name = f"{attempt.operation} {attempt.model}"
        times = (attempt.started, attempt.ended)
        return self._span(name, Span.SPAN_KIND_CLIENT, times, told)


def _attempt_attributes(call: Call, attempt: Attempt) -> Attributes:
    address, port = _place(attempt.url)
    told: Attributes = {
        "gen_ai.operation.name": attempt.operation,
        "gen_ai.provider.name": attempt.provider,
        "gen_ai.request.model": attempt.model,
        "gen_ai.request.stream": call.stream,
        "server.address": address,
        "gateway.target.id": attempt.target,
        "gateway.attempt.number": attempt.number,
        "gateway.attempt.kind": attempt.kind,
        "http.request.resend_count": attempt.number - 1,
    }
    optional: dict[str, Value | None] = {
        "server.port": port,
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


@lru_cache(maxsize=1024)
def _place(url: str) -> tuple[str, int | None]:
    where = urlsplit(url)
    return where.hostname or "", where.port


def _new_id() -> bytes:
    return (getrandbits(64) or 1).to_bytes(8, "big")


def spans(record: Call | Sending, offset: float) -> Iterator[Span]:
    """A call's span tree, or the span of a sending. `offset` is Unix time minus monotonic time, in seconds."""
    if isinstance(record, Sending):
        yield _sending(record, offset)
        return
    maker = _Maker(record, offset)
    yield maker.server()
    if record.admission:
        yield maker.admission()
    if record.routed_at:
        yield maker.routing()
    for attempt in record.attempts:
        yield maker.attempt(attempt)


def _sending(sending: Sending, offset: float) -> Span:
    address, port = _place(sending.url)
    optional: dict[str, Value | None] = {
        "gateway.webhook.attempt": sending.number,
        "server.address": address,
        "server.port": port,
        "http.response.status_code": sending.status,
        "error.type": sending.error,
    }
    told = {name: value for name, value in optional.items() if value is not None}
    linked = span_of(sending.link)
    link = linked and {"trace_id": linked[0].to_bytes(16, "big"), "span_id": linked[1].to_bytes(8, "big")}
    return Span(
        trace_id=sending.trace_id.to_bytes(16, "big"),
        span_id=sending.span_id.to_bytes(8, "big"),
        flags=_LOCAL,
        name="gateway.webhook",
        kind=Span.SPAN_KIND_CLIENT,
        start_time_unix_nano=int((sending.started + offset) * 1e9),
        end_time_unix_nano=int((sending.ended + offset) * 1e9),
        attributes=attributes(told),
        links=[link] if link else None,  # type: ignore[list-item] # protobuf makes messages of mappings
        status={"code": Status.STATUS_CODE_ERROR} if sending.error else None,  # type: ignore[arg-type] # likewise
    )
