"""The gateway and the worker as processes of their own, to be talked to, looked into, and killed."""

import http.client
import shlex
import signal
import sqlite3
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.providers.local.running import RunningWorker
from tests.servers import Server, free_port

DEADLINE = 20.0
"""Far longer than anything here takes on a busy machine; of a dead gateway's leases most is skipped."""
SKIP_LEASES = "update jobs set leased_until = due_at + 3 where leased_until > 0 and due_at is not null"
"""Lets most of the time pass for which a process that has just died holds its jobs."""


def until(wanted: Callable[[], Any], seconds: float = DEADLINE) -> Any:
    """What `wanted` gives once that is true."""
    end = time.monotonic() + seconds
    while not (value := wanted()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)
    return value


def query(file: Path, sql: str, *values: object) -> list[Any]:
    """Run one statement on a gateway's SQLite file, from outside."""
    database = sqlite3.connect(file, timeout=10, isolation_level=None)
    try:
        return database.execute(sql, values).fetchall()
    finally:
        database.close()


class GatewayProcess(Server):
    """`fairlead serve` with its files below `directory`. `url` has no `/v1` and stays the same over restarts.

    Several may share a directory, each with a `name` of its own: then they share the media files too.
    """

    def __init__(
        self, directory: Path, routing: str, environment: Mapping[str, str], name: str = "gateway"
    ) -> None:
        super().__init__(directory / name)
        self.data_dir = directory / "data"
        self._routing = self.directory / "config" / "fairlead.yaml"
        self._routing.parent.mkdir(parents=True)
        self._routing.write_text(routing)
        self._environment = {"FAIRLEAD_DATA_DIR": str(self.data_dir), **environment}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def sql(self, statement: str, *values: object) -> list[Any]:
        """Run one statement on its SQLite file."""
        return query(self.data_dir / "fairlead.db", statement, *values)

    def said(self) -> str:
        """All that it has written to its log."""
        return (self.directory / "server.log").read_text(errors="replace")

    def _command(self, port: int) -> Sequence[str]:
        told = [f"{name}={value}" for name, value in self._environment.items()]
        program = Path(sys.executable).with_name("fairlead")
        options = shlex.split(f"--port {port} --drain 0 --grace 5")
        return ["env", *told, str(program), "serve", "--config", str(self._routing), *options]

    def _serves(self) -> str:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
        try:
            connection.request("GET", "/readyz")
            return str(self.directory) if connection.getresponse().status == 200 else ""
        finally:
            connection.close()


class Studio(RunningWorker):
    """A worker process that keeps its port over restarts. Jobs are found by their prompt.

    `pace` is how many seconds a second of video takes it at least.
    """

    def __init__(self, data_dir: Path, pace: float = 0.0) -> None:
        options = ("--port", str(free_port()), "--queue-size", "200", "--watch-stdin")
        super().__init__(data_dir, *options, pace=pace)

    def jobs(self, prompt: str) -> list[dict[str, Any]]:
        """Every job it has accepted with that prompt, but for those that were deleted."""
        found: list[dict[str, Any]] = []
        after = ""
        while True:
            page = self.get(f"/videos?limit=100{after}").json()
            found += [video for video in page["data"] if video["prompt"] == prompt]
            if not page["has_more"]:
                return found
            after = f"&after={page['last_id']}"

    def kill9(self) -> None:
        """End it as a crash would."""
        self.end(signal.SIGKILL)

    def stop(self) -> None:
        """End it, whatever became of it."""
        if self.process.poll() is None:
            self.end(signal.SIGTERM)
