"""What a provider cannot be told: the client hears of it, or gets an error instead when it wants none of that."""

import json
from typing import Any

import openai
import pytest

from tests.contract.stage import ASK, Stage
from tests.upstreams import fixture

TOOLS = fixture("canonical/tools.request.json")["tools"]
LOST = [
    ("anthropic", {"seed": 7, "logit_bias": {"50256": -100}}, "seed,logit_bias"),
    ("anthropic", {"presence_penalty": 0.5, "verbosity": "low"}, "presence_penalty,verbosity"),
    ("thinking-anthropic", {"temperature": 0.2}, "temperature"),
    ("gemini", {"logit_bias": {"50256": -100}}, "logit_bias"),
    ("gemini", {"parallel_tool_calls": False, "tools": TOOLS}, "parallel_tool_calls"),
    ("thinking-openai", {"temperature": 0.2, "top_p": 0.5}, "temperature,top_p"),
]


def provider_of(model: str) -> str:
    return model.removeprefix("thinking-")


@pytest.mark.parametrize(("model", "fields", "names"), LOST)
@pytest.mark.parametrize("streamed", [False, True])
async def test_what_was_lost_is_named(
    stage: Stage, model: str, fields: dict[str, Any], names: str, streamed: bool
) -> None:
    up = stage.providers[provider_of(model)]
    up.gives("chat.stream.sse" if streamed else "chat.response.json")
    async with stage.client() as client:
        raw = await client.chat.completions.with_raw_response.create(
            model=model, stream=streamed, **fields, **ASK
        )
        if streamed:
            answer: Any = raw.parse()
            async for _ in answer:
                pass
    assert set(raw.headers["x-fairlead-dropped-params"].split(",")) == set(names.split(","))
    assert not any(f'"{name}"' in up.last.body.decode() for name in names.split(","))


@pytest.mark.parametrize(("model", "fields", "names"), LOST)
async def test_who_wants_all_or_nothing_gets_an_error_that_names_the_field(
    stage: Stage, model: str, fields: dict[str, Any], names: str
) -> None:
    async with stage.client(default_headers={"x-fairlead-strict": "true"}) as client:
        with pytest.raises(openai.BadRequestError) as caught:
            await client.chat.completions.create(model=model, **fields, **ASK)
    assert caught.value.code == "unsupported_parameter"
    assert caught.value.param in names.split(",")
    assert not stage.providers[provider_of(model)].requests


async def test_all_or_nothing_looks_for_a_provider_that_can(stage: Stage) -> None:
    stage.providers["openai-too"].gives("chat.response.json")
    async with stage.client(default_headers={"x-fairlead-strict": "true"}) as client:
        raw = await client.chat.completions.with_raw_response.create(
            model="anthropic+openai", seed=7, logit_bias={"50256": -100}, **ASK
        )
    assert raw.headers["x-fairlead-target"].startswith("openai-too/")
    assert "x-fairlead-dropped-params" not in raw.headers
    assert stage.providers["openai-too"].asked["seed"] == 7


MEANING: dict[str, Any] = {"n": 2, "logprobs": True, "audio": {"voice": "alloy", "format": "wav"}}
"""What would make the answer another one if it were dropped."""


@pytest.mark.parametrize("name", MEANING)
async def test_what_changes_the_answer_is_never_dropped_but_asked_of_who_can(stage: Stage, name: str) -> None:
    stage.providers["openai-too"].gives("chat.response.json")
    fields: dict[str, Any] = {name: MEANING[name]}
    async with stage.client() as client:
        with pytest.raises(openai.BadRequestError) as caught:
            await client.chat.completions.create(model="anthropic", **fields, **ASK)
        await client.chat.completions.create(model="anthropic+openai", **fields, **ASK)
    assert (caught.value.code, caught.value.param) == ("unsupported_parameter", name)
    assert stage.providers["openai-too"].asked[name] == MEANING[name]
    assert not stage.providers["anthropic"].requests


@pytest.mark.parametrize("model", ["openai", "anthropic", "gemini"])
async def test_nothing_is_named_where_nothing_was_lost(stage: Stage, model: str) -> None:
    stage.providers[model].gives("chat.response.json")
    bookkeeping: dict[str, Any] = {
        "user": "u-1",
        "metadata": {"a": "b"},
        "store": False,
        "service_tier": "auto",
        "prompt_cache_key": "k",
    }
    async with stage.client(default_headers={"x-fairlead-strict": "true"}) as client:
        raw = await client.chat.completions.with_raw_response.create(
            model=model, temperature=0.5, max_completion_tokens=9, stop=["x"], **bookkeeping, **ASK
        )
    assert "x-fairlead-dropped-params" not in raw.headers


async def test_unknown_fields_reach_a_provider_of_the_same_dialect_byte_for_byte(stage: Stage) -> None:
    stage.providers["openai"].gives("chat.response.json")
    odd = b'{"a" :  1.10e+2, "\\u00e9": [1,  {"b":null }], "big": 123456789012345678901234567890, "f": 1.0}'
    messages = b'[ {"role":"user", "content":"Hi \\u00e9\\ud83d\\udea2", "x-unknown" : 1.50} ]'
    body = b'{"brand_new": %b, "model":"openai", "messages": %b , "seed": 7 }' % (odd, messages)
    await stage.post(body)
    sent = stage.providers["openai"].last.body
    assert odd in sent
    assert messages in sent
    assert set(json.loads(sent)) == {"brand_new", "model", "messages", "seed"}
    assert json.loads(sent)["model"] == "gpt-4.1-mini"
