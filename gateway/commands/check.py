"""`fairlead check`: says everything that is wrong with a routing file, without starting anything."""

import os
import sys
import time
from pathlib import Path

from gateway.config.compile import Source, compile_config
from gateway.config.problems import ConfigError
from gateway.config.vault import TrustingVault


def run(file: Path, *, secrets: bool = True) -> int:
    """0 when the file compiles, else 1 with one line per problem on standard error.

    Without `secrets`, references to secrets are taken for good unseen. What will stop working is warned of.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        sys.stderr.write(f"{file}: cannot be read: {error}\n")
        return 1
    try:
        source = Source(text, str(file), os.environ, time.time())
        snapshot = compile_config(source, vault=None if secrets else TrustingVault())
    except ConfigError as error:
        for problem in error.problems:
            sys.stderr.write(f"{problem}\n")
        return 1
    for warning in snapshot.warnings:
        sys.stderr.write(f"{file}: warning: {warning}\n")
    targets = sum(len(route.targets) for route in snapshot.routes.values())
    sys.stdout.write(
        f"{file}: {len(snapshot.routes)} models, {targets} targets, {len(snapshot.keys)} keys: fine\n"
    )
    return 0
