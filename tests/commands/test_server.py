"""How a server process treats its own garbage."""

import asyncio
import gc
from collections.abc import Iterator

import pytest

from gateway.commands import server
from tests.system.process import until_async


@pytest.fixture
def loading(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A process that has just loaded everything and collected nothing."""
    monkeypatch.setattr(server, "SETTLE_SECONDS", 0.01)
    thresholds = gc.get_threshold()
    gc.disable()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)
    gc.enable()


async def test_nobody_who_is_served_waits_for_the_first_collection(loading: None) -> None:
    running = {object()}
    server.settle(running)
    await asyncio.sleep(0.03)
    assert not gc.isenabled()
    running.clear()
    await until_async(gc.isenabled, 5.0)
    assert gc.get_freeze_count() > 10_000


async def test_a_server_that_is_never_idle_collects_all_the_same(loading: None) -> None:
    server.settle({object()}, 2)
    await until_async(gc.isenabled, 5.0)
