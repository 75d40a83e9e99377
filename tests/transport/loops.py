"""Runs a test on both event loops: the standard one, and uvloop, on which the gateway is served."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

Test = Callable[..., Coroutine[Any, Any, None]]


def both_loops(seconds: float = 30.0) -> Callable[[Test], Callable[..., None]]:
    """Turn `async def test_x()` (without fixtures) into a plain test that runs twice."""

    def turn(test: Test) -> Callable[..., None]:
        async def bounded() -> None:
            async with asyncio.timeout(seconds):
                await test()

        @pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
        def twice(run: Callable[[Coroutine[Any, Any, None]], None]) -> None:
            run(bounded())

        twice.__name__, twice.__doc__ = test.__name__, test.__doc__
        return twice

    return turn
