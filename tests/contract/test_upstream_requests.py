"""Requests as they reach the providers, through the whole gateway: valid for the provider's own official types."""

import functools
import json
from collections.abc import Callable, Mapping
from typing import Any

import openai
import pytest
from anthropic.types.message_create_params import (
    MessageCreateParamsNonStreaming,
    MessageCreateParamsStreaming,
)
from openai.types.chat.completion_create_params import (
    CompletionCreateParamsNonStreaming,
    CompletionCreateParamsStreaming,
)
from pydantic import TypeAdapter

from tests.contract.stage import Stage
from tests.providers.chat.gemini_cases import PIECES
from tests.running import KEY, PROVIDER_KEY
from tests.transport.faulty import Seen
from tests.upstreams import DIALECTS, FIXTURES, fixture
from tests.wire import check

QUESTIONS = sorted(path.name for path in (FIXTURES / "canonical").glob("*.request.json"))
TOOLS = fixture("canonical/tools.request.json")["tools"]
EXTRA: dict[str, dict[str, Any]] = {
    "plain": {},
    "sampling": {"top_p": 0.4, "stop": "x", "presence_penalty": 0.1, "seed": 3},
    "forced": {"tool_choice": "required", "tools": TOOLS},
    "no tools": {"tool_choice": "none", "tools": TOOLS},
    "bookkeeping": {"user": "someone@example.com", "metadata": {"a": "b"}, "service_tier": "default"},
    "effort": {"reasoning_effort": "high"},
    "old limit": {"max_tokens": 5},
    "interrupted": {
        "messages": [
            {"role": "assistant", "content": "Hello"},
            {"role": "user", "content": "Weather?"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {"id": "call ü/1", "type": "function", "function": {"name": "look", "arguments": ""}}
                ],
            },
            {"role": "user", "content": [{"type": "text", "text": "Never mind."}]},
            {"role": "developer", "content": "Be brief."},
        ]
    },
}


adapter = functools.cache(TypeAdapter)
"""Google's types forbid unknown names by themselves; making a checker of one takes its time."""


def asked_openai(seen: Seen, body: Any) -> None:
    streamed = body.get("stream")
    assert seen.line == "POST /v1/chat/completions HTTP/1.1"
    assert seen.headers["authorization"] == f"Bearer {PROVIDER_KEY}"
    check(CompletionCreateParamsStreaming if streamed else CompletionCreateParamsNonStreaming, body)


def asked_anthropic(seen: Seen, body: Any) -> None:
    assert seen.line == "POST /v1/messages HTTP/1.1"
    assert seen.headers["x-api-key"] == PROVIDER_KEY
    assert seen.headers["anthropic-version"] in ("2026-10-21", "2023-06-01")
    sampled = [body.pop(name) for name in ("temperature", "top_p", "top_k") if name in body]
    assert not sampled or seen.headers["anthropic-version"] == "2023-06-01"
    check(MessageCreateParamsStreaming if body.get("stream") else MessageCreateParamsNonStreaming, body)
    assert body["messages"][0]["role"] == "user"


def asked_gemini(seen: Seen, body: Any) -> None:
    assert seen.line in (
        "POST /v1beta/models/gemini-3.8-flash:generateContent HTTP/1.1",
        "POST /v1beta/models/gemini-3.8-flash:streamGenerateContent?alt=sse HTTP/1.1",
    )
    assert seen.headers["x-goog-api-key"] == PROVIDER_KEY
    for name, piece in body.items():
        adapter(PIECES[name]).validate_python(piece)
    assert body["contents"][0]["role"] == "user"


ASKED: Mapping[str, Callable[[Seen, Any], None]] = {
    "openai": asked_openai,
    "anthropic": asked_anthropic,
    "gemini": asked_gemini,
}


@pytest.mark.parametrize("thinking", ["", "thinking-"])
@pytest.mark.parametrize("dialect", DIALECTS)
async def test_every_kind_of_question_is_put_in_the_providers_own_form(
    stage: Stage, dialect: str, thinking: str
) -> None:
    up = stage.providers[dialect]
    plain = {"messages": [{"role": "user", "content": "Hi"}]}
    bodies = {name: fixture(f"canonical/{name}") for name in QUESTIONS}
    bodies |= {name: plain | more for name, more in EXTRA.items()}
    if dialect == "gemini":
        del bodies["image_url.request.json"]  # fetched from the internet, by design
    for name, body in bodies.items():
        streamed = body.get("stream", False)
        up.gives("chat.stream.sse" if streamed else "chat.response.json")
        response = await stage.post({**body, "model": thinking + dialect})
        assert response.status_code == 200, f"{name}: {response.text}"
        assert KEY not in str(up.last.headers)
        assert "x-stainless-lang" not in up.last.headers
        ASKED[dialect](up.last, json.loads(up.last.body))


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_nothing_of_the_client_itself_reaches_a_provider(stage: Stage, dialect: str) -> None:
    stage.providers[dialect].gives("chat.response.json")
    private = {"x-private": "private-1", "cookie": "private-2", "openai-organization": "private-3"}
    async with stage.client(default_headers=private) as client:
        await client.chat.completions.create(model=dialect, messages=[{"role": "user", "content": "Hi"}])
    seen = stage.providers[dialect].last
    assert "private-" not in str(seen.headers)
    assert "stainless" not in str(seen.headers)
    assert KEY not in f"{seen.line}{seen.headers}{seen.body!r}"


async def test_a_picture_behind_a_private_address_is_not_fetched(stage: Stage) -> None:
    link = f"{stage.providers['openai'].url}/secret.png"
    content: Any = [{"type": "image_url", "image_url": {"url": link}}]
    async with stage.client() as client:
        with pytest.raises(openai.BadRequestError) as caught:
            await client.chat.completions.create(
                model="gemini", messages=[{"role": "user", "content": content}]
            )
    assert caught.value.param is not None
    assert caught.value.param.startswith("messages")
    assert not stage.providers["openai"].requests
