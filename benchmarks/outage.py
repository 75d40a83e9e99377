"""What an outage of providers costs their callers: `python -m benchmarks.outage` prints a table.

One of two providers dies under 100 requests a second, stays away, and comes back; then both die under 500 a
second. The providers run in this process and note each call, the gateway and the load in processes of their
own. The breaker's rest is the shipped 5 s; `--rest 1` shows another.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import msgspec

from benchmarks.load import Job
from benchmarks.processes import Started, answers, free_port
from benchmarks.subjects import KEY, MODEL, Subject, fairlead
from benchmarks.upstream import Mock

RATE = 100.0
STORM = 500.0
WINDOW = 0.25
"""Seconds over which a provider's share of the load is looked at."""
_DOWN = (
    b'{"error":{"message":"Overloaded.","type":"server_error","param":null,"code":"server_is_overloaded"}}'
)
_REFUSAL = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
    % (len(_DOWN), _DOWN)
)
_ASK = {"model": MODEL, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 50}


class Switch:
    """A provider that can be turned off; `calls` are the monotonic times of its calls."""

    def __init__(self) -> None:
        self.down = False
        self.calls: list[float] = []
        self.port = 0

    async def serve(self) -> None:
        """Listen on a free port until the program ends."""
        self.port = free_port()
        await asyncio.get_running_loop().create_server(lambda: _Answers(self), "127.0.0.1", self.port)

    def since(self, moment: float) -> Sequence[float]:
        """The calls from a moment on."""
        return self.calls[bisect_left(self.calls, moment) :]


class _Answers(Mock):
    def __init__(self, switch: Switch) -> None:
        self._switch = switch

    def _answer(self, body: bytes) -> None:
        self._switch.calls.append(time.monotonic())
        if self._switch.down:
            self._transport.write(_REFUSAL)
        else:
            super()._answer(body)


async def load(subject: Subject, rate: float, seconds: float) -> dict[str, float]:
    """One run of the load generator."""
    requests = int(rate * seconds)
    job = Job(port=subject.port, body=dict(_ASK), key=KEY, connections=64, requests=requests, rate=rate)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "benchmarks.load",
        msgspec.json.encode(job).decode(),
        stdout=asyncio.subprocess.PIPE,
    )
    told, _ = await process.communicate()
    result: dict[str, float] = json.loads(told)
    return result


def back_after(calls: Sequence[float], moment: float) -> float:
    """Seconds from `moment` until a provider carries the whole load again; infinite when it never does."""
    wanted = 0.95 * RATE * WINDOW
    for at, call in enumerate(calls):
        if bisect_left(calls, call + WINDOW) - at >= wanted:
            return call - moment
    return float("inf")


async def one_of_two(subject: Subject, one: Switch, seconds: float) -> list[tuple[str, str, str]]:
    """The dearer provider stands in while the cheaper one is away."""
    well = await load(subject, RATE, seconds)
    one.down, died = True, time.monotonic()
    dying = await load(subject, RATE, seconds)
    tries = one.since(died)
    pauses = [after - before for before, after in pairwise(tries)]
    first = next((at for at, pause in enumerate(pauses, 1) if pause > WINDOW), len(tries))
    away = await load(subject, RATE, seconds)
    probes = len(one.since(died)) - first
    one.down, healed = False, time.monotonic()
    back = await load(subject, RATE, 25.0)
    done = sum(told["ok"] for told in (dying, away, back))
    share = done / (done + sum(told["wrong"] for told in (dying, away, back)))
    added = (away["p99_us"] - well["p99_us"]) / 1000
    least = min(pauses[first - 1 :], default=0.0)
    return [
        ("answered while one of two was dead", ">= 99.9 %", f"{share:.2%}"),
        ("calls to it until it rested", "<= 5", f"{first}"),
        (
            "probes while it was dead, and the shortest pause between two",
            "one at a time",
            f"{probes}, {least:.1f} s",
        ),
        (
            "added p99 while it rested",
            "<= 1 ms",
            f"{added:.2f} ms (p50 {(away['p50_us'] - well['p50_us']) / 1000:.2f} ms)",
        ),
        ("full traffic again after", "<= 5 s", f"{back_after(one.since(healed), healed):.1f} s"),
    ]


async def both(subject: Subject, providers: Sequence[Switch], seconds: float) -> list[tuple[str, str, str]]:
    """Everything is away."""
    for provider in providers:
        provider.down = True
    began = time.monotonic()
    told = await load(subject, STORM, seconds)
    calls = sum(len(provider.since(began)) for provider in providers)
    asked = told["ok"] + told["wrong"]
    return [
        ("calls to providers per request, all down", "<= 1.2", f"{calls / asked:.3f}"),
        ("p99 of the error", "<= 50 ms", f"{told['wrong_p99_us'] / 1000:.1f} ms"),
    ]


def _set_rest(file: Path, rest: float) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), "defaults": {"health": {"rest": rest}}}))


async def main(rest: float, seconds: float) -> None:
    """Run it all and print the table."""
    providers = [Switch(), Switch()]
    for provider in providers:
        await provider.serve()
    with tempfile.TemporaryDirectory() as name:
        subject = fairlead(Path(name), (providers[0].port, providers[1].port), free_port(), {})
        _set_rest(Path(subject.environment["FAIRLEAD_CONFIG"]), rest)
        started = Started(subject.command, subject.environment, Path(name) / "gateway.log")
        try:
            asked = json.dumps(_ASK).encode()
            ready = lambda: answers(subject.port, subject.path, KEY, asked, {})  # noqa: E731
            await asyncio.to_thread(started.wait_until, ready)
            rows = await one_of_two(subject, providers[0], seconds)
            rows += await both(subject, providers, seconds)
        finally:
            await asyncio.to_thread(started.stop)
    lines = [
        f"Rest {rest:g} s, {seconds:g} s a phase.",
        "",
        "| figure | goal | measured |",
        "|---|---|---|",
    ]
    lines += [f"| {what} | {goal} | {found} |" for what, goal, found in rows]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rest", type=float, default=5.0, help="the breaker's rest, in seconds")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of each phase")
    given = parser.parse_args()
    asyncio.run(main(given.rest, given.seconds))
