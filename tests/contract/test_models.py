"""The list of models, with OpenAI's client."""

import time

import openai
import pytest

from tests.contract.stage import NARROW_KEY, Stage


async def test_every_model_can_be_listed_and_looked_at(stage: Stage) -> None:
    async with stage.client() as client:
        names = [model.id async for model in client.models.list()]
        one = await client.models.retrieve("openai+anthropic")
    assert {"openai", "thinking-gemini", "openai+anthropic", "embedding-gemini"} <= set(names)
    assert (one.id, one.object, one.owned_by) == ("openai+anthropic", "model", "fairlead")


async def test_a_model_says_since_when_it_is_there(stage: Stage) -> None:
    async with stage.client() as client:
        model = await client.models.retrieve("openai")
    assert 1_700_000_000 < model.created <= time.time()


async def test_a_key_sees_only_what_it_may_use(stage: Stage) -> None:
    async with stage.client(api_key=NARROW_KEY) as client:
        assert [model.id async for model in client.models.list()] == ["openai"]
        with pytest.raises(openai.NotFoundError) as hidden:
            await client.models.retrieve("gemini")
        with pytest.raises(openai.NotFoundError) as unknown:
            await client.models.retrieve("nothing")
    assert hidden.value.code == unknown.value.code == "model_not_found"
    assert str(hidden.value).replace("gemini", "nothing") == str(unknown.value)


async def test_a_model_that_can_be_called_can_be_retrieved(stage: Stage) -> None:
    stage.providers["openai"].gives("chat.response.json")
    async with stage.client() as client:
        await client.chat.completions.create(
            model="openai/gpt-4.1", messages=[{"role": "user", "content": "Hi"}]
        )
        assert (await client.models.retrieve("openai/gpt-4.1")).id == "openai/gpt-4.1"
