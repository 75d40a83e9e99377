"""Streams with OpenAI's Python client, whatever dialect answers and however the network carries them."""

import asyncio
from typing import Any

import openai
import pytest

from tests.contract.stage import ASK, Stage
from tests.transport.faulty import drip, send
from tests.upstreams import DIALECTS, events, streamed

every_dialect = pytest.mark.parametrize("dialect", DIALECTS)
TOKENS = {"openai": (21, 4), "anthropic": (19, 6), "gemini": (11, 3)}
"""What the recorded chats used: input and output."""


@every_dialect
async def test_the_stream_helper_tells_events_and_the_final_completion(stage: Stage, dialect: str) -> None:
    stage.providers[dialect].gives("chat.stream.sse")
    async with stage.client() as client:
        asking = client.chat.completions.stream(model=dialect, stream_options={"include_usage": True}, **ASK)
        async with asking as stream:
            told = [event async for event in stream if event.type != "chunk"]
            final = await stream.get_final_completion()
    assert {event.type for event in told[:-1]} == {"content.delta"}
    assert told[-1].type == "content.done"
    assert final.choices[0].message.content == "Salut !"
    assert final.usage is not None
    assert (final.usage.prompt_tokens, final.usage.completion_tokens) == TOKENS[dialect]


@every_dialect
@pytest.mark.parametrize("size", [1, 7, 1000])
async def test_it_does_not_matter_how_the_network_cuts_a_stream(
    stage: Stage, dialect: str, size: int
) -> None:
    raw = streamed(b"".join(events(f"{dialect}/chat.stream.sse")))
    stage.providers[dialect].next(drip(raw, every=0, size=size))
    async with stage.client() as client:
        async with client.chat.completions.stream(model=dialect, **ASK) as stream:
            final = await stream.get_final_completion()
    assert final.choices[0].message.content == "Salut !"


OPTIONS: list[dict[str, Any]] = [
    {"stream": None},
    {"stream": False, "stream_options": None},
    {"stream": True, "stream_options": None},
    {"stream": True, "stream_options": {}},
    {"stream": True, "stream_options": {"include_usage": None}},
    {"stream": True, "stream_options": {"include_usage": False, "include_obfuscation": False}},
    {"stream": True, "stream_options": {"include_usage": True}},
]


@every_dialect
async def test_usage_is_told_to_who_asks_and_always_asked_for(stage: Stage, dialect: str) -> None:
    up = stage.providers[dialect]
    for options in OPTIONS:
        streamed_ = bool(options["stream"])
        wanted = (options.get("stream_options") or {}).get("include_usage") or not streamed_
        up.gives("chat.stream.sse" if streamed_ else "chat.response.json")
        got = await stage.post({"model": dialect, **ASK, **options})
        assert got.status_code == 200, options
        assert ("total_tokens" in got.text) == wanted, options
        if dialect == "openai" and streamed_:
            given = options["stream_options"] or {}
            assert up.asked["stream_options"] == {**given, "include_usage": True}


@every_dialect
async def test_an_answer_that_says_nothing_is_an_answer(stage: Stage, dialect: str) -> None:
    told = [event for event in events(f"{dialect}/chat.stream.sse") if b'"Salut"' not in event]
    stage.providers[dialect].next(send(streamed(b"".join(told).replace(b'" !"', b'""'))))
    async with stage.client() as client:
        async with client.chat.completions.stream(model=dialect, **ASK) as stream:
            final = await stream.get_final_completion()
    assert final.choices[0].message.content == ""
    assert final.choices[0].finish_reason == "stop"


@every_dialect
async def test_an_answer_of_the_wrong_kind_is_not_passed_on(stage: Stage, dialect: str) -> None:
    up = stage.providers[dialect]
    async with stage.client() as client:
        for name, streamed_ in (("chat.response.json", True), ("chat.stream.sse", False)):
            up.always(up.step(name))
            with pytest.raises(openai.InternalServerError) as caught:
                await client.chat.completions.create(model=dialect, stream=streamed_, **ASK)
            assert caught.value.code == "bad_upstream_response"


@every_dialect
async def test_one_piece_of_a_stream_may_be_very_long(stage: Stage, dialect: str) -> None:
    raw = b"".join(events(f"{dialect}/chat.stream.sse")).replace(b'"Salut"', b'"%b"' % (b"x" * 300_000))
    stage.providers[dialect].next(send(streamed(raw)))
    async with stage.client() as client:
        async with client.chat.completions.stream(model=dialect, **ASK) as stream:
            final = await stream.get_final_completion()
    assert final.choices[0].message.content == "x" * 300_000 + " !"


async def test_many_conversations_at_once_stay_apart(stage: Stage) -> None:
    texts = {dialect: {f"{dialect} {number}" for number in range(12)} for dialect in DIALECTS}
    for dialect, words in texts.items():
        for word in words:
            raw = b"".join(events(f"{dialect}/chat.stream.sse")).replace(b"Salut", word.encode())
            stage.providers[dialect].next(drip(streamed(raw), every=0.001, size=64))

    async def ask(client: openai.AsyncOpenAI, model: str) -> str:
        async with client.chat.completions.stream(model=model, **ASK) as stream:
            return (await stream.get_final_completion()).choices[0].message.content or ""

    async with stage.client() as client:
        asking = [ask(client, dialect) for dialect in DIALECTS for _ in range(12)]
        said = await asyncio.gather(*asking)
    assert sorted(said) == sorted(f"{word} !" for words in texts.values() for word in words)


async def test_a_stream_that_the_provider_refuses_is_the_clients_own_error(stage: Stage) -> None:
    stage.providers["anthropic"].gives("refusal.stream.sse")
    async with stage.client() as client:
        with pytest.raises(openai.ContentFilterFinishReasonError) as caught:
            async with client.chat.completions.stream(model="anthropic", **ASK) as stream:
                await stream.get_final_completion()
    assert caught.value.completion is not None
    assert caught.value.completion.choices[0].message.refusal == "Blocked."
