"""Embeddings through Gemini."""

import base64
import json
import struct
from typing import Any

import pytest
from google.genai import types
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw
from msgspec.json import encode
from openai.types import CreateEmbeddingResponse
from pydantic import TypeAdapter

from providers.chat import gemini
from providers.errors import ErrorKind, ProviderError
from providers.types import Completion, EmbeddingRequest, HttpResponse
from tests.providers.chat.gemini_cases import target
from tests.wire import check

MODEL = target("gemini-embedding-001")


def request(**body: Any) -> EmbeddingRequest:
    return EmbeddingRequest(model="e", body={name: Raw(encode(value)) for name, value in body.items()})


def answered(asked: EmbeddingRequest, answer: Any) -> Completion:
    raw = HttpResponse(status=200, headers={}, body=json.dumps(answer).encode())
    return gemini.embedding_response(asked, MODEL, raw)


def vectors(*found: list[float], **more: Any) -> dict[str, Any]:
    return {"embeddings": [{"values": values} for values in found], **more}


def test_texts_are_sent_as_one_batch() -> None:
    call = gemini.embedding_request(request(input=["a", "b"], dimensions=256, user="u", extra=1), MODEL)
    url = "https://generativelanguage.googleapis.com/v1beta/models/gemini-embedding-001:batchEmbedContents"
    assert call.url == url
    requests = json.loads(call.body)["requests"]
    assert requests[1] == {
        "model": "models/gemini-embedding-001",
        "content": {"parts": [{"text": "b"}]},
        "outputDimensionality": 256,
    }
    TypeAdapter(types.Content).validate_python(requests[0]["content"])
    assert list(call.dropped) == ["extra"]


def test_one_text_is_a_batch_of_one() -> None:
    call = gemini.embedding_request(request(input="a"), MODEL)
    assert json.loads(call.body) == {
        "requests": [{"model": "models/gemini-embedding-001", "content": {"parts": [{"text": "a"}]}}]
    }


@pytest.mark.parametrize(
    ("body", "kind", "param"),
    [
        ({"input": [1, 2]}, ErrorKind.UNSUPPORTED, "input"),
        ({"input": [[1, 2]]}, ErrorKind.UNSUPPORTED, "input"),
        ({"input": ["a"] * 101}, ErrorKind.UNSUPPORTED, "input"),
        ({"input": []}, ErrorKind.INVALID_REQUEST, "input"),
        ({}, ErrorKind.INVALID_REQUEST, "input"),
        ({"input": "a", "dimensions": 0}, ErrorKind.INVALID_REQUEST, "dimensions"),
    ],
)
def test_other_inputs_are_refused(body: dict[str, Any], kind: ErrorKind, param: str) -> None:
    with pytest.raises(ProviderError) as caught:
        gemini.embedding_request(request(**body), MODEL)
    assert (caught.value.kind, caught.value.param) == (kind, param)


def test_the_answer_is_openais_list() -> None:
    done = answered(request(input=["a", "b"]), vectors([1.0], [0.5], usageMetadata={"promptTokenCount": 7}))
    body = json.loads(done.body)
    check(CreateEmbeddingResponse, body)
    assert [(one["index"], one["embedding"]) for one in body["data"]] == [(0, [1.0]), (1, [0.5])]
    assert body["usage"] == {"prompt_tokens": 7, "total_tokens": 7}
    assert done.usage is not None
    assert done.usage.input == 7


def test_usage_is_estimated_when_the_provider_gives_none() -> None:
    done = answered(request(input=["12345", "1"]), vectors([1.0], [0.5]))
    assert json.loads(done.body)["usage"]["prompt_tokens"] == 3


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1))
def test_base64_holds_the_same_numbers(values: list[float]) -> None:
    done = answered(request(input="a", encoding_format="base64"), vectors(values))
    packed = base64.b64decode(json.loads(done.body)["data"][0]["embedding"])
    assert list(struct.unpack(f"<{len(values)}f", packed)) == values


@pytest.mark.parametrize(
    "answer", [{}, vectors([1.0], [2.0]), vectors([]), {"embeddings": [{"values": "x"}]}]
)
def test_an_answer_that_does_not_fit_the_texts_is_a_protocol_error(answer: Any) -> None:
    with pytest.raises(ProviderError) as caught:
        answered(request(input="a"), answer)
    assert caught.value.kind is ErrorKind.PROTOCOL
