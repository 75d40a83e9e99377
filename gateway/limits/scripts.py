"""The Lua scripts beside this module, as Redis is given them."""

from pathlib import Path

from gateway.limits.connection import Script
from gateway.limits.counters import RECORD_MS, SLOT_RETRY_MS
from gateway.limits.memory import SETTLED_MS

_SHARED_WITH_LUA = {
    "RECORD_MS": RECORD_MS,
    "SETTLED_MS": SETTLED_MS,
    "SLOT_RETRY_MS": SLOT_RETRY_MS,
}


def script(name: str) -> Script:
    """A script that lies beside this module, with the constants it has in common with the code."""
    here = Path(__file__).parent
    lines = [f"local {word} = {value}\n" for word, value in _SHARED_WITH_LUA.items()]
    return Script("".join(lines) + (here / "shared.lua").read_text() + (here / f"{name}.lua").read_text())
