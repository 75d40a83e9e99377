"""No secret ever leaves: each slot holds a canary, much is provoked, and everything that comes out is searched.

What a provider says in an answer is passed on as it is; what it says in an error is not trusted: these ones
repeat the credential they were called with, wherever they can.
"""

import json
import signal
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import httpx2
import pytest
import redis

from tests.answers import BEGINNING, JSON, completion, event, stream
from tests.running import KEY, OTHER_KEY, PROVIDER_KEY, routing, upstream
from tests.servers import RedisServer, free_port, redis_server  # noqa: F401 - a fixture
from tests.system.process import AUTHORIZED, Serving, command, replaced, until, until_async
from tests.telemetry.collector import Collector
from tests.transport.faulty import Faulty, Peer, Step, answer, close, reset, send

FILED_KEY = "sk-canary-filed-0f3a"
ODD_KEY = "Canary.Odd+Key/51="
"""A credential that looks like none of those that are known by their look."""
PEPPER = "canary-pepper-6c1e"
REDIS_PASSWORD = "canary-redis-93d2"
OTLP_TOKEN = "canary-otlp-77aa"
STRANGER = "sk-canary-stranger-20b4"
PASTED = "sk-canary-pasted-58c9"
SECRETS = (
    KEY, OTHER_KEY, PROVIDER_KEY, FILED_KEY, PEPPER, REDIS_PASSWORD, OTLP_TOKEN, STRANGER, PASTED,
)  # fmt: skip
PROMPT, ANSWER = "canary-prompt-3b0c", "canary-answer-44e1"
WORDS = (PROMPT, ANSWER)
"""What is said goes to who said it and to the provider, and is written down nowhere."""
ASK = {"model": "fast", "messages": [{"role": "user", "content": PROMPT}], "max_tokens": 50}
STATUSES = (
    "400 Bad Request", "401 Unauthorized", "402 Payment Required", "403 Forbidden", "404 Not Found",
    "408 Request Timeout", "409 Conflict", "413 Content Too Large", "415 Unsupported", "422 Unprocessable",
    "429 Too Many Requests", "500 Internal Server Error", "502 Bad Gateway", "503 Service Unavailable",
    "504 Gateway Timeout", "529 Overloaded", "302 Found",
)  # fmt: skip


def providers(up: Faulty, folder: Path) -> dict[str, dict[str, object]]:
    """Upstreams with a credential each, and one that is not there."""
    filed = folder / "filed"
    filed.write_text(FILED_KEY + "\n")
    rows: dict[str, dict[str, object]] = {
        "a": {**upstream(up.url)},
        "b": {**upstream(up.url), "key": f"file:{filed}"},
        "odd": {**upstream(up.url), "key": "env:ODD_KEY"},
        "away": {**upstream(f"http://127.0.0.1:{free_port()}")},
        "films": {**upstream(up.url), "kind": "video"},
        "oddfilms": {**upstream(up.url), "kind": "video", "key": "env:ODD_KEY"},
    }
    return rows


def config(up: Faulty, folder: Path) -> str:
    """A routing file with every slot for a secret in use. What fails for one model says nothing of the next."""
    target = {"provider": "a", "model": "up-1", "price": {"input": 1, "output": 1}}
    limits = {"limits": [{"requests": 10_000, "per": "minute"}, {"dollars": 5, "per": "day"}]}
    return routing(
        {"fast": {"targets": [target]}},
        providers(up, folder),
        key={**limits, "organisation": folder.name},
        defaults={"on_unknown_price": "allow", "retries": {"attempts": 1}},
    )


def echo(server: Faulty, status: str) -> Step:
    """Refuse, and repeat the credential in every place an error has."""

    async def step(peer: Peer) -> None:
        told = server.requests[-1].headers["authorization"]
        key = told.removeprefix("Bearer ")
        error = {"message": f"wrong credential: {told}", "type": key, "param": key, "code": key}
        headers = {
            **JSON,
            "x-echo": told,
            "www-authenticate": told,
            "set-cookie": f"key={key}",
            "location": f"/{key}",
        }
        await peer.send(
            answer(json.dumps({"error": error, "request": {"authorization": told}}).encode(), status, headers)
        )

    return step


def echo_text(server: Faulty) -> Step:
    """Refuse in plain words."""

    async def step(peer: Peer) -> None:
        await peer.send(answer(server.requests[-1].headers["authorization"].encode(), "400 Bad Request"))

    return step


def echo_in_stream(server: Faulty) -> Step:
    """Begin to answer, then fail within the stream."""

    async def step(peer: Peer) -> None:
        told = server.requests[-1].headers["authorization"]
        broken = (
            b"data: "
            + json.dumps({"error": {"message": told, "type": told, "code": told}}).encode()
            + b"\n\n"
        )
        await peer.send(stream(*BEGINNING, broken))

    return step


class Heard:
    """Everything that came out, by what it was; `ask` adds a reply to a client."""

    def __init__(self, url: str, http: httpx2.AsyncClient) -> None:
        self.replies: dict[str, bytes] = {}
        self._url = url
        self._http = http

    async def ask(
        self, what: str, body: object = ASK, path: str = "/v1/chat/completions", **headers: str
    ) -> httpx2.Response:
        """One POST; its status, headers and body are kept."""
        told = {**AUTHORIZED, **headers}
        reply = await self._http.post(self._url + path, json=body, headers=told)
        self.replies[what] = f"{reply.status_code} {reply.headers}".encode() + reply.content
        return reply

    async def get(self, path: str, **headers: str) -> bytes:
        """One GET."""
        reply = await self._http.get(self._url + path, headers=headers)
        said = self.replies[path] = f"{reply.status_code} {reply.headers}".encode() + reply.content
        return said


async def provoke_upstream(up: Faulty, heard: Heard, provider: str) -> None:
    """Every way in which a provider may fail, each with a model of its own."""
    told_in_200 = json.dumps({"error": {"message": PROVIDER_KEY, "code": FILED_KEY}}).encode()
    failing: Mapping[str, tuple[Step, ...]] = {
        **{status: (echo(up, status),) for status in STATUSES},
        "text": (echo_text(up),),
        "error in a 200": (send(answer(told_in_200, headers=JSON)),),
        "error in a stream": (echo_in_stream(up),),
        "refused stream": (echo(up, "400 Bad Request"),),
        "garbage": (send(answer(b"<html>", headers=JSON)),),
        "reset": (reset(),),
        "not HTTP": (send(b"SSH-2.0-canary\r\n"), close()),
    }
    for number, (what, steps) in enumerate(failing.items()):
        up.next(*steps)
        body = {**ASK, "model": f"{provider}/{number}", "stream": what.endswith("stream")}
        await heard.ask(f"{provider}: {what}", body)


async def provoke_video(up: Faulty, heard: Heard, provider: str) -> None:
    """Videos that the provider refuses to make, and what is told of them afterwards."""
    for number, status in enumerate(("400 Bad Request", "401 Unauthorized", "422 Unprocessable")):
        up.next(echo(up, status))
        body = {"model": f"{provider}/{number}", "prompt": "A boat", "seconds": "4"}
        made = await heard.ask(f"{provider}: {status}", body, "/v1/videos")
        path = f"/v1/videos/{made.json()['id']}"

        async def over(path: str = path) -> bool:
            return b'"status":"failed"' in await heard.get(path, **AUTHORIZED)

        await until_async(over)


async def provoke_ourselves(heard: Heard) -> None:
    """What goes wrong without a provider."""
    await heard.ask("nobody there", {**ASK, "model": "away/up-1"})
    await heard.ask("unknown model", {**ASK, "model": "none"})
    await heard.ask("no embedding", {"model": "fast", "input": PROMPT}, "/v1/embeddings")
    await heard.ask("too dear", {**ASK, "max_tokens": 10**9})
    await heard.ask("no object", [1, 2])
    await heard.ask("stranger", authorization=f"Bearer {STRANGER}")
    await heard.ask("stranger with a scheme", authorization=f"Basic {STRANGER}")
    await heard.ask("unknown path", ASK, "/v1/none")
    for path in ("/v1/models", "/v1/models/fast", "/v1/models/none", "/metrics", "/openapi.json", "/readyz"):
        await heard.get(path, **AUTHORIZED)
        await heard.get(f"{path}?key={STRANGER}", **{"x-api-key": STRANGER})


async def break_config(gateway: Serving) -> None:
    """Edits with a credential in the wrong place."""
    good = gateway.config.read_text()
    wrong = [
        replaced(good, keys=[{"name": "x", "key": PASTED}]),
        replaced(good, providers={"a": {"dialect": "openai", "base_url": f"https://u:{PASTED}@h/v1"}}),
        replaced(good, providers={"a": {"dialect": "openai", "base_url": "https://h/v1", PASTED: 1}}),
        good + f"\n{PASTED}: [\n",
        good.replace("env:PROVIDER_KEY", PASTED),
    ]
    for count, text in enumerate(wrong, 1):
        gateway.config.write_text(text)
        await until_async(lambda count=count: seen(gateway) >= count)
    gateway.config.write_text(good)


def seen(gateway: Serving) -> float:
    """How many edits were rejected so far."""
    return gateway.metric("gateway_config_reloads_total", result="rejected")


def files(folder: Path) -> Iterator[tuple[str, bytes]]:
    """What lies in the data directory, less the two files that are there to hold a secret."""
    for file in (folder / "data").rglob("*"):
        if file.is_file() and file.name not in ("pepper", "demo.key"):
            yield f"file {file.name}", file.read_bytes()


@asynccontextmanager
async def stage(folder: Path, server: RedisServer) -> AsyncIterator[tuple[Faulty, Collector, Serving, Heard]]:
    """A gateway with a canary in each slot, its upstream, its collector and a client."""
    user = f"canary-{uuid4().hex}"
    with redis.Redis(port=server.port) as admin:
        admin.execute_command("ACL", "SETUSER", user, "on", f">{REDIS_PASSWORD}", "~*", "+@all")
    async with Faulty() as up, Collector() as collector, httpx2.AsyncClient(timeout=20) as http:
        more = {
            "ODD_KEY": ODD_KEY,
            "FAIRLEAD_KEY_PEPPER": PEPPER,
            "FAIRLEAD_REDIS_URL": f"redis://{user}:{REDIS_PASSWORD}@127.0.0.1:{server.port}/0",
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "OTEL_EXPORTER_OTLP_HEADERS": f"authorization=Bearer%20{OTLP_TOKEN}",
            "OTEL_TRACES_SAMPLER": "always_on",
            "OTEL_BSP_SCHEDULE_DELAY": "50",
        }
        with Serving(folder, config(up, folder), more=more) as gateway:
            yield up, collector, gateway, Heard(gateway.url, http)
    with redis.Redis(port=server.port) as admin:
        admin.execute_command("ACL", "DELUSER", user)


async def test_no_secret_leaves_whatever_happens(tmp_path: Path, redis_server: RedisServer):  # noqa: F811
    async with stage(tmp_path, redis_server) as (up, collector, gateway, heard):
        up.next(send(completion(ANSWER)))
        assert (await heard.ask("fine")).status_code == 200
        up.next(send(stream(event({"role": "assistant"}), event({"content": ANSWER}, "stop"))))
        assert (await heard.ask("fine stream", {**ASK, "stream": True})).status_code == 200
        fine = {what: heard.replies.pop(what) for what in ("fine", "fine stream")}
        for provider in "ab":
            await provoke_upstream(up, heard, provider)
        await provoke_video(up, heard, "films")
        await provoke_ourselves(heard)
        await break_config(gateway)
        await until_async(lambda: len(collector.traces()) > 40)
        gateway.signal(signal.SIGTERM)
        await until_async(lambda: not gateway.running)
        told = {"out": gateway.out.encode(), "err": gateway.err.encode(), **dict(files(tmp_path))}
        told["spans"] = b"".join(seen.body for seen in collector.server.requests)
        told["metrics"] = heard.replies["/metrics"]
        told["keys"] = command(tmp_path, "keys", "list").stdout.encode()
        assert {"file fairlead.db", "file last-good.yaml"} <= set(told)
        assert len(up.requests) > 40
        search({**told, **heard.replies, **fine}, SECRETS)
        search({**told, **heard.replies}, WORDS)


def search(outputs: Mapping[str, bytes], canaries: tuple[str, ...]) -> None:
    """Fail with every place where a canary sings."""
    sung = [
        f"{canary} in {what}"
        for what, said in outputs.items()
        for canary in canaries
        if canary.encode() in said
    ]
    assert not sung


async def test_a_credential_of_an_odd_look_does_not_leave_either(tmp_path: Path, redis_server: RedisServer):  # noqa: F811
    async with stage(tmp_path, redis_server) as (up, _, gateway, heard):
        await provoke_upstream(up, heard, "odd")
        await provoke_video(up, heard, "oddfilms")
        search({"out": gateway.out.encode(), "err": gateway.err.encode(), **heard.replies}, (ODD_KEY,))


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://me:{}@127.0.0.1:9/none",
        "postgresql+psycopg://me:{}@[bad/none",
        "mysql://me:{}@h/n",
    ],
)
def test_a_database_that_cannot_be_used_does_not_give_its_password_away(tmp_path: Path, url: str):
    text = routing({}, {})
    more = {"FAIRLEAD_DATABASE_URL": url.format("canary-sql-1d9b"), "FAIRLEAD_KEY_PEPPER": PEPPER}
    with Serving(tmp_path, text, more=more, wait=False) as gateway:
        until(lambda: "database" in gateway.err.lower() or not gateway.running)
    assert "database" in gateway.err.lower()  # one that may come yet is waited for, but not here
    assert "canary" not in gateway.out + gateway.err
    assert "Traceback" not in gateway.err
