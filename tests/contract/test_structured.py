"""Answers in a form the program chose, with OpenAI's `parse` and a pydantic model."""

import json

import openai
import pytest
from pydantic import BaseModel

from tests.contract.stage import ASK, Stage
from tests.transport.faulty import send
from tests.upstreams import DIALECTS, events, streamed

every_dialect = pytest.mark.parametrize("dialect", DIALECTS)


class Person(BaseModel):
    name: str
    age: int


ADA = Person(name="Ada Lovelace", age=36)


@every_dialect
async def test_an_answer_is_parsed_into_the_model(stage: Stage, dialect: str) -> None:
    stage.providers[dialect].gives("json_schema.response.json")
    async with stage.client() as client:
        got = await client.chat.completions.parse(model=dialect, response_format=Person, **ASK)
    assert got.choices[0].message.parsed == ADA
    asked = stage.providers[dialect].asked
    schema = {
        "openai": lambda: asked["response_format"]["json_schema"]["schema"],
        "anthropic": lambda: asked["output_config"]["format"]["schema"],
        "gemini": lambda: asked["generationConfig"]["responseJsonSchema"],
    }[dialect]()
    assert set(schema["properties"]) == {"name", "age"}
    assert schema["required"] == ["name", "age"]


@every_dialect
async def test_a_streamed_answer_is_parsed_at_its_end(stage: Stage, dialect: str) -> None:
    raw = b"".join(events(f"{dialect}/chat.stream.sse"))
    for word, said in ((b'"Salut"', '{"name":"Ada Lovelace",'), (b'" !"', '"age":36}')):
        raw = raw.replace(word, json.dumps(said).encode())
    stage.providers[dialect].next(send(streamed(raw)))
    async with stage.client() as client:
        asking = client.chat.completions.stream(model=dialect, response_format=Person, **ASK)
        async with asking as stream:
            final = await stream.get_final_completion()
    assert final.choices[0].message.parsed == ADA


@pytest.mark.parametrize(
    ("dialect", "name", "raised"),
    [
        ("openai", "length", openai.LengthFinishReasonError),
        ("anthropic", "max_tokens", openai.LengthFinishReasonError),
        ("gemini", "max_tokens_no_parts", openai.LengthFinishReasonError),
        ("openai", "content_filter", openai.ContentFilterFinishReasonError),
        ("anthropic", "refusal", openai.ContentFilterFinishReasonError),
        ("gemini", "safety", openai.ContentFilterFinishReasonError),
    ],
)
async def test_half_an_answer_is_not_parsed(
    stage: Stage, dialect: str, name: str, raised: type[openai.OpenAIError]
) -> None:
    stage.providers[dialect].gives(f"{name}.response.json")
    async with stage.client() as client:
        with pytest.raises(raised):
            await client.chat.completions.parse(model=dialect, response_format=Person, **ASK)


async def test_a_refusal_is_no_model(stage: Stage) -> None:
    stage.providers["openai"].gives("refusal.response.json")
    async with stage.client() as client:
        got = await client.chat.completions.parse(model="openai", response_format=Person, **ASK)
    assert got.choices[0].message.parsed is None
    assert got.choices[0].message.refusal == "I can't help with that."


@every_dialect
async def test_any_json_object_may_be_asked_for(stage: Stage, dialect: str) -> None:
    stage.providers[dialect].gives("json_schema.response.json")
    async with stage.client() as client:
        got = await client.chat.completions.create(
            model=dialect, response_format={"type": "json_object"}, **ASK
        )
    assert json.loads(got.choices[0].message.content or "") == ADA.model_dump()
    assert b"json" in stage.providers[dialect].last.body.lower()
