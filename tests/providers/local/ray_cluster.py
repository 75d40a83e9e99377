"""The worker on a real cluster of Ray's, on this machine and without a GPU: `make test-ray`.

Not among the other tests: Ray is large, and takes a quarter of a minute to come up.
"""

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml

from tests.providers.local.running import RunningWorker, asked, until
from tests.servers import free_port

KEY = "s3cret"
NAMES = ("gpu-0", "gpu-1")


class RayWorker(RunningWorker):
    """One of the workers that the cluster runs."""

    def __init__(self, name: str, port: int, data_dir: Path) -> None:
        self.name = name
        self.data_dir = data_dir
        self.base_url = f"http://127.0.0.1:{port}/{name}/v1"

    def start(self) -> None:
        """That is Ray's business."""

    def get(self, path: str, **headers: str) -> httpx2.Response:
        return super().get(path, authorization=f"Bearer {KEY}", **headers)

    def post(self, path: str, body: Any = None, **headers: str) -> httpx2.Response:
        return super().post(path, body, authorization=f"Bearer {KEY}", **headers)

    def ready(self) -> bool:
        try:
            return asked("GET", self.base_url.removesuffix("v1") + "readyz").status_code == 200
        except httpx2.TransportError:
            return False

    def replica(self) -> int:
        """The process id of the worker's parent process, which Ray started."""
        title = f"ray::ServeReplica:{self.name}:"
        return next(pid for pid in processes() if command(pid).startswith(title))


def processes() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except (FileNotFoundError, ProcessLookupError):
        return ""


@pytest.fixture(scope="module")
def workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[RayWorker]]:
    """Two workers, as docs/workers.md says, on a cluster of one machine."""
    folder, port = tmp_path_factory.mktemp("ray"), free_port()
    applications = [
        {
            "name": name,
            "route_prefix": f"/{name}",
            "import_path": "providers.local.ray_serve:worker",
            "args": {"options": f"--data-dir {shlex.quote(str(folder / name))}", "num_gpus": 0},
        }
        for name in NAMES
    ]
    options = {"host": "127.0.0.1", "port": port}
    (folder / "serve.yaml").write_text(
        yaml.safe_dump({"http_options": options, "applications": applications})
    )
    environment = os.environ | {
        "FAIRLEAD_WORKER_KEY": KEY,
        "TESTCARD_PACE": "0.2",
        "RAY_DISABLE_IMPORT_WARNING": "1",
    }
    with (folder / "log").open("wb") as log:
        cluster = subprocess.Popen(
            [Path(sys.executable).with_name("serve"), "run", str(folder / "serve.yaml")],
            env=environment, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    try:
        made = [RayWorker(name, port, folder / name) for name in NAMES]
        until(lambda: cluster.poll() is not None or all(one.ready() for one in made))
        assert cluster.poll() is None, (folder / "log").read_text(errors="replace")[-3000:]
        yield made
    finally:
        cluster.send_signal(signal.SIGINT)
        cluster.wait(60)


def test_each_has_an_address_and_knows_its_own_jobs(workers: list[RayWorker]) -> None:
    one, other = workers
    assert httpx2.get(f"{one.base_url}/worker").status_code == 401
    told = one.get("/worker").json()
    assert (told["engine"], told["free_slots"], [model["id"] for model in told["models"]]) == (
        "testcard",
        1,
        ["testcard"],
    )
    video = one.create("on a cluster")
    assert one.wait(video)["status"] == "completed"
    assert one.get(f"/videos/{video}/content", range="bytes=4-7").content == b"ftyp"
    assert other.get(f"/videos/{video}").status_code == 404


def test_a_killed_worker_is_started_anew_and_goes_on_with_its_job(workers: list[RayWorker]) -> None:
    one, other = workers
    video = one.create("survives", seconds=20)
    until(lambda: one.video(video)["progress"] > 5)
    replica = one.replica()
    os.kill(replica, signal.SIGKILL)
    assert other.wait(other.create("meanwhile"))["status"] == "completed"
    until(lambda: one.ready() and one.get("/worker").status_code == 200)
    assert one.wait(video)["status"] == "completed"
    assert one.replica() != replica


@pytest.mark.filterwarnings("ignore")  # of Ray's own modules, while they are imported
@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        ({"options": "--prot 80"}, "'--prot 80': these are no options for starting a worker"),
        ({"options": "make-tiny /tmp/x"}, "no options for starting a worker"),
        ({"gpus": 1}, "unknown field `gpus`"),
        ({"num_gpus": "many"}, "num_gpus"),
    ],
)
def test_arguments_that_make_no_sense_are_refused_before_anything_is_placed(
    args: dict[str, Any], complaint: str
) -> None:
    from providers.local.ray_serve import worker  # noqa: PLC0415 - the other tests do without Ray in this process

    with pytest.raises(ValueError, match=complaint):
        worker(args)
