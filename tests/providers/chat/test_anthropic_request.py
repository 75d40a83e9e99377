"""What a request's limits, sampling, thinking and bookkeeping become for Anthropic."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.chat.anthropic_rules import Rules
from providers.errors import ErrorKind, ProviderError
from tests.providers.chat.anthropic_cases import HAIKU, PLAIN, SONNET, body_for, body_of, refused, sent, tool
from tests.providers.chat.talking import asked, asking, broken, fixture

MODELS = Path(__file__).parents[3] / "config" / "models.yaml"
SHIPPED = yaml.safe_load(MODELS.read_text())["anthropic"]
MARK = {"type": "ephemeral", "ttl": "1h"}
PDF = "data:application/pdf;base64,JVBERi0xLjQK"
CUSTOM_CALL = {"id": "q", "type": "custom", "custom": {"name": "sh", "input": "ls"}}
REASONED = [
    {"type": "reasoning.text", "text": "b", "signature": "s", "format": "anthropic-claude-v1"},
    {"type": "reasoning.text", "signature": "s", "format": "anthropic-claude-v1"},
    {"type": "reasoning.encrypted", "data": "s", "format": "anthropic-claude-v1"},
]
STRICT = {
    "type": "object",
    "properties": {"a": {"$ref": "#/$defs/x"}, "b": {"anyOf": [{"type": "string", "minLength": 3}]}},
    "required": ["a"],
    "$defs": {"x": {"type": "array", "items": {"type": "integer"}, "minItems": 3}},
}
GRAMMAR = {"type": "grammar", "grammar": {"syntax": "lark", "definition": "x"}}
EVERYTHING = {
    **fixture("canonical/json_schema.request.json"),
    "messages": [
        *fixture("canonical/tool_result.request.json")["messages"],
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "x", "cache_control": MARK},
                {"type": "image_url", "image_url": {"url": "https://example.com/x"}},
                {"type": "file", "file": {"filename": "f", "file_data": PDF}},
            ],
        },
        {"role": "assistant", "reasoning_details": REASONED, "tool_calls": [CUSTOM_CALL]},
    ],
    "tools": [
        tool("look", strict=True, parameters=STRICT),
        {"type": "custom", "custom": {"name": "sh", "description": "d", "format": GRAMMAR}},
    ],
    "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [tool()]}},
    "reasoning_effort": "low",
    "cache_control": MARK,
    "stop": ["a"],
    "temperature": 0.5,
    "user": "u",
    "web_search_options": {"user_location": {"type": "approximate", "approximate": {"city": "x"}}},
}


@pytest.mark.parametrize(
    ("rules", "wanted", "given"),
    [
        (HAIKU, None, 64000),
        (HAIKU, 100, 100),
        (HAIKU, 200_000, 64000),
        ({}, None, 4096),
        ({}, 200_000, 200_000),
    ],
)
def test_the_output_limit_is_always_sent(rules: dict[str, Any], wanted: int | None, given: int) -> None:
    assert body_of(rules, max_tokens=wanted)["max_tokens"] == given


def test_sampling_goes_to_the_version_that_still_takes_it() -> None:
    body, call = sent(asking(temperature=1.7, top_p=0.5, top_k=5), HAIKU)
    assert (body["temperature"], body["top_k"]) == (1, 5)
    assert "top_p" not in body
    assert call.headers["anthropic-version"] == "2023-06-01"
    assert call.dropped == ["temperature", "top_p"]


@pytest.mark.parametrize("rules", [SONNET, {"no_sampling": True}])
def test_a_model_without_sampling_is_not_sent_any(rules: dict[str, Any]) -> None:
    body, call = sent(asking(temperature=0.2), rules)
    assert "temperature" not in body
    assert call.headers["anthropic-version"] == "2026-10-21"
    assert call.dropped == ["temperature"]


def test_sampling_at_its_default_is_neither_sent_nor_reported() -> None:
    body, call = sent(asking(temperature=1, top_p=1.0, n=1, frequency_penalty=0), HAIKU)
    assert body.keys() == {"model", "max_tokens", "messages"}
    assert not call.dropped


def test_what_cannot_be_told_is_reported_and_bookkeeping_is_not() -> None:
    _, call = sent(
        asking(seed=7, logit_bias={"5": 1}, verbosity="low", min_p=0.1, store=True, metadata={}), HAIKU
    )
    assert call.dropped == ["seed", "logit_bias", "verbosity", "min_p"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("n", 2),
        ("logprobs", True),
        ("modalities", ["text", "audio"]),
        ("audio", {"voice": "a", "format": "mp3"}),
    ],
)
def test_what_would_change_the_answer_makes_another_target_answer(field: str, value: object) -> None:
    failure = refused(asking(**{field: value}))
    assert (failure.kind, failure.param) == (ErrorKind.UNSUPPORTED, field)


def test_blank_stop_sequences_are_refused_upstream_so_they_are_dropped() -> None:
    body, call = sent(asking(stop=["END", "\n\n"]), HAIKU)
    assert body["stop_sequences"] == ["END"]
    assert call.dropped == ["stop"]


@settings(deadline=None)
@given(data=st.data(), rules=st.sampled_from([HAIKU, SONNET, PLAIN, {}]))
def test_nonsense_anywhere_in_a_request_is_either_sendable_or_refused(
    data: st.DataObject, rules: dict[str, Any]
) -> None:
    named = "nothing to name"
    try:
        sent(asked(data.draw(broken(EVERYTHING))), rules)
    except ProviderError as failure:
        named = failure.param or ""
    assert named


@pytest.mark.parametrize("user", ["a@example.com", "+49 170 1234567", "x" * 300])
def test_personal_data_never_leaves_as_a_user_id(user: str) -> None:
    user_id = body_of(user=user)["metadata"]["user_id"]
    assert len(user_id) == 64
    assert user_id == body_of(safety_identifier=user)["metadata"]["user_id"]


@pytest.mark.parametrize(
    ("tier", "expected"), [("default", "standard_only"), ("priority", "auto"), ("flex", None)]
)
def test_service_tiers_are_translated(tier: str, expected: str | None) -> None:
    assert body_of(service_tier=tier).get("service_tier") == expected


@pytest.mark.parametrize(
    ("rules", "effort", "thinking", "expected"),
    [
        (SONNET, "minimal", "adaptive", "low"),
        (SONNET, "xhigh", "adaptive", "xhigh"),
        ({"adaptive_thinking": True, "effort": True}, "xhigh", "adaptive", "max"),
        ({"adaptive_thinking": True, "effort": True, "effort_no_max": True}, "max", "adaptive", "high"),
        ({"adaptive_thinking": True}, "high", "adaptive", None),
        (SONNET, "none", "disabled", None),
        ({**SONNET, "disable_with_between_tools": True}, "none", "between_tools", None),
        (SONNET, None, "adaptive", None),
        (PLAIN, "none", None, None),
    ],
)
def test_effort_follows_what_the_model_knows(
    rules: dict[str, Any], effort: str | None, thinking: str | None, expected: str | None
) -> None:
    body, call = sent(asking(reasoning_effort=effort), rules)
    assert body.get("thinking", {}).get("type") == thinking
    assert body.get("output_config", {}).get("effort") == expected
    assert not call.dropped


@pytest.mark.parametrize("row", SHIPPED, ids=lambda row: row["prefix"])
def test_every_shipped_model_gets_a_valid_request_at_every_effort(row: dict[str, Any]) -> None:
    assert row.keys() - {"prefix", "context_window", "prefill"} <= set(Rules.__struct_fields__)
    for effort in (None, "none", "minimal", "low", "medium", "high", "xhigh", "max"):
        body = body_of(row, reasoning_effort=effort, tools=[tool()], tool_choice="required", temperature=0.5)
        assert body["max_tokens"] <= row.get("max_output", 40_000)
        assert ("temperature" in body) == (not row.get("no_sampling") and "thinking" not in body)


@pytest.mark.parametrize(
    ("rules", "effort"),
    [
        ({}, "high"),
        ({}, "none"),
        ({"no_budget_thinking": True}, "low"),
        ({"cannot_disable_thinking": True}, "none"),
    ],
)
def test_effort_that_cannot_be_granted_is_reported(rules: dict[str, Any], effort: str) -> None:
    body, call = sent(asking(reasoning_effort=effort), rules)
    assert "thinking" not in body
    assert call.dropped == ["reasoning_effort"]


@settings(deadline=None)
@given(
    effort=st.sampled_from(["minimal", "low", "medium", "high", "xhigh", "max"]),
    cap=st.integers(2048, 200_000),
)
def test_a_thinking_budget_always_leaves_room_for_the_answer(effort: str, cap: int) -> None:
    body = body_of({"max_output": cap}, reasoning_effort=effort)
    assert 1024 <= body["thinking"]["budget_tokens"] < body["max_tokens"] <= cap


def test_a_budget_does_not_start_in_the_middle_of_unsigned_tool_use() -> None:
    call = {"id": "a", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    history = [
        {"role": "user", "content": "Look."},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "a", "content": "ok"},
    ]
    assert "thinking" not in body_for(*history, reasoning_effort="low", tools=[tool()])


def test_anthropics_own_thinking_field_wins() -> None:
    thinking = {"type": "enabled", "budget_tokens": 2000}
    body = body_of(thinking=thinking, max_tokens=100, reasoning_effort="max")
    assert (body["thinking"], body["max_tokens"]) == (thinking, 2100)
