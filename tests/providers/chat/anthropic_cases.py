"""What tests of the anthropic dialect share: targets, and requests checked against the official types."""

import json
from typing import Any

import pytest
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming

from providers.chat import anthropic
from providers.errors import ProviderError
from providers.types import ChatRequest, HttpRequest, Secret, Target
from tests.providers.chat.talking import asked, asking
from tests.wire import check

PLAIN = {"max_output": 32000}
HAIKU = {"max_output": 64000, "json_schema_output": True, "budget_map": {"medium": 10240}}
SONNET = {
    "max_output": 128000,
    "json_schema_output": True,
    "adaptive_thinking": True,
    "thinks_by_default": True,
    "effort": True,
    "effort_xhigh": True,
    "no_sampling": True,
    "no_budget_thinking": True,
}


def target(rules: dict[str, Any] | None = None, model: str = "claude-haiku-4-5") -> Target:
    return Target(
        provider="anthropic",
        dialect="anthropic",
        base_url="https://api.anthropic.com",
        model=model,
        credential=Secret("key-1"),
        rules=HAIKU if rules is None else rules,
    )


def sent(request: ChatRequest, rules: dict[str, Any]) -> tuple[dict[str, Any], HttpRequest]:
    call = anthropic.chat_request(request, target(rules))
    body = json.loads(call.body)
    sampling = ("temperature", "top_p", "top_k")  # the SDK's types know the newest version only
    check(
        MessageCreateParamsNonStreaming, {name: value for name, value in body.items() if name not in sampling}
    )
    return body, call


def body_of(rules: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    return sent(asking(**fields), HAIKU if rules is None else rules)[0]


def body_for(*messages: dict[str, Any], rules: dict[str, Any] = HAIKU, **fields: Any) -> dict[str, Any]:
    return sent(asked({"messages": list(messages), **fields}), rules)[0]


def refused(request: ChatRequest) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        anthropic.chat_request(request, target())
    return caught.value


def tool(name: str = "look", **function: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, **function}}
