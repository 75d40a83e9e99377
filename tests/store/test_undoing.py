"""What was made outside of the database for a row goes when the row is certainly not there, and no sooner."""

import asyncio
from contextlib import nullcontext

import pytest

from gateway.errors import InvalidRequest, Unavailable
from gateway.store.engine import undoing

WAYS = [
    (OSError, True),
    (InvalidRequest, True),
    (Unavailable, False),
    (asyncio.CancelledError, False),
    (None, False),
]


@pytest.mark.parametrize(("error", "undone"), WAYS)
async def test_it_is_undone_only_after_what_leaves_no_doubt(
    error: type[BaseException] | None, undone: bool
) -> None:
    done: list[bool] = []

    async def undo() -> None:
        done.append(True)

    with pytest.raises(error) if error is not None else nullcontext():
        async with undoing(undo):
            if error is not None:
                raise error("it failed")
    assert bool(done) is undone
