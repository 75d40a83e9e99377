"""Chat with OpenAI's Python client, whatever dialect answers."""

import json
from typing import Any

import pytest

from tests.contract.stage import ASK, Stage
from tests.upstreams import DIALECTS, MODELS, fixture

every_dialect = pytest.mark.parametrize("dialect", DIALECTS)
TOKENS = {"openai": (21, 4), "anthropic": (19, 6), "gemini": (11, 3)}
"""What the recorded chats used: input and output."""


@every_dialect
async def test_an_answer_and_its_stream_say_the_same(stage: Stage, dialect: str) -> None:
    stage.providers[dialect].gives("chat.response.json", "chat.stream.sse")
    async with stage.client() as client:
        whole = await client.chat.completions.create(model=dialect, **ASK)
        stream = await client.chat.completions.create(model=dialect, stream=True, **ASK)
        chunks = [chunk async for chunk in stream]
    assert whole.choices[0].message.content == "Salut !"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "Salut !"
    assert whole.choices[0].finish_reason == chunks[-1].choices[0].finish_reason == "stop"
    assert whole.model == chunks[0].model
    assert whole.usage is not None
    assert (whole.usage.prompt_tokens, whole.usage.completion_tokens) == TOKENS[dialect]


@every_dialect
async def test_what_is_told_beside_the_answer(stage: Stage, dialect: str) -> None:
    stage.providers[dialect].gives("chat.response.json", "chat.stream.sse")
    async with stage.client() as client:
        raw = await client.chat.completions.with_raw_response.create(model=dialect, **ASK)
        streaming = client.chat.completions.with_streaming_response.create(model=dialect, stream=True, **ASK)
        async with streaming as stream:
            lines = [line async for line in stream.iter_lines() if line]
    assert lines[-1] == "data: [DONE]"
    given, output = TOKENS[dialect]
    assert float(raw.headers["x-fairlead-cost-usd"]) == pytest.approx((given + 2 * output) / 1e6)
    assert raw.parse()._request_id == raw.headers["x-request-id"]
    for headers in (raw.headers, stream.headers):
        assert headers["x-fairlead-target"] == f"{dialect}/{MODELS[dialect]}"
        assert headers["x-fairlead-attempts"] == "1"
        for unit in ("requests", "tokens"):
            limit, left = (int(headers[f"x-ratelimit-{word}-{unit}"]) for word in ("limit", "remaining"))
            assert 0 < left < limit
            assert headers[f"x-ratelimit-reset-{unit}"][-1] == "s"


@every_dialect
async def test_fields_that_only_the_provider_knows_may_be_sent_too(stage: Stage, dialect: str) -> None:
    stage.providers[dialect].gives("chat.response.json")
    async with stage.client() as client:
        await client.chat.completions.create(model=dialect, extra_body={"top_k": 7}, **ASK)
    asked = stage.providers[dialect].asked
    assert (asked["generationConfig"]["topK"] if dialect == "gemini" else asked["top_k"]) == 7


def cached(dialect: str) -> Any:
    """An answer to a prompt of which a part came from a cache."""
    if dialect == "anthropic":
        return fixture("anthropic/chat.cached.response.json")
    body = fixture(f"{dialect}/chat.response.json")
    if dialect == "openai":
        body["usage"]["prompt_tokens_details"] |= {"cached_tokens": 15, "cache_write_tokens": 3}
        body["usage"]["completion_tokens_details"]["reasoning_tokens"] = 2
    else:
        body["usageMetadata"] |= {
            "cachedContentTokenCount": 8,
            "thoughtsTokenCount": 5,
            "totalTokenCount": 19,
        }
    return body


@pytest.mark.parametrize(
    ("dialect", "counts"),
    [
        ("openai", (21, 4, 15, 3, 2)),
        ("anthropic", (12 + 512 + 2048, 6, 2048, 512, 0)),
        ("gemini", (11, 3 + 5, 8, 0, 5)),
    ],
)
async def test_cached_and_reasoning_tokens_are_parts_of_the_whole(
    stage: Stage, dialect: str, counts: tuple[int, ...]
) -> None:
    stage.providers[dialect].gives_body(cached(dialect))
    async with stage.client() as client:
        usage = (await client.chat.completions.create(model=dialect, **ASK)).usage
    assert usage is not None
    prompt, completion = usage.prompt_tokens_details, usage.completion_tokens_details
    assert prompt is not None
    assert completion is not None
    assert counts == (
        usage.prompt_tokens,
        usage.completion_tokens,
        prompt.cached_tokens,
        prompt.cache_write_tokens or 0,
        completion.reasoning_tokens,
    )


@every_dialect
async def test_a_picture_in_the_question_reaches_the_model(stage: Stage, dialect: str) -> None:
    stage.providers[dialect].gives("chat.response.json")
    question = fixture("canonical/image_base64.request.json")["messages"]
    async with stage.client() as client:
        await client.chat.completions.create(model=dialect, messages=question)
    picture = question[0]["content"][1]["image_url"]["url"].partition(",")[2]
    asked = stage.providers[dialect].last.body.decode()
    assert asked.count(picture) == 1
    assert asked.count("image/png") == 1
    assert asked.index("What colour") < asked.index(picture)


ENDINGS = [
    ("openai", "length.response.json", "length"),
    ("openai", "content_filter.response.json", "content_filter"),
    ("openai", "n2.response.json", "stop"),
    ("openai", "logprobs.response.json", "stop"),
    ("openai", "refusal.response.json", "stop"),
    ("openai", "refusal.stream.sse", "stop"),
    ("anthropic", "max_tokens.response.json", "length"),
    ("anthropic", "stop_sequence.response.json", "stop"),
    ("anthropic", "refusal.response.json", "content_filter"),
    ("gemini", "max_tokens_no_parts.response.json", "length"),
    ("gemini", "safety.response.json", "content_filter"),
    ("gemini", "prompt_blocked.response.json", "content_filter"),
]


@pytest.mark.parametrize(("dialect", "name", "finish"), ENDINGS)
async def test_why_an_answer_ended_is_told_in_openais_words(
    stage: Stage, dialect: str, name: str, finish: str
) -> None:
    stage.providers[dialect].gives(name)
    async with stage.client() as client:
        if name.endswith(".sse"):
            async with client.chat.completions.stream(model=dialect, **ASK) as stream:
                answer: Any = await stream.get_final_completion()
        else:
            answer = await client.chat.completions.create(model=dialect, **ASK)
    assert {choice.finish_reason for choice in answer.choices} == {finish}
    assert len(answer.choices) == (2 if name.startswith("n2") else 1)
    assert bool(answer.choices[0].message.refusal) == name.startswith(("refusal", "prompt_blocked"))
    assert bool(answer.choices[0].logprobs) == name.startswith("logprobs")


async def test_texts_of_every_script_come_through_whole(stage: Stage) -> None:
    text = 'naïve 🚢 \u2028 \x00 \x7f "quoted" \\ </script> 中文'
    answers = {
        "openai": ("choices", 0, "message", "content"),
        "anthropic": ("content", 0, "text"),
        "gemini": ("candidates", 0, "content", "parts", 0, "text"),
    }
    async with stage.client() as client:
        for dialect, place in answers.items():
            body = inner = fixture(f"{dialect}/chat.response.json")
            for step in place[:-1]:
                inner = inner[step]
            inner[place[-1]] = text
            stage.providers[dialect].gives_body(body)
            asked = [{"role": "user", "content": text}]
            got = await client.chat.completions.create(model=dialect, messages=asked)  # type: ignore[arg-type]
            assert got.choices[0].message.content == text
            assert json.dumps(text, ensure_ascii=False) in json.dumps(
                stage.providers[dialect].asked, ensure_ascii=False
            )
