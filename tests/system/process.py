"""`fairlead serve` as a process of its own, as a user starts it, and other commands beside it."""

import asyncio
import contextlib
import inspect
import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx2
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.running import KEY, OTHER_KEY, PROVIDER_KEY, routing
from tests.system.warm import started

START_SECONDS = 30.0
HELLO = {"model": "demo", "messages": [{"role": "user", "content": "Hello"}]}
AUTHORIZED = {"authorization": f"Bearer {KEY}"}


def demo(**more: object) -> str:
    """A routing file whose model `demo` answers by itself, for 0.30 dollars a million tokens."""
    targets = [{"provider": "demo", "model": "small", "price": {"input": 0.3, "output": 0.3}}]
    return routing({"demo": {"targets": targets}}, {"demo": {"dialect": "scripted"}}, **more)


def environment(folder: Path, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """What a gateway of this folder needs to know; nothing of the machine's own but PATH."""
    return {
        "PATH": os.environ["PATH"],
        "FAIRLEAD_DATA_DIR": str(folder / "data"),
        "TEST_KEY": KEY,
        "OTHER_KEY": OTHER_KEY,
        "PROVIDER_KEY": PROVIDER_KEY,
        **(more or {}),
    }


def command(
    folder: Path, *words: str, more: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `fairlead ...` to its end."""
    with tempfile.TemporaryDirectory() as name:
        out, err = Path(name, "out"), Path(name, "err")
        process = started(words, environment(folder, more), out, err)
        process.join(START_SECONDS)
        assert process.exitcode is not None, f"it did not end in time: {words}"
        return subprocess.CompletedProcess(words, process.exitcode, out.read_text(), err.read_text())


def until(what: Callable[[], object], seconds: float = START_SECONDS) -> None:
    """Wait until something is true."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.01)


async def until_async(what: Callable[[], object], seconds: float = START_SECONDS) -> None:
    """The same, while the test's own servers go on; `what` may be a coroutine function."""
    async with asyncio.timeout(seconds):
        while True:
            found = what()
            if await found if inspect.isawaitable(found) else found:
                return
            await asyncio.sleep(0.01)


def metric(exposition: str, name: str, **labels: str) -> float:
    """The sum of the samples of a metric that have these labels; 0 when there is none."""
    families = text_string_to_metric_families(exposition)
    samples = [one for family in families for one in family.samples if one.name == name]
    return sum(one.value for one in samples if labels.items() <= one.labels.items())


class Serving:
    """A running `fairlead serve`. Use it in a `with` block: at its end the process is gone for certain.

    `url` has no `/v1`. `out` and `err` are what it has said so far. With `wait=False` whoever starts it calls
    `ready` before anything else.
    """

    def __init__(
        self,
        folder: Path,
        text: str,
        *words: str,
        more: Mapping[str, str] | None = None,
        wait: bool = True,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.config = folder / "config" / "fairlead.yaml"
        self.config.parent.mkdir(exist_ok=True)
        self.config.write_text(text)
        self.url = ""
        self._words = words
        self._environment = environment(folder, more)
        self._wait = wait
        self._process: BaseProcess | None = None

    def __enter__(self) -> Self:
        self.start()
        if self._wait:
            self.ready()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.running:
            self.signal(signal.SIGTERM)
            self.signal(signal.SIGTERM)
            self.process.join(5)
        if self.running:
            self.kill9()

    @property
    def process(self) -> BaseProcess:
        assert self._process is not None
        return self._process

    @property
    def running(self) -> bool:
        return self.process.exitcode is None

    @property
    def out(self) -> str:
        return (self.folder / "out").read_text()

    @property
    def err(self) -> str:
        return (self.folder / "err").read_text()

    def start(self) -> None:
        """Start the process; returns at once."""
        words = ["serve", "--config", str(self.config), *self._words]
        if "--port" not in words:
            words += ["--port", "0"]
        out, err = self.folder / "out", self.folder / "err"
        out.write_text("")
        err.write_text("")
        self._process = started(words, self._environment, out, err)

    def ready(self) -> None:
        """Wait until it says that it is."""
        until(lambda: "ready on" in self.out or not self.running)
        assert self.running, f"it ended with {self.process.exitcode}:\n{self.err}"
        self.url = self.said(r"ready on (\S+)")

    def said(self, pattern: str) -> str:
        """The first group of a pattern in its output."""
        found = re.search(pattern, self.out)
        assert found is not None, self.out
        return found[1]

    def signal(self, number: int) -> None:
        """Send the process a signal."""
        assert self.process.pid is not None
        os.kill(self.process.pid, number)

    def ended(self, seconds: float = START_SECONDS) -> int:
        """Wait for its end; its exit status."""
        self.process.join(seconds)
        assert self.process.exitcode is not None, "it has not ended"
        return self.process.exitcode

    def kill9(self) -> None:
        """Kill it, as a crash would."""
        self.signal(signal.SIGKILL)
        self.process.join()

    def metric(self, name: str, **labels: str) -> float:
        """See `metric`."""
        return metric(httpx2.get(f"{self.url}/metrics").text, name, **labels)

    def children(self) -> list[int]:
        """The process ids of the workers it started."""
        return [pid for pid, parent in _parents() if parent == self.process.pid]


def _parents() -> Sequence[tuple[int, int]]:
    """Every process of this machine and its parent."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                _, _, rest = (folder / "stat").read_text().rpartition(")")
                found.append((int(folder.name), int(rest.split()[1])))
    return found


def replaced(text: str, **sections: object) -> str:
    """A routing file's text with whole sections replaced."""
    return yaml.safe_dump({**yaml.safe_load(text), **sections}, sort_keys=False)
