"""What a moderations endpoint is asked, and what its answers mean."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types import ModerationCreateResponse

from providers.errors import ErrorKind, ProviderError
from providers.moderations import moderation_request, moderation_response
from providers.types import HttpResponse, Secret, Target

TARGET = Target(
    provider="guard", dialect="openai", base_url="https://guard.example/v1", model="omni-moderation-latest",
    credential=Secret("sk-guard"), headers={"x-team": "film"},
)  # fmt: skip
NAMES = [
    "harassment", "harassment/threatening", "hate", "hate/threatening", "illicit", "illicit/violent", "self-harm",
    "self-harm/instructions", "self-harm/intent", "sexual", "sexual/minors", "violence", "violence/graphic",
]  # fmt: skip


def verdict(*flagged: str, said: bool | None = None) -> dict[str, Any]:
    """An answer as OpenAI gives it; the official client's own class agrees."""
    result = {
        "flagged": bool(flagged) if said is None else said,
        "categories": {name: name in flagged for name in NAMES},
        "category_scores": dict.fromkeys(NAMES, 0.0001),
        "category_applied_input_types": {name: ["text"] for name in NAMES},
    }
    body = {"id": "modr-1", "model": "omni-moderation-latest", "results": [result]}
    ModerationCreateResponse.model_validate(body)
    return body


def read(body: Any, status: int = 200) -> tuple[bool, Any]:
    return moderation_response(HttpResponse(status=status, headers={}, body=msgspec.json.encode(body)))


def test_the_question_is_openais() -> None:
    asked = moderation_request("A red kite", TARGET)
    assert (asked.method, asked.url) == ("POST", "https://guard.example/v1/moderations")
    assert asked.headers["authorization"] == "Bearer sk-guard"
    assert asked.headers["x-team"] == "film"
    assert json.loads(asked.body) == {"model": "omni-moderation-latest", "input": "A red kite"}


def test_what_is_flagged_is_named() -> None:
    assert read(verdict()) == (False, [])
    assert read(verdict("violence", "hate/threatening")) == (True, ["hate/threatening", "violence"])


def test_a_flag_without_a_category_counts_and_a_category_without_a_flag_does_not() -> None:
    assert read(verdict(said=True)) == (True, [])
    assert read(verdict("violence", said=False))[0] is False


@pytest.mark.parametrize("status", [401, 429, 500])
def test_an_error_is_no_verdict(status: int) -> None:
    with pytest.raises(ProviderError):
        read({"error": {"message": "no", "type": "x", "param": None, "code": None}}, status)


@given(
    st.one_of(
        st.binary(max_size=40), st.sampled_from([b'{"results": []}', b'{"results": [{}]}', b"[]", b"{}"])
    )
)
def test_whatever_else_comes_is_no_verdict(body: bytes) -> None:
    with pytest.raises(ProviderError) as caught:
        moderation_response(HttpResponse(status=200, headers={}, body=body))
    assert caught.value.kind is ErrorKind.PROTOCOL
