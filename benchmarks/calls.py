"""Counts Python and C calls per chat request: `python -m benchmarks.calls [--top]` prints one number.

Unlike times, calls do not depend on how busy the machine is, so the tests can hold a bound on them. The whole
gateway runs under the profiler in this process; the mock upstream and the load run in others.
"""

import argparse
import asyncio
import cProfile
import os
import pstats
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec
import uvicorn
import uvloop

from benchmarks.load import Job
from benchmarks.processes import Started, free_port, listens
from benchmarks.run import SCENARIOS, body
from benchmarks.subjects import KEY, Subject, subjects
from gateway.api.server import Protocol
from gateway.app import Gateway
from gateway.config.settings import read
from gateway.service.books import FLUSH_SECONDS

WARM_UP = 50
REQUESTS = 1000


async def _load(subject: Subject, requests: int) -> None:
    job = Job(port=subject.port, body=body(subject, SCENARIOS[0]), key=KEY, connections=4, requests=requests)
    arguments = [sys.executable, "-m", "benchmarks.load", msgspec.json.encode(job).decode()]
    process = await asyncio.create_subprocess_exec(*arguments, stdout=subprocess.PIPE)
    told, _ = await process.communicate()
    if msgspec.json.decode(told)["ok"] != requests:
        raise RuntimeError(f"not every request was answered: {told.decode()}")


async def profile(subject: Subject) -> cProfile.Profile:
    """A profile of REQUESTS chat requests through the gateway, all features on."""
    gateway = Gateway(read(os.environ), os.environ)
    server = uvicorn.Server(
        uvicorn.Config(
            gateway.asgi,
            port=subject.port,
            access_log=False,
            log_config=None,
            ws="none",
            http=Protocol,
            proxy_headers=False,
        )
    )
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    await _load(subject, WARM_UP)
    random.seed(0)  # which requests are traced, and so the count, must not vary
    profiler = cProfile.Profile()
    profiler.enable()
    await _load(subject, REQUESTS)
    await asyncio.sleep(FLUSH_SECONDS * 1.5)  # the ledger is written behind the answers: that is part of them
    profiler.disable()
    server.should_exit = True
    await serving
    return profiler


def measure() -> pstats.Stats:
    """The profile's statistics; what the load process costs this one to start is in it, and is small."""
    with tempfile.TemporaryDirectory() as name:
        base = free_port()
        mock = Started([sys.executable, "-m", "benchmarks.upstream", str(base)], {}, Path(name) / "log")
        try:
            mock.wait_until(lambda: listens(base))
            traces = {
                "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{base}",
                "OTEL_TRACES_SAMPLER_ARG": "0.1",
            }
            subject = subjects(Path(name), base, [base + 1, base + 2, base + 3, base + 4], traces)[0]
            os.environ.update(subject.environment)
            return pstats.Stats(uvloop.run(profile(subject)))
        finally:
            mock.stop()


def main() -> None:
    """Print calls per request."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--top", action="store_true", help="show where the calls are")
    told = parser.parse_args()
    silent = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the gateway's own log lines
    stats = measure()
    os.dup2(silent, 1)
    if told.top:
        stats.sort_stats("ncalls").print_stats(70)
    sys.stdout.write(f"{stats.total_calls / REQUESTS:.0f}\n")


if __name__ == "__main__":
    main()
