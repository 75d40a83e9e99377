"""The engine's process: reads tasks, renders them one after another, reports on the way.

Standard output belongs to the reports; whatever a library prints goes to standard error. A thread reads what
the worker says. The process ends when the worker closes its standard input, in the middle of a computation
too, so that a worker that was killed leaves no engine behind.

A task that is called off is left wherever it is: the thread sends the main one a signal, whose handler raises
between two operations of the computation, which may be far from the end of a step. Python loses such an
exception in a few places, destructors above all; the next progress that is told raises it again.

Where an engine leaves the writing of a file to us, a thread does it while the next task is worked on; the one
after that waits for it, so that no more than one video is held in memory.
"""

import importlib
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
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
    Filed,
    Freed,
    OrderError,
    Output,
    Progress,
    Ready,
    Report,
    Task,
    Writing,
)

_LOOK = signal.SIGUSR1
_CANCELLED = Failed(code="cancelled", message="The video was cancelled.")


class _CalledOffError(Exception):
    """The worker does not want the task any more."""


class _Desk:
    """The task that is worked on, if any, and those that were called off."""

    def __init__(self) -> None:
        self.task: str | None = None
        self.called_off: set[str] = set()
        self.writer: threading.Thread | None = None

    def take(self, task: Task) -> None:
        """Work on that one; told again and again, because what `look` raises may get lost. Raises as it does."""
        self.task = task.id
        self.look()

    def look(self, *_signal: object) -> None:
        """Put the task away if it is not wanted any more. Raises _CalledOffError, once for a task."""
        if self.task in self.called_off:
            self.task = None
            raise _CalledOffError


def main(engine_name: str, *told: str) -> None:
    """Serve tasks from standard input until it is closed. What else is `told` is the engine's own matter."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal reaches us too; the worker decides
    reports = _own_output()
    tasks, desk = SimpleQueue[Task](), _Desk()
    signal.signal(_LOOK, desk.look)
    threading.Thread(target=_listen, args=(_own_input(), tasks, desk), daemon=True).start()

    def tell(report: Report) -> None:
        reports.write(msgspec.json.encode(report) + b"\n")

    load: Callable[..., Engine] = importlib.import_module(ENGINES[engine_name]).load
    engine = load(*told)
    tell(Ready(models=engine.models(), versions=engine.versions()))
    while True:
        task = tasks.get()
        try:
            ended = _render(engine, task, tell, desk)
        except Exception:
            desk.task = None
            if task.id not in desk.called_off:
                raise
            ended = _CANCELLED
        tell(ended)
        if isinstance(ended, Freed) and desk.writer is not None:
            desk.writer.start()


def _render(engine: Engine, task: Task, tell: Callable[[Report], None], desk: _Desk) -> Report:
    """Make one video. Raises _CalledOffError, and whatever the engine does."""
    told = -1

    def report(percent: int) -> None:
        nonlocal told
        desk.take(task)
        if percent > told:
            told = percent
            tell(Progress(percent=percent))

    desk.take(task)
    try:
        made = engine.render(task.order, Path(task.folder), report)
        if isinstance(made, Output):
            desk.task = None
            return Done(output=made)
        if desk.writer is not None:
            desk.writer.join()
        desk.task = None
        desk.writer = threading.Thread(target=_write, args=(made, task, tell, desk), daemon=True)
        return Freed()
    except OrderError as problem:
        desk.task = None
        return Failed(code=problem.code, message=problem.message)


def _write(writing: Writing, task: Task, tell: Callable[[Report], None], desk: _Desk) -> None:
    """Write a video's files, in a thread of its own; what else is raised there ends the engine."""

    def report(_percent: int) -> None:
        if task.id in desk.called_off:
            raise _CalledOffError

    try:
        tell(Filed(ended=Done(output=writing(report))))
    except OrderError as problem:
        tell(Filed(ended=Failed(code=problem.code, message=problem.message)))
    except Exception:  # noqa: BLE001 - the process's last resort, as it is in the main thread
        if task.id not in desk.called_off:
            traceback.print_exc()
            os._exit(1)
        tell(Filed(ended=_CANCELLED))


def _own_input() -> BinaryIO:
    """Standard input for the thread alone: the interpreter aborts when it finds its own in use at the end."""
    return os.fdopen(os.dup(0), "rb")


def _own_output() -> BinaryIO:
    """Standard output for us alone, unbuffered; from here on file descriptor 1 leads to standard error."""
    own = os.dup(1)
    os.dup2(2, 1)
    return os.fdopen(own, "wb", buffering=0)


def _listen(said: BinaryIO, tasks: SimpleQueue[Task], desk: _Desk) -> None:
    main = threading.main_thread().ident or 0
    for line in said:
        word = msgspec.json.decode(line, type=Task | CallOff)
        if isinstance(word, CallOff):
            desk.called_off.add(word.id)
            signal.pthread_kill(main, _LOOK)
        else:
            tasks.put(word)
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
