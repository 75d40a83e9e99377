"""Who orders videos from a fleet that falls apart: the official client, which asks again until it is answered."""

import asyncio
import contextlib
import itertools
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx2
import openai

from tests.lab.fleet import KEY, MODELS, SECONDS, Fleet

PATIENCE = 10_000
"""How often the official client repeats a call by itself, where nobody else does."""
AT_ONCE = 32
"""How many orders are being made at the same time: more would only keep whoever makes them busy."""
_TIMEOUT = 10.0
_AWAY = (openai.APIConnectionError, openai.InternalServerError)


@dataclass(kw_only=True)
class Order:
    """One video somebody wants, and what they were told of it: its id, after how many seconds, and each look
    at it as (status, progress)."""

    number: int
    model: str
    id: str = ""
    took: float = 0.0
    looks: list[tuple[str, int]] = field(default_factory=list)

    @property
    def prompt(self) -> str:
        """Words that no other order has."""
        return f"A paper boat, number {self.number}"


class Crowd:
    """All orders, made at either gateway. Every other one carries an Idempotency-Key, and whoever made it goes
    to the other gateway soon; the rest is left to the official client, which sends no key."""

    def __init__(self, fleet: Fleet, dice: random.Random, jobs: int) -> None:
        self.orders = [Order(number=n, model=dice.choice(list(MODELS))) for n in range(jobs)]
        self._fleet = fleet
        self._dice = dice
        self._room = asyncio.Semaphore(AT_ONCE)
        self._clients = [
            openai.AsyncOpenAI(
                base_url=f"{gateway.url}/v1",
                api_key=KEY,
                timeout=_TIMEOUT,
                max_retries=PATIENCE,
                http_client=httpx2.AsyncClient(verify=False, timeout=_TIMEOUT),
            )
            for gateway in fleet.gateways
        ]

    async def order_all(self, seconds: float) -> None:
        """Make all orders, evenly over so many seconds; returns when each is accepted."""
        async with asyncio.TaskGroup() as tasks:
            for order in self.orders:
                tasks.create_task(self._order(order, order.number * seconds / len(self.orders)))

    async def look(self) -> None:
        """Look at one unfinished video after another until cancelled."""
        while True:
            await asyncio.sleep(0.1)
            open_orders = [one for one in self.orders if one.id and not over(one)]
            if open_orders:
                with contextlib.suppress(*_AWAY):
                    await self.look_at(self._dice.choice(open_orders))

    async def look_at(self, order: Order) -> None:
        """Look at one video, at either gateway."""
        client = self._dice.choice(self._clients).with_options(max_retries=0)
        video = await client.videos.retrieve(order.id)
        order.looks.append((video.status, video.progress))

    async def look_at_all(self) -> None:
        """Look at each video that was not seen at its end yet, until somebody answers."""
        for order in self.orders:
            while not over(order):
                with contextlib.suppress(*_AWAY):
                    await self.look_at(order)

    async def aclose(self) -> None:
        for client in self._clients:
            await client.close()

    async def _order(self, order: Order, after: float) -> None:
        await asyncio.sleep(after)
        async with self._room:
            began = time.monotonic()
            order.id = (await self._made(order)).id
            order.took = time.monotonic() - began

    async def _made(self, order: Order) -> openai.types.Video:
        wish: dict[str, Any] = {
            "prompt": order.prompt,
            "model": order.model,
            "seconds": str(SECONDS),
            "size": "64x64",
            "extra_body": {"callback_url": self._fleet.hook.hook},
        }
        clients = [self._clients[(order.number // 2 + turn) % 2] for turn in (0, 1)]
        if order.number % 2:
            return await clients[0].videos.create(**wish)
        return await self._insist(clients, wish, {"Idempotency-Key": f"order-{order.number}"})

    async def _insist(
        self, clients: Sequence[openai.AsyncOpenAI], wish: dict[str, Any], headers: dict[str, str]
    ) -> openai.types.Video:
        for client in itertools.cycle(clients):
            with contextlib.suppress(*_AWAY):
                return await client.with_options(max_retries=2).videos.create(**wish, extra_headers=headers)
        raise AssertionError


def over(order: Order) -> bool:
    """Whether the last look at it saw its end."""
    return bool(order.looks) and order.looks[-1][0] in ("completed", "failed")
