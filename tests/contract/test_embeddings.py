"""Embeddings with OpenAI's client, which asks for base64 by itself and decodes it."""

import base64
import json
import struct

import openai
import pytest

from tests.contract.stage import Stage

VECTORS = {"openai": [[0.1, -0.2, 0.3]], "gemini": [[0.25, -0.5, 1.0], [0.0, 0.125, 2.0]]}


def packed(vector: list[float]) -> str:
    """A vector as OpenAI sends it."""
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


async def test_the_clients_own_default_is_decoded_right(stage: Stage) -> None:
    stage.providers["openai"].gives("embeddings.base64.response.json")
    stage.providers["gemini"].gives_body({"embeddings": [{"values": one} for one in VECTORS["gemini"]]})
    async with stage.client() as client:
        for dialect, vectors in VECTORS.items():
            got = await client.embeddings.create(
                model=f"embedding-{dialect}", input=["hello", "world"][: len(vectors)]
            )
            assert [row.embedding for row in got.data] == [pytest.approx(vector) for vector in vectors]
            assert got.usage.prompt_tokens == got.usage.total_tokens > 0
            said = json.loads(stage.last.said) if stage.last else None
            assert said is None or said["data"][0]["embedding"] == packed(vectors[0])
    assert stage.providers["openai"].asked["encoding_format"] == "base64"


async def test_plain_numbers_may_be_asked_for(stage: Stage) -> None:
    stage.providers["openai"].gives("embeddings.response.json")
    stage.providers["gemini"].gives_body({"embeddings": [{"values": one} for one in VECTORS["gemini"]]})
    answers = []
    for dialect in VECTORS:
        async with stage.client() as client:
            got = await client.embeddings.create(
                model=f"embedding-{dialect}", input=["hello", "world"], encoding_format="float"
            )
        answers.append([row.embedding for row in got.data])
        assert stage.last is not None
        assert isinstance(json.loads(stage.last.said)["data"][1]["embedding"][0], float)
        assert float(stage.last.headers["x-fairlead-cost-usd"]) > 0
    assert answers == [[[0.1, -0.2, 0.3], [0.0, 0.5, -0.5]], VECTORS["gemini"]]


async def test_a_provider_that_ignores_base64_is_understood_all_the_same(stage: Stage) -> None:
    stage.providers["openai"].gives("embeddings.response.json")
    async with stage.client() as client:
        got = await client.embeddings.create(model="embedding-openai", input=["hello", "world"])
    assert [row.embedding for row in got.data] == [[0.1, -0.2, 0.3], [0.0, 0.5, -0.5]]


async def test_the_wanted_length_reaches_the_provider(stage: Stage) -> None:
    stage.providers["openai"].gives("embeddings.base64.response.json")
    stage.providers["gemini"].gives_body({"embeddings": [{"values": [0.5, 0.5]}]})
    async with stage.client() as client:
        for dialect in VECTORS:
            await client.embeddings.create(model=f"embedding-{dialect}", input="hello", dimensions=2)
    assert stage.providers["openai"].asked["dimensions"] == 2
    assert stage.providers["gemini"].asked["requests"][0]["outputDimensionality"] == 2


async def test_token_ids_go_to_who_takes_them_and_are_refused_by_name_elsewhere(stage: Stage) -> None:
    stage.providers["openai"].gives("embeddings.base64.response.json")
    async with stage.client() as client:
        await client.embeddings.create(model="embedding-openai", input=[1, 2, 3])
        with pytest.raises(openai.BadRequestError) as caught:
            await client.embeddings.create(model="embedding-gemini", input=[1, 2, 3])
    assert stage.providers["openai"].asked["input"] == [1, 2, 3]
    assert (caught.value.code, caught.value.param) == ("unsupported_parameter", "input")


async def test_a_chat_model_embeds_nothing_and_the_reverse(stage: Stage) -> None:
    async with stage.client() as client:
        with pytest.raises(openai.NotFoundError):
            await client.embeddings.create(model="openai", input="hello")
        with pytest.raises(openai.NotFoundError):
            await client.chat.completions.create(
                model="embedding-openai", messages=[{"role": "user", "content": "Hi"}]
            )
    assert not stage.providers["openai"].requests
