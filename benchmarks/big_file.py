"""What a large video costs in memory: `python -m benchmarks.big_file` passes 2 GB through a gateway, prints its peak.

A provider of the benchmark's own makes a "video" of that size at once. The gateway fetches it into its store and
then hands it out to a client; what its memory grew by at most is told for each way. With `FAIRLEAD_MEDIA_URL` in the
environment the store is that bucket.
"""

import argparse
import asyncio
import hashlib
import http.client
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.processes import Started, free_port, listens

KEY = "sk-fl-bench"
_HEAD = b"\x00\x00\x00\x18ftypmp42" + bytes(12)
_PIECE = bytes(1 << 20)
_CONFIG = """
providers:
  studio: {{dialect: openai, kind: video, base_url: "http://127.0.0.1:{port}/v1"}}
models:
  big: {{kind: video, targets: [{{provider: studio, model: big, price: {{per_second: 0}}}}]}}
keys:
  - {{name: bench, key: env:BENCH_KEY}}
"""


async def provide(port: int, size: int) -> None:
    """A provider whose every video is done at once and `size` bytes large."""
    video = {"id": "video_1", "object": "video", "status": "completed", "progress": 100, "seconds": "4"}

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        content, still = "/content" in head.split()[1], "variant=" in head
        status, body = ("404 Not Found", b"{}") if still else ("200 OK", json.dumps(video).encode())
        length = size if content and not still else len(body)
        writer.write(f"HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n".encode())
        if content and not still:
            writer.write(_HEAD)
            for start in range(len(_HEAD), size, len(_PIECE)):
                writer.write(_PIECE[: size - start])
                await writer.drain()
        else:
            writer.write(body)
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", port) as server:
        await server.serve_forever()


def memory(pid: int, name: str) -> float:
    """MB of one process: `VmRSS` now, `VmHWM` at most since `forget`."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(name)


def forget(pid: int) -> float:
    """Begin a new peak; the memory now, in MB."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
    return memory(pid, "VmRSS")


class Client:
    """Calls one gateway."""

    def __init__(self, port: int) -> None:
        self._port = port

    def call(self, method: str, path: str, body: bytes | None = None) -> Any:
        """One JSON answer."""
        with self.ask(method, path, body) as answer:
            return json.loads(answer.read())

    def ask(self, method: str, path: str, body: bytes | None = None) -> http.client.HTTPResponse:
        """One answer, to be read."""
        door = http.client.HTTPConnection("127.0.0.1", self._port, timeout=600)
        headers = {
            "authorization": f"Bearer {KEY}",
            "content-type": "application/json",
            "connection": "close",
        }
        door.request(method, path, body, headers)
        return door.getresponse()

    def fetched(self) -> str:
        """The id of a video that is there; its hash is not looked at."""
        made = self.call("POST", "/v1/videos", b'{"model": "big", "prompt": "x", "seconds": "4"}')
        while made["status"] not in ("completed", "failed"):
            time.sleep(0.5)
            made = self.call("GET", f"/v1/videos/{made['id']}")
        if made["status"] == "failed":
            raise RuntimeError(made["error"])
        return str(made["id"])

    def download(self, video: str) -> tuple[int, str]:
        """Size and SHA-256 of its content."""
        size, seen = 0, hashlib.sha256()
        with self.ask("GET", f"/v1/videos/{video}/content") as answer:
            while piece := answer.read(1 << 20):
                size += len(piece)
                seen.update(piece)
        return size, seen.hexdigest()


def measure(client: Client, pid: int, size: int) -> list[str]:
    """The rows of the table. Raises RuntimeError when what comes out is not what went in."""
    rows = []
    before, began = forget(pid), time.perf_counter()
    video = client.fetched()
    rows.append(_row("into the store", size, before, memory(pid, "VmHWM"), time.perf_counter() - began))
    before, began = forget(pid), time.perf_counter()
    found = client.download(video)
    rows.append(_row("to a client", size, before, memory(pid, "VmHWM"), time.perf_counter() - began))
    wanted = hashlib.sha256(_HEAD)
    for start in range(len(_HEAD), size, len(_PIECE)):
        wanted.update(_PIECE[: size - start])
    if found != (size, wanted.hexdigest()):
        raise RuntimeError(f"{size} bytes went in, {found[0]} other ones came out")
    return rows


def _row(way: str, size: int, before: float, most: float, seconds: float) -> str:
    return f"| {way} | {size / 1e6:.0f} MB | {before:.0f} MB | {most - before:.1f} MB | {seconds:.1f} s |"


def main(size: int) -> None:
    """Run it all and print the table."""
    with tempfile.TemporaryDirectory() as name:
        folder, port = Path(name), free_port()
        command = [sys.executable, "-m", "benchmarks.big_file", "--serve", str(port), "--bytes", str(size)]
        provider = Started(command, {}, folder / "provider.log")
        try:
            provider.wait_until(lambda: listens(port))
            (folder / "fairlead.yaml").write_text(_CONFIG.format(port=port))
            door = free_port()
            program = str(Path(sys.executable).with_name("fairlead"))
            serve = [program, "serve", "--config", str(folder / "fairlead.yaml"), "--port", str(door)]
            environment = {"BENCH_KEY": KEY, "FAIRLEAD_DATA_DIR": str(folder / "data")}
            gateway = Started(serve, environment, folder / "gateway.log")
            try:
                gateway.wait_until(lambda: listens(door))
                rows = measure(Client(door), gateway.pid, size)
            finally:
                gateway.stop()
        finally:
            provider.stop()
    head = ["| way | file | memory before | grew by at most | took |", "|---|---|---|---|---|"]
    sys.stdout.write("\n".join([*head, *rows]) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bytes", type=int, default=2_000_000_000)
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        asyncio.run(provide(given.serve, given.bytes))
    else:
        main(given.bytes)
