"""The demo as a newcomer meets it: start it, copy what it prints into a shell, and see an answer and a video."""

import fcntl
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import av
import pytest

from gateway.commands.serve import WORKER_PORT
from tests.system.process import Serving

EXAMPLE = Path(__file__).resolve().parents[2] / "config" / "fairlead.yaml"
PATIENCE_SECONDS = 40.0


@pytest.fixture
def workers_port() -> Iterator[None]:
    """The one port the demo's worker listens on, for this test alone."""
    with (Path(tempfile.gettempdir()) / f"fairlead-test-{WORKER_PORT}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        deadline = time.monotonic() + 10
        while taken():
            if time.monotonic() > deadline:
                pytest.skip(f"somebody else listens on port {WORKER_PORT}")
            time.sleep(0.05)
        yield


def taken() -> bool:
    """Whether somebody listens on the worker's port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", WORKER_PORT)) == 0


def printed_calls(banner: str) -> list[str]:
    """The blocks of the banner that are meant to be copied into a shell, as they stand there."""
    return [block.rstrip() for block in re.findall(r"((?:^    .*\n)+)", banner, re.MULTILINE)]


def shell(text: str, folder: Path) -> str:
    """What bash prints when a newcomer pastes this."""
    done = subprocess.run(
        ["bash"],
        input=text,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.skipif(shutil.which("curl") is None, reason="the demo's calls are made with curl")
def test_the_printed_calls_give_a_chat_answer_and_a_video(tmp_path: Path, workers_port: None):
    with Serving(tmp_path, EXAMPLE.read_text(), "--demo") as gateway:
        chat, video = printed_calls(gateway.out)
        key = gateway.said(r"key: (\S+)")
        assert re.fullmatch(r"sk-fl-[\w-]{43}", key)
        assert all(key in call and gateway.url in call for call in (chat, video))
        events = shell(chat, tmp_path).strip().split("\n\n")
        assert events[-1] == "data: [DONE]"
        assert "Hello" in "".join(re.findall(r'"content":"([^"]*)"', "".join(events)))
        shell(video, tmp_path)
        with av.open(tmp_path / "fairlead.mp4") as film:
            stream = film.streams.video[0]
            assert stream.codec_context.name == "h264"
            assert sum(1 for _ in film.decode(stream)) > 10
            assert film.duration is not None
            assert film.duration / av.time_base == pytest.approx(4, abs=0.2)
        gateway.signal(signal.SIGINT)
        assert gateway.ended() == 0
        assert not taken()
        assert "Traceback" not in gateway.err
        assert key not in gateway.err
