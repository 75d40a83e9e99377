"""A PostgreSQL that refuses or hangs: what is in memory stays in force, and who needs it is told within a bound."""

import asyncio
import logging
from pathlib import Path

import httpx2
import pytest

from gateway import app
from gateway.store import engine
from tests.faults import TcpProxy
from tests.running import KEY, routing, running
from tests.servers import PostgresServer, postgres_server  # noqa: F401 - a fixture
from tests.system.process import until_async

ROUTING = routing(
    {"demo": {"targets": [{"provider": "demo", "model": "small"}]}}, {"demo": {"dialect": "scripted"}}
)
AUTHORIZED = {"authorization": f"Bearer {KEY}"}


def behind(proxy: TcpProxy, server: PostgresServer) -> dict[str, str]:
    """The environment of a gateway that reaches a fresh database of the server's by the proxy."""
    url = server.create_database().replace(f":{server.port}/", f":{proxy.port}/")
    return {"FAIRLEAD_DATABASE_URL": url}


async def test_who_needs_a_database_that_hangs_is_told_so_in_time_and_the_next_is_served(
    tmp_path: Path,
    postgres_server: PostgresServer,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with TcpProxy(postgres_server.port) as proxy:
        async with running(ROUTING, tmp_path, behind(proxy, postgres_server)) as gateway:
            async with httpx2.AsyncClient(base_url=gateway.url, headers=AUTHORIZED, timeout=30.0) as client:
                assert (await client.get("/v1/videos/video_none")).status_code == 404
                monkeypatch.setattr(engine, "ANSWER_SECONDS", 0.5)
                monkeypatch.setattr(engine, "_LAST_SECONDS", 0.2)
                await proxy.set("hang")
                asked = [
                    client.get("/v1/videos/video_none") for _ in range(40)
                ]  # more than there are connections
                for answer in await asyncio.gather(*asked):
                    assert answer.status_code == 503
                    assert answer.json()["error"]["code"] == "store_unavailable"
                    assert answer.headers["retry-after"] == "1"
                await proxy.set("pass")
                await until_async(lambda: _found(client))


async def _found(client: httpx2.AsyncClient) -> bool:
    return (await client.get("/v1/videos/video_none")).status_code == 404


async def test_a_start_waits_for_a_database_that_has_just_gone_away(
    tmp_path: Path,
    postgres_server: PostgresServer,  # noqa: F811
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with TcpProxy(postgres_server.port) as proxy:
        await proxy.set("refuse")

        async def come_back() -> None:
            await until_async(lambda: "the start waits for it" in caplog.text)
            await proxy.set("pass")

        coming = asyncio.create_task(come_back())
        async with running(ROUTING, tmp_path, behind(proxy, postgres_server)):
            await coming
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_keys_stay_in_force_while_they_cannot_be_read_and_no_accident_is_logged(
    tmp_path: Path,
    postgres_server: PostgresServer,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(app, "KEY_REFRESH_SECONDS", 0.01)
    async with TcpProxy(postgres_server.port) as proxy:
        async with running(ROUTING, tmp_path, behind(proxy, postgres_server)) as gateway:
            await proxy.set("refuse")
            await until_async(lambda: "the keys in memory stay in force" in caplog.text)
            async with httpx2.AsyncClient(base_url=gateway.url, headers=AUTHORIZED) as client:
                assert (await client.get("/v1/models")).status_code == 200
            await proxy.set("pass")
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
