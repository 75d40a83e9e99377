"""A request that is sent twice, by a client's own key, by its own retry, or all at once, makes one video."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import openai
import pytest

from tests.e2e.stage import TINY, Guest, Stage

pytestmark = pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning")
PATHS = ("/v1/videos", "/v1/video/generations")


def bodies(prompt: str) -> dict[str, dict[str, Any]]:
    """The same wish on both surfaces."""
    return {
        PATHS[0]: {"model": "sora-2", "prompt": prompt, "seconds": "1", "size": "64x64"},
        PATHS[1]: {"model": "sora-2", "prompt": prompt, "duration": 1, "resolution": "64x64"},
    }


async def all_at_once(guest: Guest, path: str, body: Any, headers: dict[str, str], count: int) -> list[Any]:
    """The answers to the same post, sent many times in parallel over connections of their own."""
    bearer = {"authorization": f"Bearer {guest.key}", **headers}
    limits = httpx2.Limits(max_connections=count, max_keepalive_connections=count)
    async with httpx2.AsyncClient(
        base_url=guest.url, headers=bearer, limits=limits, timeout=30, verify=False
    ) as http:
        answers = await asyncio.gather(*(http.post(path, json=body) for _ in range(count)))
    assert {answer.status_code for answer in answers} <= {200, 202}, answers
    return [answer.json() for answer in answers]


@pytest.mark.parametrize("path", PATHS)
async def test_fifty_posts_at_once_under_one_key_make_one_video(
    stage: Stage, guest: Guest, path: str
) -> None:
    prompt = stage.prompt()
    made = await all_at_once(guest, path, bodies(prompt)[path], {"idempotency-key": "order-7"}, 50)
    assert len({video["id"] for video in made}) == 1
    assert guest.ids() == [made[0]["id"]]
    assert guest.openai.videos.poll(made[0]["id"]).status == "completed"
    assert len(stage.studio.jobs(prompt)) == 1
    [[rows]] = stage.gateway.sql("select count(*) from ledger where source = ?", made[0]["id"])
    assert rows == 1


async def test_twenty_retries_at_once_make_one_video(stage: Stage, guest: Guest) -> None:
    prompt = stage.prompt()
    made = await all_at_once(guest, PATHS[0], bodies(prompt)[PATHS[0]], {"x-stainless-retry-count": "1"}, 20)
    assert len({video["id"] for video in made}) == 1
    assert guest.ids() == [made[0]["id"]]


def test_the_same_key_for_another_wish_is_refused(stage: Stage, guest: Guest) -> None:
    key = {"idempotency-key": "order-8"}
    first = bodies(stage.prompt())[PATHS[0]]
    video = guest.http.post(PATHS[0], json=first, headers=key).json()
    others: list[dict[str, Any]] = [{"prompt": "else"}, {"seconds": "2"}, {"size": "96x64"}, {"seed": 1}]
    for other in others:
        answer = guest.http.post(PATHS[0], json={**first, **other}, headers=key)
        assert (answer.status_code, answer.json()["error"]["code"]) == (422, "idempotency_mismatch")
    with pytest.raises(openai.UnprocessableEntityError):
        guest.openai.videos.create(prompt="else", extra_headers=key)
    assert guest.ids() == [video["id"]]


def test_the_same_wish_written_otherwise_is_the_same_wish(stage: Stage, guest: Guest) -> None:
    key = {"idempotency-key": '"order-9"'}
    body = bodies(stage.prompt())[PATHS[0]]
    as_json = guest.http.post(PATHS[0], json=body, headers=key).json()
    form = guest.http.post(PATHS[0], data=body, headers={"idempotency-key": "order-9"}).json()
    number = guest.http.post(PATHS[0], json={**body, "seconds": 1.0, "seed": None}, headers=key).json()
    assert as_json["id"] == form["id"] == number["id"]
    files = {"input_reference": ("a.png", b"\x89PNG\r\n\x1a\n")}
    assert guest.http.post(PATHS[0], data=body, files=files, headers=key).status_code == 422


def test_a_key_is_for_one_kind_of_call_and_outlives_the_end_of_the_video(stage: Stage, guest: Guest) -> None:
    key = {"idempotency-key": "order-10"}
    prompt = stage.prompt()
    video = guest.openai.videos.create(prompt=prompt, extra_headers=key, **TINY)
    generation = guest.http.post(PATHS[1], json=bodies(prompt)[PATHS[1]], headers=key).json()
    assert generation["id"] != video.id
    assert guest.openai.videos.poll(video.id).status == "completed"
    again = guest.openai.videos.create(prompt=prompt, extra_headers=key, **TINY)
    assert (again.id, again.status) == (video.id, "completed")
    remixes = {guest.openai.videos.remix(video.id, prompt="Bluer", extra_headers=key).id for _ in range(3)}
    assert len(remixes) == 1
    guest.openai.videos.delete(video.id)
    with pytest.raises(openai.ConflictError):
        guest.openai.videos.create(prompt=prompt, extra_headers=key, **TINY)


def test_without_a_sign_of_repetition_each_post_is_a_wish_of_its_own(stage: Stage, guest: Guest) -> None:
    prompt = stage.prompt()
    ids = {guest.openai.videos.create(model="waiting", prompt=prompt).id for _ in range(3)}
    assert len(ids) == 3


class Forgetful:
    """Stands before the gateway, forwards everything, and hangs up on the first answers instead of passing them on.

    `posts` are the heads of the requests that came.
    """

    def __init__(self, url: str, lost: int) -> None:
        self.posts: list[str] = []
        self.url = ""
        self._gateway = int(url.rpartition(":")[2])
        self._lost = lost
        self._serving: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield
        server.close()
        await asyncio.wait(self._serving, timeout=5)  # the clients are gone, and with them their connections

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._serving.add(asyncio.create_task(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, forth = await asyncio.open_connection("127.0.0.1", self._gateway)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                self.posts.append(head.decode().lower())
                forth.write(head + await reader.readexactly(length(head)))
                answer = await there.readuntil(b"\r\n\r\n")
                answer += await there.readexactly(length(answer))
                if self._lost > 0:
                    self._lost -= 1
                    break
                writer.write(answer)
        for end in (writer, forth):
            end.close()
            with contextlib.suppress(ConnectionError):
                await end.wait_closed()


def length(head: bytes) -> int:
    """What a head says about its body."""
    lines = head.decode().lower().split("\r\n")
    return next((int(line.split(":")[1]) for line in lines if line.startswith("content-length:")), 0)


async def test_the_official_clients_own_retry_makes_one_video(stage: Stage, guest: Guest) -> None:
    prompt = stage.prompt()
    between = Forgetful(guest.url, lost=1)
    async with between.running(), guest.awaited(base_url=f"{between.url}/v1", max_retries=2) as client:
        video = await client.videos.create(prompt=prompt, **TINY)
        done = await client.videos.poll(video.id)
    assert done.status == "completed"
    counts = [
        head.partition("x-stainless-retry-count: ")[2][0] for head in between.posts if head.startswith("post")
    ]
    assert counts == ["0", "1"]
    assert not any("idempotency-key" in head for head in between.posts)
    assert guest.ids() == [video.id]
    assert len(stage.studio.jobs(prompt)) == 1


async def test_a_remix_whose_answer_is_lost_is_one_remix(stage: Stage, guest: Guest) -> None:
    source = guest.made(stage.prompt())
    between, words = Forgetful(guest.url, lost=1), stage.prompt()
    async with between.running(), guest.awaited(base_url=f"{between.url}/v1", max_retries=2) as client:
        remix = await client.videos.remix(source.id, prompt=words)
    assert set(guest.ids()) == {source.id, remix.id}
    assert guest.openai.videos.poll(remix.id).status == "completed"
    assert len(stage.studio.jobs(words)) == 1
