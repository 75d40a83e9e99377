"""What Gemini is sent for an OpenAI chat request."""

import json
from typing import Any

import pytest

from providers.chat import gemini
from providers.errors import ErrorKind
from providers.types import Quirks
from tests.providers.chat.gemini_cases import accepted, ask, dropped, load, refused, target
from tests.providers.chat.talking import asked

MODELS = {"json_schema_legacy": "gemini-2.0-flash", "reasoning_budget": "gemini-2.5-flash"}
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
TOOL: dict[str, Any] = {"type": "function", "function": {"name": "look", "parameters": SCHEMA}}
FORMAT = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}


@pytest.mark.parametrize(
    "scenario",
    [
        "chat",
        "tools",
        "tool_forced",
        "tool_result",
        "tool_result_foreign",
        "image_base64",
        "image_file_uri",
        "file_pdf",
        "json_schema",
        "json_schema_legacy",
        "reasoning",
        "reasoning_budget",
    ],
)
def test_the_body_is_the_one_gemini_expects(scenario: str) -> None:
    chat = asked(load(f"canonical/{scenario}.request.json"))
    to = target(MODELS.get(scenario, "gemini-3.8-flash"))
    assert accepted(chat, to) == load(f"{scenario}.request.json")


def test_the_call_goes_to_the_model_with_the_key_in_a_header() -> None:
    call = gemini.chat_request(ask(), target("models/a b", headers={"x-extra": "1"}))
    assert call.method == "POST"
    assert call.url == "https://generativelanguage.googleapis.com/v1beta/models/a%20b:generateContent"
    assert call.headers == {
        "content-type": "application/json",
        "x-goog-api-key": "AIza-test",
        "x-extra": "1",
    }
    streaming = gemini.chat_request(ask(stream=True), target())
    assert streaming.url.endswith("/models/gemini-3.8-flash:streamGenerateContent?alt=sse")


def test_sampling_parameters_are_told_under_geminis_names() -> None:
    chat = ask(
        temperature=0.5,
        top_p=0.9,
        top_k=40,
        seed=2**31 + 5,
        presence_penalty=0.1,
        frequency_penalty=-0.1,
        max_tokens=9,
        stop="x",
        n=2,
        logprobs=True,
        top_logprobs=3,
        service_tier="default",
        safety_settings=[{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "OFF"}],
    )
    body = accepted(chat)
    assert body["generationConfig"] == {
        "temperature": 0.5,
        "topP": 0.9,
        "topK": 40,
        "seed": 5,
        "presencePenalty": 0.1,
        "frequencyPenalty": -0.1,
        "maxOutputTokens": 9,
        "stopSequences": ["x"],
        "candidateCount": 2,
        "responseLogprobs": True,
        "logprobs": 3,
    }
    assert body["serviceTier"] == "standard"
    assert body["safetySettings"][0]["threshold"] == "OFF"


def test_what_gemini_cannot_be_told_is_reported_and_bookkeeping_is_not() -> None:
    chat = ask(
        logit_bias={"1": 2},
        verbosity="low",
        parallel_tool_calls=False,
        tools=[TOOL],
        thinking={"type": "enabled"},
        user="u",
        store=True,
        metadata={"a": "b"},
        n=1,
        stream_options=None,
    )
    assert sorted(dropped(chat)) == ["logit_bias", "parallel_tool_calls", "thinking", "verbosity"]


def test_an_operators_quirks_are_applied_before_translation() -> None:
    to = target(quirks=Quirks(drop=["presence_penalty"], force={"temperature": 1}))
    call = gemini.chat_request(ask(presence_penalty=1, temperature=0), to)
    assert json.loads(call.body)["generationConfig"] == {"temperature": 1}
    assert list(call.dropped) == ["presence_penalty"]


@pytest.mark.parametrize(
    ("params", "param"),
    [
        ({"n": 2, "stream": True}, "n"),
        ({"n": 2, "tools": [TOOL]}, "n"),
        ({"logprobs": True, "stream": True}, "logprobs"),
        ({"web_search_options": {}, "tools": [TOOL]}, "web_search_options"),
        ({"modalities": ["text", "audio"], "audio": {"format": "mp3", "voice": "Kore"}}, "audio.format"),
    ],
)
def test_what_gemini_cannot_do_is_left_to_other_targets(params: dict[str, Any], param: str) -> None:
    error = refused(ask(**params))
    assert (error.kind, error.param) == (ErrorKind.UNSUPPORTED, param)


@pytest.mark.parametrize(
    ("params", "param"),
    [({"n": 0}, "n"), ({"reasoning_effort": 3}, "reasoning_effort"), ({"seed": "x"}, "seed")],
)
def test_nonsense_is_the_callers_fault(params: dict[str, Any], param: str) -> None:
    error = refused(ask(**params))
    assert (error.kind, error.param) == (ErrorKind.INVALID_REQUEST, param)


@pytest.mark.parametrize(
    ("model", "rules", "effort", "config"),
    [
        ("gemini-3.8-flash", {}, "none", {"thinkingLevel": "LOW"}),
        ("gemini-3.8-flash", {}, "minimal", {"thinkingLevel": "LOW", "includeThoughts": True}),
        ("gemini-4-argon", {}, "max", {"thinkingLevel": "HIGH", "includeThoughts": True}),
        ("gemini-flash-latest", {}, "medium", {"thinkingLevel": "MEDIUM", "includeThoughts": True}),
        (
            "gemini-3-pro-preview",
            {"levels": ["LOW", "HIGH"]},
            "medium",
            {"thinkingLevel": "HIGH", "includeThoughts": True},
        ),
        ("gemini-3.5-flash", {"levels": ["HIGH", "MINIMAL"]}, "none", {"thinkingLevel": "MINIMAL"}),
        ("gemini-2.5-flash", {}, "none", {"thinkingBudget": 0}),
        ("gemini-2.5-pro", {}, "none", {"thinkingBudget": 128}),
        ("gemini-2.5-pro", {}, "xhigh", {"thinkingBudget": 24576, "includeThoughts": True}),
        (
            "gemini-2.5-x",
            {"off": 0, "budget_map": {"low": 7}},
            "minimal",
            {"thinkingBudget": 7, "includeThoughts": True},
        ),
    ],
)
def test_effort_becomes_what_the_model_understands(
    model: str, rules: dict[str, Any], effort: str, config: dict[str, Any]
) -> None:
    chat, to = ask(reasoning_effort=effort), target(model, rules=rules)
    assert accepted(chat, to)["generationConfig"] == {"thinkingConfig": config}
    assert dropped(chat, to) == []


@pytest.mark.parametrize(
    ("model", "rules"),
    [("gemini-2.0-flash", {}), ("gemma-3-27b-it", {}), ("gemini-2.5-flash-image", {"no_thinking": True})],
)
def test_effort_is_reported_where_a_model_cannot_be_told(model: str, rules: dict[str, Any]) -> None:
    chat, to = ask(reasoning_effort="low"), target(model, rules=rules)
    assert "generationConfig" not in accepted(chat, to)
    assert dropped(chat, to) == ["reasoning_effort"]


def test_speech_is_asked_for_with_a_voice() -> None:
    chat = ask(modalities=["audio"], audio={"format": "pcm16", "voice": "Kore"})
    assert accepted(chat)["generationConfig"] == {
        "responseModalities": ["AUDIO"],
        "speechConfig": {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": "Kore"}}},
    }


def test_a_web_search_becomes_googles() -> None:
    assert accepted(ask(web_search_options={}))["tools"] == [{"googleSearch": {}}]


def test_a_cached_prefix_stands_for_system_text_and_tools() -> None:
    chat = asked(
        {
            "messages": [{"role": "system", "content": "A"}, {"role": "user", "content": "x"}],
            "tools": [TOOL],
            "tool_choice": "auto",
            "cached_content": "cachedContents/1",
        }
    )
    body = accepted(chat)
    assert body == {
        "contents": [{"role": "user", "parts": [{"text": "x"}]}],
        "cachedContent": "cachedContents/1",
    }


@pytest.mark.parametrize(
    ("choice", "mode"),
    [("none", "NONE"), ("auto", "AUTO"), ("required", "ANY")],
)
def test_the_choice_of_tools_is_a_mode(choice: str, mode: str) -> None:
    body = accepted(ask(tools=[TOOL], tool_choice=choice))
    assert body["toolConfig"] == {"functionCallingConfig": {"mode": mode}}
    assert "toolConfig" not in accepted(ask(tool_choice=choice))


def test_allowed_tools_are_the_only_ones_offered() -> None:
    other = {"type": "function", "function": {"name": "other"}}
    allowed = {"mode": "required", "tools": [{"type": "function", "function": {"name": "look"}}]}
    body = accepted(ask(tools=[TOOL, other], tool_choice={"type": "allowed_tools", "allowed_tools": allowed}))
    assert [one["name"] for one in body["tools"][0]["functionDeclarations"]] == ["look"]
    assert body["toolConfig"]["functionCallingConfig"]["mode"] == "ANY"


def test_strict_tools_are_held_to_their_schemas_when_the_choice_is_open() -> None:
    strict = {"type": "function", "function": {**TOOL["function"], "strict": True}}
    calling = accepted(ask(tools=[strict]))["toolConfig"]["functionCallingConfig"]
    assert calling == {"mode": "VALIDATED"}
    assert "toolConfig" not in accepted(ask(tools=[strict, TOOL]))
    assert "toolConfig" not in accepted(ask(tools=[strict]), target("gemini-2.5-flash"))


def test_old_models_get_parameters_in_the_openapi_subset() -> None:
    bare = {"type": "function", "function": {"name": "now", "description": "The time."}}
    body = accepted(ask(tools=[TOOL, bare]), target("gemini-2.0-flash"))
    look, now = body["tools"][0]["functionDeclarations"]
    assert look["parameters"]["type"] == "OBJECT"
    assert now == {"name": "now", "description": "The time."}


def test_tools_and_a_format_go_together_on_new_models() -> None:
    body = accepted(ask(tools=[TOOL], response_format=FORMAT))
    assert body["generationConfig"]["responseJsonSchema"] == SCHEMA
    assert len(body["tools"][0]["functionDeclarations"]) == 1


@pytest.mark.parametrize("choice", [None, "auto"])
def test_a_tool_stands_in_for_the_format_on_older_models(choice: str | None) -> None:
    body = accepted(ask(tools=[TOOL], response_format=FORMAT, tool_choice=choice), target("gemini-2.5-flash"))
    declared = body["tools"][0]["functionDeclarations"]
    assert [one["name"] for one in declared] == ["look", "json_response"]
    assert declared[1]["parametersJsonSchema"] == SCHEMA
    assert body["toolConfig"] == {"functionCallingConfig": {"mode": "ANY"}}
    assert "generationConfig" not in body


def test_tools_that_must_not_be_called_give_way_to_the_format() -> None:
    chat = ask(tools=[TOOL], response_format={"type": "json_object"}, tool_choice="none")
    body = accepted(chat, target("gemini-2.5-flash"))
    assert body["generationConfig"] == {"responseMimeType": "application/json"}
    assert "tools" not in body
    assert "toolConfig" not in body


def test_a_call_that_must_come_makes_the_format_pointless_on_older_models() -> None:
    chat = ask(tools=[TOOL], response_format=FORMAT, tool_choice="required")
    body = accepted(chat, target("gemini-2.5-flash"))
    assert "generationConfig" not in body
    assert len(body["tools"][0]["functionDeclarations"]) == 1
