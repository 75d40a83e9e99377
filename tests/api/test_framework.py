"""What the framework loads for us."""

import subprocess
import sys

UNWANTED = ("pydantic.v1", "litestar.plugins.pydantic", "litestar.plugins.attrs")


def test_an_app_loads_no_plugins_for_what_no_handler_takes() -> None:
    code = (
        "import sys; from gateway.api.framework import Lean; Lean([]);"
        f"print([name for name in {UNWANTED} if name in sys.modules])"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert loaded.stdout.strip() == "[]"
