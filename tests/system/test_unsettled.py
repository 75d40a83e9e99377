"""Redis forgets everything, a gateway is killed: nobody's budget begins anew, and what was held is listed."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import mkdtemp

import httpx2
import redis
import yaml

from gateway.config.snapshot import NANO
from tests import servers
from tests.running import Running, routing, running, upstream
from tests.servers import RedisServer, redis_server  # noqa: F401 - a fixture
from tests.system.process import AUTHORIZED, HELLO, Serving, command, until_async
from tests.system.test_limits import OUTPUT, ask, clear_of_midnight, dollar_answer, limited
from tests.transport.faulty import Faulty, send, wait


def at(server: RedisServer) -> dict[str, str]:
    return {"FAIRLEAD_REDIS_URL": server.url}


async def test_a_redis_that_forgets_everything_resets_nobodys_budget(tmp_path: Path):
    await clear_of_midnight()
    go_on = asyncio.Event()
    with servers.running(RedisServer) as server, redis.Redis.from_url(server.url) as admin:
        async with Faulty() as up:
            text = limited(up, {"dollars": 6, "per": "day"})
            async with running(text, tmp_path, at(server)) as gateway:
                up.always(send(dollar_answer()))
                assert [(await ask(gateway)).status for _ in range(2)] == [200] * 2
                up.next(wait(go_on), send(dollar_answer()))
                slow = asyncio.create_task(ask(gateway))
                await until_async(lambda: len(up.requests) == 3)
                admin.flushall()
                replies = await asyncio.gather(*(ask(gateway) for _ in range(12)))
                assert sorted(reply.status for reply in replies) == [200] * 3 + [429] * 9
                go_on.set()
                assert (await slow).status == 200
                assert (await ask(gateway)).status == 429
                assert len(up.requests) == 6, "six dollars, one each"


def shared_budget(up: Faulty, dollars: int) -> str:
    """A routing file with a day's budget: an answer of `demo` costs a dollar, a second of `film` one too."""
    nobody = {"dialect": "openai", "kind": "video", "base_url": "http://127.0.0.1:9/v1"}
    film = {"provider": "away", "model": "film", "price": {"per_second": 1}}
    parts = yaml.safe_load(limited(up, {"dollars": dollars, "per": "day"}))
    parts["providers"]["away"] = nobody
    parts["models"]["film"] = {"kind": "video", "targets": [film]}
    return yaml.safe_dump(parts)


def budget_of(admin: redis.Redis) -> dict[str, int]:
    """The counter of the only budget there is."""
    (key,) = admin.keys("gw:*:b:*")
    return {name.decode(): int(value) for name, value in admin.hgetall(key).items()}


async def order(gateway: Running) -> None:
    """A film of two seconds, which nobody will make."""
    async with httpx2.AsyncClient(timeout=20) as http:
        body = {"model": "film", "prompt": "a dog", "seconds": "2", "size": "64x64"}
        video = await http.post(f"{gateway.url}/v1/videos", json=body, headers=AUTHORIZED)
        assert video.status_code == 200, video.text


async def test_a_restart_keeps_the_money_of_videos_that_are_not_finished(tmp_path: Path):
    await clear_of_midnight()
    async with Faulty() as up:
        up.always(send(dollar_answer()))
        async with running(shared_budget(up, 4), tmp_path) as gateway:
            await order(gateway)
            assert (await ask(gateway)).status == 200
        async with running(shared_budget(up, 4), tmp_path) as gateway:
            assert [(await ask(gateway)).status for _ in range(2)] == [200, 429]


async def test_what_other_gateways_hold_and_have_not_written_down_outlives_a_redis_that_forgets(
    tmp_path: Path,
):
    await clear_of_midnight()
    go_on = asyncio.Event()
    with servers.running(RedisServer) as server, redis.Redis.from_url(server.url) as admin:
        shared = {**at(server), "FAIRLEAD_DATABASE_URL": f"sqlite+aiosqlite:///{tmp_path}/shared.db"}
        async with Faulty() as up, AsyncExitStack() as stack:
            here, there = [
                await stack.enter_async_context(running(shared_budget(up, 8), folder, shared))
                for folder in (Path(mkdtemp(dir=tmp_path)), Path(mkdtemp(dir=tmp_path)))
            ]
            await order(there)
            up.next(wait(go_on), send(dollar_answer()))
            slow = asyncio.create_task(ask(there))
            await until_async(lambda: len(up.requests) == 1)
            up.always(send(dollar_answer()))
            assert [(await ask(there)).status for _ in range(2)] == [200] * 2
            admin.flushall()  # two dollars are spent and not in SQL yet, one is held there and two by a video
            replies = await asyncio.gather(*(ask(here) for _ in range(9)))
            assert sorted(reply.status for reply in replies) == [200] * 3 + [429] * 6
            go_on.set()
            assert (await slow).status == 200
            admin.flushall()
            assert {(await ask(one)).status for one in (here, there)} == {429}
            assert len(up.requests) == 6, "eight dollars, less two for the video"
            await until_async(
                lambda: budget_of(admin) | {"from": 0} == {"from": 0, "spent": 6 * NANO, "held": 2 * NANO}
            )


async def test_what_a_killed_gateway_held_is_listed_until_it_is_settled(
    tmp_path: Path,
    redis_server: RedisServer,  # noqa: F811
):
    await clear_of_midnight()
    limits = [{"dollars": 6, "per": "day"}, {"concurrent": 2}]
    go_on = asyncio.Event()
    async with Faulty() as up:
        target = {"provider": "up", "model": "up-1", "price": {"input": 0, "output": 1000}}
        key = {"limits": limits, "organisation": tmp_path.name, "name": "left"}
        text = routing({"demo": {"targets": [target]}}, {"up": upstream(up.url)}, key=key)
        up.always(wait(go_on), send(dollar_answer()))

        def listed(older: str) -> tuple[str, str]:
            done = command(tmp_path, "limits", "unsettled", "--older", older, more=at(redis_server))
            assert done.returncode == 0, done.stderr
            return done.stdout, done.stderr

        with Serving(tmp_path, text, more=at(redis_server)) as gateway:

            async def hangs() -> None:
                async with httpx2.AsyncClient(timeout=20) as http:
                    body = {**HELLO, "max_completion_tokens": OUTPUT}
                    await http.post(f"{gateway.url}/v1/chat/completions", json=body, headers=AUTHORIZED)

            asking = asyncio.create_task(hangs())
            await until_async(lambda: len(up.requests) == 1)
            gateway.kill9()
            await asyncio.gather(asking, return_exceptions=True)
        line, count = await asyncio.to_thread(listed, "0")
        assert line.startswith("req_")
        assert "$1.00 of key:left per day:20" in line
        assert "1 request at a time of key:left" in line
        assert count == "1 unsettled, not renewed for 0 s or more\n"
        assert (await asyncio.to_thread(listed, "60"))[0] == "", "it may be a request that runs"


async def test_what_is_spent_is_noted_until_it_is_in_the_ledger(
    tmp_path: Path,
    redis_server: RedisServer,  # noqa: F811
):
    await clear_of_midnight()
    async with Faulty() as up:
        up.always(send(dollar_answer()))
        text = yaml.safe_load(limited(up, {"dollars": 6, "per": "day"}))
        text["keys"][0] |= {"organisation": tmp_path.name, "name": "noted"}
        with redis.Redis.from_url(redis_server.url) as admin:
            notes = f"gw:{{{tmp_path.name}}}:u"
            async with running(yaml.safe_dump(text), tmp_path, at(redis_server)) as gateway:
                assert (await ask(gateway)).status == 200  # which seeds the budget from the ledger
                async with gateway.gateway._books._turn:  # nothing is written to the ledger meanwhile
                    assert [(await ask(gateway)).status for _ in range(2)] == [200] * 2
                    await until_async(lambda: admin.hlen(notes) >= 2)
                await until_async(lambda: not admin.exists(notes))


def test_without_redis_nothing_can_be_left(tmp_path: Path):
    done = command(tmp_path, "limits", "unsettled")
    assert (done.returncode, done.stdout) == (0, "")
    assert "FAIRLEAD_REDIS_URL" in done.stderr
    away = command(
        tmp_path, "limits", "unsettled", more={"FAIRLEAD_REDIS_URL": "redis://:canary@127.0.0.1:9/0"}
    )
    assert away.returncode == 1
    assert "127.0.0.1:9 cannot be asked" in away.stderr
    assert "canary" not in away.stderr
