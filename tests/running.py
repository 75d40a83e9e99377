"""Runs the whole gateway in a test's own event loop, behind the real server on a loopback port."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path

import uvicorn
import yaml

from gateway.api.server import Protocol
from gateway.app import Gateway
from gateway.config.settings import read

KEY = "sk-fl-test-key"
OTHER_KEY = "sk-fl-other-key"
PROVIDER_KEY = "sk-provider-canary-7a1f"


class _Quiet(uvicorn.Server):
    """A server that leaves the test process's signals alone."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def serving(config: uvicorn.Config) -> AsyncIterator[int]:
    """A server in the test's own event loop, from its start to its end; the number of its loopback port."""
    server = _Quiet(config)
    door = socket.create_server(("127.0.0.1", 0))
    task = asyncio.create_task(server.serve([door]))
    try:
        async with asyncio.timeout(10):
            while not server.started:
                if task.done():
                    await task
                    raise RuntimeError("the server did not start")
                await asyncio.sleep(0.005)
        yield door.getsockname()[1]
    finally:
        server.should_exit = True
        await task
        door.close()


def routing(models: Mapping[str, object], providers: Mapping[str, object], **more: object) -> str:
    """The text of a routing file with the test keys."""
    keys = [
        {"name": "test", "key": "env:TEST_KEY", "models": ["*"], **dict(more.pop("key", {}))},
        {"name": "other", "key": "env:OTHER_KEY", "models": ["*"]},
    ]
    return yaml.safe_dump({"providers": providers, "models": models, "keys": keys, **more}, sort_keys=False)


def upstream(url: str, dialect: str = "openai") -> dict[str, str]:
    """A provider row for a server of the test's."""
    base = f"{url}/v1" if dialect == "openai" else url
    return {"dialect": dialect, "base_url": base, "key": "env:PROVIDER_KEY"}


class Running:
    """A gateway that runs. `url` has no `/v1`."""

    def __init__(self, gateway: Gateway, url: str, config: Path) -> None:
        self.gateway = gateway
        self.url = url
        self.config = config


@contextlib.asynccontextmanager
async def running(
    text: str, folder: Path, environment: Mapping[str, str] | None = None
) -> AsyncIterator[Running]:
    """The gateway with this routing file, from its start to its end."""
    config = folder / "fairlead.yaml"
    config.write_text(text)
    env = {
        "FAIRLEAD_DATA_DIR": str(folder / "data"),
        "TEST_KEY": KEY,
        "OTHER_KEY": OTHER_KEY,
        "PROVIDER_KEY": PROVIDER_KEY,
        **(environment or {}),
    }
    gateway = Gateway(read(env, config), env)
    served = uvicorn.Config(
        gateway.asgi,
        ws="none",
        http=Protocol,
        lifespan="on",
        access_log=False,
        log_config=None,
        timeout_graceful_shutdown=2,
    )
    async with serving(served) as port:
        yield Running(gateway, f"http://127.0.0.1:{port}", config)
