"""The routing file changes while the gateway runs: under load, for the worse, and before a start."""

import asyncio
import json
import re
import signal
import time
from collections import Counter
from pathlib import Path

import httpx2

from tests.answers import completion, first_part, last_part
from tests.running import PROVIDER_KEY, routing
from tests.system.process import AUTHORIZED, HELLO, Serving, demo, replaced, until, until_async
from tests.transport.faulty import Faulty, Peer, Step, send, wait

EVERY = 0.02
SECONDS = 2.0


def generation(url: str, number: int) -> str:
    """A routing file of which every part names its number: provider, address, model, header, price."""
    target = {"provider": f"p{number}", "model": f"m{number}", "price": {"input": number, "output": 0}}
    row = {
        "dialect": "openai",
        "base_url": f"{url}/g{number}/v1",
        "key": "env:PROVIDER_KEY",
        "headers": {"x-generation": str(number)},
    }
    return routing({"demo": {"targets": [target]}}, {f"p{number}": row})


def replace_file(path: Path, text: str) -> None:
    """As editors and Kubernetes do it: a new file in the place of the old one."""
    draft = path.with_name("draft")
    draft.write_text(text)
    draft.replace(path)


def echo(server: Faulty) -> Step:
    """Answer with what the request says about its generation."""

    async def step(peer: Peer) -> None:
        seen = server.requests[-1]
        (path,) = re.findall(r" /g(\d+)/", seen.line)
        model = json.loads(seen.body)["model"].removeprefix("m")
        assert seen.headers["authorization"] == f"Bearer {PROVIDER_KEY}"
        await peer.send(completion(f"{path} {model} {seen.headers['x-generation']}"))

    return step


def numbers(answer: httpx2.Response) -> set[int]:
    """Every generation that an answer shows a trace of."""
    told = [int(word) for word in answer.json()["choices"][0]["message"]["content"].split()]
    target = re.fullmatch(r"p(\d+)/m(\d+)", answer.headers["x-fairlead-target"])
    assert target is not None
    cost = round(float(answer.headers["x-fairlead-cost-usd"]) * 1e6 / 9)
    return {*told, *map(int, target.groups()), cost}


async def test_fifty_reloads_a_second_under_load_fail_nobody_and_never_mix(tmp_path: Path):
    seen: Counter[int] = Counter()

    async def ask(url: str, ends: float) -> None:
        async with httpx2.AsyncClient(timeout=20) as http:
            while time.monotonic() < ends:
                answer = await http.post(f"{url}/v1/chat/completions", json=HELLO, headers=AUTHORIZED)
                assert answer.status_code == 200, answer.text
                (number,) = numbers(answer)
                seen[number] += 1

    async def edit(path: Path, url: str, ends: float) -> None:
        number = 1
        while time.monotonic() < ends:
            number += 1
            replace_file(path, generation(url, number))
            await asyncio.sleep(EVERY)

    async with Faulty() as up:
        up.always(echo(up))
        with Serving(tmp_path, generation(up.url, 1)) as gateway:
            ends = time.monotonic() + SECONDS
            await asyncio.gather(
                edit(gateway.config, up.url, ends), *(ask(gateway.url, ends) for _ in range(4))
            )
            assert gateway.metric("gateway_config_reloads_total", result="rejected") == 0
            assert gateway.metric("gateway_config_reloads_total", result="accepted") >= len(seen)
    assert len(seen) >= 5
    assert sum(seen.values()) >= 50


async def test_a_request_ends_on_the_configuration_it_began_with(tmp_path: Path):
    go_on = asyncio.Event()
    async with Faulty() as up, httpx2.AsyncClient(timeout=20) as http:
        up.next(send(first_part()), wait(go_on), send(last_part()))
        up.always(send(completion()))
        with Serving(tmp_path, generation(up.url, 1)) as gateway:
            url = f"{gateway.url}/v1/chat/completions"
            async with http.stream("POST", url, json={**HELLO, "stream": True}, headers=AUTHORIZED) as answer:
                lines = answer.aiter_lines()
                assert "role" in await anext(lines)
                replace_file(gateway.config, replaced(demo(), models={}))

                async def unknown() -> bool:
                    return (await http.post(url, json=HELLO, headers=AUTHORIZED)).status_code == 404

                await until_async(unknown)
                go_on.set()
                assert [line async for line in lines if line][-1] == "data: [DONE]"


def test_a_broken_edit_changes_nothing_and_is_named_with_its_place(tmp_path: Path):
    with Serving(tmp_path, demo()) as gateway:

        def chat() -> str:
            answer = httpx2.post(f"{gateway.url}/v1/chat/completions", json=HELLO, headers=AUTHORIZED)
            return answer.headers["x-fairlead-target"]

        def reloads(result: str) -> float:
            return gateway.metric("gateway_config_reloads_total", result=result)

        replace_file(
            gateway.config, demo().replace("policy", "polcy").replace("small", "large") + "polcy: 1\n"
        )
        until(lambda: reloads("rejected") == 1)
        assert chat() == "demo/small"
        line = len(demo().splitlines()) + 1
        assert f'{gateway.config}:{line}: polcy: unknown field "polcy"' in gateway.err
        gateway.config.unlink()
        until(lambda: reloads("rejected") == 2)
        assert chat() == "demo/small"
        assert "No such file" in gateway.err
        replace_file(gateway.config, demo().replace("small", "large"))
        until(lambda: chat() == "demo/large")
        assert (reloads("rejected"), gateway.metric("gateway_config_generation")) == (2, 2)


def test_it_starts_from_the_last_good_file_when_the_present_one_is_broken(tmp_path: Path):
    with Serving(tmp_path, demo()) as gateway:
        gateway.signal(signal.SIGTERM)
        assert gateway.ended() == 0
        gateway.config.write_text(demo().replace("scripted", "scriptde"))
        gateway.start()
        gateway.ready()
        answer = httpx2.post(f"{gateway.url}/v1/chat/completions", json=HELLO, headers=AUTHORIZED)
        assert answer.status_code == 200
        assert f"{gateway.config}:3: providers.demo.dialect: unknown" in gateway.err
        assert "started from the last good configuration" in gateway.err
