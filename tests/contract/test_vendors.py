"""Vendors that speak OpenAI's dialect with an accent: OpenAI's client understands every one of their streams."""

import json
import re
from typing import Any

import openai
import pytest

from tests.contract.stage import ASK, VENDORS, Stage
from tests.upstreams import FIXTURES

BROKEN = ["groq/stream_error.sse", "openrouter/stream_error.sse", "sglang/abort.stream.sse"]
STREAMS = sorted(
    name
    for path in FIXTURES.glob("*/*.stream*.sse")
    if (name := f"{path.parent.name}/{path.name}") not in BROKEN
    and not name.startswith(("anthropic/", "gemini/"))
)
WHOLE = [
    "azure/chat.response.json",
    "minimax/chat.response.json",
    "mistral/chat.response.json",
    "mistral/tools.response.json",
]


def model_of(name: str) -> str:
    vendor = name.partition("/")[0]
    return f"{vendor}/any" if vendor in VENDORS else "openai"


VENDORS_OWN = frozenset(
    name
    for path in FIXTURES.glob("*/*")
    if path.is_file()
    for name in re.findall(r'"([A-Za-z_]+)"\s*:', path.read_text())
)
"""Every key that any vendor uses, OpenAI's or not: what they add passes through."""


@pytest.mark.parametrize("include_usage", [False, True], ids=["", "usage"])
@pytest.mark.parametrize("name", STREAMS)
async def test_a_vendors_stream_is_openais(stage: Stage, name: str, include_usage: bool) -> None:
    stage.providers["openai"].gives(name)
    options: Any = {"stream_options": {"include_usage": True}} if include_usage else {}
    async with stage.client(VENDORS_OWN) as client:
        try:
            async with client.chat.completions.stream(model=model_of(name), **options, **ASK) as stream:
                final = await stream.get_final_completion()
        except openai.ContentFilterFinishReasonError as refused:
            final = refused.completion  # type: ignore[assignment]
    choice = final.choices[0]
    assert choice.message.content or choice.message.tool_calls or choice.message.refusal
    assert (choice.finish_reason == "tool_calls") == ("tools." in name)
    assert not include_usage or final.usage is None or final.usage.total_tokens > 0
    if "reasoning" in name:
        assert getattr(choice.message, "reasoning_content", "")
    for call in choice.message.tool_calls or ():
        assert re.fullmatch(r"get_weather|get_time", call.function.name)
        assert isinstance(json.loads(call.function.arguments), dict)


@pytest.mark.parametrize("name", WHOLE)
async def test_a_vendors_answer_is_openais(stage: Stage, name: str) -> None:
    stage.providers["openai"].gives(name)
    async with stage.client(VENDORS_OWN) as client:
        got = await client.chat.completions.create(model=model_of(name), **ASK)
    message = got.choices[0].message
    assert message.content or message.tool_calls
    assert (got.choices[0].finish_reason == "tool_calls") == bool(message.tool_calls)


@pytest.mark.parametrize("name", BROKEN)
async def test_a_vendors_broken_stream_is_an_error(stage: Stage, name: str) -> None:
    stage.providers["openai"].gives(name, name)  # where nothing was said yet, it is asked once more
    async with stage.client(VENDORS_OWN) as client:
        with pytest.raises(openai.APIError):
            async for _ in await client.chat.completions.create(model=model_of(name), stream=True, **ASK):
                pass


@pytest.mark.parametrize("name", ["openrouter/error_in_200.json", "minimax/error_in_200.json"])
async def test_an_error_inside_a_success_is_an_error(stage: Stage, name: str) -> None:
    stage.providers["openai"].gives(name, name)
    async with stage.client() as client:
        with pytest.raises(openai.APIStatusError):
            await client.chat.completions.create(model=model_of(name), **ASK)
