"""Limits as a client meets them: refused calls, headers, budgets over a restart, slots of those who leave."""

import asyncio
import json
import re
import time
from collections.abc import Mapping
from pathlib import Path

import httpx2
import openai

from tests.answers import completion, first_part, last_part
from tests.running import KEY, OTHER_KEY, Running, routing, running, upstream
from tests.system.line import Line, Reply, chat_request
from tests.system.process import AUTHORIZED, HELLO, until_async
from tests.transport.faulty import Faulty, send, until_left, wait

OUTPUT = 1000
"""Output tokens of each answer, and the cap of each request: what is reserved is what is used."""
DOLLAR = 1000.0
"""USD per million output tokens: an answer costs one dollar."""


def limited(up: Faulty, *limits: Mapping[str, object]) -> str:
    """A routing file whose test key has these limits; an answer costs exactly one dollar."""
    target = {"provider": "up", "model": "up-1", "price": {"input": 0, "output": DOLLAR}}
    return routing({"demo": {"targets": [target]}}, {"up": upstream(up.url)}, key={"limits": list(limits)})


def dollar_answer() -> bytes:
    """An answer whose usage is what was reserved for it."""
    usage = {"prompt_tokens": 2, "completion_tokens": OUTPUT, "total_tokens": OUTPUT + 2}
    return completion(usage=usage)


async def ask(gateway: Running, key: str = KEY) -> Reply:
    """One call on its own connection."""
    async with Line(gateway.url) as line:
        return await line.ask(chat_request(key=key, max_completion_tokens=OUTPUT))


def code(reply: Reply) -> str:
    """The code of an error answer."""
    error = json.loads(reply.body)["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return str(error["code"])


async def test_a_refused_call_says_everything_about_the_limit_and_uses_nothing(tmp_path: Path):
    limits = (
        {"requests": 2, "per": "minute"},
        {"tokens": 100_000, "per": "minute"},
        {"dollars": 50, "per": "day"},
    )
    async with Faulty() as up, running(limited(up, *limits), tmp_path) as gateway:
        up.always(send(dollar_answer()))
        fine = [await ask(gateway), await ask(gateway)]
        assert [reply.status for reply in fine] == [200, 200]
        assert [reply.headers["x-ratelimit-remaining-requests"] for reply in fine] == ["1", "0"]
        refused = [await ask(gateway) for _ in range(5)]
        assert len(up.requests) == 2
        assert (await ask(gateway, OTHER_KEY)).status == 200
    left = set()
    for reply in refused:
        told = reply.headers
        assert (reply.status, code(reply)) == (429, "rate_limit_exceeded")
        assert told["x-ratelimit-limit-requests"] == "2"
        assert told["x-ratelimit-remaining-requests"] == "0"
        assert told["x-ratelimit-limit-tokens"] == "100000"
        assert re.fullmatch(r"(\d+m)?[\d.]+m?s", told["x-ratelimit-reset-requests"])
        assert re.fullmatch(r"(\d+m)?[\d.]+m?s", told["x-ratelimit-reset-tokens"])
        assert 1 <= int(told["retry-after"]) <= 62
        assert (
            int(told["retry-after"]) * 1000 - 1000
            < int(told["retry-after-ms"])
            <= int(told["retry-after"]) * 1000
        )
        assert "q=2" in told["ratelimit-policy"]
        assert "r=0" in told["ratelimit"]
        assert told["x-request-id"].startswith("req_")
        left.add((told["x-ratelimit-remaining-tokens"], re.findall(r"r=(\d+)", told["ratelimit"])[-1]))
    assert left == {(str(100_000 - 2 * (OUTPUT + 2)), str(48 * 10**6))}


async def test_a_client_that_obeys_retry_after_gets_in(tmp_path: Path):
    go_on = asyncio.Event()
    async with Faulty() as up, running(limited(up, {"concurrent": 1}), tmp_path) as gateway:
        up.next(send(first_part()), wait(go_on), send(last_part()))
        up.always(send(completion()))
        async with openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=KEY, max_retries=2) as ai:
            slow = await ai.chat.completions.create(**HELLO, stream=True)
            refused = asyncio.create_task(ai.chat.completions.create(**HELLO))
            await until_async(lambda: 'result="denied"' in gateway.gateway.metrics.exposition().decode())
            began = time.monotonic()
            go_on.set()
            assert [chunk async for chunk in slow]
            assert (await refused).choices[0].message.content == "Hi there!"
        assert 0.5 < time.monotonic() - began < 5
        assert gateway.gateway.metrics.exposition().decode().count('result="denied"') == 1


async def clear_of_midnight() -> None:
    """A day's budget begins anew at midnight UTC: not in the middle of a test."""
    await until_async(lambda: 86_400 - time.time() % 86_400 > 20)


async def test_a_budget_for_seven_answers_admits_seven_of_many_at_once(tmp_path: Path):
    await clear_of_midnight()
    async with Faulty() as up, running(limited(up, {"dollars": 7, "per": "day"}), tmp_path) as gateway:
        up.always(send(dollar_answer()))
        replies = await asyncio.gather(*(ask(gateway) for _ in range(20)))
        assert len(up.requests) == 7
    refused = [reply for reply in replies if reply.status != 200]
    assert len(refused) == 13
    for reply in refused:
        assert (reply.status, code(reply)) == (429, "insufficient_quota")
        assert reply.headers["x-should-retry"] == "false"
        assert 0 < int(reply.headers["retry-after"]) <= 86_400


async def test_a_restart_does_not_give_a_days_dollars_back(tmp_path: Path):
    await clear_of_midnight()
    async with Faulty() as up:
        up.always(send(dollar_answer()))
        text = limited(up, {"dollars": 5, "per": "day"})
        async with running(text, tmp_path) as gateway:
            assert [(await ask(gateway)).status for _ in range(3)] == [200] * 3
        async with running(text, tmp_path) as gateway:
            assert [(await ask(gateway)).status for _ in range(4)] == [200, 200, 429, 429]


async def test_a_client_that_leaves_in_the_middle_frees_its_slot_within_a_second(tmp_path: Path):
    left = asyncio.Event()
    async with Faulty() as up, running(limited(up, {"concurrent": 1}), tmp_path) as gateway:
        up.next(send(first_part()), until_left(left))
        up.always(send(completion()))
        async with httpx2.AsyncClient(timeout=20) as http:
            async with http.stream(
                "POST",
                f"{gateway.url}/v1/chat/completions",
                json={**HELLO, "stream": True},
                headers=AUTHORIZED,
            ) as answer:
                assert "One " in "".join([await anext(answer.aiter_text())])
                assert (await ask(gateway)).status == 429
            gone = time.monotonic()

            async def let_in() -> bool:
                return (await ask(gateway)).status == 200

            await until_async(let_in, 5)
            assert time.monotonic() - gone < 1
            await asyncio.wait_for(left.wait(), 1)
