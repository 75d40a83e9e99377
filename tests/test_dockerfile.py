"""Checks the image without building it: what the Dockerfile says, and a gateway run as the image would run it."""

import contextlib
import http.client
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

import pytest

from gateway.__main__ import serve
from tests.servers import free_port

ROOT = Path(__file__).resolve().parents[1]
USER = 10001
READY_SECONDS = 30.0


class Instruction(NamedTuple):
    """One instruction: its word, and the rest with continuation lines joined."""

    word: str
    rest: str


def stages() -> list[list[Instruction]]:
    """The Dockerfile, stage by stage; each begins with its FROM."""
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    text = "\n".join(line for line in lines if not line.lstrip().startswith("#")).replace("\\\n", " ")
    found: list[list[Instruction]] = []
    for line in filter(str.strip, text.splitlines()):
        word, rest = line.strip().split(maxsplit=1)
        if word == "FROM":
            found.append([])
        found[-1].append(Instruction(word, " ".join(rest.split())))
    return found


def rest_of(stage: list[Instruction], word: str) -> list[str]:
    """What stands behind every instruction of one kind."""
    return [one.rest for one in stage if one.word == word]


def environment(stage: list[Instruction]) -> dict[str, str]:
    """The variables a stage sets."""
    return dict(pair.split("=", 1) for rest in rest_of(stage, "ENV") for pair in rest.split())


BUILD, FINAL = stages()[0], stages()[-1]


def test_the_image_is_built_in_stages_on_slim_bases() -> None:
    assert len(stages()) >= 2
    assert all(re.fullmatch(r"python:3\.\d+-slim( AS \w+)?", rest_of(stage, "FROM")[0]) for stage in stages())
    assert not [run for run in rest_of(FINAL, "RUN") if "pip" in run]


def test_the_image_runs_as_a_fixed_unprivileged_user() -> None:
    assert rest_of(FINAL, "USER") == [f"{USER}:{USER}"]
    words = [one.word for one in FINAL]
    assert words.index("USER") > max(at for at, word in enumerate(words) if word == "RUN")


def test_no_secret_is_baked_in() -> None:
    names = [name for stage in stages() for name in environment(stage)]
    names += [rest.split("=")[0] for stage in stages() for rest in rest_of(stage, "ARG")]
    assert not [name for name in names if re.search("KEY|TOKEN|SECRET|PASSWORD|PEPPER|CREDENTIAL", name)]


def test_what_is_installed_is_locked_by_hashes() -> None:
    installs = re.findall(r"pip install (.*?)(?:&&|$)", " && ".join(rest_of(BUILD, "RUN")))
    assert installs
    for arguments in installs:
        assert "--require-hashes" in arguments or "--no-deps" in arguments
    for name in re.findall(r"-r (\S+)", " ".join(installs)):
        lines = (ROOT / name).read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
        pins = [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
        assert pins
        assert not [pin for pin in pins if "==" not in pin or "--hash=sha256:" not in pin]


def test_what_is_copied_exists_and_is_sent_to_the_builder() -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    for stage in stages():
        for rest in rest_of(stage, "COPY"):
            if rest.startswith("--from="):
                continue
            for source in rest.split()[:-1]:
                assert (ROOT / source).exists(), source
                assert not any(fnmatch(source.split("/")[0], pattern) for pattern in ignored), source
    assert {".git", ".venv", ".fairlead"} <= set(ignored)


def test_the_root_may_be_read_only() -> None:
    variables = environment(FINAL)
    assert rest_of(FINAL, "VOLUME") == [variables["FAIRLEAD_DATA_DIR"]]
    assert variables["PYTHONDONTWRITEBYTECODE"] == "1"
    assert variables["FAIRLEAD_CONFIG"] in " ".join(rest_of(FINAL, "COPY"))


def test_the_gateway_gets_signals_and_is_asked_whether_it_is_ready() -> None:
    assert json.loads(rest_of(FINAL, "ENTRYPOINT")[0]) == ["fairlead"]
    assert json.loads(rest_of(FINAL, "CMD")[0])[0] == "serve"
    assert rest_of(FINAL, "STOPSIGNAL") == ["SIGTERM"]
    [port] = rest_of(FINAL, "EXPOSE")
    assert inspect.signature(serve).parameters["port"].default == int(port)
    [check] = rest_of(FINAL, "HEALTHCHECK")
    assert f"http://127.0.0.1:{port}/readyz" in json.loads(check.split("CMD ", 1)[1])[-1]
    assert "--timeout=" in check


# -- run as the image would


class Imitation(NamedTuple):
    """How to run a program as the image does: as USER, able to read everything and to write `data` only."""

    command: list[str]
    data: Path


@pytest.fixture
def imitation() -> Iterator[Imitation]:
    """A data directory of USER's, and a read-only view of everything else. Needs root on Linux."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    if not shutil.which("unshare") or not shutil.which("setpriv"):
        pytest.skip("unshare and setpriv of util-linux are not here")
    with tempfile.TemporaryDirectory() as name:
        data = Path(name) / "data"
        data.mkdir()
        os.chown(data, USER, USER)
        view = f"mount --bind {data} {data} && mount -o remount,bind,ro /"
        become = f"setpriv --reuid {USER} --regid {USER} --clear-groups --bounding-set=-all,+dac_read_search"
        become += " --inh-caps=+dac_read_search --ambient-caps=+dac_read_search"
        command = ["unshare", "--mount", "--propagation", "private", "sh", "-c"]
        command += [f'{view} && cd {data} && exec {become} -- "$@"', "sh"]
        if subprocess.run([*command, "true"], capture_output=True, check=False).returncode != 0:
            pytest.skip("mounts cannot be changed here")
        yield Imitation(command, data)


def answer(port: int, path: str) -> int:
    """The status of a GET; 0 when nobody listens."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


def test_the_gateway_runs_unprivileged_on_a_read_only_root(imitation: Imitation) -> None:
    probe = "import os; assert os.getuid() == 10001; open('/zz', 'w')"
    refused = subprocess.run(
        [*imitation.command, sys.executable, "-c", probe], capture_output=True, text=True, check=False
    )
    assert "Read-only file system" in refused.stderr

    port = free_port()
    variables = {
        **environment(FINAL),
        "PATH": os.environ["PATH"],
        "FAIRLEAD_CONFIG": str(ROOT / "config/fairlead.yaml"),
        "FAIRLEAD_DATA_DIR": str(imitation.data),
        "FAIRLEAD_DEMO_KEY": "sk-fl-of-this-test",
    }
    log = imitation.data / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*imitation.command, sys.executable, "-m", "gateway", "serve", "--port", str(port), "--drain", "0"],
            env=variables, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + READY_SECONDS
        while answer(port, "/readyz") != 200:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        process.terminate()
        assert process.wait(10) in (0, -15), log.read_text()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 9)
        process.wait()
