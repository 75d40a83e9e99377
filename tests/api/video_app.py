"""The video routes behind the real server on a loopback port, in front of real stories and real HTTP."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import uvicorn
from litestar import Litestar, Request

from gateway.api import characters, generations, hooks, videos
from gateway.api.errors import EXCEPTION_HOOKS
from gateway.config.snapshot import Caller, Snapshot
from gateway.errors import Unauthenticated
from gateway.service.characters import Characters
from tests.running import serving
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


def caller_of(request: Request[Any, Any, Any]) -> Caller:
    callers = {"Bearer ann": ANN, "Bearer bob": BOB}
    caller = callers.get(request.headers.get("authorization", ""))
    if caller is None:
        raise Unauthenticated("No valid API key was given.")
    return caller


@contextlib.asynccontextmanager
async def served(folder: Path, snapshot: Snapshot, **more: Any) -> AsyncIterator[Served]:
    """The routes over the stories of `rig(folder, snapshot, **more)`."""
    async with rig(folder, snapshot, **more) as stories:
        front = [
            *videos.routes(stories.videos, caller_of),
            *generations.routes(stories.videos, caller_of),
            *hooks.routes(stories.hooks),
            *characters.routes(Characters(stories.parts), caller_of),
        ]
        app = Litestar(front, exception_handlers=EXCEPTION_HOOKS, logging_config=None)
        config = uvicorn.Config(app, lifespan="off", access_log=False, log_config=None, ws="none")
        async with serving(config) as port:
            made = Served(stories, f"http://127.0.0.1:{port}")
            yield made
            for client in made.clients:
                await client.close()
