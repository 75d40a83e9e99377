"""How soon a video worker answers, and how little it is: `python -m benchmarks.worker_start` prints both.

What is measured is the worker's own process, which never loads PyTorch: until it answers, and its memory then
and after a video. Its engine is a process of its own and no part of the figures; `-- --model DIR` takes another
than the test card.
"""

import argparse
import contextlib
import json
import os
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from benchmarks.processes import Started, free_port

_GOAL_SECONDS, _GOAL_MB = 1.0, 80
_ENDED = ("completed", "failed")


class Figures(NamedTuple):
    """Of one start: seconds until it answers, those of CPU among them, seconds until its engine is loaded, and MB."""

    answers: float
    cpu: float
    engine: float
    idle: float
    after: float


def asked(url: str, body: object = None) -> dict[str, Any]:
    """What the worker answers; an empty object while it does not."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json"})
    with contextlib.suppress(OSError), urllib.request.urlopen(request, timeout=30) as reply:
        return dict(json.load(reply))
    return {}


def resident(pid: int) -> float:
    """MB that one process holds."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS:"))


def computed(pid: int) -> float:
    """Seconds of CPU that one process has had."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measured(folder: Path, options: Sequence[str]) -> Figures:
    """One start on an empty directory, and one small video."""
    port = free_port()
    root = f"http://127.0.0.1:{port}"
    command = [
        sys.executable,
        "-m",
        "providers.local",
        "--port",
        str(port),
        "--data-dir",
        str(folder / "data"),
    ]
    worker = Started([*command, *options], {}, folder / "log")
    try:
        worker.wait_until(lambda: asked(f"{root}/livez"))
        answers, cpu, idle = worker.ready_seconds, computed(worker.pid), resident(worker.pid)
        worker.wait_until(lambda: asked(f"{root}/readyz"), 300)
        order = {"prompt": "A red kite", "seconds": 1, "size": "64x64"}
        video = asked(f"{root}/v1/videos", order)["id"]
        while asked(f"{root}/v1/videos/{video}")["status"] not in _ENDED:
            time.sleep(0.05)
        return Figures(answers, cpu, worker.ready_seconds, idle, resident(worker.pid))
    finally:
        worker.stop()


def main() -> None:
    """Measure so many starts and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="default: %(default)s")
    parser.add_argument("options", nargs="*", help="of `fairlead worker`, behind --")
    given = parser.parse_args()
    found = []
    for _ in range(given.runs):
        with tempfile.TemporaryDirectory() as folder:
            found.append(measured(Path(folder), given.options))
    load = os.getloadavg()[0]
    sys.stdout.write(f"{given.runs} starts of the worker, load {load:.1f}\n")
    for name, unit, goal in (
        ("answers", "s", f"goal: below {_GOAL_SECONDS:g}"),
        ("cpu", "s", "of CPU until then, whatever else the machine does"),
        ("engine", "s", "until its engine is loaded"),
        ("idle", "MB", f"goal: below {_GOAL_MB}"),
        ("after", "MB", "with a video made"),
    ):
        values = [getattr(one, name) for one in found]
        sys.stdout.write(
            f"{name:8} {min(values):7.2f} least {median(values):7.2f} median {max(values):7.2f} most {unit}  {goal}\n"
        )


if __name__ == "__main__":
    main()
