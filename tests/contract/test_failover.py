"""A target that fails before it said anything is replaced unseen; one that fails later is never taken for whole."""

import threading
from collections.abc import Callable, Iterable, Sequence
from itertools import product
from typing import Any

import openai
import pytest

from tests.contract.stage import ASK, Stage
from tests.transport.faulty import Step, close, reset, send
from tests.upstreams import DIALECTS, Provider, after, cut, events, streamed

HOLLOW = {
    "openai": events("openai/chat.stream.sse")[:1],
    "anthropic": events("anthropic/chat.stream.sse")[:3],
    "gemini": [events("gemini/chat.stream.sse")[0].replace(b'"Salut"', b'""')],
}
"""How a stream begins before it says anything."""
BUSY = {"openai": "error.503_overloaded.json", "anthropic": "error.529.json", "gemini": "error.503.json"}


def faults(up: Provider, streamed_: bool) -> Iterable[Sequence[Step]]:
    """What goes wrong before a client could notice anything."""
    yield [up.step(BUSY[up.dialect])]
    yield [reset()]
    if streamed_:
        yield [send(cut(*HOLLOW[up.dialect])), close()]
        yield [send(streamed(*HOLLOW[up.dialect]))]
    else:
        yield [send(b'HTTP/1.1 200 OK\r\ncontent-length: 999\r\n\r\n{"id"'), close()]
        yield [send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")]


@pytest.mark.parametrize(("first", "second"), list(product(DIALECTS, DIALECTS)))
@pytest.mark.parametrize("streamed_", [False, True], ids=["whole", "stream"])
async def test_the_next_targets_answer_is_all_the_client_sees(
    stage: Stage, first: str, second: str, streamed_: bool
) -> None:
    bad, good = stage.providers[first], stage.providers[f"{second}-too"]
    async with stage.client() as client:
        for steps in faults(bad, streamed_):
            bad.always(*steps)
            good.gives("chat.stream.sse" if streamed_ else "chat.response.json")
            raw = await client.chat.completions.with_raw_response.create(
                model=f"{first}+{second}", stream=streamed_, **ASK
            )
            answer: Any = raw.parse()
            said = [piece async for piece in answer] if streamed_ else [answer]
            assert "".join(text_of(piece) for piece in said) == "Salut !"
            assert raw.headers["x-fairlead-attempts"] == "2"
            assert raw.headers["x-fairlead-target"].startswith(f"{second}-too/")


def text_of(answer: Any) -> str:
    """The text of an answer or a chunk."""
    choice = answer.choices[0]
    return (choice.delta if hasattr(choice, "delta") else choice.message).content or ""


FIRST_WORD = {"openai": 1, "anthropic": 3, "gemini": 0}
FINISH = {"openai": 3, "anthropic": 6, "gemini": 1}
"""Which events of the dialect's recorded chat say something first, and that it is finished."""


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("ending", [close, reset])
async def test_a_stream_that_is_cut_anywhere_never_looks_complete(
    stage: Stage, dialect: str, ending: Callable[[], Step]
) -> None:
    told = events(f"{dialect}/chat.stream.sse")
    whole = streamed(*told)
    first = len(cut(*told[: FIRST_WORD[dialect] + 1]))
    last = len(cut(*told[: FINISH[dialect]])) + 20
    async with stage.client() as client:
        for kept in range(first, last, max(1, (last - first) // 12)):
            stage.providers[dialect].next(send(whole[:kept]), ending())
            await expect_broken(client, dialect)


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_polite_end_before_the_finish_is_no_end(stage: Stage, dialect: str) -> None:
    told = events(f"{dialect}/chat.stream.sse")
    async with stage.client() as client:
        for kept in range(FIRST_WORD[dialect] + 1, FINISH[dialect] + 1):
            stage.providers[dialect].next(send(streamed(*told[:kept])))
            await expect_broken(client, dialect)


async def test_an_openai_stream_that_says_done_without_a_finish_is_cut_too(stage: Stage) -> None:
    told = events("openai/chat.stream.sse")
    stage.providers["openai"].next(send(streamed(*told[:2], b"data: [DONE]\n\n")))
    async with stage.client() as client:
        await expect_broken(client, "openai")


ERRORS = {
    "openai": events("openai/stream_error_midway.sse")[-1],
    "anthropic": events("anthropic/stream_error_midway.sse")[-1],
    "gemini": b'data: {"error":{"code":503,"message":"The model is overloaded.","status":"UNAVAILABLE"}}\n\n',
}


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_an_error_in_the_middle_of_a_stream_is_an_error(stage: Stage, dialect: str) -> None:
    heard = threading.Event()
    told = cut(*events(f"{dialect}/chat.stream.sse")[: FIRST_WORD[dialect] + 1])
    error = ERRORS[dialect]
    rest = b"%x\r\n%b\r\n0\r\n\r\n" % (len(error), error)
    stage.providers[dialect].next(send(told), after(heard), send(rest))
    async with stage.client() as client:
        await expect_broken(client, dialect, heard)


async def test_a_message_whose_last_event_is_missing_is_whole_all_the_same(stage: Stage) -> None:
    *told, last = events("anthropic/chat.stream.sse")
    assert b"message_stop" in last
    stage.providers["anthropic"].next(send(cut(*told)), close())
    async with stage.client() as client:
        asking = client.chat.completions.stream(
            model="anthropic", stream_options={"include_usage": True}, **ASK
        )
        async with asking as stream:
            final = await stream.get_final_completion()
    assert final.choices[0].finish_reason == "stop"
    assert final.usage is not None
    assert final.usage.total_tokens == 25


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_the_stream_helper_gives_no_final_completion_of_a_cut_stream(
    stage: Stage, dialect: str
) -> None:
    told = events(f"{dialect}/chat.stream.sse")[: FIRST_WORD[dialect] + 1]
    stage.providers[dialect].next(send(cut(*told)), reset())
    async with stage.client() as client:
        with pytest.raises(openai.APIError):
            async with client.chat.completions.stream(model=dialect, **ASK) as stream:
                await stream.get_final_completion()


async def expect_broken(client: openai.AsyncOpenAI, model: str, heard: threading.Event | None = None) -> None:
    """A stream that says something and then breaks; `heard` is set in between."""
    said: list[str] = []

    async def read() -> None:
        async for chunk in await client.chat.completions.create(model=model, stream=True, **ASK):
            said.append(text_of(chunk))
            if said[-1] and heard is not None:
                heard.set()

    with pytest.raises(openai.APIError) as caught:
        await read()
    assert any(said)
    assert "Salut !".startswith("".join(said))
    assert caught.value.code in ("upstream_unavailable", "bad_upstream_response", "server_is_overloaded")
