"""A load generator: `python -m benchmarks.load '{"port": ..., "body": {...}, ...}'` prints one JSON line.

Closed loop (each connection asks again when it has its answer) or, with `rate`, open loop: requests start on
a fixed schedule and a late start counts as latency, so that a slow server cannot hide behind a slow client.
"""

import asyncio
import json
import re
import sys
import time
from collections.abc import Sequence
from typing import cast

import msgspec
import uvloop

_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
_MARK = re.compile(rb"@(\d+);")


class Job(msgspec.Struct, kw_only=True):
    """What to do. `requests` in all over `connections`; `rate` is requests per second, 0 for closed loop.

    With `each` what is told holds every answer: when it was due (monotonic seconds), how long it took and its status.
    """

    port: int
    body: dict[str, object]
    path: str = "/v1/chat/completions"
    key: str = ""
    headers: dict[str, str] = {}
    connections: int = 32
    requests: int = 1000
    rate: float = 0.0
    each: bool = False


class Tally:
    """What came of it; times in microseconds."""

    def __init__(self) -> None:
        self.latencies: list[float] = []
        self.delays: list[float] = []
        self.refusals: list[float] = []
        self.replies: list[float] = []  # refusals again, from the moment the request was really sent
        self.answers: list[
            tuple[float, float, int]
        ] = []  # when due and how long it took in seconds, and status
        self.wrong = 0
        self.chunks = 0


class Client(asyncio.Protocol):
    """One keep-alive connection that asks one thing at a time."""

    def __init__(self, request: bytes, tally: Tally) -> None:
        self._request = request
        self._tally = tally
        self._head = b""
        self._need: int | None = None
        self._tail = b""
        self._in_body = False
        self.done: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected."""
        self._transport = cast("asyncio.Transport", transport)

    def ask(self, started: float) -> "asyncio.Future[None]":
        """Send the request; the future is done with its last byte. `started` is when it was due."""
        self._started, self._sent = started, time.perf_counter()
        self._head, self._tail, self._in_body, self._need = b"", b"", False, None
        self.done = asyncio.get_running_loop().create_future()
        self._transport.write(self._request)
        return self.done

    def data_received(self, data: bytes) -> None:
        """Bytes of the answer."""
        if not self._in_body:
            self._head += data
            end = self._head.find(b"\r\n\r\n")
            if end < 0:
                return
            self._in_body = True
            found = _LENGTH.search(self._head, 0, end + 2)
            self._need = int(found[1]) if found else None
            data = self._head[end + 4 :]
        if self._need is None:
            now = time.monotonic_ns()
            marks = _MARK.findall(data)
            self._tally.chunks += len(marks)
            self._tally.delays.extend((now - int(mark)) / 1e3 for mark in marks)
            self._tail = (self._tail + data)[-5:]
            if self._tail == b"0\r\n\r\n":
                self._finish()
        else:
            self._need -= len(data)
            if self._need <= 0:
                self._finish()

    def _finish(self) -> None:
        seconds = time.perf_counter() - self._started
        took = seconds * 1e6
        self._tally.answers.append((self._started, seconds, int(self._head[9:12])))
        if self._head[9:12] == b"200":
            self._tally.latencies.append(took)
        else:
            self._tally.wrong += 1
            self._tally.refusals.append(took)
            self._tally.replies.append((time.perf_counter() - self._sent) * 1e6)
        if self.done is not None and not self.done.done():
            self.done.set_result(None)

    def connection_lost(self, _error: Exception | None) -> None:
        """The server hung up."""
        if self.done is not None and not self.done.done():
            self._tally.wrong += 1
            self.done.set_exception(ConnectionError("the server hung up"))


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of the values lie; 0 when there are none."""
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, int(len(ordered) * share))], 1) if ordered else 0.0


async def run(job: Job) -> dict[str, object]:
    """Do it, and tell."""
    body = json.dumps(job.body).encode()
    head = (
        f"POST {job.path} HTTP/1.1\r\nHost: 127.0.0.1:{job.port}\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {job.key}\r\nContent-Length: {len(body)}\r\n"
        + "".join(f"{name}: {value}\r\n" for name, value in job.headers.items())
        + "\r\n"
    )
    tally = Tally()
    loop = asyncio.get_running_loop()
    clients = []
    for _ in range(job.connections):
        _, client = await loop.create_connection(
            lambda: Client(head.encode() + body, tally), "127.0.0.1", job.port
        )
        clients.append(client)
    began = time.perf_counter()
    if job.rate:
        await _on_schedule(job, clients)
    else:
        left = iter(range(job.requests))
        await asyncio.gather(*(_until_none_left(client, left) for client in clients))
    seconds = time.perf_counter() - began
    return {
        **({"answers": tally.answers} if job.each else {}),
        "ok": len(tally.latencies),
        "wrong": tally.wrong,
        "chunks": tally.chunks,
        "seconds": round(seconds, 3),
        "p50_us": percentile(tally.latencies, 0.5),
        "p99_us": percentile(tally.latencies, 0.99),
        "wrong_p99_us": percentile(tally.refusals, 0.99),
        "reply_p50_us": percentile(tally.replies, 0.5),
        "reply_p99_us": percentile(tally.replies, 0.99),
        "chunk_p50_us": percentile(tally.delays, 0.5),
        "chunk_p99_us": percentile(tally.delays, 0.99),
    }


async def _until_none_left(client: Client, left: object) -> None:
    for _ in left:  # type: ignore[attr-defined] # one iterator shared by all clients
        await client.ask(time.perf_counter())


async def _on_schedule(job: Job, clients: Sequence[Client]) -> None:
    free: asyncio.Queue[Client] = asyncio.Queue()
    for client in clients:
        free.put_nowait(client)
    began = time.perf_counter()
    running = set()
    for number in range(job.requests):
        due = began + number / job.rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        client = await free.get()
        asked = client.ask(due)
        asked.add_done_callback(lambda _done, client=client: free.put_nowait(client))  # type: ignore[misc]
        running.add(asked)
        asked.add_done_callback(running.discard)
    await asyncio.gather(*running)


if __name__ == "__main__":
    wanted = msgspec.json.decode(sys.argv[1], type=Job)
    sys.stdout.write(json.dumps(uvloop.run(run(wanted))) + "\n")
