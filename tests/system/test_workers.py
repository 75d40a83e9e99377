"""`fairlead serve --workers 2`: several processes behind one door, counting in one Redis."""

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.servers import RedisServer, redis_server  # noqa: F401 - a fixture
from tests.system.process import AUTHORIZED, HELLO, Serving, demo, until

LIMIT = 30


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer) -> Iterator[Serving]:  # noqa: F811
    """Two workers whose `other` key is limited to LIMIT requests a minute."""
    folder = tmp_path_factory.mktemp("workers")
    text = demo(key={"limits": [{"requests": LIMIT, "per": "minute"}], "organisation": folder.name})
    with Serving(folder, text, "--workers", "2", more={"FAIRLEAD_REDIS_URL": redis_server.url}) as running:
        until(lambda: len(running.children()) == 2)
        for one in running.children():
            serves_alone(running, one)
        yield running


def answers(gateway: Serving) -> bool:
    """Whether somebody answers a new connection within a second."""
    try:
        return httpx2.get(f"{gateway.url}/livez", timeout=1).status_code == 200
    except httpx2.TransportError:
        return False


def serves_alone(gateway: Serving, one: int) -> None:
    """Wait until that worker answers while the others are halted."""
    others = [pid for pid in gateway.children() if pid != one]
    for pid in others:
        os.kill(pid, signal.SIGSTOP)
    try:
        until(lambda: answers(gateway))
    finally:
        for pid in others:
            os.kill(pid, signal.SIGCONT)


async def chat(gateway: Serving) -> int:
    """One call on a connection of its own; its status."""
    async with httpx2.AsyncClient(timeout=20) as http:
        answer = await http.post(f"{gateway.url}/v1/chat/completions", json=HELLO, headers=AUTHORIZED)
        return answer.status_code


async def test_a_limit_is_exact_over_both(gateway: Serving):
    statuses = await asyncio.gather(*(chat(gateway) for _ in range(2 * LIMIT)))
    assert statuses.count(200) == LIMIT
    assert statuses.count(429) == LIMIT


def test_a_worker_that_was_killed_is_started_again(gateway: Serving):
    first, second = gateway.children()
    os.kill(first, signal.SIGKILL)
    assert answers(gateway)
    until(lambda: first not in gateway.children() and len(gateway.children()) == 2)
    (fresh,) = set(gateway.children()) - {second}
    serves_alone(gateway, fresh)
    assert f"process {first} ended with -9 and is started again" in gateway.err


def test_it_drains_and_ends_with_all_its_workers(gateway: Serving):
    workers = gateway.children()
    gateway.signal(signal.SIGTERM)
    assert gateway.ended() == 0
    assert not [pid for pid in workers if Path(f"/proc/{pid}").exists()]
    assert "Traceback" not in gateway.err


def test_no_worker_outlives_the_process_that_started_it(tmp_path: Path, redis_server: RedisServer):  # noqa: F811
    more = {"FAIRLEAD_REDIS_URL": redis_server.url}
    with Serving(tmp_path, demo(), "--workers", "2", "--drain", "0", more=more) as gateway:
        until(lambda: len(gateway.children()) == 2)
        for one in gateway.children():
            serves_alone(gateway, one)
        workers = gateway.children()
        gateway.kill9()
        until(lambda: not [pid for pid in workers if alive(pid)])


def alive(pid: int) -> bool:
    """Whether a process runs; one that nobody has buried yet does not."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def test_a_broken_routing_file_is_said_once_and_ends_it(tmp_path: Path, redis_server: RedisServer):  # noqa: F811
    more = {"FAIRLEAD_REDIS_URL": redis_server.url}
    broken = demo().replace("scripted", "scriptde")
    with Serving(tmp_path, broken, "--workers", "2", more=more, wait=False) as gateway:
        assert gateway.ended() == 1
        assert "fairlead.yaml:3: providers.demo.dialect: unknown" in gateway.err
        assert gateway.out == ""
