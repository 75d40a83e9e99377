"""What happens in a media process stays there: crashes, hanging, and what it would like to know of us."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.media.workshop import Workshop, WorkshopError
from tests.media.films import film

HEAVY = ("av", "PIL", "numpy", "c2pa", "cryptography", "obstore")


def children() -> set[int]:
    """The processes of this test that run now."""
    found: set[int] = set()
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):  # a thread that ended since: its children are another's then
            found.update(map(int, (task / "children").read_text().split()))
    return found


async def new_child(before: set[int]) -> int:
    """The process that came since."""
    while not (new := children() - before):
        await asyncio.sleep(0.01)
    return new.pop()


async def test_stills_come_back_from_a_process_that_is_gone_then(tmp_path: Path) -> None:
    before = children()
    made = await Workshop().stills(
        await asyncio.to_thread(film, tmp_path / "a.mp4", seconds=0.5), "video/mp4"
    )
    assert made.thumbnail[8:12] == b"WEBP"
    assert made.spritesheet.startswith(b"\xff\xd8\xff")
    assert children() == before


async def test_a_file_that_is_no_video_is_told(tmp_path: Path) -> None:
    (tmp_path / "junk").write_bytes(b"\x00\x00\x00\x18ftypmp42" + bytes(500))
    with pytest.raises(WorkshopError, match="cannot be decoded"):
        await Workshop().stills(tmp_path / "junk", "video/mp4")


async def test_a_process_that_hangs_is_ended(tmp_path: Path) -> None:
    before, fifo = children(), tmp_path / "fifo"
    os.mkfifo(fifo)  # nobody ever writes to it
    with pytest.raises(WorkshopError, match=r"took longer than 0\.5 s"):
        await Workshop(seconds=0.5).stills(fifo, "video/mp4")
    assert children() == before


async def test_a_process_that_crashes_takes_nobody_along(tmp_path: Path) -> None:
    before, fifo, workshop = children(), tmp_path / "fifo", Workshop()
    os.mkfifo(fifo)
    task = asyncio.create_task(workshop.stills(fifo, "video/mp4"))
    os.kill(await new_child(before), signal.SIGSEGV)
    with pytest.raises(WorkshopError, match="ended with -11"):
        await task
    assert (await workshop.stills(film(tmp_path / "a.mp4", seconds=0.2), "video/mp4")).thumbnail


async def test_who_leaves_leaves_no_process_behind_and_it_knew_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    before, fifo = children(), tmp_path / "fifo"
    os.mkfifo(fifo)
    task = asyncio.create_task(Workshop().stills(fifo, "video/mp4"))
    pid = await new_child(before)
    assert b"sk-secret" not in await asyncio.to_thread(Path(f"/proc/{pid}/environ").read_bytes)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert children() == before


def test_the_gateway_loads_nothing_heavy() -> None:
    code = f"import sys, gateway.app, gateway.commands.serve; print([name for name in {HEAVY} if name in sys.modules])"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert loaded.stdout.strip() == "[]"
