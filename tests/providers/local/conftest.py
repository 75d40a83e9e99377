"""Workers for the tests of this folder."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.providers.local.running import RunningWorker


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningWorker]:
    """A worker that the tests of a module share."""
    shared = RunningWorker(tmp_path_factory.mktemp("worker"))
    yield shared
    shared.end(signal.SIGTERM)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., RunningWorker]]:
    """Starts workers of a test's own, and ends them whatever the test did to them."""
    started: list[RunningWorker] = []

    def start(*options: str, key: str = "") -> RunningWorker:
        started.append(RunningWorker(tmp_path / f"data{len(started)}", *options, key=key))
        return started[-1]

    yield start
    for worker in started:
        if worker.process.poll() is None:
            worker.end(signal.SIGKILL)
