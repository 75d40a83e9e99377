"""Whether limits are exact over a fleet: `python -m benchmarks.fleet` prints a line for each limit.

Four gateway processes on one real Redis are pressed on 64 connections for a minute: half of them with a key that may
make so many requests a minute, half with one that may use so many tokens. Told are the most that was certainly let
in within any trailing window (sent after it began, answered before it ended), and how much of the limit was used.
"""

import argparse
import asyncio
import json
import math
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import msgspec

from benchmarks.processes import Started, free_port, listens, redis_server

GATEWAYS = 4
CONNECTIONS = 64
WINDOW = 60.0
LIMITS = {"requests": 6_000, "tokens": 200_000}
KEYS = {name: f"sk-fl-fleet-{name}" for name in LIMITS}
PAUSE = 0.1
"""Seconds a client waits after it was refused."""


class Call(msgspec.Struct):
    """An admitted call: when it was sent and answered, and what it used of its key's limit."""

    sent: float
    done: float
    used: int


def _routing() -> str:
    target = {"provider": "demo", "model": "small", "price": {"input": 0.3, "output": 0.3}}
    keys = [
        {"name": name, "key": f"env:KEY_{name.upper()}", "models": ["*"], "limits": name} for name in LIMITS
    ]
    return json.dumps(
        {
            "providers": {"demo": {"dialect": "scripted"}},
            "models": {"demo": {"targets": [target]}},
            "limits": {name: [{name: limit, "per": "minute"}] for name, limit in LIMITS.items()},
            "keys": keys,
        }
    )


def _gateway(folder: Path, redis: int) -> tuple[Started, int]:
    folder.mkdir()
    (folder / "fairlead.yaml").write_text(_routing())
    port = free_port()
    environment = {
        "FAIRLEAD_CONFIG": str(folder / "fairlead.yaml"),
        "FAIRLEAD_DATA_DIR": str(folder / "data"),
        "FAIRLEAD_REDIS_URL": f"redis://127.0.0.1:{redis}/0",
        "FAIRLEAD_REPLICAS": str(GATEWAYS),
        **{f"KEY_{name.upper()}": key for name, key in KEYS.items()},
    }
    words = [sys.executable, "-m", "gateway", "serve", "--port", str(port), "--drain", "0"]
    started = Started(words, environment, folder / "log")
    started.wait_until(lambda: listens(port))
    return started, port


async def _press(port: int, name: str, ends: float, calls: list[Call]) -> int:
    """Ask on one connection until time is over; how often it was refused."""
    body = json.dumps(
        {"model": "demo", "messages": [{"role": "user", "content": "Hello"}], "max_completion_tokens": 50}
    ).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: fleet\r\nauthorization: Bearer {KEYS[name]}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    refused = 0
    while (sent := time.monotonic()) < ends:
        writer.write(head.encode() + body)
        told = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        length = int(told.split("content-length:")[1].split("\r\n")[0])
        answer = json.loads(await reader.readexactly(length))
        if " 200 " in told.split("\r\n")[0]:
            used = 1 if name == "requests" else answer["usage"]["total_tokens"]
            calls.append(Call(sent, time.monotonic(), used))
        elif " 429 " in told.split("\r\n")[0]:
            refused += 1
            await asyncio.sleep(PAUSE)
        else:
            raise RuntimeError(f"{told}\n{answer}")
    writer.close()
    return refused


def most(calls: Sequence[Call]) -> int:
    """The most that was certainly used within one trailing window."""
    calls = sorted(calls, key=lambda call: call.sent)
    best = 0
    for first, call in enumerate(calls):
        ends = call.sent + WINDOW
        best = max(best, sum(one.used for one in calls[first:] if one.done <= ends))
        if calls[-1].done <= ends:
            break  # later windows hold less
    return best


async def _all(ports: Sequence[int], seconds: float) -> str:
    calls: dict[str, list[Call]] = {name: [] for name in LIMITS}
    ends = time.monotonic() + seconds
    names = list(LIMITS)
    pressing = [
        (name, _press(ports[number % GATEWAYS], name, ends, calls[name]))
        for number in range(CONNECTIONS)
        for name in [names[number // GATEWAYS % len(names)]]
    ]
    refused = await asyncio.gather(*(each for _, each in pressing))
    lines = []
    for name, limit in LIMITS.items():
        used, worst = sum(call.used for call in calls[name]), most(calls[name])
        times = sum(count for (whose, _), count in zip(pressing, refused, strict=True) if whose == name)
        share = used / (limit * math.ceil(seconds / WINDOW))
        lines.append(
            f"{name:9} limit {limit} a minute, most in a trailing window {worst}, "
            f"over {max(0, worst - limit)}, used {share:.1%}, refused {times}"
        )
    return "\n".join(lines)


def main() -> None:
    """Print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long they are pressed")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder, port = Path(name), free_port()
        redis = redis_server(folder, port)
        stack.callback(redis.stop)
        ports = []
        for number in range(GATEWAYS):
            started, listening = _gateway(folder / str(number), port)
            stack.callback(started.stop)
            ports.append(listening)
        told = asyncio.run(_all(ports, given.seconds))
        logs = [(folder / str(number) / "log").read_text() for number in range(GATEWAYS)]
        lost = sum(log.count("failed 3 times in a row") for log in logs)
        sys.stdout.write(f"{told}\nRedis was out of reach {lost} times\n")


if __name__ == "__main__":
    main()
