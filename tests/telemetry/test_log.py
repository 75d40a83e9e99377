"""The log: one JSON line for each call, with what happened, and nothing of what was said."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.answers import BEGINNING, completion, first_part, refusal, stream
from tests.running import KEY, PROVIDER_KEY, Running, routing, running, upstream
from tests.system.process import AUTHORIZED, until_async
from tests.transport.faulty import Faulty, close, send, until_left

PROMPT, ANSWER = "canary-prompt-71", "canary-answer-72"
ASK = {"model": "fast", "messages": [{"role": "user", "content": PROMPT}]}
ALWAYS = {"time", "message", "request_id", "trace_id", "key", "method", "route", "status", "duration_ms"}
MODEL = {"model", "attempts", "stream"}
ANSWERED = {"target", "upstream_ms", "input_tokens", "output_tokens", "cost_usd"}


async def post(gateway: Running, body: Mapping[str, Any], **headers: str) -> httpx2.Response:
    """A chat call."""
    async with httpx2.AsyncClient(timeout=20) as http:
        url = f"{gateway.url}/v1/chat/completions?canary-query-73"
        return await http.post(url, json=body, headers={**AUTHORIZED, **headers})


async def leave(gateway: Running) -> None:
    """Leave in the middle of a stream."""
    async with (
        httpx2.AsyncClient(timeout=20) as http,
        http.stream(
            "POST", f"{gateway.url}/v1/chat/completions", json={**ASK, "stream": True}, headers=AUTHORIZED
        ) as answer,
    ):
        await anext(answer.aiter_bytes())


async def test_each_call_leaves_one_line_with_what_happened(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    targets = [{"provider": name, "model": "up-1", "price": {"input": 1, "output": 2}} for name in "ab"]
    async with Faulty() as up:
        text = routing({"fast": {"targets": targets}}, {"a": upstream(up.url), "b": upstream(up.url)})
        async with running(text, tmp_path) as gateway:
            up.next(send(completion(ANSWER)))
            first = await post(gateway, ASK)
            up.next(send(refusal("503 Service Unavailable", f"{PROMPT} {PROVIDER_KEY}")))
            up.next(send(completion(ANSWER)))
            await post(gateway, ASK)
            up.next(send(stream()))
            await post(gateway, {**ASK, "stream": True})
            up.next(send(stream(*BEGINNING).removesuffix(b"0\r\n\r\n")), close())
            await post(gateway, {**ASK, "stream": True})
            up.next(send(first_part()), until_left())
            await leave(gateway)
            await post(gateway, ASK, authorization="Bearer canary-key-74")
            await post(gateway, {**ASK, "model": "canary-model-75"})
            async with httpx2.AsyncClient() as http:
                for path in ("/v1/models", f"/canary-path-76/{KEY}", "/livez", "/metrics"):
                    await http.get(gateway.url + path, headers=AUTHORIZED)
            await until_async(
                lambda: "client_disconnects_total{" in gateway.gateway.metrics.exposition().decode()
            )
    captured = capfd.readouterr()
    assert "canary" not in captured.out + captured.err
    assert KEY not in captured.out + captured.err
    lines = [json.loads(line) for line in captured.out.splitlines()]
    assert all(line["message"] == "call" and set(line) >= ALWAYS for line in lines)
    assert len({line["request_id"] for line in lines}) == len(lines)
    lines.sort(key=lambda line: (line["status"] == 499, line["time"]))
    plain, failover, streamed, cut, stranger, unknown, models, nothing, left = lines
    assert plain["request_id"] == first.headers["x-request-id"]
    assert set(plain) == ALWAYS | MODEL | ANSWERED
    assert (plain["key"], plain["model"], plain["target"], plain["attempts"]) == ("test", "fast", "a/up-1", 1)
    assert (plain["input_tokens"], plain["output_tokens"], plain["cost_usd"]) == (9, 3, 15e-6)
    assert 0 < plain["upstream_ms"] <= plain["duration_ms"]
    assert (failover["target"], failover["attempts"], failover["status"]) == ("b/up-1", 2, 200)
    assert set(streamed) == ALWAYS | MODEL | ANSWERED | {"first_token_ms"}
    assert (streamed["stream"], streamed["output_tokens"]) == (True, 3)
    assert (cut["status"], cut["error"]) == (200, "upstream_unavailable")
    assert (stranger["status"], stranger["error"], stranger["key"]) == (401, "invalid_api_key", "")
    assert (unknown["status"], unknown["error"]) == (404, "model_not_found")
    assert (models["method"], models["route"], models["status"], models["key"]) == (
        "GET",
        "/v1/models",
        200,
        "test",
    )
    assert (nothing["route"], nothing["status"]) == ("unmatched", 404)
    assert left["status"] == 499
