"""`python -m providers.local`: starts a worker and stops it in good order."""

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import socket
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import msgspec
import uvicorn

from providers.local.diffusion.directory import find_directory, read_index
from providers.local.diffusion.settings import ModelSettings, SetupError, one_model, read_models
from providers.local.engine import CANNOT_LOAD, ENGINES
from providers.local.hangup import wait_for_hangup
from providers.local.parent import Parent
from providers.local.queue import InUseError
from providers.local.settings import KEY_VARIABLE, PACE_VARIABLE, Settings

log = logging.getLogger("fairlead.worker")

_ABOUT = """\
Renders videos on this machine and serves them over the OpenAI Videos API (/v1/videos).

Point any OpenAI client at it, or a Fairlead gateway: a provider with `dialect: worker`, `kind: video` and
`base_url: http://HOST:PORT/v1`. Accepted jobs are kept in the data directory and survive any crash of the
worker or of its engine. One job is rendered at a time."""
_MORE = f"""\
environment:
  {KEY_VARIABLE}   bearer key that clients must send; without it everyone who reaches the port may use it

  {PACE_VARIABLE}        testcard: seconds that a second of video takes at least, to rehearse a slow GPU

engines:
  testcard    an H.264 test picture with the prompt on it; needs no GPU and no model
  diffusers   video models in the format of Hugging Face diffusers, on a GPU or a CPU; needs the extra 'worker'
              (pip install 'fairlead[worker]') and --model or --config, which choose it by themselves

The worker's address is printed on standard output once it accepts connections."""


COMMANDS: Mapping[str, str] = {
    "make-tiny": "providers.local.diffusion.tiny",
    "bench": "providers.local.diffusion.bench",
}
"""What else the program does, and the module whose `run` does it; imported only then, because torch is large."""


class _Server(uvicorn.Server):
    """uvicorn without its signals: it would end the process before the engine is stopped."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a worker until it is told to stop or its engine can never be loaded; the process's exit status."""
    given = parser().parse_args(arguments)
    try:
        if given.command:
            _need_libraries(given.command)
            return int(import_module(COMMANDS[given.command]).run(given))
        settings, command = setup(given)
    except (SetupError, OSError) as wrong:
        return _complain(f"{wrong}")
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    try:
        parent = Parent(settings, command)
        with contextlib.closing(parent), _listen(given.host, given.port) as listener:
            return asyncio.run(_serve(settings, parent, listener, watch_stdin=given.watch_stdin))
    except InUseError:
        return _complain(f"--data-dir {settings.data_dir} is in use by another worker: give each its own.")
    except sqlite3.Error as broken:
        return _complain(f"--data-dir {settings.data_dir} holds a job table that cannot be used: {broken}.")
    except OSError as failed:
        return _complain(f"{failed}")


def setup(given: argparse.Namespace) -> tuple[Settings, Sequence[str]]:
    """What a worker is started with, and the command of its engine. Raises SetupError or OSError."""
    engine, told = _engine(given)
    settings = Settings(
        engine=engine,
        data_dir=given.data_dir,
        queue_size=given.queue_size,
        keep=given.keep_hours * 3600,
        key=os.environ.get(KEY_VARIABLE, ""),
    )
    return settings, (sys.executable, "-m", "providers.local.child", engine, *told)


def parser() -> argparse.ArgumentParser:
    """Reads the command line."""
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("fairlead worker", None, _ABOUT, _MORE, formatter_class=layout)
    _add_commands(parser)
    _add_models(parser)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument(
        "--port", type=_count(0, 65535), default=4100, help="0 takes a free one (default: %(default)s)"
    )
    parser.add_argument(
        "--data-dir",
        type=Path,
        default=Path(".fairlead/worker"),
        metavar="DIR",
        help="where jobs and videos are kept; created when missing (default: %(default)s)",
    )
    parser.add_argument(
        "--queue-size",
        type=_count(1, 10_000),
        default=16,
        metavar="N",
        help="jobs that may wait behind the running one before new ones get 429 (default: %(default)s)",
    )
    parser.add_argument(
        "--keep-hours",
        type=_count(1, 24 * 365),
        default=24,
        metavar="N",
        help="how long finished videos are kept (default: %(default)s)",
    )
    parser.add_argument(
        "--watch-stdin",
        action="store_true",
        help="stop when standard input is closed, that is, when the process that started the worker is gone",
    )
    return parser


def _add_commands(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(dest="command", title="commands", metavar="COMMAND")
    tiny = commands.add_parser("make-tiny", help="write a tiny model with random weights, to try things out")
    tiny.add_argument(
        "--family", choices=("wan", "wan-a14b", "ltx"), default="ltx", help="default: %(default)s"
    )
    tiny.add_argument("dir", type=Path, metavar="DIR", help="where to; must not exist yet")

    bench = commands.add_parser("bench", help="time the first model by its settings, beside plain diffusers")
    _add_model_choice(bench, required=True)
    bench.add_argument("--size", metavar="WxH", help="default: the model's own")
    bench.add_argument("--seconds", type=_count(1, 60), default=1, metavar="N", help="of video (default: 1)")
    bench.add_argument("--steps", type=_count(2, 1000), metavar="N", help="default: the model's own")
    bench.add_argument("--runs", type=_count(1, 100), default=3, metavar="N", help="default: 3")


def _add_model_choice(parser: argparse.ArgumentParser, *, required: bool) -> None:
    models = parser.add_mutually_exclusive_group(required=required)
    models.add_argument(
        "--model",
        metavar="DIR_OR_ID",
        help="a model's directory, or its name on the Hugging Face Hub when it is in the local cache",
    )
    models.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="models and how they are run, in YAML; see docs/video-worker.md",
    )


def _add_models(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--engine", choices=sorted(ENGINES), help="what renders (default: testcard)")
    _add_model_choice(parser, required=False)


def _engine(given: argparse.Namespace) -> tuple[str, Sequence[str]]:
    """The engine's name and what its process is told. Raises SetupError."""
    wants_model = given.model is not None or given.config is not None
    engine = given.engine or ("diffusers" if wants_model else "testcard")
    if engine == "testcard":
        if wants_model:
            raise SetupError("--engine testcard takes no --model and no --config: leave one of them out.")
        return engine, ()
    if not wants_model:
        raise SetupError("--engine diffusers needs a model: name one with --model, or several in --config.")
    models = one_model(given.model) if given.config is None else read_models(given.config)
    _need_libraries("--model" if given.config is None else "--config")
    return engine, (msgspec.json.encode({name: _found(one) for name, one in models.items()}).decode(),)


def _found(model: ModelSettings) -> ModelSettings:
    """With the path of a directory that was looked at."""
    directory = find_directory(model.path).resolve()
    read_index(directory)
    return msgspec.structs.replace(model, path=str(directory))


def _need_libraries(what: str) -> None:
    if find_spec("diffusers") is None or find_spec("torch") is None:
        raise SetupError(f"{what} needs PyTorch and diffusers: pip install 'fairlead[worker]'.")


def _count(least: int, most: int) -> Callable[[str], int]:
    def count(text: str) -> int:
        if text.isascii() and text.isdigit() and least <= int(text[:12]) <= most:
            return int(text)
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {least} to {most}")

    return count


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=128)
    except OSError as failed:
        raise OSError(
            f"cannot listen on {host}:{port}: {failed.strerror}; choose another --host or --port"
        ) from failed


def _announce(settings: Settings, listener: socket.socket) -> None:
    """Say where the worker is; whoever started it waits for this line."""
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    sys.stdout.write(f"Fairlead worker ({settings.engine}) on http://{shown}:{port}/v1\n")
    sys.stdout.flush()
    if not settings.key and host not in ("127.0.0.1", "::1"):
        log.warning("no key is set (%s): everyone who reaches this port may use the worker", KEY_VARIABLE)


def _complain(what: str) -> int:
    sys.stderr.write(f"fairlead worker: {what}\n")
    return 1


async def _serve(settings: Settings, parent: Parent, listener: socket.socket, *, watch_stdin: bool) -> int:
    server = _Server(
        uvicorn.Config(
            parent.app, log_level="warning", access_log=False, timeout_graceful_shutdown=3, lifespan="on"
        )
    )

    def stop() -> None:
        server.should_exit = True

    parent.over = stop
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stop)
    if watch_stdin:
        threading.Thread(target=_stop_on_hangup, args=(loop, stop), daemon=True).start()
    _announce(settings, listener)
    await server.serve(sockets=[listener])
    return CANNOT_LOAD if parent.gave_up else 0


def _stop_on_hangup(loop: asyncio.AbstractEventLoop, stop: Callable[[], None]) -> None:
    wait_for_hangup(0)
    with contextlib.suppress(RuntimeError):  # the loop is closed: the worker has stopped already
        loop.call_soon_threadsafe(stop)


if __name__ == "__main__":
    sys.exit(main())
