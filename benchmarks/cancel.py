"""How soon a video worker lets go: `python -m benchmarks.cancel --model DIR` prints it for jobs with long steps.

A job is cancelled in the middle of a step, and told are three times: until the caller has the answer, until the
engine works on the next job, and how long the steps take that none of it waits for.
"""

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import httpx2

from tests.providers.local.running import RunningWorker, until

SETTINGS = """
models:
  m: {{path: {path}, steps: {steps}}}
"""
STEPS = 100


def measure(worker: RunningWorker, size: str, seconds: float, wait: float) -> tuple[float, float, float]:
    """Seconds until the answer, until the next job is in work, and from one step to the next."""
    long = worker.create("a red kite", seconds=seconds, size=size)
    following = worker.create("a blue kite", seconds=seconds, size=size)
    step = _step(lambda: int(worker.video(long)["progress"]))
    time.sleep(wait * step)
    with httpx2.Client(base_url=worker.base_url) as client:
        client.get("/worker")
        began = time.perf_counter()
        answer = client.post(f"/videos/{long}/cancel").json()
        answered = time.perf_counter() - began
        assert answer["error"]["code"] == "cancelled"
        until(lambda: client.get(f"/videos/{following}").json()["status"] == "in_progress")
        free = time.perf_counter() - began
    worker.post(f"/videos/{following}/cancel")
    until(lambda: worker.get("/worker").json()["free_slots"])
    return answered, free, step


def _step(progress: Callable[[], int]) -> float:
    """Seconds that one of `STEPS` steps takes, by how the percents of a job go by; the job is at a step then."""
    seen, times = progress(), list[float]()
    while len(times) < 3:
        until(lambda before=seen: progress() > before)  # type: ignore[misc]  # a lambda has no types
        seen = progress()
        times.append(time.perf_counter())
    return (times[-1] - times[0]) / 2


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="a directory in the format of diffusers")
    parser.add_argument("--size", default="512x512", help="default: %(default)s")
    parser.add_argument("--seconds", type=float, default=4, help="of video (default: %(default)s)")
    parser.add_argument("--runs", type=int, default=10, help="default: %(default)s")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "worker.yaml"
        config.write_text(SETTINGS.format(path=given.model.resolve(), steps=STEPS))
        worker = RunningWorker(Path(folder) / "data", "--config", str(config))
        engine = worker.engine()
        found = [
            measure(worker, given.size, given.seconds, wait=run / given.runs) for run in range(given.runs)
        ]
        assert worker.engine() == engine, "the engine was replaced"
        worker.end(signal.SIGTERM)
    for name, times in zip(("answer", "next job in work", "a step"), zip(*found, strict=True), strict=True):
        sys.stdout.write(
            f"{name:18}{1000 * median(times):9.1f} ms median {1000 * max(times):9.1f} ms at most\n"
        )


if __name__ == "__main__":
    main()
