"""`fairlead ...` in a process of its own that has imported everything beforehand: imports are most of what it takes.

The processes are forks of one that did nothing else, and share nothing. `sys.argv`, environment and outputs are as they
would be had the program been started by its name, which `tests/e2e` and the first test of `test_serve.py` do.
"""

import multiprocessing
import os
import sys
from collections.abc import Mapping, Sequence
from multiprocessing.context import ForkServerProcess
from pathlib import Path

_COMMANDS = ("check", "database", "explain", "keys", "limits", "serve", "server", "videos", "webhooks")
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["gateway.app", *(f"gateway.commands.{name}" for name in _COMMANDS)])


def started(words: Sequence[str], environment: Mapping[str, str], out: Path, err: Path) -> ForkServerProcess:
    """Start `fairlead` with these words, in a session of its own; its output goes to these files."""
    process = _context.Process(target=_main, args=(list(words), dict(environment), out, err), daemon=True)
    process.start()
    return process


def _main(words: Sequence[str], environment: Mapping[str, str], out: Path, err: Path) -> None:
    from gateway.__main__ import main  # noqa: PLC0415 - only here it is the program

    os.setsid()
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["fairlead", *words]
    for file, number in ((out, 1), (err, 2)):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    main()
