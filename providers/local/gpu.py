"""The graphics cards of this machine, as their driver's own program tells of them.

The parent never loads a library that could ask the cards itself; `nvidia-smi` comes with every driver.
"""

import asyncio
import shutil
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Sequence

from msgspec import Struct

EVERY = 15.0
"""Seconds between two looks; one takes the driver up to a second."""
_MIB = 2**20
_QUERY = ("--query-gpu=name,memory.total,memory.used", "--format=csv,noheader,nounits")


class Gpu(Struct, frozen=True, kw_only=True):
    """One card. Memory in bytes."""

    name: str
    memory_total: int
    memory_used: int


class Gpus:
    """What was last seen of the cards; none where there is no driver."""

    def __init__(self) -> None:
        self.seen: Sequence[Gpu] = ()

    async def watch(self) -> None:
        """Look now and then, until cancelled; returns at once where there is nothing to look at."""
        program = shutil.which("nvidia-smi")
        while program is not None:
            asked = await asyncio.create_subprocess_exec(program, *_QUERY, stdout=PIPE, stderr=DEVNULL)
            told, _ = await asked.communicate()
            self.seen = read(told.decode(errors="replace"))
            await asyncio.sleep(EVERY)


def read(told: str) -> Sequence[Gpu]:
    """The cards in `nvidia-smi`'s lines `name, MiB in all, MiB in use`; a line of another form is left out."""
    found = []
    for line in told.splitlines():
        name, *memory = line.rsplit(",", 2)
        numbers = [int(one) for one in memory if one.strip().isdigit()]
        if len(numbers) == 2:
            found.append(
                Gpu(name=name.strip(), memory_total=numbers[0] * _MIB, memory_used=numbers[1] * _MIB)
            )
    return found
