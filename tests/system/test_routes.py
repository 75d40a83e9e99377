"""Every route of the app has a line in the policy below; one that needs a key tells a stranger nothing."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Mapping
from inspect import getclosurevars
from pathlib import Path

import httpx2
import pytest
from litestar import Litestar

from gateway.api.edge import Edge
from tests.running import KEY, Running, running
from tests.system.process import demo

KEYED, ADMIN, OPEN = "needs a key", "needs the admin key", "open to everyone"
POLICY: Mapping[str, str] = {
    "POST /v1/chat/completions": KEYED,
    "POST /v1/embeddings": KEYED,
    "GET /v1/models": KEYED,
    "GET /v1/models/{model:path}": KEYED,
    "GET /v1/videos/models": KEYED,
    "POST /v1/videos": KEYED,
    "GET /v1/videos": KEYED,
    "GET /v1/videos/{video_id:str}": KEYED,
    "DELETE /v1/videos/{video_id:str}": KEYED,
    "POST /v1/videos/{video_id:str}/remix": KEYED,
    "GET /v1/videos/{video_id:str}/content": KEYED,
    "HEAD /v1/videos/{video_id:str}/content": KEYED,
    "POST /v1/videos/edits": KEYED,
    "POST /v1/videos/extensions": KEYED,
    "POST /v1/videos/characters": KEYED,
    "GET /v1/videos/characters/{character_id:str}": KEYED,
    "DELETE /v1/videos/characters/{character_id:str}": KEYED,
    "POST /v1/video/generations": KEYED,
    "GET /v1/video/generations/{video_id:str}": KEYED,
    "GET /v1/video/generations/{video_id:str}/content": KEYED,
    "HEAD /v1/video/generations/{video_id:str}/content": KEYED,
    "POST /hooks/videos/{token:str}": OPEN,
    "POST /v1/files": KEYED,
    "GET /v1/files": KEYED,
    "GET /v1/files/{file_id:str}": KEYED,
    "DELETE /v1/files/{file_id:str}": KEYED,
    "GET /v1/files/{file_id:str}/content": KEYED,
    "HEAD /v1/files/{file_id:str}/content": KEYED,
    "POST /v1/batches": KEYED,
    "GET /v1/batches": KEYED,
    "GET /v1/batches/{batch_id:str}": KEYED,
    "POST /v1/batches/{batch_id:str}/cancel": KEYED,
    "POST /v1/route/explain": KEYED,
    "GET /admin/targets": ADMIN,
    "GET /admin/limits": ADMIN,
    "GET /openapi.json": OPEN,
    "GET /schema": OPEN,
    "GET /schema/openapi.json": OPEN,
    "GET /schema/{path:str}": OPEN,
    "GET /livez": OPEN,
    "GET /readyz": OPEN,
    "GET /metrics": OPEN,
}
"""Who may call what. OPTIONS, which the framework answers by itself, tells the methods and nothing else."""


def served(gateway: Running) -> set[str]:
    """Method and path of everything the app serves, as it was put together, shown in its description or not."""
    edge: Edge = gateway.gateway.asgi
    ordinary: Litestar = getclosurevars(edge.ordinary).nonlocals["app"]
    found = {f"POST {path}" for path in edge.direct}
    for route in ordinary.routes:
        found |= {f"{method} {route.path}" for method in route.methods if method != "OPTIONS"}
    return found


@contextlib.asynccontextmanager
async def gateway_and_client(folder: Path) -> AsyncIterator[tuple[Running, httpx2.AsyncClient]]:
    async with (
        running(demo(), folder) as gateway,
        httpx2.AsyncClient(base_url=gateway.url, timeout=20) as http,
    ):
        yield gateway, http


async def test_every_route_is_listed_and_every_line_is_a_route(tmp_path: Path):
    async with running(demo(), tmp_path) as gateway:
        assert served(gateway) == set(POLICY)


def address(path: str) -> str:
    """A path without its placeholders."""
    return re.sub(r"\{\w+:\w+\}", "some-id", path)


STRANGERS: Mapping[str, dict[str, str | bytes]] = {
    "nobody": {},
    "a made-up key": {"authorization": "Bearer sk-fl-made-up"},
    "no key": {"authorization": "Bearer"},
    "another scheme": {"authorization": f"Basic {KEY}"},
    "no scheme": {"authorization": KEY},
    "a longer key": {"authorization": f"Bearer {KEY}x"},
    "a shorter key": {"authorization": f"Bearer {KEY[:-1]}"},
    "another header": {"x-gateway-key": KEY, "cookie": f"key={KEY}"},
    "an odd key": {"x-api-key": b"\xe9\xff"},
    "somebody from before a proxy": {"x-forwarded-for": "127.0.0.1", "x-forwarded-user": "admin"},
}


async def test_a_stranger_gets_the_same_401_everywhere(tmp_path: Path):
    bodies = set()
    async with gateway_and_client(tmp_path) as (_, http):
        for route in (route for route, policy in POLICY.items() if policy == KEYED):
            method, path = route.split(" ")
            url = f"{address(path)}?api_key={KEY}"
            calls = [http.request(method, url, headers=headers) for headers in STRANGERS.values()]
            for who, answer in zip(STRANGERS, await asyncio.gather(*calls), strict=True):
                assert answer.status_code == 401, (route, who)
                assert answer.headers["www-authenticate"] == "Bearer", (route, who)
                if method != "HEAD":
                    bodies.add(answer.text)
    assert len(bodies) == 1
    assert "sk-fl" not in bodies.pop()


@pytest.mark.parametrize("environment", [{}, {"FAIRLEAD_ADMIN_KEY": "admin-key-of-16-or-more"}])
async def test_no_gateway_key_opens_what_needs_the_admin_key(tmp_path: Path, environment: Mapping[str, str]):
    async with (
        running(demo(), tmp_path, environment) as gateway,
        httpx2.AsyncClient(base_url=gateway.url) as http,
    ):
        owner = {"authorization": f"Bearer {KEY}"}
        for route in (route for route, policy in POLICY.items() if policy == ADMIN):
            method, path = route.split(" ")
            for headers in ({}, owner, {"x-api-key": KEY}, *STRANGERS.values()):
                answer = await http.request(method, address(path), headers=headers)
                assert answer.status_code == 401, (route, headers)
            for key in environment.values():
                admin = {"authorization": f"Bearer {key}"}
                assert (await http.request(method, address(path), headers=admin)).status_code == 200
                assert (await http.get("/v1/models", headers=admin)).status_code == 401


async def test_a_stranger_is_not_asked_for_a_body_first(tmp_path: Path):
    async with gateway_and_client(tmp_path) as (_, http):
        for route in (route for route, policy in POLICY.items() if policy == KEYED and "POST" in route):
            for kind in ("application/json", "multipart/form-data; boundary=x", "text/plain"):
                answer = await http.post(
                    address(route.split(" ")[1]), content=b"{not json", headers={"content-type": kind}
                )
                assert answer.status_code == 401, (route, kind)


async def test_what_is_open_needs_nothing_and_tells_no_secret(tmp_path: Path):
    async with gateway_and_client(tmp_path) as (_, http):
        for route in (route for route, policy in POLICY.items() if policy == OPEN):
            method, path = route.split(" ")
            answer = await http.request(method, address(path))
            assert answer.status_code == (404 if "{" in route else 200), route
            assert KEY not in answer.text
        assert (await http.get("/schema")).json() == (await http.get("/openapi.json")).json()


async def test_each_way_to_send_a_key_works(tmp_path: Path):
    async with gateway_and_client(tmp_path) as (_, http):
        for headers in ({"authorization": f"bearer {KEY}"}, {"x-api-key": KEY}, {"api-key": KEY}):
            assert (await http.get("/v1/models", headers=headers)).status_code == 200
