"""A webhook receiver on loopback that answers as it is told, and checks what it is sent like its owner would."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any, Self

import openai
from standardwebhooks import Webhook

from tests.transport.faulty import Faulty, Seen, answer, send

OK = send(answer(b"fine"))


class Receiver(Faulty):
    """`events` are the bodies it was sent, in order. Unless told otherwise it takes everything."""

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        self.always(OK)
        return self

    @property
    def hook(self) -> str:
        """Where to send to; the token is its owner's secret."""
        return f"{self.url}/hooks?token=canary-callback"

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(seen.body) for seen in self.requests]

    @property
    def ids(self) -> list[str]:
        return [seen.headers["webhook-id"] for seen in self.requests]

    async def until(self, count: int, seconds: float = 15.0) -> None:
        """Wait for so many requests."""
        async with asyncio.timeout(seconds):
            while len(self.requests) < count:
                await asyncio.sleep(0.01)


def genuine(seen: Seen, secret: str) -> Mapping[str, Any]:
    """The event, verified with the scheme's own library and with the official client."""
    headers = dict(seen.headers)
    verified: Mapping[str, Any] = Webhook(secret).verify(seen.body, headers)
    with openai.OpenAI(api_key="none", webhook_secret=secret) as client:
        event: Any = client.webhooks.unwrap(seen.body.decode(), headers)
    assert (event.type, event.data.id, event.id) == (
        verified["type"],
        verified["data"]["id"],
        verified["id"],
    )
    return verified
