"""What is told of graphics cards, on machines with and without."""

import asyncio
from pathlib import Path

import pytest

from providers.local.gpu import Gpu, Gpus, read

TWO = "NVIDIA H200, 143771, 4\nNVIDIA RTX A2000, laptop, 4096, 512\n"
MIB = 2**20


def test_each_card_is_told_with_its_memory() -> None:
    assert read(TWO) == [
        Gpu(name="NVIDIA H200", memory_total=143771 * MIB, memory_used=4 * MIB),
        Gpu(name="NVIDIA RTX A2000, laptop", memory_total=4096 * MIB, memory_used=512 * MIB),
    ]


@pytest.mark.parametrize("told", ["", "No devices were found\n", "NVIDIA H200, [N/A], 4\n", ",,\n"])
def test_what_cannot_be_read_is_no_card(told: str) -> None:
    assert read(told) == []


async def test_the_drivers_program_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\nprintf '{TWO}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    gpus = Gpus()
    watching = asyncio.create_task(gpus.watch())
    async with asyncio.timeout(10):
        while not gpus.seen:
            await asyncio.sleep(0.01)
    watching.cancel()
    assert [gpu.name for gpu in gpus.seen] == ["NVIDIA H200", "NVIDIA RTX A2000, laptop"]


async def test_without_a_driver_nothing_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    gpus = Gpus()
    async with asyncio.timeout(10):
        await gpus.watch()
    assert gpus.seen == ()
