"""What rows of data do to a client's body on its way to a provider."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from providers.errors import ErrorKind, ProviderError
from providers.quirks import EFFORTS, apply, fit, leave_out, rules_for
from providers.types import Quirks, encode

BODY = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "seed": 1, "user": "u"}


def raw(body: dict[str, Any]) -> dict[str, Raw]:
    return msgspec.json.decode(json.dumps(body), type=dict[str, Raw])


def applied(quirks: Quirks, **body: Any) -> tuple[dict[str, Any], list[str]]:
    fields = raw(BODY | body)
    dropped = apply(fields, quirks)
    return json.loads(encode(fields)), dropped


def fitted(rules: dict[str, Any], **body: Any) -> tuple[dict[str, Any], list[str]]:
    fields = raw(body)
    changed = fit(fields, rules)
    return json.loads(encode(fields)), changed


@given(st.dictionaries(st.text(max_size=8), st.integers() | st.text() | st.lists(st.text()), max_size=8))
def test_what_no_row_names_leaves_as_it_came(body: dict[str, Any]) -> None:
    fields = raw(body)
    before = dict(fields)
    assert apply(fields, None) == apply(fields, Quirks()) == fit(fields, {}) == []
    assert fields == before


def test_dropped_fields_are_reported_and_quiet_ones_are_not() -> None:
    body, dropped = applied(Quirks(drop=["seed", "top_p", "logit_bias"], quiet=["user"]), logit_bias=None)
    assert dropped == ["seed"]
    assert body == {"model": "m", "messages": BODY["messages"]}


def test_fields_are_renamed_and_the_new_name_wins() -> None:
    quirks = Quirks(rename={"max_completion_tokens": "max_tokens"})
    assert applied(quirks, max_completion_tokens=5)[0]["max_tokens"] == 5
    both, _ = applied(quirks, max_completion_tokens=5, max_tokens=7)
    assert (both["max_tokens"], "max_completion_tokens" in both) == (7, False)


def test_forced_fields_are_set_whatever_the_client_said() -> None:
    assert applied(Quirks(force={"seed": 9, "split": True}))[0] == BODY | {"seed": 9, "split": True}


def test_roles_are_mapped_and_the_rest_of_each_message_is_untouched() -> None:
    messages = '[{"role" : "developer","content":"be 1.0e1"},{"content":"\\u0064eveloper","role":"user"}]'
    fields = {"messages": Raw(messages.encode())}
    apply(fields, Quirks(roles={"developer": "system"}))
    assert bytes(fields["messages"]) == (
        b'[{"role":"system","content":"be 1.0e1"},{"content":"\\u0064eveloper","role":"user"}]'
    )


def test_messages_without_such_a_role_keep_their_bytes() -> None:
    fields = {"messages": Raw(b'[ {"role":"user","content":"the developer"} ]')}
    apply(fields, Quirks(roles={"developer": "system"}))
    assert bytes(fields["messages"]) == b'[ {"role":"user","content":"the developer"} ]'


@pytest.mark.parametrize("messages", ['"developer"', '[["developer"]]', '[{"role":"developer"},"developer"]'])
def test_messages_that_are_none_are_the_clients_fault(messages: str) -> None:
    with pytest.raises(ProviderError) as caught:
        apply({"messages": Raw(messages.encode())}, Quirks(roles={"developer": "system"}))
    assert (caught.value.kind, caught.value.param) == (ErrorKind.INVALID_REQUEST, "messages")


@pytest.mark.parametrize(
    ("name", "value"),
    [("tools", [{"type": "function"}]), ("n", 2), ("logprobs", True), ("audio", {"voice": "a"})],
)
def test_a_field_that_changes_the_answer_sends_the_request_elsewhere(name: str, value: Any) -> None:
    with pytest.raises(ProviderError) as caught:
        applied(Quirks(refuse=[name]), **{name: value})
    assert (caught.value.kind, caught.value.param) == (ErrorKind.UNSUPPORTED, name)
    assert caught.value.sent is False


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("tools", []),
        ("n", 1),
        ("logprobs", False),
        ("response_format", {"type": "text"}),
        ("tool_choice", "auto"),
    ],
)
def test_a_refused_field_that_asks_for_nothing_is_left_out(name: str, value: Any) -> None:
    body, dropped = applied(Quirks(refuse=[name]), **{name: value})
    assert name not in body
    assert dropped == []


def test_bodies_that_are_not_chat_only_lose_fields() -> None:
    fields = raw({"input": "x", "user": "u", "dimensions": 3})
    dropped = leave_out(
        fields, Quirks(drop=["dimensions"], rename={"user": "user_id"}, force={"split": True})
    )
    assert (list(fields), dropped) == (["input", "user"], ["dimensions"])


@pytest.mark.parametrize(
    ("reasoning", "effort", "kept"),
    [
        ("always", None, False),
        ("always", "low", False),
        ("default_on", None, False),
        ("default_on", "none", True),
        ("opt_in", None, True),
        ("opt_in", "none", True),
        ("opt_in", "high", False),
        ("none", "high", True),
    ],
)
def test_sampling_is_left_out_while_the_model_reasons(reasoning: str, effort: str | None, kept: bool) -> None:
    given = {"temperature": 0.2, "top_p": 0.9} | ({"reasoning_effort": effort} if effort else {})
    body, changed = fitted({"reasoning": reasoning}, **given)
    assert ("temperature" in body, "top_p" in body) == (kept, kept)
    assert changed == ([] if kept else ["temperature", "top_p"])


def test_models_that_reason_get_the_new_name_of_the_limit() -> None:
    assert fitted({"reasoning": "opt_in"}, max_tokens=5)[0] == {"max_completion_tokens": 5}
    assert fitted({"reasoning": "none"}, max_tokens=5)[0] == {"max_tokens": 5}


@pytest.mark.parametrize(
    ("allowed", "wanted", "sent"),
    [
        (["low", "medium", "high"], "minimal", "low"),
        (["none", "low", "high"], "minimal", "low"),
        (["low", "medium", "high", "xhigh"], "max", "xhigh"),
        (["medium"], "none", "medium"),
        (["low", "high"], "medium", "high"),
        ([], "low", None),
    ],
)
def test_an_effort_the_model_lacks_moves_to_the_next(
    allowed: list[str], wanted: str, sent: str | None
) -> None:
    body, changed = fitted({"efforts": allowed}, reasoning_effort=wanted)
    assert body.get("reasoning_effort") == sent
    assert changed == ["reasoning_effort"]


@given(st.sampled_from(EFFORTS), st.lists(st.sampled_from(EFFORTS), unique=True, min_size=1))
def test_an_effort_the_model_has_is_kept(wanted: str, others: list[str]) -> None:
    assert fitted({"efforts": [*others, wanted]}, reasoning_effort=wanted) == (
        {"reasoning_effort": wanted},
        [],
    )


def test_stop_is_refused_where_the_model_has_none() -> None:
    with pytest.raises(ProviderError, match="stop") as caught:
        fitted({"stop": False}, stop=["x"])
    assert caught.value.kind is ErrorKind.UNSUPPORTED
    assert fitted({"stop": False}, stop=None) == ({}, [])


def test_cache_options_reach_only_models_that_know_them() -> None:
    options = {"prompt_cache_options": {"mode": "explicit"}}
    assert fitted({"reasoning": "none"}, **options) == ({}, [])
    assert fitted({"reasoning": "none", "cache_breakpoints": True}, **options) == (options, [])


ROWS = [{"prefix": "gpt-5"}, {"prefix": "gpt-5.4"}, {"prefix": "claude-opus"}, {"prefix": "gpt-5.4-pro"}]


@pytest.mark.parametrize(
    ("model", "prefix"),
    [
        ("gpt-5", "gpt-5"),
        ("gpt-5.4-mini", "gpt-5.4"),
        ("gpt-5.4-pro-2026-03-05", "gpt-5.4-pro"),
        ("openai/gpt-5.4", "gpt-5.4"),
        ("us.anthropic.claude-opus-5-v1:0", "claude-opus"),
        ("anthropic.claude-opus-5", "claude-opus"),
        ("llama-4", None),
    ],
)
def test_the_longest_prefix_of_the_bare_model_counts(model: str, prefix: str | None) -> None:
    assert rules_for(ROWS, model).get("prefix") == prefix
