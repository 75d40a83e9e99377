"""One gateway, and for each pair of dialects a route to a primary and a fallback of its own."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from tests.lab.callers import Callers, Heard
from tests.lab.upstream import Act, Upstream
from tests.running import Running, routing, running, upstream
from tests.upstreams import DIALECTS

PAIRS = tuple(product(DIALECTS, DIALECTS))
BOTH = (True, False)
"""Streamed, and not."""


ROLES = ("primary", "fallback", "spare")


class Case:
    """One route: its targets in their order, and how it is asked. `spare` is the last one."""

    def __init__(self, name: str, stream: bool, targets: Sequence[Upstream]) -> None:
        self.name = name
        self.stream = stream
        self.targets = targets
        self.primary, self.spare = targets[0], targets[-1]
        self.fallback = targets[min(1, len(targets) - 1)]
        self.callers: Callers

    async def ask(self, **more: Any) -> Heard:
        """Ask this route once."""
        return await self.callers.ask(self.name, stream=self.stream, **more)


class Lab:
    """All routes of one gateway. Scenarios run on all of them at once."""

    def __init__(self, cases: Sequence[Case], gateway: Running) -> None:
        self.cases = cases
        self.gateway = gateway
        self.callers = Callers(gateway.url)
        for case in cases:
            case.callers = self.callers

    def __iter__(self) -> Iterator[Case]:
        return iter(self.cases)

    def primaries_play(self, *acts: Act) -> None:
        """What every primary does."""
        for case in self:
            case.primary.plays(*acts)

    def fallbacks_play(self, *acts: Act) -> None:
        """What every fallback does."""
        for case in self:
            case.fallback.plays(*acts)

    async def ask_all(self, times: int = 1, **more: Any) -> Sequence[tuple[Case, Heard]]:
        """Ask every route at once, each so many times at once."""
        cases = [case for case in self for _ in range(times)]
        return list(zip(cases, await asyncio.gather(*(case.ask(**more) for case in cases)), strict=True))


@contextlib.asynccontextmanager
async def laboratory(
    folder: Path,
    *,
    route: Mapping[str, Any] | None = None,
    primary: Mapping[str, Any] | None = None,
    fallback: Mapping[str, Any] | None = None,
    streams: Sequence[bool] = BOTH,
    pairs: Sequence[tuple[str, str]] = PAIRS,
    targets: int = 2,
    **more: Any,
) -> AsyncIterator[Lab]:
    """A gateway with a route for each pair of dialects and way to ask; `route`, `primary` and `fallback` are
    fields of each route and of its targets (`fallback` also of a third one), `more` is `running`'s environment
    and sections of the file."""
    environment = more.pop("environment", None)
    async with contextlib.AsyncExitStack() as stack:
        cases = []
        rows, models = {}, {}
        for (first, second), stream in product(pairs, streams):
            name = f"{first}-{second}-{'stream' if stream else 'whole'}"
            dialects = (first, second, second)[:targets]
            ups = [await stack.enter_async_context(Upstream(dialect)) for dialect in dialects]
            cases.append(Case(name, stream, ups))
            listed = []
            for up, role in zip(ups, ROLES, strict=False):
                rows[f"{name}.{role}"] = upstream(up.url, up.dialect)
                fields = (primary if role == "primary" else fallback) or {}
                price = {"input": 1, "output": 2}
                listed.append({"provider": f"{name}.{role}", "model": f"up-{role}", "price": price, **fields})
            models[name] = {"policy": "in_order", "targets": listed, **(route or {})}
        gateway = await stack.enter_async_context(running(routing(models, rows, **more), folder, environment))
        lab = Lab(cases, gateway)
        stack.push_async_callback(lab.callers.close)
        yield lab
