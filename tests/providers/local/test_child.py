"""The engine's process as its worker sees it from outside."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest

from providers.local.engine import CallOff, Order, Task

FAKE = """
import sys, threading, time, types
from providers.local import child
from providers.local.engine import OrderError, Output
class Engine:
    models = versions = lambda _self: {}
    def work(self):
        time.sleep(60)
    def render(self, order, folder, report):
        report(1)
        if order.prompt.startswith("long"): self.%s()
        report(2)
        return Output(width=2, height=2, fps=1, seconds=1)
%s
module = types.ModuleType("fake")
module.load = Engine
sys.modules["fake"] = module
child.ENGINES = {"fake": "fake"}
child.main("fake")
"""
ENDS = FAKE % ("work", "    def __init__(self): sys.exit(78)")
WORKS = FAKE % ("work", "")
WRITES_LATER = FAKE % (
    "work",
    """
    begun = threading.Event()
    def render(self, order, folder, report):
        if order.prompt == "second": self.begun.set()
        def write(told):
            while order.prompt == "endless":
                time.sleep(0.01)
                told(96)
            if order.prompt == "broken": raise OrderError("bad", "m")
            assert order.prompt != "first" or self.begun.wait(60)
            return Output(width=2, height=2, fps=1, seconds=1)
        return write
""",
)
LOSES_WHAT_IS_RAISED = FAKE % (
    "deaf",
    """
    def deaf(self):
        try: self.work()
        except Exception: pass
""",
)


class Child:
    """An engine's process, spoken to line by line."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def say(self, word: Task | CallOff) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(msgspec.json.encode(word).decode() + "\n")
        self.process.stdin.flush()

    def order(self, prompt: str) -> None:
        order = Order(model="m", prompt=prompt, width=2, height=2, seconds=1, seed=1)
        self.say(Task(id=prompt, order=order, folder="."))

    def hears(self, *types: str) -> None:
        assert tuple(self.heard()["type"] for _ in types) == types

    def heard(self) -> Mapping[str, Any]:
        assert self.process.stdout is not None
        told: Mapping[str, Any] = json.loads(self.process.stdout.readline())
        return told


@contextmanager
def running(engine: str) -> Iterator[Child]:
    """A process with that engine, until the end of the test."""
    command = [sys.executable, "-c", engine]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as process:  # type: ignore[call-overload]
        try:
            yield Child(process)
        finally:
            process.kill()


def test_the_status_that_an_engine_ends_with_is_its_own_while_the_worker_is_listened_to() -> None:
    with running(ENDS) as engine:
        assert engine.process.wait(30) == 78


@pytest.mark.parametrize("engine", [WORKS, LOSES_WHAT_IS_RAISED])
def test_a_task_is_left_in_the_middle_of_a_step_and_the_engine_takes_the_next_one(engine: str) -> None:
    with running(engine) as child:
        child.hears("ready")
        for task in ("long", "long, too"):
            child.order(task)
            child.hears("progress")
            child.say(CallOff(id=task))
            assert child.heard()["code"] == "cancelled"
        child.order("short")
        child.hears("progress", "progress", "done")


def test_only_the_task_that_is_meant_is_left() -> None:
    with running(WORKS) as child:
        child.hears("ready")
        child.order("before")
        child.hears("progress", "progress", "done")
        for task in ("before", "after"):
            child.say(CallOff(id=task))
        for task in ("now", "after"):
            child.order(task)
        child.hears("progress", "progress", "done")
        assert child.heard()["code"] == "cancelled"


def test_a_file_is_written_while_the_next_video_is_made() -> None:
    with running(WRITES_LATER) as child:
        child.hears("ready")
        child.order("first")  # its file waits for the second to begin
        child.hears("freed")
        child.order("second")
        child.hears("filed", "freed", "filed")
        child.order("broken")
        child.hears("freed")
        assert child.heard()["ended"]["code"] == "bad"
        child.order("endless")
        child.hears("freed")
        child.say(CallOff(id="endless"))
        assert child.heard()["ended"]["code"] == "cancelled"
