"""A whole gateway between the official clients and scripted providers; all that its clients hear is checked."""

import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx2
import openai

from tests.contract.promise import Exchange, Names, check_exchange
from tests.running import KEY, Running, routing, running, upstream
from tests.upstreams import DIALECTS, MODELS, Provider

NARROW_KEY = "sk-fl-narrow-key"
POOR_KEY = "sk-fl-poor-key"
THINKING = {"openai": "gpt-5.5", "anthropic": "claude-sonnet-5-5", "gemini": "gemini-3.8-flash"}
VENDORS = (
    "cerebras", "dashscope", "deepseek", "groq", "mistral", "moonshot", "openrouter", "perplexity", "together", "vllm",
    "xai", "zai",
)  # fmt: skip
"""Some who speak OpenAI's dialect with an accent; the catalogue knows their quirks."""
EMBEDDING = {"openai": "text-embedding-3-small", "gemini": "gemini-embedding-001"}

ASK: dict[str, Any] = {"messages": [{"role": "user", "content": "Say hi in French."}]}


NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Never used on loopback; without it every client would read all certificates of the system."""


class Tape(httpx2.AsyncBaseTransport, httpx2.BaseTransport):
    """A client's way to the network that takes down what comes back."""

    def __init__(self) -> None:
        self.exchanges: list[Exchange] = []
        self._async = httpx2.AsyncHTTPTransport(verify=NO_TLS)
        self._sync = httpx2.HTTPTransport(verify=NO_TLS)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        return self._tapped(request, await self._async.handle_async_request(request))

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        return self._tapped(request, self._sync.handle_request(request))

    async def aclose(self) -> None:
        await self._async.aclose()

    def close(self) -> None:
        self._sync.close()

    def _tapped(self, request: httpx2.Request, response: httpx2.Response) -> httpx2.Response:
        seen = Exchange(
            path=request.url.path,
            asked=request.content,
            status=response.status_code,
            headers=dict(response.headers),
            said=b"",
        )
        self.exchanges.append(seen)
        response.stream = Tap(response.stream, seen)
        return response


class Tap(httpx2.AsyncByteStream, httpx2.SyncByteStream):
    """An answer's body on its way to the client, and onto the tape."""

    def __init__(self, stream: Any, seen: Exchange) -> None:
        self._stream = stream
        self._seen = seen

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._stream:
            self._seen.said += piece
            yield piece

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._stream:
            self._seen.said += piece
            yield piece

    async def aclose(self) -> None:
        await self._stream.aclose()

    def close(self) -> None:
        self._stream.close()


class Stage:
    """One gateway and a provider of each dialect.

    Models: `openai`, `anthropic`, `gemini` go to the provider of that name, `x+y` to x and then to `y-too`,
    and `thinking-x` and `embedding-x` to x. `groq/any` and other vendors go to the openai provider.
    `last` is the latest exchange of a client that is done.
    """

    def __init__(self, gateway: Running, providers: Mapping[str, Provider]) -> None:
        self.url = gateway.url
        self.gateway = gateway.gateway
        self.providers = providers
        self.last: Exchange | None = None

    @contextlib.asynccontextmanager
    async def client(self, vendor: Names = (), **options: Any) -> AsyncIterator[openai.AsyncOpenAI]:
        """OpenAI's client; when it is done, all that it was answered is checked."""
        tape = Tape()
        async with openai.AsyncOpenAI(
            http_client=httpx2.AsyncClient(transport=tape), **self._options(options)
        ) as client:
            yield client
        self._check(tape, vendor)

    @contextlib.contextmanager
    def sync_client(self, **options: Any) -> Iterator[openai.OpenAI]:
        """The same for programs without an event loop."""
        tape = Tape()
        with openai.OpenAI(http_client=httpx2.Client(transport=tape), **self._options(options)) as client:
            yield client
        self._check(tape, ())

    async def post(self, body: Any, path: str = "/v1/chat/completions", **headers: str) -> httpx2.Response:
        """The answer to a body sent as it is, bytes or JSON; it is checked."""
        tape = Tape()
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
        async with httpx2.AsyncClient(transport=tape, timeout=10) as http:
            response = await http.post(self.url + path, content=content, headers=sent | _dashed(headers))
        self._check(tape, ())
        return response

    def _options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        return {"base_url": f"{self.url}/v1", "api_key": KEY, "max_retries": 0, **options}

    def _check(self, tape: Tape, vendor: Names) -> None:
        for seen in tape.exchanges:
            check_exchange(seen, vendor)
            self.last = seen


def _dashed(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


@contextlib.asynccontextmanager
async def staged(folder: Path) -> AsyncIterator[Stage]:
    """A gateway and its providers, from their start to their end."""
    async with contextlib.AsyncExitStack() as stack:
        providers = {
            name + twin: await stack.enter_async_context(Provider(name))
            for name in DIALECTS
            for twin in ("", "-too")
        }
        environment = {"NARROW_KEY": NARROW_KEY, "POOR_KEY": POOR_KEY}
        yield Stage(
            await stack.enter_async_context(running(_text(providers), folder, environment)), providers
        )


def _text(providers: Mapping[str, Provider]) -> str:
    rows = {name: upstream(provider.url, provider.dialect) for name, provider in providers.items()}
    models: dict[str, object] = {}
    for name in DIALECTS:
        models[name] = _model((name, MODELS[name]))
        models[f"thinking-{name}"] = _model((name, THINKING[name]))
        for other in DIALECTS:
            models[f"{name}+{other}"] = _model((name, MODELS[name]), (f"{other}-too", MODELS[other]))
    for name, model in EMBEDDING.items():
        models[f"embedding-{name}"] = {"kind": "embedding", **_model((name, model))}
    rows |= dict.fromkeys(VENDORS, rows["openai"])
    plenty = [{"requests": 100_000, "per": "minute"}, {"tokens": 900_000_000, "per": "minute"}]
    keys = [
        {"name": "test", "key": "env:TEST_KEY", "models": ["*"], "limits": plenty},
        {"name": "narrow", "key": "env:NARROW_KEY", "models": ["openai"]},
        {"name": "poor", "key": "env:POOR_KEY", "models": ["*"], "limits": [{"requests": 1, "per": "hour"}]},
    ]
    health = {"failures": 1000, "rest": "1s"}
    return routing(models, rows, keys=keys, defaults={"health": health})


def _model(*targets: tuple[str, str]) -> dict[str, object]:
    price = {"input": 1, "output": 2}
    listed = [{"provider": provider, "model": model, "price": price} for provider, model in targets]
    return {"policy": "in_order", "targets": listed}
