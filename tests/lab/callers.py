"""Asks the gateway and keeps all that came back, as a caller sees it."""

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

import httpx2
from msgspec import Struct

from tests.contract.promise import Exchange, check_exchange
from tests.running import KEY

QUESTION: Mapping[str, Any] = {"messages": [{"role": "user", "content": "Say your sixty words."}]}


class Heard(Struct, kw_only=True):
    """One answer. `error` is the error's object, of a refusal or in the middle of a stream; `done` says that
    the answer calls itself complete; `facts` is what stands under `fairlead`, `took` is in seconds."""

    asked: Mapping[str, Any]
    status: int
    headers: Mapping[str, str]
    took: float
    text: str = ""
    model: str = ""
    finish: str | None = None
    usage: Mapping[str, Any] | None = None
    error: Mapping[str, Any] | None = None
    done: bool = False
    facts: Mapping[str, Any] = {}

    @property
    def attempts(self) -> int:
        """Calls that were made before the answer began."""
        return int(self.headers["x-fairlead-attempts"])

    @property
    def target(self) -> str:
        """The provider that answered, or began to."""
        return self.headers["x-fairlead-target"].partition("/")[0]


class Callers:
    """Everybody who asks one gateway; `heard` holds their side of the history."""

    def __init__(self, url: str) -> None:
        self._url = f"{url}/v1/chat/completions"
        self._http = httpx2.AsyncClient(timeout=30, headers={"authorization": f"Bearer {KEY}"})
        self.asked = 0
        self.heard: list[Heard] = []

    async def close(self) -> None:
        """Hang up."""
        await self._http.aclose()

    async def ask(self, model: str, *, stream: bool, **more: Any) -> Heard:
        """Ask for the sixty words; whatever comes back must be OpenAI's own types, in order."""
        body = {"model": model, **QUESTION, "stream": stream, **more}
        if stream:
            body.setdefault("stream_options", {"include_usage": True})
        self.asked += 1
        began = time.monotonic()
        came = await self._http.post(self._url, content=json.dumps(body).encode(), headers=_JSON)
        seen = Exchange(
            path="/v1/chat/completions",
            asked=came.request.content,
            status=came.status_code,
            headers=dict(came.headers),
            said=came.content,
        )
        check_exchange(seen)
        heard = _heard(seen, time.monotonic() - began)
        self.heard.append(heard)
        return heard


_JSON = {"content-type": "application/json"}


def _heard(seen: Exchange, took: float) -> Heard:
    heard = Heard(asked=json.loads(seen.asked), status=seen.status, headers=seen.headers, took=took)
    if seen.status != 200 or not heard.asked["stream"]:
        body = json.loads(seen.said)
        heard.error, heard.usage = body.get("error"), body.get("usage")
        if heard.error is None:
            choice = body["choices"][0]
            heard.text, heard.finish, heard.model = (
                choice["message"]["content"],
                choice["finish_reason"],
                body["model"],
            )
            heard.done = True
        return heard
    for event in seen.said.decode().strip().split("\n\n"):
        data = event.removeprefix("data: ")
        if data == "[DONE]":
            heard.done = True
        else:
            _hear(heard, json.loads(data))
    return heard


def _hear(heard: Heard, chunk: Mapping[str, Any]) -> None:
    if "error" in chunk:
        heard.error = chunk["error"]
        return
    heard.model = chunk["model"]
    heard.usage = chunk.get("usage") or heard.usage
    heard.facts = chunk.get("fairlead", heard.facts)
    choices: Sequence[Any] = chunk["choices"]
    for choice in choices:
        heard.text += choice["delta"].get("content") or ""
        heard.finish = choice["finish_reason"] or heard.finish
