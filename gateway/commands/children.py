"""Runs other processes beside this one and starts them again when they die."""

import logging
import subprocess
import threading
from collections.abc import Sequence
from signal import SIGINT, SIGTERM, signal

RESTART_SECONDS = 1.0
"""The pause before a process that died is started again."""

log = logging.getLogger("fairlead.children")


class Children:
    """Processes that are kept running until `stop`. The standard input of each closes when we die."""

    def __init__(self) -> None:
        self._stopping = threading.Event()
        self._running: list[subprocess.Popen[bytes]] = []
        self._threads: list[threading.Thread] = []

    def keep(self, arguments: Sequence[str], fd: int | None = None) -> None:
        """Run this program, again and again. It inherits the file descriptor `fd`."""
        thread = threading.Thread(target=self._watch, args=(arguments, fd), daemon=True)
        self._threads.append(thread)
        thread.start()

    def _watch(self, arguments: Sequence[str], fd: int | None) -> None:
        while not self._stopping.is_set():
            child = subprocess.Popen(  # noqa: S603 - our own programs
                arguments,
                stdin=subprocess.PIPE,
                pass_fds=() if fd is None else (fd,),
                start_new_session=True,  # a Ctrl-C at the terminal reaches us alone; we pass it on in order
            )
            self._running.append(child)
            if self._stopping.is_set():  # `stop` may have looked before this one was there
                child.terminate()
            status = child.wait()
            self._running.remove(child)
            if child.stdin is not None:
                child.stdin.close()
            if not self._stopping.wait(RESTART_SECONDS):
                log.warning("process %d ended with %d and is started again", child.pid, status)

    def stop(self) -> None:
        """Ask all to end, and wait until they have. A signal meanwhile is passed on: it is their second."""
        self._stopping.set()
        for number in (SIGINT, SIGTERM):
            signal(number, lambda *_: self._ask())
        self._ask()
        for thread in self._threads:
            thread.join()

    def _ask(self) -> None:
        for child in list(self._running):
            child.terminate()
