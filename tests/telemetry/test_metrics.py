"""`/metrics` as Prometheus reads it: right counts, sane buckets, and no series that a client could make."""

import asyncio
import math
from collections import Counter
from pathlib import Path

import httpx2
import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from gateway.clock import SYSTEM
from gateway.telemetry.log import Lines
from gateway.telemetry.metrics import MAX_TARGETS, OTHER, Metrics
from gateway.telemetry.record import Attempt
from gateway.telemetry.recorder import Recorder
from tests.answers import BEGINNING, completion, refusal, stream
from tests.running import Running, routing, running, upstream
from tests.service.video_provider import Provider
from tests.system.line import Line, chat_request
from tests.system.process import AUTHORIZED, HELLO, Serving, demo
from tests.transport.faulty import Faulty, close, send

BUSY = {"http_route": "/v1/chat/completions", "http_request_method": "POST"}


async def scrape(gateway: Running | Serving) -> dict[str, Metric]:
    """Every family of `/metrics`, by name."""
    async with httpx2.AsyncClient(timeout=20) as http:
        answer = await http.get(f"{gateway.url}/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return {family.name: family for family in text_string_to_metric_families(answer.text)}


def value(families: dict[str, Metric], sample: str, **labels: str) -> float:
    """The sum of the samples of that name with these labels."""
    every = [one for family in families.values() for one in family.samples if one.name == sample]
    return sum(one.value for one in every if labels.items() <= one.labels.items())


async def call(gateway: Running, body: object, **headers: str) -> int:
    """A chat call; its status."""
    async with httpx2.AsyncClient(timeout=20) as http:
        url = f"{gateway.url}/v1/chat/completions"
        return (await http.post(url, json=body, headers={**AUTHORIZED, **headers})).status_code


async def test_counts_are_right_after_a_known_number_of_calls(tmp_path: Path):
    targets = [{"provider": name, "model": "up-1", "price": {"input": 1, "output": 2}} for name in "ab"]
    demo = {"policy": "in_order", "targets": targets, "health": {"failures": 100}}
    async with Faulty() as up:
        text = routing(
            {"demo": demo},
            {"a": upstream(up.url), "b": upstream(up.url)},
            key={"limits": [{"requests": 6, "per": "minute"}]},
        )
        async with running(text, tmp_path) as gateway:
            up.always(send(completion()))
            assert [await call(gateway, HELLO) for _ in range(3)] == [200] * 3
            assert await call(gateway, HELLO, authorization="Bearer nobody") == 401
            assert await call(gateway, {**HELLO, "model": "none"}) == 404
            up.next(send(refusal("503 Service Unavailable")))
            assert await call(gateway, HELLO) == 200
            up.next(send(stream()))
            assert await call(gateway, {**HELLO, "stream": True}) == 200
            up.next(send(stream(*BEGINNING).removesuffix(b"0\r\n\r\n")), close())
            assert await call(gateway, {**HELLO, "stream": True}) == 200
            assert await call(gateway, HELLO) == 429
            families = await scrape(gateway)

    def count(name: str, **labels: str) -> float:
        return value(families, name, **labels)

    requests = "http_server_request_duration_seconds_count"
    assert count(requests, **BUSY) == 9
    by_status = {"200": 6, "401": 1, "404": 1, "429": 1}
    assert {code: count(requests, http_response_status_code=code) for code in by_status} == by_status
    assert count("http_server_active_requests") == 0
    assert count("gateway_attempts_total", gateway_target_id="a/up-1") == 6
    assert count("gateway_attempts_total", gateway_attempt_kind="failover", gateway_target_id="b/up-1") == 1
    assert count("gateway_failovers_total", **{"from": "a/up-1", "to": "b/up-1"}) == 1
    assert count("gateway_admission_decisions_total", gateway_admission_result="allowed") == 6
    assert count("gateway_admission_decisions_total", gateway_admission_result="denied") == 1
    assert count("gateway_stream_truncations_total") == 1
    assert count("gen_ai_client_operation_duration_seconds_count", error_type="") == 6 - 1
    assert count("gen_ai_client_operation_time_to_first_chunk_seconds_count") == 2
    assert count("gen_ai_client_token_usage_sum", gen_ai_token_type="output") >= 3 * 5
    assert count("gateway_overhead_duration_seconds_count") == 6
    assert count("gateway_cost_usd_total", gateway_target_id="b/up-1") == pytest.approx(15e-6)
    assert count("gateway_target_in_flight") == 0
    assert count("gateway_config_generation") == 1


def check_histogram(family: Metric) -> None:
    """Buckets rise with their bounds up to +Inf, which is the count."""
    series: dict[tuple[tuple[str, str], ...], dict[str, float]] = {}
    counts = {}
    for sample in family.samples:
        labels = {name: text for name, text in sample.labels.items() if name != "le"}
        key = tuple(sorted(labels.items()))
        if sample.name.endswith("_bucket"):
            series.setdefault(key, {})[sample.labels["le"]] = sample.value
        elif sample.name.endswith("_count"):
            counts[key] = sample.value
    assert set(series) == set(counts)
    for key, buckets in series.items():
        bounds = [float(bound) for bound in buckets]
        assert bounds == sorted(bounds)
        assert bounds[-1] == math.inf
        assert list(buckets.values()) == sorted(buckets.values())
        assert buckets["+Inf"] == counts[key]


async def test_every_family_is_typed_described_and_sane(tmp_path: Path):
    async with running(demo(), tmp_path) as gateway:
        for body in (HELLO, {**HELLO, "stream": True}, {**HELLO, "model": "demo/status-503"}):
            await call(gateway, body)
        families = await scrape(gateway)
    assert len(families) >= 15
    for family in families.values():
        assert family.documentation
        assert family.type in {"counter", "gauge", "histogram"}
        names = [(sample.name, tuple(sorted(sample.labels.items()))) for sample in family.samples]
        assert len(names) == len(set(names))
        if family.type == "histogram":
            check_histogram(family)
    seconds = families["http_server_request_duration_seconds"].samples
    assert all(0 < one.value < 60 for one in seconds if one.name.endswith("_sum"))


async def test_names_that_clients_make_up_make_no_series_beyond_the_cap(tmp_path: Path):
    made_up = [f"none-{number}" for number in range(1000)] + [f"demo/x-{number}" for number in range(1000)]
    statuses: Counter[int] = Counter()

    async def ask(url: str, names: list[str]) -> None:
        async with Line(url) as line:
            for name in names:
                statuses[(await line.ask(chat_request(name))).status] += 1
                if name.endswith("7"):
                    await line.ask(f"GET /v1/{name}?x HTTP/1.1\r\nhost: x\r\n\r\n".encode())

    with Serving(tmp_path, demo()) as gateway:
        await asyncio.gather(*(ask(gateway.url, made_up[start::4]) for start in range(4)))
        families = await scrape(gateway)
    assert statuses == {404: 1000, 200: 1000}
    for family in families.values():
        for label in {name for sample in family.samples for name in sample.labels} - {"le"}:
            assert len({sample.labels[label] for sample in family.samples}) <= 20, (family.name, label)
    assert value(families, "gateway_attempts_total") == 1000
    assert value(families, "gateway_attempts_total", gateway_target_id=f"demo/{OTHER}") == 1000
    routes = {
        sample.labels["http_route"] for sample in families["http_server_request_duration_seconds"].samples
    }
    assert routes == {"/v1/chat/completions", "unmatched"}


async def test_every_attempt_at_a_video_is_counted_and_so_is_the_one_that_ends_it(tmp_path: Path):
    def ended(families: dict[str, Metric]) -> float:
        states = ("completed", "failed")
        return sum(value(families, "gateway_video_jobs_total", gateway_video_state=one) for one in states)

    async with Provider(submit=[(429, "queue_full")] * 2) as busy, Provider(poll=["ok", "blame"]) as other:
        targets = [{"provider": name, "model": "up-1"} for name in "ab"]
        videos = {"kind": "video", "policy": "in_order", "targets": targets}
        providers = {"a": upstream(busy.url), "b": upstream(other.url)}
        text = routing({"film": videos}, {name: {**row, "kind": "video"} for name, row in providers.items()})
        async with running(text, tmp_path) as gateway, httpx2.AsyncClient(headers=AUTHORIZED) as http:
            for made in (1, 2):
                await http.post(f"{gateway.url}/v1/videos", json={"model": "film", "prompt": "A red kite"})
                while ended(families := await scrape(gateway)) < made:
                    await asyncio.sleep(0.02)
    counted = {
        (sample.labels["gateway_target_id"], sample.labels["error_type"]): sample.value
        for sample in families["gateway_video_attempts"].samples
        if sample.name.endswith("_total")
    }
    assert counted == {
        ("a/up-1", "provider_overloaded"): 2,
        ("b/up-1", ""): 1,
        ("b/up-1", "moderation_blocked"): 1,
    }


def test_targets_beyond_the_cap_share_a_label():
    metrics = Metrics()
    for number in range(MAX_TARGETS + 100):
        attempt = Attempt(
            target=f"p/{number}",
            provider="p",
            model=str(number),
            operation="chat",
            number=1,
            kind="primary",
            started=0.0,
            ended=1.0,
        )
        call = Recorder(metrics, Lines(lambda _: None), SYSTEM).begin(
            "POST", "/v1/chat/completions", "/", None
        )
        call.attempts.append(attempt)
        metrics.ended(call)
    found = {one.name: one for one in text_string_to_metric_families(metrics.exposition().decode())}
    assert (
        len({one.labels["gateway_target_id"] for one in found["gateway_attempts"].samples}) == MAX_TARGETS + 1
    )
    assert value(found, "gateway_attempts_total", gateway_target_id=OTHER) == 100
    assert value(found, "gen_ai_client_operation_duration_seconds_count") == MAX_TARGETS + 100
