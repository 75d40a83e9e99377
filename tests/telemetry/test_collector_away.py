"""A collector that is down, hangs or is slow: no call notices, and the gateway does not wait for it at its end."""

import asyncio
import threading
import time
from pathlib import Path

import pytest

from gateway.telemetry import setup
from tests.running import running
from tests.servers import free_port
from tests.system.line import Line, chat_request
from tests.system.process import demo
from tests.telemetry.collector import Collector, export_to
from tests.transport.faulty import Peer, answer, until_left

CALLS = 1500
"""Several queues full: the SDK's holds 2048 spans, and a call is four."""
END_SECONDS = 6.0
BRIEF_SECONDS = 1.5
"""What END_SECONDS becomes where the gateway's own patience is shortened, to save the time of all tests."""
CALM = {"OTEL_BSP_SCHEDULE_DELAY": "50"}
"""Exports begin while the calls are made, and not only at the end."""


async def press(url: str) -> float:
    """Make CALLS calls on 8 connections, none of which may fail; the median of the seconds they took."""
    took: list[float] = []

    async def ask() -> None:
        async with Line(url) as line:
            for _ in range(CALLS // 8):
                began = time.monotonic()
                assert (await line.ask(chat_request())).status == 200
                took.append(time.monotonic() - began)

    await asyncio.gather(*(ask() for _ in range(8)))
    return sorted(took)[len(took) // 2]


async def slow_answer(peer: Peer) -> None:
    """Answer after a second."""
    await asyncio.sleep(1.0)
    await peer.send(answer())


def exporting() -> set[threading.Thread]:
    """The threads that export, of this gateway and of any before it."""
    return {one for one in threading.enumerate() if one.name == "OtelBatchSpanRecordProcessor"}


async def lifetime(folder: Path, settings: dict[str, str]) -> float:
    """The seconds a gateway needs to end after many calls."""
    async with running(demo(), folder, settings) as gateway:
        await press(gateway.url)
        assert exporting()
        ending = time.monotonic()
    return time.monotonic() - ending


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway with less patience."""
    monkeypatch.setattr(setup, "EXPORT_SECONDS", BRIEF_SECONDS)


async def test_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, brief: None):
    settings = export_to(f"http://127.0.0.1:{free_port()}", monkeypatch, **CALM)
    before = exporting()
    assert await lifetime(tmp_path, settings) < BRIEF_SECONDS + 1
    async with asyncio.timeout(1.0):  # nobody goes on trying for a gateway that has ended
        while exporting() - before:
            await asyncio.sleep(0.01)


async def test_hung(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    async with Collector(until_left()) as collector:
        assert await lifetime(tmp_path, export_to(collector.url, monkeypatch, **CALM)) < END_SECONDS
        assert collector.server.requests


async def test_slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, brief: None):
    async with Collector(slow_answer) as collector:
        assert await lifetime(tmp_path, export_to(collector.url, monkeypatch, **CALM)) < BRIEF_SECONDS + 1
        assert len(collector.spans()) >= 512
