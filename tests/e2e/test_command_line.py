"""`fairlead videos`, as somebody at a terminal or in a script uses it."""

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from gateway.__main__ import cli
from tests.e2e.processes import until
from tests.e2e.stage import Guest, Stage
from tests.e2e.test_official_client import picture, redness, shape

pytestmark = pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning")
SMALL = ("--seconds", "1", "--size", "64x64")


def run(guest: Guest, *words: str, key: str | None = None) -> Result:
    """What `fairlead videos` does with these words."""
    told = {"FAIRLEAD_KEY": guest.key if key is None else key}
    return CliRunner().invoke(cli, ["videos", *words, "--url", guest.url], env=told)


def program(guest: Guest, *words: str) -> Sequence[str]:
    return [str(Path(sys.executable).with_name("fairlead")), "videos", *words, "--url", guest.url]


def test_a_video_is_ordered_followed_and_fetched(stage: Stage, guest: Guest, tmp_path: Path):
    prompt, file, start = stage.prompt(), tmp_path / "made.mp4", tmp_path / "start.png"
    start.write_bytes(picture("red"))
    done = run(guest, "create", prompt, *SMALL, "--image", str(start), "--output", str(file))
    assert done.exit_code == 0, done.output
    video = done.stdout.strip()
    assert guest.ids() == [video]
    assert shape(file.read_bytes()) == ("h264", 64, 64, 24)
    assert redness(file.read_bytes()) > 0.6
    lines = done.stderr.splitlines()
    assert lines[-2].startswith("completed")
    assert "100 %" in lines[-2]
    assert lines[-1] == f"{file}: {file.stat().st_size} bytes"
    assert "\x1b" not in done.output
    shown = json.loads(run(guest, "get", video, "--output", str(tmp_path / "again.mp4")).stdout)
    assert (shown["id"], shown["status"], shown["prompt"]) == (video, "completed", prompt)
    assert (tmp_path / "again.mp4").read_bytes() == file.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again.mp4", "made.mp4", "start.png"]


def test_the_list_is_newest_first_and_no_longer_than_asked(stage: Stage, guest: Guest):
    made = [run(guest, "create", stage.prompt(), "--model", "waiting").stdout.strip() for _ in range(3)]
    lines = run(guest, "list", "--limit", "2").stdout.splitlines()
    assert [line.split()[0] for line in lines] == made[:0:-1]
    assert all("queued" in line and "waiting" in line for line in lines)
    assert run(guest, "list", "--limit", "500").exit_code == 2


def test_one_that_fails_says_why_and_ends_so(stage: Stage, guest: Guest, tmp_path: Path):
    video = run(guest, "create", stage.prompt(), "--model", "broken").stdout.strip()
    done = run(guest, "watch", video, "--output", str(tmp_path / "none.mp4"))
    assert done.exit_code == 1
    assert done.stderr.splitlines()[-1].startswith("model_unavailable: ")
    assert not list(tmp_path.iterdir())


def test_a_terminal_sees_one_line_that_changes(stage: Stage, guest: Guest):
    video = run(guest, "create", stage.prompt(), "--seconds", "2", "--size", "640x360").stdout.strip()
    ours, theirs = pty.openpty()
    done = subprocess.run(
        program(guest, "watch", video),
        stderr=theirs,
        env={"PATH": os.environ["PATH"], "FAIRLEAD_KEY": guest.key},
        timeout=30,
        check=True,
    )
    assert done.returncode == 0
    os.close(theirs)
    seen = os.read(ours, 65536).decode()
    os.close(ours)
    assert seen.startswith("\r")
    assert seen.endswith("\r\n")
    assert "100 %" in seen.split("\r")[-2]
    assert seen.count("\n") == 1


def test_who_leaves_a_watch_is_told_how_to_come_back(stage: Stage, guest: Guest):
    video = run(guest, "create", stage.prompt(), "--model", "waiting").stdout.strip()
    # What a shell runs in the background ignores Ctrl-C, and so would all that it starts.
    ours = signal.signal(signal.SIGINT, signal.default_int_handler)
    watching = subprocess.Popen(
        program(guest, "watch", video),
        stderr=subprocess.PIPE,
        env={"PATH": os.environ["PATH"], "FAIRLEAD_KEY": guest.key},
    )
    signal.signal(signal.SIGINT, ours)
    assert watching.stderr is not None
    assert watching.stderr.readline().startswith(b"queued")
    watching.send_signal(signal.SIGINT)
    _, said = watching.communicate(timeout=10)
    assert watching.returncode == 130
    assert f"fairlead videos watch {video}" in said.decode()
    assert until(lambda: guest.openai.videos.retrieve(video).status == "queued")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("get", "video_none"), "There is no video with this id."),
        (("get", "../models"), "is no id of a video"),
        (("create", "x", "--seconds", "0"), "`seconds` is"),
        (("create", "x", "--model", "none"), "The video model `none` does not exist."),
        (("create", "x", "--image", "/nowhere.png"), "cannot be read"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(guest: Guest, words: tuple[str, ...], said: str):
    done = run(guest, *words)
    assert done.exit_code == 1
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert guest.key not in done.output


def test_a_key_may_come_from_a_file_and_must_come_from_somewhere(guest: Guest, tmp_path: Path):
    file = tmp_path / "key"
    file.write_text(f"{guest.key}\n")
    assert run(guest, "list", "--key-file", str(file), key="sk-wrong").exit_code == 0
    for words, key, said in (
        (("list",), "", "set FAIRLEAD_KEY"),
        (("list",), "sk-wrong", "No valid API key"),
        (("list", "--key-file", str(tmp_path / "none")), "", "cannot be read as a key"),
    ):
        done = run(guest, *words, key=key)
        assert (done.exit_code, said in done.stderr) == (1, True), done.stderr
    away = CliRunner().invoke(
        cli, ["videos", "list", "--url", "http://127.0.0.1:9"], env={"FAIRLEAD_KEY": guest.key}
    )
    assert (away.exit_code, "does not answer" in away.stderr) == (1, True)
