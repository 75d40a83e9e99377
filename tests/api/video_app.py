"""The video routes behind the real server on a loopback port, in front of real stories and real HTTP."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import uvicorn
from litestar import Litestar, Request

from gateway.api import generations, videos
from gateway.api.errors import EXCEPTION_HOOKS
from gateway.config.snapshot import Caller, Snapshot
from gateway.errors import Unauthenticated
from tests.service.video_rig import ANN, BOB, Rig, rig


class Served:
    """`url` has no `/v1`; keys are `ann` and `bob`."""

    def __init__(self, stories: Rig, url: str) -> None:
        self.stories = stories
        self.url = url
        self.clients: list[openai.AsyncOpenAI] = []

    def client(self, key: str = "ann", **more: Any) -> openai.AsyncOpenAI:
        made = openai.AsyncOpenAI(base_url=f"{self.url}/v1", api_key=key, **{"max_retries": 0, **more})
        self.clients.append(made)
        return made


class Quiet(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self):  # type: ignore[no-untyped-def]
        yield


def caller_of(request: Request[Any, Any, Any]) -> Caller:
    callers = {"Bearer ann": ANN, "Bearer bob": BOB}
    caller = callers.get(request.headers.get("authorization", ""))
    if caller is None:
        raise Unauthenticated("No valid API key was given.")
    return caller


@contextlib.asynccontextmanager
async def served(folder: Path, config: Snapshot, **more: Any) -> AsyncIterator[Served]:
    """The routes over the stories of `rig(folder, config, **more)`."""
    async with rig(folder, config, **more) as stories:
        front = [
            *videos.routes(stories.videos, caller_of),
            *generations.routes(stories.videos, caller_of),
        ]
        app = Litestar(front, exception_handlers=EXCEPTION_HOOKS, logging_config=None)
        server = Quiet(uvicorn.Config(app, lifespan="off", access_log=False, log_config=None, ws="none"))
        door = socket.create_server(("127.0.0.1", 0))
        serving = asyncio.create_task(server.serve([door]))
        try:
            async with asyncio.timeout(10):
                while not server.started:
                    await asyncio.sleep(0.005)
            made = Served(stories, f"http://127.0.0.1:{door.getsockname()[1]}")
            yield made
            for client in made.clients:
                await client.close()
        finally:
            server.should_exit = True
            await serving
            door.close()
