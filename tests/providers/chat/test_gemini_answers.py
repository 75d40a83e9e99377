"""What an OpenAI client reads of Gemini's whole answers and errors."""

import json
from typing import Any

import pytest
from google.genai import types
from openai.types.chat import ChatCompletion
from pydantic import TypeAdapter

from providers.chat import gemini
from providers.errors import ErrorKind, ProviderError
from providers.types import ChatRequest, Completion, HttpResponse, Target
from tests.providers.chat.gemini_cases import ALLOWED, FIXTURES, SIGNATURE, ask, load, target
from tests.providers.chat.talking import numbers
from tests.wire import check

KINDS = {
    "auth": ErrorKind.AUTHENTICATION,
    "model_not_found": ErrorKind.NOT_FOUND,
    "rate_limit": ErrorKind.RATE_LIMITED,
    "server_error": ErrorKind.UNAVAILABLE,
}
"""The fixtures' words for kinds that are called otherwise here."""


def answered(answer: Any, chat: ChatRequest | None = None, to: Target | None = None) -> Completion:
    """The completion for an answer, both checked against the SDKs' types."""
    TypeAdapter(types.GenerateContentResponse).validate_python(answer)
    done = completed(answer, chat, to)
    check(ChatCompletion, json.loads(done.body), allow=ALLOWED)
    return done


def completed(answer: Any, chat: ChatRequest | None = None, to: Target | None = None) -> Completion:
    raw = HttpResponse(status=200, headers={}, body=json.dumps(answer).encode())
    return gemini.chat_response(chat or ask(), to or target(), raw)


def choice(answer: Any, **more: Any) -> Any:
    return json.loads(answered(answer, **more).body)["choices"][0]


def candidate(*parts: Any, finish: str | None = "STOP", **more: Any) -> dict[str, Any]:
    """An answer of one candidate."""
    return {
        "candidates": [{"content": {"parts": list(parts)}, "finishReason": finish, **more}],
        "responseId": "R",
    }


@pytest.mark.parametrize("scenario", ["chat", "tools", "prompt_blocked"])
def test_the_client_reads_what_it_expects(scenario: str) -> None:
    done = answered(load(f"{scenario}.response.json"))
    body, wanted = json.loads(done.body), load(f"{scenario}.expected.json")
    body["usage"], wanted["usage"] = numbers(body["usage"]), numbers(wanted["usage"])
    assert body == wanted
    assert (done.id, done.model) == (wanted["id"], "gemini-3.8-flash")
    assert done.finish_reason == wanted["choices"][0]["finish_reason"]


@pytest.mark.parametrize(
    ("scenario", "content", "finish"),
    [
        ("json_schema", '{"name":"Ada Lovelace","age":36}', "stop"),
        ("max_tokens_no_parts", None, "length"),
        ("safety", None, "content_filter"),
    ],
)
def test_answers_with_little_or_no_text_are_answers(scenario: str, content: str | None, finish: str) -> None:
    found = choice(load(f"{scenario}.response.json"))
    assert (found["message"]["content"], found["finish_reason"]) == (content, finish)
    assert found["message"]["refusal"] is None


def test_thoughts_count_as_output_and_tool_use_as_input() -> None:
    answer = candidate({"text": "a"})
    answer["usageMetadata"] = {
        "promptTokenCount": 10,
        "toolUsePromptTokenCount": 5,
        "cachedContentTokenCount": 4,
        "candidatesTokenCount": 3,
        "thoughtsTokenCount": 2,
        "totalTokenCount": 20,
    }
    used = answered(answer).usage
    assert used is not None
    assert (used.input, used.output, used.cached, used.reasoning) == (15, 5, 4, 2)
    assert answered(candidate({"text": "a"})).usage is None


def test_calls_without_an_id_get_the_same_one_every_time() -> None:
    answer = load("tools_noid.response.json")
    assert answered(answer).body == answered(answer).body
    (call,) = choice(answer)["message"]["tool_calls"]
    assert call["id"] == "call_gFIX01_0"
    twice = candidate({"functionCall": {"name": "a"}}, {"functionCall": {"name": "a", "args": {}}})
    calls = choice(twice)["message"]["tool_calls"]
    assert [one["id"] for one in calls] == ["call_R_0", "call_R_1"]
    assert [one["function"]["arguments"] for one in calls] == ["{}", "{}"]


def test_thoughts_are_reasoning_and_a_texts_signature_is_kept() -> None:
    answer = candidate({"text": "hm", "thought": True}, {"text": "391", "thoughtSignature": SIGNATURE})
    message = choice(answer)["message"]
    assert (message["content"], message["reasoning_content"]) == ("391", "hm")
    assert message["reasoning_details"] == [
        {"type": "reasoning.encrypted", "index": 0, "format": "google-gemini-v1", "data": SIGNATURE}
    ]


@pytest.mark.parametrize("reason", ["MALFORMED_FUNCTION_CALL", "OTHER", "NO_IMAGE", "NEWLY_INVENTED", None])
def test_an_answer_that_failed_is_an_error_unless_there_is_text(reason: str | None) -> None:
    with pytest.raises(ProviderError) as caught:
        completed(candidate({"text": "hm", "thought": True}, finish=reason))
    assert (caught.value.kind, caught.value.code) == (ErrorKind.PROTOCOL, reason)
    assert completed(candidate({"text": "so"}, finish=reason)).finish_reason == "stop"


def test_a_malformed_call_is_an_error() -> None:
    with pytest.raises(ProviderError) as caught:
        answered(load("malformed_function_call.response.json"))
    assert caught.value.kind is ErrorKind.PROTOCOL


def test_several_candidates_are_several_choices() -> None:
    one, two = (
        candidate({"text": "a"})["candidates"] + candidate({"functionCall": {"name": "f"}})["candidates"]
    )
    body = json.loads(answered({"candidates": [one, two | {"index": 1}]}).body)
    assert [(one["index"], one["finish_reason"]) for one in body["choices"]] == [
        (0, "stop"),
        (1, "tool_calls"),
    ]


def test_log_probabilities_are_openais() -> None:
    result = {
        "chosenCandidates": [{"token": "é", "logProbability": -0.5, "tokenId": 7}],
        "topCandidates": [{"candidates": [{"token": "e", "logProbability": -1}]}],
    }
    found = choice(candidate({"text": "é"}, logprobsResult=result))["logprobs"]
    assert found == {
        "content": [
            {
                "token": "é",
                "logprob": -0.5,
                "bytes": [195, 169],
                "top_logprobs": [{"token": "e", "logprob": -1.0, "bytes": [101]}],
            }
        ],
        "refusal": None,
    }


def test_sources_of_a_web_search_are_annotations_in_characters() -> None:
    grounding = {
        "groundingChunks": [{"web": {"uri": "https://a.example", "title": "A"}}, {}],
        "groundingSupports": [
            {"segment": {"startIndex": 3, "endIndex": 6}, "groundingChunkIndices": [0, 1, 9]}
        ],
    }
    (found,) = choice(candidate({"text": "é abc"}, groundingMetadata=grounding))["message"]["annotations"]
    citation = {"start_index": 2, "end_index": 5, "title": "A", "url": "https://a.example"}
    assert found == {"type": "url_citation", "url_citation": citation}


def test_pictures_and_sound_are_shown() -> None:
    picture = {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}
    sound = {"inlineData": {"mimeType": "audio/L16;rate=24000", "data": "BBBB"}}
    message = choice(candidate({"text": "see"}, picture, sound))["message"]
    assert message["content"] == "see"
    assert message["images"] == [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]
    assert message["audio"]["data"] == "BBBB"


def test_the_stand_in_tool_becomes_the_content() -> None:
    tool = {"type": "function", "function": {"name": "look"}}
    chat = ask(tools=[tool], response_format={"type": "json_object"})
    answer = candidate({"functionCall": {"name": "json_response", "args": {"a": 1}}})
    found = choice(answer, chat=chat, to=target("gemini-2.5-flash"))
    assert (found["message"]["content"], found["finish_reason"]) == ('{"a":1}', "stop")
    assert "tool_calls" not in found["message"]


@pytest.mark.parametrize("scenario", sorted(path.name for path in FIXTURES.glob("error.*.json")))
def test_errors_mean_what_they_should(scenario: str) -> None:
    given = load(scenario)
    raw = HttpResponse(
        status=given["status"], headers=given["headers"], body=json.dumps(given["body"]).encode()
    )
    error = gemini.error(raw)
    wanted = given["expect"]
    assert error.kind == KINDS.get(wanted["kind"], wanted["kind"])
    assert error.retry_after == wanted.get("retry_after_s")
    assert error.status == given["status"]


def failure(status: str, message: str, code: int = 400) -> dict[str, Any]:
    return {"error": {"code": code, "status": status, "message": message}}


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (failure("INVALID_ARGUMENT", "Invalid value at 'x'."), ErrorKind.INVALID_REQUEST),
        (failure("INVALID_ARGUMENT", "Penalty is not enabled for this model"), ErrorKind.UNSUPPORTED),
        (
            failure("FAILED_PRECONDITION", "User location is not supported for the API use."),
            ErrorKind.UNSUPPORTED,
        ),
        (failure("FAILED_PRECONDITION", "Enable billing on your project."), ErrorKind.QUOTA),
        (failure("UNAUTHENTICATED", "No.", 401), ErrorKind.AUTHENTICATION),
    ],
)
def test_an_error_may_come_in_a_200_and_in_a_list(body: dict[str, Any], kind: ErrorKind) -> None:
    for shape in (body, [body]):
        raw = HttpResponse(status=200, headers={}, body=json.dumps(shape).encode())
        with pytest.raises(ProviderError) as caught:
            gemini.chat_response(ask(), target(), raw)
        assert caught.value.kind is kind
        code = body["error"]["code"]
        assert gemini.error(HttpResponse(status=code, headers={}, body=raw.body)).kind is kind


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"{}", b"null", b'{"candidates": [3]}', b"[{}]", b'{"candidates": []}']
)
def test_what_is_no_answer_is_a_protocol_error(body: bytes) -> None:
    with pytest.raises(ProviderError) as caught:
        gemini.chat_response(ask(), target(), HttpResponse(status=200, headers={}, body=body))
    assert caught.value.kind is ErrorKind.PROTOCOL
