"""`fairlead worker`: runs the video worker, which is a program of its own, as a program of its own."""

import subprocess
import sys
from collections.abc import Sequence


def command(arguments: Sequence[str]) -> list[str]:
    """The command line that starts the worker."""
    return [sys.executable, "-m", "providers.local", *arguments]


def run(arguments: Sequence[str]) -> int:
    """Run it in the foreground; its exit status is ours."""
    try:
        return subprocess.run(command(arguments), check=False).returncode  # noqa: S603 - our own program
    except KeyboardInterrupt:
        return 130
