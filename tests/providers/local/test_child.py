"""The engine's process as its worker sees it from outside."""

import subprocess
import sys

ENDS = """
import sys, types
engine = types.ModuleType("ends")
engine.load = lambda: sys.exit(78)
sys.modules["ends"] = engine
from providers.local import child
child.ENGINES = {"ends": "ends"}
child.main("ends")
"""


def test_the_status_that_an_engine_ends_with_is_its_own_while_the_worker_is_listened_to() -> None:
    with subprocess.Popen([sys.executable, "-c", ENDS], stdin=subprocess.PIPE) as engine:
        assert engine.wait(30) == 78
