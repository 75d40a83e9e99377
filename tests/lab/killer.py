"""Kills real server processes while others work, and starts them again."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Sequence

from tests.servers import Server


@contextlib.asynccontextmanager
async def killing(
    servers: Sequence[Server], dice: random.Random, every: float
) -> AsyncIterator[Sequence[Server]]:
    """Within the block one of the servers after another is killed as by a crash, about `every` seconds, and
    started again on the same port with the same data. Gives the victims so far; at the end all run."""
    victims: list[Server] = []
    over = asyncio.Event()

    async def kill() -> None:
        while not over.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(every * dice.uniform(0.5, 1.5)):
                    await over.wait()
                    return
            victims.append(dice.choice(servers))
            await asyncio.to_thread(victims[-1].kill9)
            await asyncio.to_thread(victims[-1].start)

    killer = asyncio.create_task(kill())
    try:
        yield victims
    finally:
        over.set()
        await killer
