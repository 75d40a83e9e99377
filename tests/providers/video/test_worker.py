"""What a worker tells of itself is read, whatever else answers there is not taken for one."""

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from providers.errors import ErrorKind, ProviderError
from providers.types import HttpResponse, Secret, Target, VideoLimits, WorkerStatus
from providers.video import worker
from tests.providers.local.running import RunningWorker

MODEL = {"id": "wan", "operations": ["generate"], "min_seconds": 1, "max_seconds": 5}


def read(body: object, status: int = 200) -> WorkerStatus:
    return worker.worker_status(HttpResponse(status=status, headers={}, body=json.dumps(body).encode()))


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningWorker]:
    running = RunningWorker(tmp_path_factory.mktemp("worker"), key="s3cret")
    yield running
    running.process.kill()
    running.process.communicate()


def test_the_real_worker_is_understood(real: RunningWorker) -> None:
    target = Target(
        provider="studio", dialect="worker", base_url=real.base_url, model="", credential=Secret("s3cret")
    )
    asked = worker.worker_look(target)
    got = httpx2.get(asked.url, headers=dict(asked.headers))
    told = worker.worker_status(HttpResponse(status=got.status_code, headers={}, body=got.content))
    assert (told.free_slots, told.free_in) == (1, 0.0)
    assert told.models["testcard"].rate is None
    assert told.models["testcard"].limits == VideoLimits(
        operations=("generate", "remix", "edit", "extend"),
        inputs=["first_frame", "reference_image", "source_video"],
        max_inputs=1, links=False, edges=(64, 1080, 1920), min_seconds=1, max_seconds=60, idempotent_submit=True,
    )  # fmt: skip
    with pytest.raises(ProviderError) as refused:
        worker.worker_status(HttpResponse(status=401, headers={}, body=httpx2.get(asked.url).content))
    assert refused.value.kind is ErrorKind.AUTHENTICATION


def test_a_model_says_what_it_takes_and_how_fast_it_is() -> None:
    told = read({"models": [{**MODEL, "rate": 2.5, "inputs": [], "sizes": ["832x480"]}], "free_slots": 2})
    wan = told.models["wan"]
    assert (wan.rate, wan.limits.inputs, wan.limits.sizes, wan.limits.edges) == (2.5, [], ["832x480"], None)
    assert (told.free_slots, told.free_in) == (2, None)
    assert read({"models": [MODEL]}).models["wan"].limits.inputs == ["first_frame", "reference_image"]


def test_a_worker_whose_engine_is_being_loaded_has_no_slot() -> None:
    assert read({"models": [MODEL], "ready": False, "free_slots": 1}).free_slots == 0


@pytest.mark.parametrize("body", [{}, [], "ok", {"models": [{}]}, {"models": None}])
def test_what_is_no_worker_is_told_from_one(body: Any) -> None:
    with pytest.raises(ProviderError) as refused:
        read(body)
    assert refused.value.kind is ErrorKind.PROTOCOL


@pytest.mark.parametrize("body", [b'{"models": [{"id": "\xfc"}]}', b'{"models": [], "x": ' + b"[" * 9999])
def test_an_answer_that_is_no_text_is_no_workers(body: bytes) -> None:
    with pytest.raises(ProviderError) as refused:
        worker.worker_status(HttpResponse(status=200, headers={}, body=body))
    assert refused.value.kind is ErrorKind.PROTOCOL
