"""The whole worker with a tiny model: real processes, real HTTP, real pipelines."""

import base64
import io
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import httpx2
import pytest
from PIL import Image

from providers.local.engine import CANNOT_LOAD
from tests.providers.local.running import DEADLINE, RunningWorker, until

LONG = 60  # seconds of video: a few seconds of work, killed long before its end
SETTINGS = """
models:
  ltx:
    path: {path}
    steps: 2
    min_edge: 32
    default_size: 32x32
    default_seconds: 0.5
    camera_movements: {{pan: the camera pans}}
"""


@pytest.fixture(scope="module")
def worker(tiny_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningWorker]:
    """One worker for all tests, whatever they do to it: starting one takes seconds."""
    folder = tmp_path_factory.mktemp("worker")
    (folder / "worker.yaml").write_text(SETTINGS.format(path=tiny_models / "ltx"))
    running = RunningWorker(folder / "data", "--config", str(folder / "worker.yaml"))
    yield running
    running.end(signal.SIGKILL)


def make(worker: RunningWorker, prompt: str = "a red ball", seconds: float = 0.5, **more: Any) -> str:
    return worker.create(
        prompt, seconds=seconds, size=more.pop("size", "32x32"), seed=more.pop("seed", 5), **more
    )


def frames(worker: RunningWorker, video_id: str) -> int:
    with av.open(io.BytesIO(content(worker, video_id))) as file:
        return int(file.streams.video[0].frames)


def content(worker: RunningWorker, video_id: str) -> bytes:
    answer = worker.get(f"/videos/{video_id}/content")
    assert answer.status_code == 200, answer.text
    return answer.content


def picture(colour: str) -> dict[str, str]:
    file = io.BytesIO()
    Image.new("RGB", (40, 40), colour).save(file, "PNG")
    return {"image_url": "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()}


def test_a_model_that_cannot_be_loaded_ends_the_worker_with_the_reason_told_once(
    tiny_models: Path, tmp_path: Path
) -> None:
    shutil.copytree(tiny_models / "ltx", tmp_path / "ltx")
    (weights,) = (tmp_path / "ltx/transformer").glob("*.safetensors")
    weights.write_bytes(weights.read_bytes()[:1000])
    options = ("--port", "0", "--data-dir", str(tmp_path / "data"), "--model", str(tmp_path / "ltx"))
    ended = subprocess.run(
        [sys.executable, "-m", "providers.local", *options],
        capture_output=True, text=True, timeout=DEADLINE, check=False,
    )  # fmt: skip
    assert ended.returncode == CANNOT_LOAD
    assert ended.stderr.count(f"fairlead worker: the model {tmp_path / 'ltx'} cannot be loaded: ") == 1
    assert "Traceback" not in ended.stderr


def test_it_says_what_it_can(worker: RunningWorker) -> None:
    told = worker.get("/worker").json()
    (model,) = told["models"]
    assert (told["engine"], model["id"], model["fps"]) == ("diffusers", "ltx", 24)
    assert model["operations"] == ["generate", "remix", "edit", "extend"]
    assert (model["camera_movements"], model["lossy"]) == (["pan"], [])
    assert (model["steps"], model["strength"]) == (2, 0.7)
    assert "cinematic" in model["style_presets"]
    assert {"torch", "diffusers"} <= set(told["versions"])


def test_it_makes_extends_remixes_and_edits(worker: RunningWorker) -> None:
    first = worker.wait(make(worker, size="41x32", camera_movement="pan"))
    assert (first["status"], first["output"]["width"], first["size"]) == ("completed", 42, "41x32")
    assert frames(worker, first["id"]) == 12
    begun = worker.wait(make(worker, input_reference=picture("red"), last_frame=picture("blue")))
    longer = worker.post(
        "/videos/extensions", {"prompt": "on", "video": {"id": first["id"]}, "seconds": "0.5"}
    )
    remix = worker.post(f"/videos/{first['id']}/remix", {"prompt": "a cat", "strength": 0.5})
    files = {"prompt": (None, b"a dog"), "video": ("a.mp4", content(worker, first["id"]), "video/mp4")}
    edit = httpx2.post(f"{worker.base_url}/videos/edits", files=files)
    ended = [worker.wait(answer.json()["id"]) for answer in (longer, remix, edit)]
    assert [video["status"] for video in (begun, *ended)] == ["completed"] * 4
    assert [video["size"] for video in ended] == ["42x32", "41x32", "42x32"]
    assert [frames(worker, video["id"]) for video in ended] == [24, 12, 12]
    assert [video["output"]["steps"] for video in (first, *ended)] == [2, 2, 1, 1]
    assert len({content(worker, video["id"]) for video in (first, begun, *ended)}) == 5


@pytest.mark.parametrize(
    ("fields", "param", "message"),
    [
        ({"camera_movement": "pan_left"}, "camera_movement", "'pan_left': it must be one of pan"),
        ({"style_preset": "rococo"}, "style_preset", "cinematic"),
        ({"last_frame": picture("red")}, "input_reference", "'last_frame' needs it"),
        ({"size": "31x31"}, "size", "from 32x32 to 1920x1088"),
        ({"model": "wan"}, "model", "one of ltx"),
    ],
)
def test_what_the_model_cannot_do_is_refused_at_once(
    worker: RunningWorker, fields: dict[str, Any], param: str, message: str
) -> None:
    answer = worker.post("/videos", {"prompt": "x"} | fields)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
    assert message in answer.json()["error"]["message"]


def test_a_broken_upload_fails_the_job_and_not_the_engine(worker: RunningWorker) -> None:
    restarts = worker.get("/worker").json()["restarts"]
    reference = {"image_url": "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n...").decode()}
    failed = worker.wait(make(worker, input_reference=reference))
    assert failed["error"]["code"] == "invalid_input_reference"
    assert worker.get("/worker").json()["restarts"] == restarts


def test_too_little_memory_fails_the_job_with_advice_and_the_next_one_is_made(worker: RunningWorker) -> None:
    engine = worker.engine()
    worker.wait(make(worker))
    taken = int(Path(f"/proc/{engine}/statm").read_text().split()[0]) * resource.getpagesize()
    whole = resource.prlimit(engine, resource.RLIMIT_AS)
    resource.prlimit(engine, resource.RLIMIT_AS, (taken + 2**25, whole[1]))
    try:
        failed = worker.wait(make(worker, size="1920x1088", seconds=6))
    finally:
        resource.prlimit(engine, resource.RLIMIT_AS, whole)
    assert failed["error"]["code"] == "out_of_memory"
    assert "6 s at 1920x1088 need more memory than cpu has free: ask for a" in failed["error"]["message"]
    assert worker.wait(make(worker))["status"] == "completed"
    assert worker.engine() == engine


def test_the_time_it_will_take_is_told_and_holds(worker: RunningWorker) -> None:
    for _ in range(2):
        worker.wait(make(worker, seconds=4))
    running, waiting = make(worker, seconds=8), make(worker, seconds=4)
    told = worker.get("/worker").json()["eta_s"]
    assert 0 < told < DEADLINE
    assert worker.wait(waiting)["status"] == "completed"
    assert worker.video(running)["status"] == "completed"


def test_kills_of_engine_and_worker_lose_no_waiting_job_change_no_byte_and_end_what_dies_twice(
    worker: RunningWorker,
) -> None:
    before = content(worker, worker.wait(make(worker, "the same", 2))["id"])
    restarts = worker.get("/worker").json()["restarts"]
    poison, same, last = make(worker, "poison", LONG), make(worker, "the same", 2), make(worker, "the last")
    until(lambda: worker.video(poison)["progress"] > 0)
    worker.kill_engine()
    worker.wait_for_restarts(restarts + 1)
    until(lambda: worker.video(poison)["progress"] > 0)
    worker.end(signal.SIGKILL)
    worker.start()
    failed = worker.wait(poison)
    assert (failed["status"], failed["error"]["code"]) == ("failed", "engine_crashed")
    assert [worker.wait(job)["status"] for job in (same, last)] == ["completed"] * 2
    assert content(worker, same) == before


def test_a_cancelled_job_stops_in_the_middle_and_the_model_stays_loaded(worker: RunningWorker) -> None:
    before = content(worker, worker.wait(make(worker, "untouched"))["id"])
    running, following = make(worker, "cancelled", LONG), make(worker, "untouched")
    until(lambda: worker.video(running)["progress"] > 0)
    engine, began = worker.engine(), time.monotonic()
    cancelled = worker.post(f"/videos/{running}/cancel").json()
    assert (cancelled["status"], cancelled["error"]["code"]) == ("failed", "cancelled")
    assert worker.wait(following)["status"] == "completed"
    assert time.monotonic() - began < 15  # measured: 0.9 s; the rest is room for a busy machine
    assert worker.engine() == engine
    assert content(worker, following) == before
