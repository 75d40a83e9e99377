"""What error answers of every provider are taken for, and what of them may be shown."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.chat import openai
from providers.errors import ErrorKind, ProviderError
from providers.reading import public_text, read_error
from providers.types import HttpResponse

FIXTURES = Path(__file__).parents[1] / "fixtures" / "chat"
ERRORS = sorted(FIXTURES.glob("*/error*.json"))

KINDS = {
    "auth": ErrorKind.AUTHENTICATION,
    "model_not_found": ErrorKind.NOT_FOUND,
    "content_filter": ErrorKind.CONTENT_POLICY,
    "rate_limit": ErrorKind.RATE_LIMITED,
    "server_error": ErrorKind.UNAVAILABLE,
    "request_too_large": ErrorKind.UNSUPPORTED,
    "model_output_invalid": ErrorKind.PROTOCOL,
}
"""The fixtures' names for a kind where ours differ."""

NAMES = st.sampled_from(
    [
        *("error", "message", "code", "type", "param", "detail", "details", "errors", "base_resp"),
        *(
            "status_code",
            "fault",
            "innererror",
            "metadata",
            "reasons",
            "violations",
            "quotaId",
            "reason",
            "loc",
            "status",
        ),
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=12,
)


def response(body: bytes, status: int = 400, **headers: str) -> HttpResponse:
    return HttpResponse(status=status, headers=headers, body=body)


def recorded(path: Path) -> tuple[HttpResponse, dict[str, Any]]:
    found = json.loads(path.read_text())
    body = found["body_text"] if "body_text" in found else json.dumps(found["body"])
    answer = HttpResponse(status=found["status"], headers=found["headers"], body=body.encode())
    return answer, found.get("expect", {})


@pytest.mark.parametrize("path", ERRORS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_recorded_errors_are_understood(path: Path) -> None:
    answer, expected = recorded(path)
    error = openai.error(answer)
    assert error.kind == KINDS.get(expected["kind"], expected["kind"])
    assert error.status is not None
    assert error.message
    if "retry_after_s" in expected:
        assert error.retry_after == pytest.approx(expected["retry_after_s"])


def test_a_dialects_own_codes_win() -> None:
    body = b'{"error":{"code":"1302","message":"m"}}'
    assert read_error(response(body)).kind is ErrorKind.INVALID_REQUEST
    assert read_error(response(body), {"1302": ErrorKind.RATE_LIMITED}).kind is ErrorKind.RATE_LIMITED


def test_words_do_not_overrule_a_code() -> None:
    body = b'{"error":{"type":"server_error","code":"boom","message":"you said: prompt is too long, 429, billing"}}'
    assert read_error(response(body, 500)).kind is ErrorKind.UNAVAILABLE
    assert read_error(response(b'{"message":"prompt is too long"}', 500)).kind is ErrorKind.CONTEXT_LENGTH


def test_an_amazon_code_comes_in_a_header() -> None:
    answer = response(b'{"message":"m"}', 424, **{"x-amzn-errortype": "ModelErrorException:http://x/"})
    error = read_error(answer, {"modelerrorexception": ErrorKind.UNAVAILABLE})
    assert (error.kind, error.code) == (ErrorKind.UNAVAILABLE, "ModelErrorException")


def test_an_error_in_a_success_takes_the_status_of_its_code() -> None:
    error = read_error(response(b'{"error":{"code":429,"message":"slow"}}', 200))
    assert (error.kind, error.status, error.code) == (ErrorKind.RATE_LIMITED, 429, None)


def test_the_field_at_fault_is_named() -> None:
    body = b'{"detail":[{"loc":["body","messages",0,"role"],"msg":"wrong"}]}'
    error = read_error(response(body, 422))
    assert (error.param, error.message) == ("messages.0.role", "wrong")


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"null", b"[]", b"{}", b"<html><b>Oops</b></html>", b"\xff\xfe", b"[" * 9999),
        '{"error": {"message": "überlastet"}}'.encode("latin-1"),
    ],
)
def test_an_unreadable_body_still_makes_a_sentence(body: bytes) -> None:
    error = read_error(response(body, 502))
    assert error.kind is ErrorKind.UNAVAILABLE
    assert "<" not in error.message


@pytest.mark.parametrize(
    "secret",
    [
        "sk-proj-abcDEF123456",
        "Bearer abc.def-ghi",
        "org-9kXmQ2",
        "AIzaSyA1234567",
        "gsk_abc123",
        "xa***",
        "sk-***1234",
        "0123456789abcdef0123456789abcdef",
        "hf_AbCdEf",
    ],
)
def test_keys_and_organisations_are_cut_out(secret: str) -> None:
    shown = public_text(f"Incorrect key provided: {secret}. See the docs.")
    assert secret not in shown
    assert shown.startswith("Incorrect key provided: ***")


def test_ordinary_words_stay() -> None:
    text = "Unsupported parameter: 'max_tokens' is not supported. Use 'max_completion_tokens' (task-based)."
    assert public_text(text) == text


@given(JSON, st.sampled_from([200, 400, 403, 429, 500]))
def test_no_body_whatever_breaks_the_reader(body: Any, status: int) -> None:
    error = read_error(response(json.dumps(body).encode(), status))
    assert isinstance(error, ProviderError)
    assert error.message
    assert error.code is None or isinstance(error.code, str)
