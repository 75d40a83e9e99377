"""Whatever goes wrong is over at once: what waited for the garbage collector would stop everybody now and then."""

import asyncio
import gc
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from gateway.api.edge import Attendance, Watch
from gateway.errors import GatewayError
from providers.errors import ProviderError
from tests.running import KEY, routing, running, upstream
from tests.system.process import until_async
from tests.transport.faulty import Faulty, answer, reset, send, wait
from tests.upstreams import JSON, cut, whole

TIMES = 3
CHUNK = (
    b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,'
    b'"delta":{"role":"assistant","content":"word"},"finish_reason":null}]}\n\n'
)


def held(*kinds: type) -> set[int]:
    """The errors, or whatever is of these kinds, that somebody still holds, by their identity."""
    wanted = kinds or (GatewayError, ProviderError)
    return {id(one) for one in gc.get_objects() if issubclass(type(one), wanted)}


def listening() -> bool:
    """Whether somebody waits for a client's leaving."""
    return any(task.get_coro().__qualname__ == "Watch._listen" for task in asyncio.all_tasks())  # type: ignore[union-attr]


@pytest.fixture
def others() -> Iterator[set[int]]:
    """What tests before this one left; nothing is collected in the test."""
    gc.collect()
    gc.disable()
    yield held()
    gc.enable()


async def test_no_error_outlives_its_request(tmp_path: Path, others: set[int]) -> None:
    async with Faulty() as up:
        target = {"provider": "up", "model": "m", "timeout": {"total": "50ms", "first_token": "50ms"}}
        models = {"demo": {"targets": [target]}}
        text = routing(
            models,
            {"up": upstream(up.url)},
            defaults={"health": {"failures": 1000}},
            key={"limits": [{"requests": 4 * TIMES, "per": "day"}]},
        )
        async with running(text, tmp_path) as gateway, httpx2.AsyncClient() as http:

            async def ask(status: int, *, key: str = KEY, **more: object) -> None:
                body = {"model": "demo", "messages": [{"role": "user", "content": "Hello"}], **more}
                for _ in range(TIMES):
                    told = await http.post(
                        f"{gateway.url}/v1/chat/completions",
                        json=body,
                        headers={"authorization": f"Bearer {key}"},
                    )
                    assert told.status_code == status, told.text
                await until_async(lambda: held() <= others, 5.0)

            await ask(401, key="sk-nobody")
            await ask(400, temperature="hot")
            await ask(404, model="nobody")
            up.always(send(answer(b"{}", "503 Busy", JSON)))
            await ask(503)
            up.always(reset())
            await ask(503)
            up.always(wait(asyncio.Event()))
            await ask(504)
            up.always(send(cut(CHUNK)), reset())
            await ask(200, stream=True)
            await ask(429)


async def test_a_client_who_stays_to_the_end_of_a_long_answer_leaves_nothing_behind(
    tmp_path: Path, others: set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Attendance, "TICK", 0.01)  # soon it is listened whether the client leaves
    before, known = held(Watch), others
    async with Faulty() as up:
        models = {"demo": {"targets": [{"provider": "up", "model": "m"}]}}
        async with running(routing(models, {"up": upstream(up.url)}), tmp_path) as gateway:
            async with httpx2.AsyncClient() as http:
                for _ in range(TIMES):
                    come = asyncio.Event()
                    up.always(wait(come), send(whole("openai/chat.response.json")))
                    asked = asyncio.create_task(
                        http.post(
                            f"{gateway.url}/v1/chat/completions",
                            json={"model": "demo", "messages": [{"role": "user", "content": "Hello"}]},
                            headers={"authorization": f"Bearer {KEY}"},
                        )
                    )
                    await until_async(listening, 5.0)
                    come.set()
                    assert (await asked).status_code == 200
                await until_async(lambda: held(Watch) <= before and held() <= known, 5.0)
