"""What slow readers cost: `python -m benchmarks.readers` prints the memory of the gateway for each of them.

A thousand clients ask for a long answer and read a kilobyte a second, while the provider sends as fast as it may.
What the kernel holds for their sockets is not the gateway's memory and is told beside it.
"""

import argparse
import asyncio
import json
import socket
import sys
import tempfile
from pathlib import Path

from benchmarks.processes import Started, answers, free_port, listens, memory_mb
from benchmarks.subjects import KEY, MODEL, fairlead

RECEIVE_BUFFER = 4096
"""Bytes that the kernel takes in for a reader: little, so that the gateway feels how slow it is."""
BYTES_A_SECOND = 1000


async def read_slowly(port: int, request: bytes, began: asyncio.Event) -> None:
    """One client, until it is cancelled."""
    loop = asyncio.get_running_loop()
    with socket.socket() as made:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        made.setblocking(False)
        await loop.sock_connect(made, ("127.0.0.1", port))
        await loop.sock_sendall(made, request)
        while await loop.sock_recv(made, BYTES_A_SECOND):
            began.set()
            await asyncio.sleep(1.0)


def kernel_mb() -> float:
    """What all TCP sockets of the machine hold in the kernel."""
    for line in Path("/proc/net/sockstat").read_text().splitlines():
        if line.startswith("TCP:"):
            return int(line.split()[line.split().index("mem") + 1]) * 4096 / 1e6
    return 0.0


async def measure(port: int, pid: int, readers: int, seconds: float) -> list[tuple[str, str, str]]:
    """The rows of the table."""
    body = {"model": MODEL, "messages": [{"role": "user", "content": "Hello"}], "stream": True}
    asked = json.dumps({**body, "max_tokens": 20_000}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n"
    request = f"{head}content-type: application/json\r\ncontent-length: {len(asked)}\r\n\r\n".encode() + asked
    before, kernel = memory_mb(pid), kernel_mb()
    events = [asyncio.Event() for _ in range(readers)]
    tasks = [asyncio.create_task(read_slowly(port, request, event)) for event in events]
    await asyncio.gather(*(event.wait() for event in events))
    most = 0.0
    for _ in range(int(seconds)):
        most = max(most, await asyncio.to_thread(memory_mb, pid))
        await asyncio.sleep(1.0)
    held = kernel_mb() - kernel
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    each = (most - before) * 1024 / readers
    return [
        ("memory without them", "", f"{before:.0f} MB"),
        (f"most with {readers} slow readers", "", f"{most:.0f} MB"),
        ("for each", "<= 64 kB", f"{each:.0f} kB"),
        ("in the kernel, for each", "", f"{held * 1000 / readers:.0f} kB"),
    ]


async def main(readers: int, seconds: float) -> None:
    """Run it all and print the table."""
    with tempfile.TemporaryDirectory() as name:
        folder, port = Path(name), free_port()
        provider = Started([sys.executable, "-m", "benchmarks.upstream", str(port)], {}, folder / "up.log")
        try:
            provider.wait_until(lambda: listens(port))
            subject = fairlead(folder, (port, port), free_port(), {})
            started = Started(subject.command, subject.environment, folder / "gateway.log")
            try:
                asked = {"model": MODEL, "messages": [{"role": "user", "content": "Hello"}]}
                check = json.dumps(asked).encode()
                started.wait_until(lambda: answers(subject.port, subject.path, KEY, check, {}))
                rows = await measure(subject.port, started.pid, readers, seconds)
            finally:
                started.stop()
        finally:
            provider.stop()
    lines = ["| figure | goal | measured |", "|---|---|---|"]
    lines += [f"| {figure} | {goal} | {found} |" for figure, goal, found in rows]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--readers", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=20.0, help="how long they read")
    given = parser.parse_args()
    asyncio.run(main(given.readers, given.seconds))
