"""What one refusal costs: `python -m benchmarks.refusals` prints the gateway's CPU beside the least there is.

The gateway may run one request at a time and is kept busy by a stream, so it refuses all others. Beside it a bare
server on the same event loop writes the same bytes whatever comes, without looking at it: what that costs is the
kernel's and the loop's, and no gateway on this loop can refuse for less. Both are asked by the same clients.
"""

import asyncio
import json
import socket
import statistics
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import msgspec
import uvloop

from benchmarks.load import Job
from benchmarks.overload import load
from benchmarks.processes import Started, answers, cpu_seconds, free_port, listens
from benchmarks.subjects import KEY, MODEL, fairlead
from gateway.api.gate import Gate

CLIENTS = 512
REQUESTS = 40_000
ROUNDS = 5
BODY: Mapping[str, object] = {"model": MODEL, "messages": [{"role": "user", "content": "Hello"}]}


class Bare(asyncio.Protocol):
    """Answers whatever comes with a refusal."""

    answer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, _data: bytes) -> None:
        """Something came."""
        self._transport.write(self.answer)


async def bare(port: int) -> None:
    """Serve refusals for ever."""
    Bare.answer = Gate(1, lambda: None).refusal
    server = await asyncio.get_running_loop().create_server(Bare, "127.0.0.1", port, backlog=2048)
    await server.serve_forever()


def hold(port: int) -> socket.socket:
    """A stream that takes an hour, once it has begun."""
    body = json.dumps({**BODY, "stream": True, "max_tokens": 3600, "seed": 1000}).encode()
    door = socket.create_connection(("127.0.0.1", port))
    door.sendall(
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Authorization: Bearer %b\r\nContent-Length: %d\r\n\r\n%b" % (KEY.encode(), len(body), body)
    )
    door.recv(16)
    return door


async def measure(folder: Path) -> Mapping[str, list[float]]:
    """CPU microseconds per refusal of both, round by round."""
    upstream, port, plain = (free_port() + number for number in range(3))
    running = [Started([sys.executable, "-m", "benchmarks.upstream", str(upstream)], {}, folder / "up.log")]
    try:
        running[0].wait_until(lambda: listens(upstream))
        subject = fairlead(folder, (upstream, upstream), port, {"FAIRLEAD_MAX_IN_FLIGHT": "1"})
        gateway = Started(subject.command, subject.environment, folder / "gateway.log")
        running.append(gateway)
        least = Started([sys.executable, "-m", "benchmarks.refusals", str(plain)], {}, folder / "bare.log")
        running.append(least)
        least.wait_until(lambda: listens(plain))
        gateway.wait_until(lambda: answers(port, subject.path, KEY, json.dumps(BODY).encode(), {}))
        found: dict[str, list[float]] = {"gateway": [], "bare loop": []}
        with hold(port):
            for _ in range(ROUNDS):
                for name, process, door in (("gateway", gateway, port), ("bare loop", least, plain)):
                    job = Job(port=door, body=dict(BODY), key=KEY, connections=CLIENTS, requests=REQUESTS)
                    await load(msgspec.structs.replace(job, requests=CLIENTS))
                    before = cpu_seconds(process.pid)
                    told = await load(job)
                    assert told["wrong"] == REQUESTS
                    found[name].append((cpu_seconds(process.pid) - before) * 1e6 / REQUESTS)
        return found
    finally:
        for one in reversed(running):
            one.stop()


def main() -> None:
    """Run it and print the table, or serve."""
    if sys.argv[1:]:
        uvloop.run(bare(int(sys.argv[1])))
        return
    with tempfile.TemporaryDirectory() as name:
        found = asyncio.run(measure(Path(name)))
    lines = [
        f"CPU µs per refusal, {CLIENTS} clients, {ROUNDS} rounds.",
        "",
        "| who | least | median |",
        "|---|---|---|",
    ]
    lines += [f"| {who} | {min(told):.1f} | {statistics.median(told):.1f} |" for who, told in found.items()]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
