"""`fairlead serve`: opens the door, runs server processes behind it, and in demo mode a video worker.

The door, a listening socket, is opened before anything else: a port that is taken is said at once, and
clients who come early wait in the door's queue instead of being refused. With one worker this process serves
by itself. With several it only watches: each worker inherits the door and takes connections from it.
"""

import asyncio
import gc
import logging
import os
import socket
import sys
import threading
from pathlib import Path
from queue import SimpleQueue
from signal import SIGINT, SIGTERM, signal

from msgspec import Struct

from gateway.commands.children import Children
from gateway.commands.server import BACKLOG, Draining, configured
from gateway.commands.worker import command as worker_command
from gateway.config.settings import Settings, kept_secret, read
from gateway.service.keys import PREFIX
from gateway.store.engine import Database, when_there
from gateway.store.migrate import migrate

WORKER_PORT = 4100
BANNER = """
Fairlead is ready on {url}

  key: {key}

  A chat answer, streamed:

    curl -N {url}/v1/chat/completions -H "Authorization: Bearer {key}" -H "Content-Type: application/json" \\
      -d '{{"model": "demo-chat", "stream": true, "messages": [{{"role": "user", "content": "Hello, Fairlead!"}}]}}'

  A video, saved as fairlead.mp4:

    VIDEO=$(curl -s {url}/v1/videos -H "Authorization: Bearer {key}" \\
      -F model=sora-2 -F seconds=4 -F prompt="A paper boat on a calm lake" | sed 's/.*"id":"\\([^"]*\\)".*/\\1/')
    until curl -sf -o fairlead.mp4 {url}/v1/videos/$VIDEO/content -H "Authorization: Bearer {key}"; do sleep 1; done

  OpenAI clients: base_url={url}/v1   API description: {url}/openapi.json   Stop: Ctrl-C

"""


class Options(Struct, frozen=True, kw_only=True):
    """What the command line said."""

    config: Path | None
    host: str
    port: int
    workers: int
    grace: float
    drain: float
    demo: bool
    inherited: int | None


def run(options: Options) -> None:
    """Serve until told to stop. Exits with 1 and a clear text when it cannot start."""
    form = "%(levelname)s %(name)s: %(message)s"
    logging.basicConfig(level=logging.WARNING, format=form, stream=sys.stderr)
    logging.getLogger("fairlead").setLevel(logging.INFO)
    settings = read(os.environ, options.config)
    if options.workers > 1 and settings.redis_url is None:
        sys.exit(
            "--workers above 1 needs FAIRLEAD_REDIS_URL: without it each process would count limits alone."
        )
    if options.inherited is not None:
        threading.Thread(target=_end_with_parent, daemon=True).start()
        _serve_one(options, settings, socket.socket(fileno=options.inherited), Children(), "")
        return
    door = _listen(options)
    asyncio.run(_prepare(settings))
    key = _demo_key(settings) if options.demo else None
    children = Children()
    if options.demo:
        data = settings.data_dir / "worker"
        told = ["--engine", "testcard", "--port", str(WORKER_PORT), "--data-dir", str(data), "--watch-stdin"]
        children.keep(worker_command(told))
    try:
        serve = _serve_one if options.workers == 1 else _serve_many
        serve(options, settings, door, children, _banner(options, door, key))
    finally:
        children.stop()


def _listen(options: Options) -> socket.socket:
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    door = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        door.bind((options.host, options.port))
        door.listen(BACKLOG)
    except OSError as error:
        sys.exit(
            f"{options.host}:{options.port} cannot be listened on: {error.strerror}. Choose another --port."
        )
    return door


async def _prepare(settings: Settings) -> None:
    """Bring the database up to date; one that does not answer is waited for, and then said, in a sentence."""
    database = Database(settings.database_url.reveal())
    try:
        await when_there(lambda: migrate(database))
    finally:
        await database.close()


def _demo_key(settings: Settings) -> str:
    key = os.environ.get("FAIRLEAD_DEMO_KEY") or kept_secret(settings.data_dir / "demo.key", PREFIX)
    os.environ["FAIRLEAD_DEMO_KEY"] = key
    return key


def _banner(options: Options, door: socket.socket, key: str | None) -> str:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(options.host, options.host)  # noqa: S104 - looked up, not bound
    url = f"http://{f'[{host}]' if ':' in host else host}:{door.getsockname()[1]}"
    return f"Fairlead is ready on {url}\n" if key is None else BANNER.format(url=url, key=key)


def _serve_one(
    options: Options, settings: Settings, door: socket.socket, _children: Children, banner: str
) -> None:
    from gateway.app import Gateway  # noqa: PLC0415 - after the door is open: clients may already queue

    gateway = Gateway(settings, os.environ)
    served = configured(gateway.asgi, options.grace, gateway.gate)
    Draining(served, gateway, options.drain, banner).run([door])


def _serve_many(
    options: Options, settings: Settings, door: socket.socket, children: Children, banner: str
) -> None:
    from gateway.config.live import Live  # noqa: PLC0415 - for the first process alone

    Live(settings.config, os.environ, settings.data_dir)  # a file that is no good is said here, once
    os.environ.setdefault("FAIRLEAD_REPLICAS", str(options.workers))
    gc.enable()
    arguments = [sys.executable, "-m", "gateway", "serve", "--fd", str(door.fileno())]
    arguments += ["--grace", str(options.grace), "--drain", str(options.drain)]
    if options.config is not None:
        arguments += ["--config", str(options.config)]
    for _ in range(options.workers):
        children.keep(arguments, fd=door.fileno())
    told: SimpleQueue[int] = SimpleQueue()  # unlike an Event, it may be used from within a signal
    for number in (SIGINT, SIGTERM):
        signal(number, lambda number, _frame: told.put(number))
    sys.stdout.write(banner)
    sys.stdout.flush()
    told.get()
    door.close()


def _end_with_parent() -> None:
    """Standard input closes when the process that started us is gone, however it went: then drain and end."""
    os.read(0, 1)
    os.kill(os.getpid(), SIGTERM)
