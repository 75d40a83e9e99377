"""`fairlead limits`: what the limiter holds, for people to see."""

import asyncio
import os
import sys
from pathlib import Path

import typer

from gateway.config.settings import read
from gateway.limits.connection import StoreError
from gateway.limits.nodes import Nodes
from gateway.limits.unsettled import unsettled


def show_unsettled(config: Path | None, older: float) -> None:
    """One line per reservation that nobody settled: its id, since when nobody renewed it, what it holds."""
    url = read(os.environ, config).redis_url
    if url is None:
        sys.stderr.write(
            "Limits are counted in the gateway's process, so nothing is left of one that ended. "
            "With FAIRLEAD_REDIS_URL they are counted in Redis.\n"
        )
        return
    redis = Nodes(url.reveal())
    try:
        count = asyncio.run(_show(redis, older))
    except StoreError as error:
        sys.stderr.write(f"Redis at {redis.address} cannot be asked: {error}\n")
        raise typer.Exit(1) from error
    sys.stderr.write(f"{count} unsettled, not renewed for {older:g} s or more\n")


async def _show(redis: Nodes, older: float) -> int:
    count = 0
    try:
        async for found in unsettled(redis, older):
            count += 1
            sys.stdout.write(f"{found.sentence()}\n")
    finally:
        await redis.close()
    return count
