"""Traces as a collector receives them: their shape, their names, what is kept, and whose trace they continue."""

from collections.abc import Mapping
from pathlib import Path

import httpx2
import pytest

from tests.answers import BEGINNING, completion, refusal, stream
from tests.running import KEY, Running, routing, running, upstream
from tests.service.receiver import Receiver
from tests.service.video_provider import Provider
from tests.system.process import AUTHORIZED
from tests.telemetry.collector import Collector, Span, export_to
from tests.transport.faulty import Faulty, answer, close, send

ASK = {"model": "fast", "messages": [{"role": "user", "content": "Hello"}]}
SERVER = {
    "http.request.method", "http.route", "http.response.status_code", "url.path", "url.scheme", "server.address",
    "error.type", "gateway.request.id", "gateway.tenant.id", "gateway.key.id", "gateway.model.alias",
}  # fmt: skip
ADMIT = {
    "gateway.admission.result",
    "gateway.limit.dimension",
    "gateway.limit.scope",
    "gateway.limit.backend",
}
ROUTE = {
    "gateway.route.policy", "gateway.route.candidates", "gateway.target.id", "gateway.route.reason",
    "gateway.candidates.skipped",
}  # fmt: skip
ATTEMPT = {
    "gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model", "gen_ai.request.stream",
    "gen_ai.response.model", "gen_ai.response.id", "gen_ai.response.finish_reasons",
    "gen_ai.response.time_to_first_chunk", "gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens",
    "gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_write.input_tokens",
    "gen_ai.usage.reasoning.output_tokens", "server.address", "server.port", "http.request.resend_count",
    "http.response.status_code", "error.type", "gateway.target.id", "gateway.attempt.number",
    "gateway.attempt.kind", "gateway.cost.usd",
}  # fmt: skip
ALLOWED = {"SERVER": SERVER, "gateway.admit": ADMIT, "gateway.route": ROUTE, "CLIENT": ATTEMPT}
"""Every attribute that may be told, by span: a contract with dashboards."""


def two(up: Faulty, **more: object) -> str:
    """A routing file whose model `fast` is asked of `a` and then of `b`."""
    targets = [{"provider": name, "model": f"{name}-1", "price": {"input": 1, "output": 2}} for name in "ab"]
    fast = {"policy": "in_order", "targets": targets}
    return routing({"fast": fast}, {"a": upstream(up.url), "b": upstream(up.url)}, **more)


async def post(gateway: Running, body: object = ASK, **headers: str) -> httpx2.Response:
    """A chat call."""
    async with httpx2.AsyncClient(timeout=20) as http:
        url = f"{gateway.url}/v1/chat/completions?canary=of-the-query"
        return await http.post(url, json=body, headers={**AUTHORIZED, **headers})


def tree(spans: list[Span]) -> list[tuple[str, str]]:
    """Kind and name of each span, after checking that the first is the parent of all others."""
    root = spans[0]
    assert root.kind == "SERVER"
    for span in spans:
        assert set(span.attributes) <= ALLOWED.get(span.kind, ALLOWED.get(span.name, set())), span.name
        assert span.schema == "https://opentelemetry.io/schemas/gen-ai/1.42.0"
        assert root.start <= span.start <= span.end <= root.end
        assert span is root or span.parent == root.id
    assert len({span.id for span in spans}) == len(spans)
    return [(span.kind, span.name) for span in spans]


async def test_a_call_is_one_trace_with_its_admission_its_route_and_its_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    async with Faulty() as up, Collector() as collector:
        up.always(send(completion()))
        text = two(up, key={"limits": [{"requests": 9, "per": "minute"}], "organisation": "acme"})
        async with running(text, tmp_path, export_to(collector.url, monkeypatch)) as gateway:
            answer = await post(gateway)
        (spans,) = collector.traces()
        assert b"of-the-query" not in collector.received
    assert tree(spans) == [
        ("SERVER", "POST /v1/chat/completions"),
        ("INTERNAL", "gateway.admit"),
        ("INTERNAL", "gateway.route"),
        ("CLIENT", "chat a-1"),
    ]
    server, admit, route, attempt = spans
    assert server.parent == ""
    assert not any(span.failed for span in spans)
    assert server.resource["service.name"] == "fairlead"
    assert server.attributes == {
        "http.request.method": "POST",
        "http.route": "/v1/chat/completions",
        "http.response.status_code": 200,
        "url.path": "/v1/chat/completions",
        "url.scheme": "http",
        "gateway.request.id": answer.headers["x-request-id"],
        "gateway.key.id": "test",
        "gateway.tenant.id": "acme",
        "gateway.model.alias": "fast",
    }
    assert admit.attributes == {"gateway.admission.result": "allowed", "gateway.limit.backend": "local"}
    assert route.attributes["gateway.route.policy"] == "in_order"
    assert route.attributes["gateway.route.candidates"] == 2
    assert route.attributes["gateway.target.id"] == "a/a-1"
    assert attempt.attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "a",
        "gen_ai.request.model": "a-1",
        "gen_ai.request.stream": False,
        "gen_ai.response.id": "chatcmpl-1",
        "gen_ai.response.model": "up-1-2026",
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.input_tokens": 9,
        "gen_ai.usage.output_tokens": 3,
        "gen_ai.usage.cache_read.input_tokens": 0,
        "gen_ai.usage.cache_write.input_tokens": 0,
        "gen_ai.usage.reasoning.output_tokens": 0,
        "server.address": "127.0.0.1",
        "server.port": up.port,
        "http.request.resend_count": 0,
        "http.response.status_code": 200,
        "gateway.target.id": "a/a-1",
        "gateway.attempt.number": 1,
        "gateway.attempt.kind": "primary",
        "gateway.cost.usd": pytest.approx(15e-6),
    }


async def test_a_stream_tells_its_first_chunk_and_its_usage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    async with Faulty() as up, Collector() as collector:
        up.always(send(stream()))
        async with running(two(up), tmp_path, export_to(collector.url, monkeypatch)) as gateway:
            await post(gateway, {**ASK, "stream": True})
        (spans,) = collector.traces()
    assert tree(spans)[-1] == ("CLIENT", "chat a-1")
    told = spans[-1].attributes
    assert told["gen_ai.request.stream"] is True
    assert 0 < told["gen_ai.response.time_to_first_chunk"] < 10
    assert (told["gen_ai.usage.output_tokens"], told["gen_ai.response.finish_reasons"]) == (3, ["stop"])


NEVER = {"OTEL_TRACES_SAMPLER": "always_off"}


async def kept(
    folder: Path, patch: pytest.MonkeyPatch, *answers: bytes, body: object = ASK
) -> list[list[Span]]:
    """The traces of one call that sampling would not keep."""
    async with Faulty() as up, Collector() as collector:
        for one in answers:
            up.next(send(one), close())
        async with running(two(up), folder, export_to(collector.url, patch, **NEVER)) as gateway:
            await post(gateway, body)
        return collector.traces()


async def test_an_ordinary_call_is_not_kept_when_sampling_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    assert await kept(tmp_path, monkeypatch, completion()) == []


async def test_a_failover_is_always_kept_with_a_span_for_each_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (spans,) = await kept(tmp_path, monkeypatch, refusal("503 Service Unavailable"), completion())
    assert [name for _, name in tree(spans)[1:]] == ["gateway.admit", "gateway.route", "chat a-1", "chat b-1"]
    server, *_, first, second = spans
    assert (server.failed, first.failed, second.failed) == (False, True, False)
    assert first.attributes["error.type"] in {"unavailable", "overloaded"}
    assert first.attributes["http.response.status_code"] == 503
    told = [
        (one.attributes["gateway.attempt.number"], one.attributes["gateway.attempt.kind"])
        for one in spans[3:]
    ]
    assert told == [(1, "primary"), (2, "failover")]


async def test_an_error_of_ours_and_a_cut_stream_are_always_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (spans,) = await kept(tmp_path, monkeypatch, *[refusal("500 Internal Server Error")] * 3)
    assert spans[0].failed
    assert spans[0].attributes["http.response.status_code"] == 503
    cut = stream(*BEGINNING).removesuffix(b"0\r\n\r\n")
    (spans,) = await kept(tmp_path, monkeypatch, cut, body={**ASK, "stream": True})
    assert spans[0].failed
    assert spans[-1].failed


TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize(
    ("headers", "sampler", "traces"),
    [
        ({"traceparent": f"00-{TRACE}-{PARENT}-01"}, "parentbased_always_off", [(TRACE, PARENT)]),
        ({"traceparent": f"00-{TRACE}-{PARENT}-00"}, "parentbased_always_on", []),
        ({"traceparent": f"00-{TRACE}-{PARENT}-01", "authorization": "Bearer nobody"}, "always_off", []),
    ],
    ids=["continued", "not sampled", "a stranger's"],
)
async def test_a_callers_trace_is_continued_if_it_is_sampled(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    headers: Mapping[str, str],
    sampler: str,
    traces: list[tuple[str, str]],
):
    async with Faulty() as up, Collector() as collector:
        up.always(send(completion()))
        settings = export_to(collector.url, monkeypatch, OTEL_TRACES_SAMPLER=sampler)
        async with running(two(up), tmp_path, settings) as gateway:
            await post(gateway, **headers)
        assert [(spans[0].trace, spans[0].parent) for spans in collector.traces()] == traces


MALFORMED = (
    "00",
    f"00-{'0' * 32}-{PARENT}-01",
    f"00-{TRACE}-{'0' * 16}-01",
    f"00-{TRACE[:8]}_{TRACE[9:]}-{PARENT}-01",
    f"00-+{TRACE[1:]}-{PARENT}-01",
    f"00-{TRACE.upper()}-{PARENT}-01",
    f"ff-{TRACE}-{PARENT}-01",
)


async def test_a_malformed_trace_is_not_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    async with Faulty() as up, Collector() as collector:
        up.always(send(completion()))
        async with running(two(up), tmp_path, export_to(collector.url, monkeypatch)) as gateway:
            for header in MALFORMED:
                await post(gateway, traceparent=header)
        servers = [spans[0] for spans in collector.traces()]
    assert len(servers) == len(MALFORMED)
    assert {server.parent for server in servers} == {""}


async def test_other_routes_are_one_span_named_by_their_template(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    settings = {"OTEL_SERVICE_NAME": "edge-7", "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment=lab"}
    async with Faulty() as up, Collector() as collector, httpx2.AsyncClient() as http:
        async with running(two(up), tmp_path, export_to(collector.url, monkeypatch, **settings)) as gateway:
            for path in ("/v1/models/fast", "/v1/nothing/here", "/livez", "/metrics"):
                await http.get(f"{gateway.url}{path}?key={KEY}", headers=AUTHORIZED)
        traces = collector.traces()
        assert KEY.encode() not in collector.received
    assert [tree(spans) for spans in traces] == [
        [("SERVER", "GET /v1/models/{model}")],
        [("SERVER", "GET unmatched")],
    ]
    assert traces[0][0].attributes["gateway.key.id"] == "test"
    assert traces[0][0].resource["service.name"] == "edge-7"
    assert traces[0][0].resource["deployment.environment"] == "lab"


async def test_a_webhook_is_a_trace_of_its_own_that_leads_back_to_the_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    async with Provider() as provider, Receiver() as hook, Collector() as collector:
        hook.next(send(answer(b"", "503 Service Unavailable")))
        text = routing(
            {
                "film": {
                    "kind": "video",
                    "targets": [{"provider": "p", "model": "m", "price": {"per_second": 1}}],
                }
            },
            {"p": {**upstream(provider.url), "kind": "video"}},
            defaults={"webhook_networks": ["127.0.0.0/8"]},
        )
        async with running(text, tmp_path, export_to(collector.url, monkeypatch)) as gateway:
            async with httpx2.AsyncClient(headers=AUTHORIZED) as http:
                body = {"model": "film", "prompt": "A kite", "callback_url": hook.hook}
                await http.post(f"{gateway.url}/v1/videos", json=body)
            await hook.until(1)
        assert b"canary-callback" not in collector.received
        spans = collector.spans()
    [asked] = [span for span in spans if span.name == "POST /v1/videos"]
    [sent] = [span for span in spans if span.name == "gateway.webhook"]
    assert (sent.kind, sent.parent, sent.failed) == ("CLIENT", "", True)
    assert sent.attributes == {
        "gateway.webhook.attempt": 1,
        "server.address": "127.0.0.1",
        "server.port": sent.attributes["server.port"],
        "http.response.status_code": 503,
        "error.type": "503",
    }
    assert sent.links == [(asked.trace, asked.id)]
    assert hook.requests[0].headers["traceparent"] == f"00-{sent.trace}-{sent.id}-01"
