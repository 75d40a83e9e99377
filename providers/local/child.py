"""The engine's process: reads tasks, renders them one after another, reports on the way.

Standard output belongs to the reports; whatever a library prints goes to standard error. The process ends
when the worker closes its standard input, in the middle of a computation too, so that a worker that was
killed leaves no engine behind.
"""

import importlib
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import msgspec

from providers.local.engine import ENGINES, Done, Engine, Failed, OrderError, Progress, Ready, Report, Task
from providers.local.hangup import wait_for_hangup


def main(engine_name: str, *told: str) -> None:
    """Serve tasks from standard input until it is closed. What else is `told` is the engine's own matter."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal reaches us too; the worker decides
    tasks, reports = sys.stdin.buffer, _own_output()
    threading.Thread(target=_end_with_worker, daemon=True).start()

    def tell(report: Report) -> None:
        reports.write(msgspec.json.encode(report) + b"\n")

    load: Callable[..., Engine] = importlib.import_module(ENGINES[engine_name]).load
    engine = load(*told)
    tell(Ready(models=engine.models(), versions=engine.versions()))
    for line in tasks:
        tell(_render(engine, msgspec.json.decode(line, type=Task), tell))


def _render(engine: Engine, task: Task, tell: Callable[[Report], None]) -> Report:
    told = -1

    def report(percent: int) -> None:
        nonlocal told
        if percent > told:
            told = percent
            tell(Progress(percent=percent))

    try:
        return Done(output=engine.render(task.order, Path(task.folder), report))
    except OrderError as problem:
        return Failed(code=problem.code, message=problem.message)


def _own_output() -> BinaryIO:
    """Standard output for us alone, unbuffered; from here on file descriptor 1 leads to standard error."""
    own = os.dup(1)
    os.dup2(2, 1)
    return os.fdopen(own, "wb", buffering=0)


def _end_with_worker() -> None:
    wait_for_hangup(0)
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
