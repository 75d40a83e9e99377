"""Models that reason: the reasoning is shown, counted, and given back unharmed in the next turn."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from tests.contract.stage import ASK, Stage
from tests.upstreams import DIALECTS

every_dialect = pytest.mark.parametrize("dialect", DIALECTS)
STREAMS = {
    "openai": "xai/reasoning.stream.sse",
    "anthropic": "reasoning.stream.sse",
    "gemini": "reasoning.stream.sse",
}
REASONED = {"openai": 196, "anthropic": 30, "gemini": 40}
VENDOR = ("num_sources_used", "cost_in_usd_ticks")


async def reason(stage: Stage, dialect: str) -> Any:
    """A completion whose model reasoned first."""
    stage.providers[dialect].gives(STREAMS[dialect])
    async with stage.client(VENDOR) as client:
        asking = client.chat.completions.stream(
            model=f"thinking-{dialect}",
            reasoning_effort="medium",
            stream_options={"include_usage": True},
            **ASK,
        )
        async with asking as stream:
            return await stream.get_final_completion()


@every_dialect
async def test_reasoning_is_shown_and_counted(stage: Stage, dialect: str) -> None:
    final = await reason(stage, dialect)
    message = final.choices[0].message
    assert message.content == "391"
    assert message.reasoning_content.startswith("17*20=340")
    assert final.usage.completion_tokens_details.reasoning_tokens == REASONED[dialect]
    assert final.usage.completion_tokens >= REASONED[dialect]


EFFORTS: Mapping[str, Callable[[Any], bool]] = {
    "openai": lambda body: body["reasoning_effort"] == "medium",
    "anthropic": lambda body: (
        body["output_config"]["effort"] == "medium" and body["thinking"]["type"] == "adaptive"
    ),
    "gemini": lambda body: (
        body["generationConfig"]["thinkingConfig"] == {"includeThoughts": True, "thinkingLevel": "MEDIUM"}
    ),
}


@every_dialect
async def test_how_hard_to_think_is_told_in_the_providers_own_words(stage: Stage, dialect: str) -> None:
    await reason(stage, dialect)
    assert EFFORTS[dialect](stage.providers[dialect].asked)


async def test_what_claude_signed_is_given_back_to_it_unchanged(stage: Stage) -> None:
    message = (await reason(stage, "anthropic")).choices[0].message
    stage.providers["anthropic"].gives("chat.response.json")
    async with stage.client() as client:
        turns: Any = [*ASK["messages"], message, {"role": "user", "content": "And 17*24?"}]
        await client.chat.completions.create(model="thinking-anthropic", messages=turns)
    blocks = stage.providers["anthropic"].asked["messages"][1]["content"]
    assert blocks == [
        {
            "type": "thinking",
            "thinking": "17*20=340, 17*3=51.",
            "signature": "EqoBCkgIARABGAIiQFIXTURE==",
        },
        {"type": "text", "text": "391"},
    ]


async def test_what_gemini_signed_is_given_back_to_it_unchanged(stage: Stage) -> None:
    message = (await reason(stage, "gemini")).choices[0].message
    stage.providers["gemini"].gives("chat.response.json")
    async with stage.client() as client:
        turns: Any = [*ASK["messages"], message, {"role": "user", "content": "And 17*24?"}]
        await client.chat.completions.create(model="gemini", messages=turns)
    [part] = stage.providers["gemini"].asked["contents"][1]["parts"]
    assert part == {"text": "391", "thoughtSignature": "Zml4dHVyZS10aG91Z2h0LXNpZ25hdHVyZQ=="}


@pytest.mark.parametrize(("source", "other"), [("anthropic", "gemini"), ("gemini", "anthropic")])
async def test_what_one_provider_signed_is_never_shown_to_another(
    stage: Stage, source: str, other: str
) -> None:
    message = (await reason(stage, source)).choices[0].message
    stage.providers[other].gives("chat.response.json")
    async with stage.client() as client:
        turns: Any = [*ASK["messages"], message, {"role": "user", "content": "And 17*24?"}]
        await client.chat.completions.create(model=f"thinking-{other}", messages=turns)
    sent = stage.providers[other].last.body
    assert b"391" in sent
    assert b"Zml4dHVyZS1" not in sent
    assert b"EqoBCkgIARABGAIiQFIXTURE" not in sent
