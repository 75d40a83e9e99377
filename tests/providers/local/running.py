"""A real worker process on a free loopback port, to be talked to and to be killed."""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx2
import openai

DEADLINE = 240.0  # an engine that loads torch takes seconds, on a busy machine a minute


def until(wanted: Callable[[], Any]) -> Any:
    """What `wanted` gives once that is true; fails after DEADLINE seconds."""
    end = time.monotonic() + DEADLINE
    while not (value := wanted()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)
    return value


def parent_of(pid: int) -> int | None:
    """The parent of a living process, None for one that is gone or only waits to be reaped."""
    try:
        state, parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:2]
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if state == "Z" else int(parent)


def alive(pid: int) -> bool:
    return parent_of(pid) is not None


def children_of(pid: int) -> list[int]:
    """Process ids of the living children of a process."""
    everyone = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [other for other in everyone if parent_of(other) == pid]


def asked(method: str, url: str, **more: Any) -> httpx2.Response:
    """An answer; nobody speaks TLS here, and reading the world's certificates takes longer than most answers."""
    return httpx2.request(method, url, verify=False, **more)


def named(headers: Mapping[str, str]) -> dict[str, str]:
    """Headers by their names, of which arguments have `_` for `-`."""
    return {name.replace("_", "-"): value for name, value in headers.items()}


class RunningWorker:
    """One worker process; `start` after `kill` continues with the same data directory.

    `pace` is how many seconds a second of video takes it at least.
    """

    def __init__(self, data_dir: Path, *options: str, key: str = "", pace: float = 0.0) -> None:
        self.data_dir = data_dir
        self._options = options
        self._environment = os.environ | {"FAIRLEAD_WORKER_KEY": key, "TESTCARD_PACE": str(pace)}
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "providers.local", "--port", "0", "--data-dir", str(self.data_dir)]
        self.process = subprocess.Popen(
            [*command, *self._options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=self._environment,
            text=True,
        )
        assert self.process.stdout is not None
        assert select.select([self.process.stdout], [], [], DEADLINE)[0], "the worker says nothing"
        self.base_url = self.process.stdout.readline().rpartition(" ")[2].strip()
        root = self.base_url.removesuffix("/v1")
        until(lambda: asked("GET", f"{root}/readyz").status_code == 200)

    def engine(self) -> int:
        """The process id of the engine."""
        children: list[int] = until(lambda: children_of(self.process.pid))
        return children[0]

    def kill_engine(self) -> None:
        os.kill(self.engine(), signal.SIGKILL)

    def end(self, how: signal.Signals) -> int:
        """Send a signal, wait for the end, and give the exit status."""
        self.process.send_signal(how)
        status = self.process.wait(DEADLINE)
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()
        return status

    def client(self, key: str = "none") -> openai.OpenAI:
        return openai.OpenAI(base_url=self.base_url, api_key=key, max_retries=0)

    def get(self, path: str, **headers: str) -> httpx2.Response:
        return asked("GET", self.base_url + path, headers=named(headers))

    def post(self, path: str, body: Any = None, **headers: str) -> httpx2.Response:
        return asked("POST", self.base_url + path, json=body, headers=named(headers))

    def create(self, prompt: str, seconds: float = 1, size: str = "64x64", **more: Any) -> str:
        """Submit a tiny video; its id."""
        answer = self.post("/videos", {"prompt": prompt, "seconds": seconds, "size": size, **more})
        assert answer.status_code == 200, answer.text
        return str(answer.json()["id"])

    def video(self, video_id: str) -> dict[str, Any]:
        answer: dict[str, Any] = self.get(f"/videos/{video_id}").json()
        return answer

    def wait(self, video_id: str, *statuses: str) -> dict[str, Any]:
        """The video once it has one of these statuses, or is at its end."""
        wanted = statuses or ("completed", "failed")
        video: dict[str, Any] = until(
            lambda: video if (video := self.video(video_id))["status"] in wanted else None
        )
        return video

    def wait_for_restarts(self, count: int) -> None:
        until(lambda: self.get("/worker").json()["restarts"] >= count)
