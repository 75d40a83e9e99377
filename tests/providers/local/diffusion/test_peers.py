"""Two processes that make each video together: by gloo on the CPU, where a GPU machine has NCCL."""

import io
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import msgspec
import numpy as np
import pytest

from providers.local.diffusion.settings import ModelSettings, SetupError
from tests.providers.local.running import RunningWorker, alive, children_of, until

SETTINGS = """
models:
  alone: {{path: {path}, steps: 3, min_edge: 32}}
  shared: {{path: {path}, steps: 3, min_edge: 32, context_parallel: 2}}
"""


@pytest.fixture(scope="module")
def worker(tiny_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningWorker]:
    """One worker for all tests: starting its engine and the peer takes seconds."""
    folder = tmp_path_factory.mktemp("worker")
    (folder / "worker.yaml").write_text(SETTINGS.format(path=tiny_models / "wan"))
    running = RunningWorker(folder / "data", "--config", str(folder / "worker.yaml"))
    yield running
    running.end(signal.SIGKILL)


def peer_of(worker: RunningWorker) -> int:
    """The other process of the engine."""

    def found() -> list[int]:
        return [
            pid
            for pid in children_of(worker.engine())
            if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
        ]

    (peer,) = until(found)
    return int(peer)


def frames(worker: RunningWorker, video_id: str) -> Any:
    video = worker.wait(video_id)
    assert video["status"] == "completed", video
    with av.open(io.BytesIO(worker.get(f"/videos/{video_id}/content").content)) as file:
        return np.stack([one.to_ndarray(format="rgb24") for one in file.decode(video=0)]).astype(int)


def make(worker: RunningWorker, model: str) -> str:
    return worker.create("a red ball", seconds=0.5, size="64x64", seed=3, model=model)


def test_two_processes_make_the_video_that_one_makes_and_neither_goes_on_without_the_other(
    worker: RunningWorker,
) -> None:
    one, both = (frames(worker, make(worker, model)) for model in ("alone", "shared"))
    assert one.shape == both.shape == (12, 64, 64, 3)
    assert one.std() > 1
    assert abs(one - both).mean() < 1  # measured: 0
    engine = worker.engine()
    os.kill(peer_of(worker), signal.SIGKILL)
    until(lambda: not alive(engine))


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"context_parallel": 4}, "for m: its 2 attention heads are no multiple of it"),
        ({"context_parallel": 2, "first_block_cache": 0.1}, "for m: first_block_cache would skip"),
        ({"context_parallel": 2, "device": "cuda:1"}, "for m: device 'cuda:1' is a single one"),
    ],
)
def test_what_cannot_be_shared_is_refused_before_anything_is_started(
    tiny_models: Path, changes: dict[str, Any], problem: str
) -> None:
    from providers.local.diffusion.peers import Peers  # noqa: PLC0415 - torch takes seconds

    model = ModelSettings(path=str(tiny_models / "wan"))
    with pytest.raises(SetupError, match=problem):
        Peers({"m": msgspec.structs.replace(model, **changes)})


def test_models_that_are_shared_are_shared_among_as_many(tiny_models: Path) -> None:
    from providers.local.diffusion.peers import Peers  # noqa: PLC0415

    counts = (2, 4)
    with pytest.raises(SetupError, match="all models that have it must say the same"):
        Peers(
            {
                f"m{count}": ModelSettings(path=str(tiny_models / "wan"), context_parallel=count)
                for count in counts
            }
        )
