"""Runs OpenAI's Node client: the interpreter of a PyPI wheel, the client as its lock file says."""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.contract.promise import Exchange, check_exchange
from tests.contract.stage import Stage
from tests.npm import node, npm_install
from tests.running import KEY

HERE = Path(__file__).parent / "node"
CALL_SECONDS = 30


def install() -> None:
    """Install the client, unless it is there already."""
    npm_install(HERE)


def call_node(stage: Stage, *calls: Mapping[str, Any], key: str = KEY) -> list[Any]:
    """The results of these calls, see `node/calls.mjs`; all that the client was answered is checked."""
    asked = {"url": f"{stage.url}/v1", "key": key, "calls": calls}
    ran = subprocess.run(
        [node(), HERE / "calls.mjs"],
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
