"""A gateway process and a worker process for many tests, and guests with a key each.

All that a guest is answered is checked on the way: Video objects against the official client's own type with
no key too many, errors against OpenAI's form, and that nothing is ever the server's fault.
"""

import itertools
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import httpx2
import openai
import yaml
from openai.types import (
    Batch,
    FileDeleted,
    FileObject,
    Video,
    VideoCreateCharacterResponse,
    VideoDeleteResponse,
)

from tests.e2e.processes import GatewayProcess, Studio
from tests.wire import check

PRICE = 0.004
"""USD per second at the worker."""
PROMPT = "A red kite"
TINY: Mapping[str, Any] = {"seconds": "1", "size": "64x64"}
THIRTEEN = frozenset(Video.model_fields)
OURS = frozenset(
    ("provider", "provider_model", "cost_usd", "warnings", "output", "attempts", "eta", "provenance")
)
"""What we add to OpenAI's Video object."""
_SIZES = ("720x1280", "1280x720", "1024x1792", "1792x1024")
_ERROR = {"message", "type", "param", "code"}
_GUESTS = 200


def check_video(body: Mapping[str, Any]) -> None:
    """A Video object as strict clients want it; sizes beyond OpenAI's four are ours."""
    assert set(body) == THIRTEEN | OURS
    size = body["size"] if body["size"] in _SIZES else _SIZES[0]
    check(Video, {**body, "size": size}, allow=OURS)


def check_object(body: Mapping[str, Any]) -> None:
    """A Video, File or Batch object."""
    if body["object"] == "video":
        check_video(body)
    else:
        check({"file": FileObject, "batch": Batch}[body["object"]], body)


def check_answer(response: httpx2.Response) -> None:
    """One answer of the gateway's, whatever it is."""
    assert response.status_code < 500, response.read()
    assert response.headers["x-request-id"]
    method = response.request.method
    if response.headers.get("content-type") != "application/json" or method == "HEAD":
        return
    response.read()
    body = response.json()
    if response.is_error:
        assert set(body) == {"error"}
        assert set(body["error"]) == _ERROR
        assert body["error"]["message"]
    elif body.get("object") == "list":
        for one in body["data"]:
            check_object(one)
    elif method != "DELETE" and response.request.url.path.startswith("/v1/videos/characters"):
        check(VideoCreateCharacterResponse, body)
    elif method == "DELETE" and body["object"] == "file":
        check(FileDeleted, body)
    elif method == "DELETE":
        check(VideoDeleteResponse, body)
    elif response.request.url.path.startswith(("/v1/videos", "/v1/files", "/v1/batches")):
        check_object(body)


async def check_answer_async(response: httpx2.Response) -> None:
    """The same for clients with an event loop."""
    if response.headers.get("content-type") == "application/json":
        await response.aread()
    check_answer(response)


class Guest:
    """Someone with a key. `openai` is the official client, `http` a plain one; neither repeats anything."""

    def __init__(self, url: str, key: str) -> None:
        self.key = key
        self.url = url
        # nobody speaks TLS here, and reading the world's certificates takes longer than most tests
        way: Any = {"event_hooks": {"response": [check_answer]}, "timeout": 30, "verify": False}
        self.http = httpx2.Client(base_url=url, headers={"authorization": f"Bearer {key}"}, **way)
        self.openai = openai.OpenAI(
            base_url=f"{url}/v1", api_key=key, max_retries=0, http_client=httpx2.Client(**way)
        )

    def awaited(self, **options: Any) -> openai.AsyncOpenAI:
        """The official client for programs with an event loop; whoever got it closes it."""
        http = httpx2.AsyncClient(event_hooks={"response": [check_answer_async]}, verify=False)
        told = {"base_url": f"{self.url}/v1", "api_key": self.key, "max_retries": 0, **options}
        return openai.AsyncOpenAI(http_client=http, **told)

    def ids(self) -> list[str]:
        """The ids of all their videos, newest first."""
        return [video.id for video in self.openai.videos.list(limit=100)]

    def made(self, prompt: str, **fields: Any) -> Video:
        """A tiny video that is there."""
        video = self.openai.videos.create_and_poll(prompt=prompt, **{**TINY, **fields})
        assert video.status == "completed", video
        return video

    def close(self) -> None:
        self.http.close()
        self.openai.close()


class Stage:
    """The two processes. Models: see `routing`."""

    def __init__(self, folder: Path) -> None:
        self.studio = Studio(folder / "studio")
        keys = {f"GUEST_{number}": f"sk-fl-guest-{number}" for number in range(_GUESTS)}
        self.gateway = GatewayProcess(folder, routing(self.studio.base_url, keys), keys)
        self.gateway.start()
        self._keys = iter(keys.values())
        self._numbers = itertools.count(1)
        self._read = 0

    def guest(self) -> Guest:
        """Somebody new; whoever got them closes them."""
        return Guest(self.gateway.url, next(self._keys))

    def prompt(self) -> str:
        """Words nobody has used yet."""
        return f"{PROMPT}, number {next(self._numbers)}"

    def check_log(self) -> None:
        """What the gateway has logged since the last check: no accident, no key, no prompt."""
        said = self.gateway.said()
        new, self._read = said[self._read :], len(said)
        for word in ("Traceback", "unexpected error", "does not answer", "went away", "sk-fl-guest", PROMPT):
            assert word not in new, new[max(0, new.index(word) - 2000) :][:6000]

    def close(self) -> None:
        self.gateway.stop()
        self.studio.stop()


def routing(studio: str, keys: Iterable[str]) -> str:
    """A routing file: `sora-2` is made at once, `narrow` takes little, `plain` cannot change videos, `waiting`
    never begins, `broken` fails; `demo` chats, `silent` answers after an hour.

    Webhooks may go to 127.0.0.2, beside the public internet.
    """
    price = {"price": {"per_second": PRICE}}
    testcard = {"provider": "studio", "model": "testcard", **price}
    models = {
        "sora-2": [testcard],
        "narrow": [{**testcard, "seconds": [1, 2], "sizes": ["64x64", "128x72"], "inputs": []}],
        "plain": [{"provider": "studio", "model": "another", **price}],
        "waiting": [{"provider": "nowhere", "model": "testcard", **price}],
        "broken": [{"provider": "studio", "model": "no-such-engine", **price}],
    }
    return yaml.safe_dump(
        {
            "providers": {
                "studio": {"dialect": "openai", "kind": "video", "base_url": studio},
                "script": {"dialect": "scripted"},
                "nowhere": {"dialect": "openai", "kind": "video", "base_url": "http://127.0.0.1:9/v1"},
            },
            "defaults": {"webhook_networks": ["127.0.0.2/32"]},
            "models": {name: {"kind": "video", "targets": targets} for name, targets in models.items()}
            | {name: {"targets": [{"provider": "script", "model": name}]} for name in ("demo", "silent")},
            "keys": [{"name": name.lower(), "key": f"env:{name}"} for name in keys],
        }
    )
