"""The same surface with OpenAI's official Node client."""

import base64
import json
import struct
from typing import Any

import pytest

from tests.contract.node_client import call_node, install
from tests.contract.stage import ASK, NARROW_KEY, Stage
from tests.transport.faulty import close, send
from tests.upstreams import DIALECTS, cut, events, fixture

TOOLS = fixture("canonical/tools.request.json")["tools"]
USAGE = {"stream_options": {"include_usage": True}}

every_dialect = pytest.mark.parametrize("dialect", DIALECTS)


@pytest.fixture(autouse=True, scope="module")
def _installed() -> None:
    install()


def values(results: list[Any]) -> list[Any]:
    """What calls gave that all went well."""
    assert [one["error"] for one in results if "error" in one] == []
    return [one["value"] for one in results]


@every_dialect
def test_answers_streams_and_the_stream_helper(stage: Stage, dialect: str) -> None:
    stage.providers[dialect].gives("chat.response.json", *["chat.stream.sse"] * 3)
    ask = {"model": dialect, **ASK}
    whole, stream, counted, helped = values(
        call_node(
            stage,
            {"do": "chat", "ask": ask},
            {"do": "stream", "ask": ask},
            {"do": "stream", "ask": ask | USAGE},
            {"do": "helper", "ask": ask | USAGE},
        )
    )
    assert whole["choices"][0]["message"]["content"] == "Salut !"
    for chunks in (stream, counted):
        deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
        assert "".join(delta.get("content") or "" for delta in deltas) == "Salut !"
    assert counted[-1]["usage"]["total_tokens"] == whole["usage"]["total_tokens"]
    assert helped["completion"]["choices"][0]["message"]["content"] == "Salut !"
    assert helped["completion"]["usage"] == counted[-1]["usage"]
    assert helped["kinds"] == ["content.delta", "content.done"]


@every_dialect
def test_tool_calls_and_the_turn_after_them(stage: Stage, dialect: str) -> None:
    up = stage.providers[dialect]
    up.gives("tools.response.json", "tools.stream.sse")
    ask: dict[str, Any] = {"model": dialect, "tools": TOOLS, **ASK}
    whole, helped = values(call_node(stage, {"do": "chat", "ask": ask}, {"do": "helper", "ask": ask}))
    messages = [answer["choices"][0]["message"] for answer in (whole, helped["completion"])]
    for message in messages:
        arguments = [json.loads(call["function"]["arguments"]) for call in message["tool_calls"]]
        assert arguments == [{"city": "Paris", "unit": "celsius"}, {"tz": "Europe/Paris"}]
    assert "tool_calls.function.arguments.done" in helped["kinds"]
    up.gives("chat.response.json")
    results = [
        {"role": "tool", "tool_call_id": call["id"], "content": f"result {at}"}
        for at, call in enumerate(messages[1]["tool_calls"])
    ]
    turns = {**ask, "messages": [*ask["messages"], messages[1], *results]}
    [answer] = values(call_node(stage, {"do": "chat", "ask": turns}))
    assert answer["choices"][0]["message"]["content"] == "Salut !"
    assert b"result 1" in up.last.body


def test_embeddings_are_decoded_right(stage: Stage) -> None:
    stage.providers["openai"].gives("embeddings.base64.response.json")
    stage.providers["gemini"].gives_body({"embeddings": [{"values": [0.25, -0.5]}]})
    asks = [{"model": f"embedding-{dialect}", "input": "hello"} for dialect in ("openai", "gemini")]
    first, second = values(call_node(stage, *({"do": "embeddings", "ask": ask} for ask in asks)))
    packed = base64.b64decode(fixture("openai/embeddings.base64.response.json")["data"][0]["embedding"])
    assert first["data"][0]["embedding"] == pytest.approx(struct.unpack("<3f", packed))
    assert second["data"][0]["embedding"] == [0.25, -0.5]


def test_models_can_be_listed_and_looked_at(stage: Stage) -> None:
    listed, one = values(call_node(stage, {"do": "models"}, {"do": "model", "ask": "openai+gemini"}))
    assert {"openai", "embedding-gemini", "openai+gemini"} <= {model["id"] for model in listed}
    assert one["id"] == "openai+gemini"


def test_errors_are_the_clients_own_classes(stage: Stage) -> None:
    up = stage.providers["openai"]
    up.always(up.step("error.429_rate.json"))
    ask = {"model": "openai", **ASK}
    calls: list[dict[str, Any]] = [
        {"do": "chat", "ask": {**ask, "messages": []}},
        {"do": "chat", "ask": {**ask, "model": "nothing"}},
        {"do": "model", "ask": "nothing"},
        {"do": "chat", "ask": {**ask, "model": "openai/gpt-4o"}, "options": {"maxRetries": 2}},
    ]
    errors = [result["error"] for result in call_node(stage, *calls)]
    assert [(error["class"], error["status"], error["code"]) for error in errors] == [
        ("BadRequestError", 400, "invalid_value"),
        ("NotFoundError", 404, "model_not_found"),
        ("NotFoundError", 404, "model_not_found"),
        ("RateLimitError", 429, "rate_limit_exceeded"),
    ]
    assert [error["param"] for error in errors] == ["messages", "model", "model", None]
    assert all(error["requestID"].startswith("req_") for error in errors)
    [strange] = call_node(stage, {"do": "chat", "ask": ask}, key="sk-nobody")
    [narrow] = call_node(stage, {"do": "chat", "ask": {**ask, "model": "gemini"}}, key=NARROW_KEY)
    assert strange["error"]["class"] == "AuthenticationError"
    assert narrow["error"]["class"] == "PermissionDeniedError"


@every_dialect
def test_a_cut_stream_is_an_error(stage: Stage, dialect: str) -> None:
    said = {"openai": 2, "anthropic": 4, "gemini": 1}[dialect]
    told = cut(*events(f"{dialect}/chat.stream.sse")[:said])
    for _ in range(2):
        stage.providers[dialect].next(send(told), close())
    ask = {"model": dialect, **ASK}
    results = call_node(stage, {"do": "stream", "ask": ask}, {"do": "helper", "ask": ask})
    assert [result["error"]["class"] for result in results] == ["APIError", "APIError"]
