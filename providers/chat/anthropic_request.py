"""Builds an Anthropic Messages request from an OpenAI chat request (CHAT_WIRE 2.2, 2026-11-20)."""

import hashlib
import re
from typing import Any

from providers.auth import key_header
from providers.chat.anthropic_messages import (
    cache_control,
    limit_cache_marks,
    messages_of,
    shortest,
    text_blocks,
)
from providers.chat.anthropic_rules import Rules, Thinking, max_tokens_of, rules_of, sampling_of, thinking_of
from providers.chat.anthropic_tools import Offer, offer_of
from providers.chat.canonical import Prompt, left_out, read, stops
from providers.chat.parts import Text, read_cache
from providers.chat.turns import IdRule
from providers.types import ChatRequest, HttpRequest, Json, Target, encode

VERSION = "2026-10-21"
SAMPLING_VERSION = "2023-06-01"
"""The newer version refuses temperature, top_p and top_k whatever their value; only the older takes them."""

_KNOWN = frozenset(
    (
        "max_completion_tokens",
        "stop",
        "temperature",
        "top_p",
        "top_k",
        "reasoning_effort",
        "thinking",
        "cache_control",
        "web_search_options",
    )
)
_SERVICE_TIERS = {"auto": "auto", "default": "standard_only", "priority": "auto"}
_LONGEST_USER = 256
_PERSONAL = re.compile(r".*@.*|\+?[\d\s().-]{7,}")
"""E-mail addresses and phone numbers: the API refuses them as a user's id."""


def build(request: ChatRequest, target: Target) -> HttpRequest:
    """The call to make. Raises INVALID_REQUEST or UNSUPPORTED naming the place in the request."""
    rules = rules_of(target)
    prompt = read(request, IdRule())
    dropped = left_out(prompt, _KNOWN)
    thinking = thinking_of(prompt, rules)
    sampling, unsampled = sampling_of(prompt, rules, thinking)
    offer = offer_of(prompt, rules, thinking)
    sequences = stops(prompt.params)
    body = {
        "model": target.model,
        "max_tokens": max_tokens_of(prompt, rules, thinking),
        **_conversation(prompt, rules, thinking, offer),
        **_output(thinking, offer),
        **sampling,
        **_bookkeeping(prompt.params),
    }
    if kept := [stop for stop in sequences if stop.strip()]:
        body["stop_sequences"] = kept
    if request.stream:
        body["stream"] = True
    limit_cache_marks(body, spent=1 if "cache_control" in body else 0)
    unstopped = ["stop"] if len(kept) < len(sequences) else []
    version = SAMPLING_VERSION if sampling else VERSION
    return HttpRequest(
        method="POST",
        url=f"{target.base_url}/v1/messages",
        headers={
            **key_header(target, "x-api-key"),
            "anthropic-version": version,
            "content-type": "application/json",
            **target.headers,
        },
        body=encode(body),
        dropped=[*dropped, *thinking.lost, *unsampled, *offer.lost, *unstopped],
    )


def _conversation(prompt: Prompt, rules: Rules, thinking: Thinking, offer: Offer) -> dict[str, Any]:
    system = text_blocks([*prompt.system, *(Text(line) for line in offer.lines)])
    prefill = not (thinking.on or rules.adaptive_thinking)  # models that think adaptively refuse it
    messages = messages_of(prompt.turns, rules, prefill=prefill)
    return {"system": shortest(system), "messages": messages} if system else {"messages": messages}


def _output(thinking: Thinking, offer: Offer) -> dict[str, Any]:
    settings = {"effort": thinking.effort, "format": offer.format}
    fields = {
        "tools": offer.tools,
        "tool_choice": offer.choice,
        "thinking": thinking.config,
        "output_config": {name: value for name, value in settings.items() if value},
    }
    return {name: value for name, value in fields.items() if value}


def _bookkeeping(params: Json) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    user = params.get("safety_identifier")
    if isinstance(user, str) and user:
        fields["metadata"] = {"user_id": _anonymous(user)}
    tier = _SERVICE_TIERS.get(str(params.get("service_tier")))
    if tier:
        fields["service_tier"] = tier
    return fields | cache_control(read_cache(params))


def _anonymous(user: str) -> str:
    if len(user) <= _LONGEST_USER and not _PERSONAL.fullmatch(user):
        return user
    return hashlib.sha256(user.encode()).hexdigest()
