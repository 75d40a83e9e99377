"""The engine's process: reads tasks, renders them one after another, reports on the way.

Standard output belongs to the reports; whatever a library prints goes to standard error. A thread reads what
the worker says. The process ends when the worker closes its standard input, in the middle of a computation
too, so that a worker that was killed leaves no engine behind.
"""

import importlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Container
from pathlib import Path
from queue import SimpleQueue
from typing import BinaryIO

import msgspec

from providers.local.engine import (
    ENGINES,
    CallOff,
    Done,
    Engine,
    Failed,
    OrderError,
    Progress,
    Ready,
    Report,
    Task,
)


class _CalledOffError(Exception):
    """The worker does not want the task any more."""


def main(engine_name: str, *told: str) -> None:
    """Serve tasks from standard input until it is closed. What else is `told` is the engine's own matter."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal reaches us too; the worker decides
    reports = _own_output()
    tasks, called_off = SimpleQueue[Task](), set[str]()
    threading.Thread(target=_listen, args=(_own_input(), tasks, called_off), daemon=True).start()

    def tell(report: Report) -> None:
        reports.write(msgspec.json.encode(report) + b"\n")

    load: Callable[..., Engine] = importlib.import_module(ENGINES[engine_name]).load
    engine = load(*told)
    tell(Ready(models=engine.models(), versions=engine.versions()))
    while True:
        task = tasks.get()
        try:
            tell(_render(engine, task, tell, called_off))
        except Exception:
            if task.id not in called_off:
                raise
            tell(Failed(code="cancelled", message="The video was cancelled."))


def _render(engine: Engine, task: Task, tell: Callable[[Report], None], called_off: Container[str]) -> Report:
    """Make one video. Raises _CalledOffError between two steps, and whatever the engine does."""
    told = -1

    def report(percent: int) -> None:
        nonlocal told
        if task.id in called_off:
            raise _CalledOffError
        if percent > told:
            told = percent
            tell(Progress(percent=percent))

    try:
        return Done(output=engine.render(task.order, Path(task.folder), report))
    except OrderError as problem:
        return Failed(code=problem.code, message=problem.message)


def _own_input() -> BinaryIO:
    """Standard input for the thread alone: the interpreter aborts when it finds its own in use at the end."""
    return os.fdopen(os.dup(0), "rb")


def _own_output() -> BinaryIO:
    """Standard output for us alone, unbuffered; from here on file descriptor 1 leads to standard error."""
    own = os.dup(1)
    os.dup2(2, 1)
    return os.fdopen(own, "wb", buffering=0)


def _listen(said: BinaryIO, tasks: SimpleQueue[Task], called_off: set[str]) -> None:
    for line in said:
        word = msgspec.json.decode(line, type=Task | CallOff)
        if isinstance(word, CallOff):
            called_off.add(word.id)
        else:
            tasks.put(word)
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
