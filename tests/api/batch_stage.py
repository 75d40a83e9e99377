"""A gateway whose models answer from a script, and what tests of files and batches do with OpenAI's client."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import openai
from openai.types import Batch, FileObject

from tests.contract.stage import NO_TLS
from tests.running import KEY, Running, routing, running
from tests.wire import check

OVER = frozenset(("completed", "failed", "cancelled", "expired"))
CHAT = "/v1/chat/completions"


def text(**more: Any) -> str:
    """A routing file: `demo` chats, `vectors` embeds."""
    models = {
        "demo": {"targets": [{"provider": "demo", "model": "small", "price": {"input": 1.0, "output": 1.0}}]},
        "vectors": {"kind": "embedding", "targets": [{"provider": "demo", "model": "embedding"}]},
    }
    return routing(models, {"demo": {"dialect": "scripted"}}, **more)


def row(name: str, model: str = "demo", words: str = "Hello", **body: Any) -> dict[str, Any]:
    """A line of a chat batch."""
    asked = {"model": model, "messages": [{"role": "user", "content": words}], **body}
    return {"custom_id": name, "method": "POST", "url": CHAT, "body": asked}


def jsonl(rows: Iterable[Any]) -> bytes:
    """The file of these lines; one that is text is written as it is."""
    return "".join((one if isinstance(one, str) else json.dumps(one)) + "\n" for one in rows).encode()


class Author:
    """Somebody with a key. Every file and batch they are shown is checked against the client's own type."""

    def __init__(self, gateway: Running, key: str) -> None:
        http = httpx2.AsyncClient(verify=NO_TLS)
        self.openai = openai.AsyncOpenAI(
            base_url=f"{gateway.url}/v1", api_key=key, max_retries=0, http_client=http
        )

    async def upload(self, rows: Iterable[Any]) -> FileObject:
        """A file to make a batch of."""
        made = await self.openai.files.create(file=("rows.jsonl", jsonl(rows)), purpose="batch")
        check(FileObject, made.to_dict())
        return made

    async def begin(self, rows: Iterable[Any], endpoint: Any = CHAT, **more: Any) -> Batch:
        """A batch of these rows that has just been created."""
        file = await self.upload(rows)
        made = await self.openai.batches.create(
            input_file_id=file.id, endpoint=endpoint, completion_window="24h", **more
        )
        check(Batch, made.to_dict())
        return made

    async def over(self, batch: Batch, seconds: float = 20.0) -> Batch:
        """The batch once it is over; its counts never fall on the way."""
        done = 0
        async with asyncio.timeout(seconds):
            while True:
                found = await self.openai.batches.retrieve(batch.id)
                check(Batch, found.to_dict())
                counts = found.request_counts
                assert counts is not None
                assert done <= counts.completed + counts.failed <= max(counts.total, 0)
                done = counts.completed + counts.failed
                if found.status in OVER:
                    return found
                await asyncio.sleep(0.02)

    async def lines(self, file: str | None) -> dict[str, Any]:
        """The lines of a batch's file by their custom_id; none when there is no file."""
        if file is None:
            return {}
        content = (await self.openai.files.content(file)).text
        found = [json.loads(line) for line in content.splitlines()]
        for line in found:
            assert list(line) == ["id", "custom_id", "response", "error"]
            assert (line["response"] is None) != (line["error"] is None)
        assert len({line["id"] for line in found}) == len(found)
        return {line["custom_id"]: line for line in found}


class Stage:
    """The gateway, and Ann."""

    def __init__(self, gateway: Running) -> None:
        self.gateway = gateway
        self.ann = Author(gateway, KEY)

    async def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """What the database itself says."""
        async with self.gateway.gateway._database.read() as transaction:
            return [tuple(one) for one in (await transaction.exec_driver_sql(sql)).all()]


@asynccontextmanager
async def staged(folder: Path, routing_file: str = "", **environment: str) -> AsyncIterator[Stage]:
    """The gateway from its start to its end."""
    async with running(routing_file or text(), folder, environment) as gateway:
        stage = Stage(gateway)
        try:
            yield stage
        finally:
            await stage.ann.openai.close()
