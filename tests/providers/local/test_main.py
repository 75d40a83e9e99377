"""Starting a worker: what it says, what it refuses, and what it does not load."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.providers.local.running import RunningWorker

HEAVY = ("av", "numpy", "PIL", "torch", "diffusers", "transformers", "huggingface_hub", "gateway")


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "providers.local", *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env=os.environ | environment,
    )


def test_help_is_complete() -> None:
    text = run("--help").stdout
    options = (
        "--engine",
        "--model",
        "--config",
        "make-tiny",
        "bench",
        "diffusers",
        "--host",
        "--port",
        "--data-dir",
        "--queue-size",
        "--keep-hours",
        "--watch-stdin",
    )
    for word in (*options, "FAIRLEAD_WORKER_KEY", "testcard", "4100", ".fairlead/worker", "dialect: worker"):
        assert word in text


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--engine", "sora"), "invalid choice: 'sora'"),
        (("--engine", "diffusers"), "--engine diffusers needs a model: name one with --model"),
        (("--engine", "testcard", "--model", "x"), "--engine testcard takes no --model"),
        (("--model", "{tmp}/nowhere"), "nowhere does not exist: name a directory with a model_index.json"),
        (("--model", "{tmp}"), "has no model_index.json"),
        (("--config", "{tmp}/nowhere.yaml"), "nowhere.yaml"),
        (("bench",), "one of the arguments --model --config is required"),
        (("make-tiny", "--family", "sora", "x"), "invalid choice: 'sora'"),
        (("--port", "70000"), "'70000' is not a whole number from 0 to 65535"),
        (("--queue-size", "0"), "'0' is not a whole number from 1 to 10000"),
        (("--keep-hours", "soon"), "'soon' is not"),
        (("--data-dir", "/dev/null/x"), "/dev/null/x"),
        (("--host", "256.0.0.1", "--data-dir", "{tmp}"), "cannot listen on 256.0.0.1:4100"),
    ],
)
def test_a_start_that_cannot_work_says_why(
    tmp_path: Path, arguments: tuple[str, ...], complaint: str
) -> None:
    ended = run(*(argument.replace("{tmp}", str(tmp_path)) for argument in arguments))
    assert ended.returncode != 0
    assert complaint in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_model_that_lacks_a_part_is_named_with_it(tmp_path: Path) -> None:
    index = {"_class_name": "WanPipeline", "vae": ["diffusers", "AutoencoderKLWan"]}
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    ended = run("--model", str(tmp_path), "--data-dir", str(tmp_path / "data"))
    assert ended.returncode == 1
    assert ended.stderr.startswith(
        f"fairlead worker: the model {tmp_path} (WanPipeline) lacks its part vae: fetch"
    )
    assert not (tmp_path / "data").exists()


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = run("--port", str(port), "--data-dir", str(tmp_path))
    assert ended.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in ended.stderr


def test_a_taken_data_directory_is_named(worker: RunningWorker) -> None:
    ended = run("--port", "0", "--data-dir", str(worker.data_dir))
    assert ended.returncode == 1
    assert f"{worker.data_dir} is in use by another worker" in ended.stderr


def test_a_file_that_is_no_job_table_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "jobs.sqlite").write_bytes(b"something else" * 100)
    ended = run("--port", "0", "--data-dir", str(tmp_path))
    assert ended.returncode == 1
    assert "cannot be used" in ended.stderr
    assert (tmp_path / "jobs.sqlite").read_bytes() == b"something else" * 100


def test_the_worker_itself_loads_nothing_heavy_and_stays_small(worker: RunningWorker) -> None:
    code = f"import sys, providers.local.__main__; print([name for name in {HEAVY} if name in sys.modules])"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True
    )
    assert loaded.stdout.strip() == "[]"
    memory = Path(f"/proc/{worker.process.pid}/status").read_text().split("VmRSS:")[1].split()[0]
    assert int(memory) < 80 * 1024


def test_the_gateway_never_loads_the_worker() -> None:
    code = "import sys, providers.video; print([name for name in sys.modules if name.startswith('providers.local')])"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True
    )
    assert loaded.stdout.strip() == "[]"
