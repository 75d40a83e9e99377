"""`fairlead serve` as a process: how it starts, what it says, how it drains and ends."""

import asyncio
import contextlib
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import httpx2
import pytest

from tests.answers import first_part, last_part
from tests.running import routing, upstream
from tests.servers import free_port
from tests.system.process import AUTHORIZED, HELLO, Serving, demo, environment, until, until_async
from tests.transport.faulty import Faulty, send, until_left, wait

FIRST_ANSWER_SECONDS = 15.0
"""1.5 s is the goal on an idle machine; a busy one may take longer, a broken start takes much longer."""


def test_it_starts_and_answers_soon(tmp_path: Path):
    config = tmp_path / "fairlead.yaml"
    config.write_text(demo())
    program = Path(sys.executable).with_name("fairlead")
    words = [program, "serve", "--config", config, "--port", "0"]
    began = time.monotonic()
    with subprocess.Popen(
        words, env=environment(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as gateway:
        try:
            assert gateway.stdout is not None
            said = gateway.stdout.readline()
            url = said.rpartition("ready on ")[2].strip()
            answer = httpx2.post(f"{url}/v1/chat/completions", json=HELLO, headers=AUTHORIZED)
            took = time.monotonic() - began
            gateway.send_signal(signal.SIGTERM)
            _, err = gateway.communicate(timeout=20)
        finally:
            gateway.kill()
    assert answer.status_code == 200
    assert "Hello" in answer.json()["choices"][0]["message"]["content"]
    assert gateway.returncode == 0
    assert "Traceback" not in err
    sys.stdout.write(f"from exec to the first answered chat: {took:.2f} s\n")
    assert took < FIRST_ANSWER_SECONDS


@contextlib.asynccontextmanager
async def streaming(url: str) -> AsyncIterator[tuple[AsyncIterator[str], httpx2.AsyncClient]]:
    """A chat stream whose first word has come: its further lines, and a client for other calls."""
    async with (
        httpx2.AsyncClient(timeout=20) as http,
        http.stream(
            "POST", f"{url}/v1/chat/completions", json={**HELLO, "stream": True}, headers=AUTHORIZED
        ) as answer,
    ):
        assert answer.status_code == 200
        lines = answer.aiter_lines()
        async for line in lines:
            if "One " in line:
                break
        yield lines, http


def slow(url: str) -> str:
    """A routing file whose model `demo` is served by an upstream of the test's."""
    target = {"provider": "up", "model": "up-1", "price": {"input": 1, "output": 2}}
    return routing({"demo": {"targets": [target]}}, {"up": upstream(url)})


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_when_told_to_stop_it_turns_unready_first_and_finishes_what_runs(tmp_path: Path, number: int):
    async with Faulty() as up:
        go_on = asyncio.Event()
        up.always(send(first_part()), wait(go_on), send(last_part()))
        with Serving(tmp_path, slow(up.url), "--drain", "0.7", "--grace", "20") as gateway:
            async with streaming(gateway.url) as (lines, _):
                gateway.signal(number)
                ready = httpx2.get(f"{gateway.url}/readyz")
                assert (ready.status_code, ready.json()["reason"]) == (503, "draining")
                assert httpx2.get(f"{gateway.url}/livez").status_code == 200
                await until_async(lambda: not door_is_open(gateway.url))
                assert gateway.running
                go_on.set()
                rest = [line async for line in lines if line]
                assert '"two"' in rest[0]
                assert rest[-1] == "data: [DONE]"
            await until_async(lambda: not gateway.running)
            assert gateway.ended() == 0


def door_is_open(url: str) -> bool:
    """Whether new connections are taken."""
    host, _, port = url.removeprefix("http://").partition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=1):
            return True
    except OSError:
        return False


async def test_a_second_signal_ends_it_at_once_and_the_cut_stream_does_not_look_complete(tmp_path: Path):
    async with Faulty() as up:
        up.always(send(first_part()), until_left())
        with Serving(tmp_path, slow(up.url), "--drain", "30", "--grace", "30") as gateway:
            async with streaming(gateway.url) as (lines, _):
                gateway.signal(signal.SIGTERM)
                await until_async(lambda: httpx2.get(f"{gateway.url}/readyz").status_code == 503)
                gateway.signal(signal.SIGTERM)
                with pytest.raises(httpx2.TransportError):
                    assert "data: [DONE]" not in [line async for line in lines]
            await until_async(lambda: not gateway.running, 5)
            assert gateway.ended() == 0


async def test_what_outlasts_the_grace_time_is_cut_and_does_not_look_complete(tmp_path: Path):
    async with Faulty() as up:
        up.always(send(first_part()), until_left())
        with Serving(tmp_path, slow(up.url), "--drain", "0", "--grace", "1") as gateway:
            async with streaming(gateway.url) as (lines, _):
                began = time.monotonic()
                gateway.signal(signal.SIGTERM)
                with pytest.raises(httpx2.TransportError):
                    assert "data: [DONE]" not in [line async for line in lines]
            await until_async(lambda: not gateway.running, 5)
            assert gateway.ended() == 0
            assert 0.9 < time.monotonic() - began < 5


def test_after_kill_9_it_starts_again_on_the_same_port_with_the_same_data(tmp_path: Path):
    port = free_port()
    with Serving(tmp_path, demo(), "--port", str(port)) as gateway:
        httpx2.post(f"{gateway.url}/v1/chat/completions", json=HELLO, headers=AUTHORIZED).raise_for_status()
        gateway.kill9()
        gateway.start()
        gateway.ready()
        assert gateway.url == f"http://127.0.0.1:{port}"
        httpx2.post(f"{gateway.url}/v1/chat/completions", json=HELLO, headers=AUTHORIZED).raise_for_status()


def refused(folder: Path, text: str, *words: str, more: Mapping[str, str] | None = None) -> str:
    """What it says when it does not start."""
    with Serving(folder, text, *words, more=more, wait=False) as gateway:
        until(lambda: not gateway.running)
        assert gateway.process.exitcode == 1
        assert "Traceback" not in gateway.err
        assert gateway.out == ""
        return gateway.err


def test_a_port_in_use_is_said(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = refused(tmp_path, demo(), "--port", str(port))
    assert said == f"127.0.0.1:{port} cannot be listened on: Address already in use. Choose another --port.\n"


def test_a_broken_routing_file_is_said_with_its_line(tmp_path: Path):
    said = refused(tmp_path, demo().replace("scripted", "scriptde"))
    assert f"{tmp_path / 'config' / 'fairlead.yaml'}:3: providers.demo.dialect: unknown" in said


def test_more_workers_without_redis_are_refused(tmp_path: Path):
    assert "--workers above 1 needs FAIRLEAD_REDIS_URL" in refused(tmp_path, demo(), "--workers", "2")


def test_settings_that_make_no_sense_are_all_said_and_their_values_are_not(tmp_path: Path):
    wrong = {
        "FAIRLEAD_REDIS_URL": "http://canary-7f",
        "FAIRLEAD_DATABASE_URL": "postgres://me:canary-7f@db/x",
        "FAIRLEAD_REPLICAS": "canary-7f",
        "FAIRLEAD_TRANSPORT": "canary-7f",
    }
    said = refused(tmp_path, demo(), more=wrong)
    assert all(name in said for name in wrong)
    assert "canary" not in said
