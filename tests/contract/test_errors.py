"""Whatever goes wrong, OpenAI's client raises the class of error a program for OpenAI's API is written for."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.contract.stage import ASK, NARROW_KEY, POOR_KEY, Stage
from tests.running import KEY, routing, running, upstream
from tests.transport.faulty import send, until_left
from tests.upstreams import DIALECTS, FIXTURES, MODELS, Provider, fixture, whole

REFUSED: Mapping[str, tuple[type[openai.APIStatusError], int, str | None]] = {
    "invalid_request": (openai.BadRequestError, 400, None),
    "request_too_large": (openai.APIStatusError, 413, None),
    "context_length": (openai.BadRequestError, 400, None),
    "content_filter": (openai.BadRequestError, 400, None),
    "auth": (openai.InternalServerError, 502, "upstream_auth"),
    "quota": (openai.RateLimitError, 429, "upstream_quota"),
    "model_not_found": (openai.InternalServerError, 502, "upstream_model_not_found"),
    "rate_limit": (openai.RateLimitError, 429, "rate_limit_exceeded"),
    "overloaded": (openai.InternalServerError, 503, "server_is_overloaded"),
    "server_error": (openai.InternalServerError, 503, "upstream_unavailable"),
    "timeout": (openai.InternalServerError, 504, "upstream_timeout"),
}
"""What follows from each kind of a recorded error; without a code of ours, the provider's own is kept."""


def recorded(dialect: str) -> dict[str, str]:
    """The recorded errors of a dialect, each under the name of a provider of its own."""
    paths = sorted((FIXTURES / dialect).glob("error.*.json"))
    return {f"p{at}": f"{dialect}/{path.name}" for at, path in enumerate(paths)}


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "stream"])
async def test_every_recorded_error_becomes_the_right_class(
    tmp_path: Path, dialect: str, streamed: bool
) -> None:
    names = recorded(dialect)
    models = {name: {"targets": [{"provider": name, "model": MODELS[dialect]}]} for name in names}
    async with Provider(dialect) as up:
        text = routing(
            models,
            dict.fromkeys(names, upstream(up.url, dialect)),
            defaults={"retries": {"attempts": 1}},
        )
        async with running(text, tmp_path) as gateway, Stage(gateway, {}).client() as client:
            for model, name in names.items():
                up.always(send(whole(name)))
                raised, status, code = REFUSED[fixture(name)["expect"]["kind"]]
                with pytest.raises(raised) as caught:
                    await client.chat.completions.create(model=model, stream=streamed, **ASK)
                assert caught.value.status_code == status, name
                assert code is None or caught.value.code == code, name
                check_wait(caught.value, fixture(name)["expect"].get("retry_after_s"))


def check_wait(error: openai.APIStatusError, wait: float | None) -> None:
    """How long the provider asked to wait is told, and that a client shall not try by itself."""
    headers = error.response.headers
    if wait is not None:
        assert float(headers["retry-after-ms"]) / 1000 == pytest.approx(wait, abs=0.01)
        assert int(headers["retry-after"]) >= wait
    assert headers["x-should-retry"] == "false"


def spoiled(**choice: object) -> Any:
    """OpenAI's recorded answer with another first choice; without fields, with none at all."""
    body = fixture("openai/chat.response.json")
    body["choices"] = [body["choices"][0] | choice] if choice else []
    return body


@pytest.mark.parametrize(
    ("dialect", "body", "status"),
    [
        ("gemini", fixture("gemini/malformed_function_call.response.json"), 502),
        ("openai", spoiled(finish_reason="error"), 503),
        ("openai", spoiled(), 502),
        ("anthropic", {"type": "message"}, 502),
        ("gemini", {}, 502),
    ],
    ids=["malformed call", "finished by an error", "no choice", "no message", "no candidate"],
)
async def test_an_answer_that_is_none_is_an_error(stage: Stage, dialect: str, body: Any, status: int) -> None:
    stage.providers[dialect].gives_body(body)
    stage.providers[dialect].gives_body(body)
    async with stage.client() as client:
        with pytest.raises(openai.InternalServerError) as caught:
            await client.chat.completions.create(model=dialect, **ASK)
    assert caught.value.status_code == status


async def test_the_clients_own_retries_do_not_multiply_ours(stage: Stage) -> None:
    up = stage.providers["anthropic"]
    up.always(up.step("error.500.json"))
    async with stage.client(max_retries=2) as client:
        with pytest.raises(openai.InternalServerError):
            await client.chat.completions.create(model="anthropic", **ASK)
    assert len(up.requests) == 2  # once, and once more as it is the only target


async def test_an_unknown_key_is_an_authentication_error(stage: Stage) -> None:
    async with stage.client(api_key="sk-nobody") as client:
        with pytest.raises(openai.AuthenticationError) as chat:
            await client.chat.completions.create(model="openai", **ASK)
        with pytest.raises(openai.AuthenticationError) as models:
            await client.models.list()
    assert chat.value.code == models.value.code == "invalid_api_key"


async def test_a_model_the_key_may_not_use_is_a_permission_error(stage: Stage) -> None:
    async with stage.client(api_key=NARROW_KEY) as client:
        with pytest.raises(openai.PermissionDeniedError) as caught:
            await client.chat.completions.create(model="gemini", **ASK)
    assert (caught.value.code, caught.value.param) == ("model_not_allowed", "model")


async def test_a_limit_of_the_keys_own_is_a_rate_limit_error_that_says_when(stage: Stage) -> None:
    stage.providers["openai"].gives("chat.response.json")
    began = time.monotonic()
    async with stage.client(api_key=POOR_KEY, max_retries=2) as client:
        await client.chat.completions.create(model="openai", **ASK)
        with pytest.raises(openai.RateLimitError) as caught:
            await client.chat.completions.create(model="openai", **ASK)
    headers = caught.value.response.headers
    assert headers["x-ratelimit-remaining-requests"] == "0"
    assert float(headers["retry-after"]) > 60
    assert caught.value.code == "rate_limit_exceeded"
    assert time.monotonic() - began < 5, "the client does not sit the hour out"
    assert len(stage.providers["openai"].requests) == 1


async def test_a_client_that_waits_no_longer_raises_its_timeout(stage: Stage) -> None:
    stage.providers["openai"].always(until_left())
    async with stage.client(timeout=0.3) as client:
        with pytest.raises(openai.APITimeoutError):
            await client.chat.completions.create(model="openai", **ASK)


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "stream"])
async def test_a_provider_that_says_nothing_is_a_gateway_timeout(tmp_path: Path, streamed: bool) -> None:
    async with Provider("openai") as up:
        up.always(until_left())
        target = {"provider": "a", "model": "m", "timeout": {"first_token": "200ms", "total": "300ms"}}
        models = {"slow": {"targets": [target], "timeout": {"total": "300ms"}, "retries": {"attempts": 1}}}
        async with running(routing(models, {"a": upstream(up.url)}), tmp_path) as gateway:
            async with Stage(gateway, {}).client() as client:
                with pytest.raises(openai.InternalServerError) as caught:
                    await client.chat.completions.create(model="slow", stream=streamed, **ASK)
    assert (caught.value.status_code, caught.value.code) == (504, "upstream_timeout")


async def test_bad_requests_name_the_field_for_every_surface(stage: Stage) -> None:
    async with stage.client() as client:
        for call, param in (
            (client.chat.completions.create(model="openai", messages=[]), "messages"),
            (client.chat.completions.create(model="openai", temperature=3, **ASK), "temperature"),
            (client.embeddings.create(model="embedding-openai", input=[]), "input"),
        ):
            with pytest.raises(openai.BadRequestError) as caught:
                await call
            assert caught.value.param == param
            assert caught.value.type == "invalid_request_error"
    assert not stage.providers["openai"].requests


async def test_an_address_without_the_version_is_told_to_be_wrong(stage: Stage) -> None:
    async with openai.AsyncOpenAI(base_url=f"{stage.url}/wrong", api_key=KEY, max_retries=0) as client:
        with pytest.raises(openai.NotFoundError) as caught:
            await client.chat.completions.create(model="openai", **ASK)
    assert "/wrong/chat/completions" in str(caught.value)
