"""Runs coroutine tests, and offers what most tests share."""

import asyncio
import inspect
import os
from collections.abc import Coroutine
from typing import Any

import pytest
from hypothesis import settings

# A busy machine is no reason to fail, and a run of CI must be one that can be repeated.
settings.register_profile("fairlead", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("fairlead")

TEST_SECONDS = 60.0
"""No test may hang: a coroutine test that takes longer fails."""


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run an `async def test_...` in a fresh event loop."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    wanted = inspect.signature(pyfuncitem.obj).parameters
    arguments = {name: pyfuncitem.funcargs[name] for name in wanted if name in pyfuncitem.funcargs}
    asyncio.run(_bounded(pyfuncitem.obj(**arguments)))
    return True


async def _bounded(test: Coroutine[Any, Any, None]) -> None:
    async with asyncio.timeout(TEST_SECONDS):
        await test
