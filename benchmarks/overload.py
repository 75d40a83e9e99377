"""What three times too much costs: `python -m benchmarks.overload` prints a table.

First the most that the gateway serves in a closed loop, over several numbers of clients; then, for a minute, an
open loop of three times as many requests; then the most once more, for machines change their speed. Gateway, provider
and load are processes of their own; the gateway has the first core to itself, the others share the rest. Whatever else
runs on the machine takes from all of them, so the CPU that was left to the gateway is told beside what it did with it.

How soon a refusal comes is told twice: as the load sees it, which answers thousands of others meanwhile, and as a
caller does who has time: a process of its own, before the others in the scheduler's queue where that may be asked for,
that asks PROBES times a second.
"""

import argparse
import asyncio
import contextlib
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from benchmarks.load import Job
from benchmarks.processes import Started, answers, cpu_seconds, free_port, listens, memory_mb
from benchmarks.subjects import KEY, MODEL, Subject, fairlead

CLIENTS = (32, 64, 128, 256, 512)
PEAK_SECONDS = 4.0
CONNECTIONS = 2048
"""Of the open loop."""
LOOK_SECONDS = 1.0
PROBES = 25.0
FIRST, SECOND = -10, -5
"""Niceness of whoever probes, and of the provider."""


def prefer(pid: int, niceness: int) -> None:
    """Schedule a process before others, where that may be asked for: only root may be less nice."""
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, pid, niceness)


async def load(job: Job, niceness: int = 0) -> dict[str, float]:
    """One run of the load generator."""
    told = msgspec.json.encode(job).decode()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.load", told, stdout=asyncio.subprocess.PIPE
    )
    prefer(process.pid, niceness)
    written, _ = await process.communicate()
    result: dict[str, float] = json.loads(written)
    return result


async def peak(job: Job, clients: Sequence[int] = CLIENTS) -> tuple[float, int]:
    """The most requests per second that are answered, and by how many clients."""
    best, rate = (0.0, 0), 100.0
    for many in clients:
        for seconds in (1.0, PEAK_SECONDS):  # the first run says how many requests the second one takes
            asked = msgspec.structs.replace(job, connections=many, requests=int(rate * seconds) + many)
            told = await load(asked)
            rate = (told["ok"] + told["wrong"]) / told["seconds"]
        best = max(best, (told["ok"] / told["seconds"], many))
    return best


async def most_memory(pid: int, running: "asyncio.Task[dict[str, float]]") -> float:
    """The highest memory, in MB, while something runs."""
    most = memory_mb(pid)
    while not running.done():
        await asyncio.wait([running], timeout=LOOK_SECONDS)
        most = max(most, await asyncio.to_thread(memory_mb, pid))
    return most


def of_ended() -> float:
    """CPU seconds of the children that have ended."""
    told = resource.getrusage(resource.RUSAGE_CHILDREN)
    return told.ru_utime + told.ru_stime


async def measure(
    subject: Subject, pid: int, body: Mapping[str, object], seconds: float
) -> list[tuple[str, ...]]:
    """The rows of the table."""
    job = Job(port=subject.port, body=dict(body), key=KEY)
    before_all, clients = await peak(job)
    before = memory_mb(pid)
    rate = 3 * before_all
    flood = msgspec.structs.replace(job, connections=CONNECTIONS, rate=rate, requests=int(rate * seconds))
    spent, began, asking = cpu_seconds(pid), time.perf_counter(), of_ended()
    running = asyncio.create_task(load(flood))
    probe = msgspec.structs.replace(job, connections=64, rate=PROBES, requests=int(PROBES * seconds))
    probing = asyncio.create_task(load(probe, FIRST))
    most = await most_memory(pid, running)
    told, probed = running.result(), await probing
    took = time.perf_counter() - began
    share, asking = (cpu_seconds(pid) - spent) / took, (of_ended() - asking) / took
    after_all, _ = await peak(job, [clients])
    best = (before_all + after_all) / 2
    good, offered = told["ok"] / told["seconds"], (told["ok"] + told["wrong"]) / told["seconds"]
    return [
        ("peak goodput, before and after", "", f"{before_all:.0f}/s, {after_all:.0f}/s"),
        ("offered", f"{rate:.0f}/s", f"{offered:.0f}/s"),
        ("goodput then", ">= 90 % of the peaks' mean", f"{good:.0f}/s, {good / best:.1%}"),
        ("CPU of the gateway then", "", f"{share:.0%} of one core"),
        ("CPU of the load generator then", "", f"{asking:.0%} of one core"),
        ("refused", "", f"{told['wrong']:.0f}"),
        (
            f"time to a refusal for a caller with time, p50 and p99 of {probed['wrong']:.0f}",
            "<= 20 ms",
            f"{probed['reply_p50_us'] / 1000:.1f} and {probed['reply_p99_us'] / 1000:.1f} ms",
        ),
        (
            "time to a refusal for the load, p50 and p99",
            "",
            f"{told['reply_p50_us'] / 1000:.1f} and {told['reply_p99_us'] / 1000:.1f} ms",
        ),
        (
            "time to an answer, p50 and p99",
            "",
            f"{told['p50_us'] / 1000:.0f} and {told['p99_us'] / 1000:.0f} ms",
        ),
        ("memory before, most, after", "bounded", f"{before:.0f}, {most:.0f}, {memory_mb(pid):.0f} MB"),
    ]


async def main(chunks: int, delay: int, seconds: float) -> None:
    """Run it all and print the table."""
    body: dict[str, object] = {
        "model": MODEL,
        "messages": [{"role": "user", "content": "Hello"}],
        "seed": delay,
    }
    body |= {"max_tokens": max(chunks, 50), "stream": bool(chunks)}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        port = free_port()
        first, *rest = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, rest or {first})
        provider = Started([sys.executable, "-m", "benchmarks.upstream", str(port)], {}, folder / "up.log")
        try:
            provider.wait_until(lambda: listens(port))
            prefer(provider.pid, SECOND)  # one that is held up sends in bursts
            subject = fairlead(folder, (port, port), free_port(), {})
            os.sched_setaffinity(0, {first})  # what is started inherits it
            started = Started(subject.command, subject.environment, folder / "gateway.log")
            os.sched_setaffinity(0, rest or {first})
            try:
                asked = json.dumps({**body, "stream": False}).encode()
                started.wait_until(lambda: answers(subject.port, subject.path, KEY, asked, {}))
                rows = await measure(subject, started.pid, body, seconds)
            finally:
                started.stop()
        finally:
            provider.stop()
    what = f"streams of {chunks} chunks, {delay} ms apart" if chunks else f"whole answers after {delay} ms"
    lines = [f"{what}; {seconds:g} s of three times the peak.".capitalize(), ""]
    lines += ["| figure | goal | measured |", "|---|---|---|"]
    lines += [f"| {figure} | {goal} | {found} |" for figure, goal, found in rows]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chunks", type=int, default=20, help="chunks of each answer; 0 for whole answers")
    parser.add_argument(
        "--delay", type=int, default=20, help="milliseconds between chunks, or before an answer"
    )
    parser.add_argument("--seconds", type=float, default=60.0, help="how long there is too much")
    given = parser.parse_args()
    asyncio.run(main(given.chunks, given.delay, given.seconds))
