"""`/v1/videos/characters` with the official client, and characters in what is created later."""

import base64
import os
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from openai.types import VideoCreateCharacterResponse, VideoGetCharacterResponse

from gateway.service import characters
from gateway.service.video_sweep import sweep
from tests.api.video_app import served
from tests.providers.test_mp4 import made
from tests.service.test_video_dialects import at
from tests.service.video_provider import MP4
from tests.service.video_rig import ANN, Hasty, snapshot, target
from tests.service.video_upstream import Scripted
from tests.wire import check

pytestmark = pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning")
CLIP = made(frames=2, width=64, height=64)
NOWHERE = snapshot(target("one", "http://127.0.0.1:9", inputs=("first_frame",)))
ANNS = {"authorization": "Bearer ann"}


def stored(folder: Path) -> int:
    return len(list((folder / "media").iterdir()))


async def test_a_character_is_made_found_again_and_deleted_by_its_owner_only(tmp_path: Path) -> None:
    async with served(tmp_path, NOWHERE, running=False) as s, httpx2.AsyncClient(base_url=s.url) as http:
        client = s.client()
        character = await client.videos.create_character(name="Mossy", video=("mossy.mp4", CLIP))
        check(VideoCreateCharacterResponse, character.to_dict())
        identity = character.id or ""
        found = await client.videos.get_character(identity)
        check(VideoGetCharacterResponse, found.to_dict())
        assert (found.id, found.name, found.created_at) == (identity, "Mossy", character.created_at)
        with pytest.raises(openai.NotFoundError):
            await s.client("bob").videos.get_character(identity)
        path = f"/v1/videos/characters/{identity}"
        assert (await http.delete(path, headers={"authorization": "Bearer bob"})).status_code == 404
        assert (await http.delete(path, headers=ANNS)).json()["deleted"] is True
        with pytest.raises(openai.NotFoundError):
            await client.videos.get_character(identity)
        assert stored(tmp_path) == 0


async def test_a_create_whose_answer_was_lost_makes_one_character(tmp_path: Path) -> None:
    async with served(tmp_path, NOWHERE, running=False) as s:
        videos = s.client().videos
        ask: dict[str, Any] = {"name": "Mossy", "video": ("mossy.mp4", CLIP)}
        first = await videos.create_character(**ask)
        again = await videos.create_character(**ask, extra_headers={"x-stainless-retry-count": "1"})
        other = await videos.create_character(**ask)
        assert first.id == again.id != other.id
        assert stored(tmp_path) == 2


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"data": {"name": "Mossy"}}, "video"),
    ({"files": {"video": ("a.mp4", CLIP)}}, "name"),
    ({"data": {"name": ""}, "files": {"video": ("a.mp4", CLIP)}}, "name"),
    ({"data": {"name": "x" * 81}, "files": {"video": ("a.mp4", CLIP)}}, "name"),
    ({"data": {"name": "Mossy"}, "files": {"video": ("a.mp4", b"only text")}}, "video"),
    ({"json": {"name": "Mossy", "video": {"id": "video_1"}}}, "video"),
]


async def test_what_makes_no_character_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with served(tmp_path, NOWHERE, running=False) as s, httpx2.AsyncClient(base_url=s.url) as http:
        for body, param in REFUSED:
            answer = await http.post("/v1/videos/characters", headers=ANNS, **body)
            assert (answer.status_code, answer.json()["error"]["param"]) == (400, param), body
        assert stored(tmp_path) == 0
        monkeypatch.setattr(characters, "MOST", 1)
        await s.client().videos.create_character(name="Mossy", video=("a.mp4", CLIP))
        with pytest.raises(openai.ConflictError, match="delete one of them first"):
            await s.client().videos.create_character(name="Fern", video=("a.mp4", CLIP))


async def test_a_character_is_a_reference_where_the_model_takes_one_and_outlives_the_sweep(
    tmp_path: Path,
) -> None:
    clock = Hasty()
    up = Scripted(
        {
            "POST /v2/video_generation": [{"task_id": "t1"}],
            "GET /v2/query/video_generation/t1": [
                {"task": {"status": "succeeded", "content": {"url": "URL/out.mp4"}}}
            ],
            "GET /out.mp4": [MP4],
        }
    )
    async with up:
        config = snapshot(at("minimax", "MiniMax-H3", up))
        async with served(tmp_path, config, clock=clock.clock, lease=1e6) as s:
            client = s.client()
            ids = [
                (await client.videos.create_character(name=name, video=("a.mp4", CLIP + name.encode()))).id
                for name in ("Mossy", "Fern")
            ]
            for path in (tmp_path / "media").iterdir():
                os.utime(path, (1, 1))
            await sweep(s.stories.parts)
            video = await client.videos.create(
                prompt="Mossy meets Fern",
                size="1280x720",
                extra_body={"characters": [{"id": one} for one in ids]},
            )
            job = await s.stories.videos.get(ANN, video.id)
            assert (await s.stories.hurry(job, clock)).state == "completed"
            assert stored(tmp_path) == 3  # two characters and the video
    content = up.sent("POST")[0].json["content"]
    links = [
        "data:video/mp4;base64," + base64.b64encode(CLIP + tail).decode() for tail in (b"Mossy", b"Fern")
    ]
    assert content[1:] == [
        {"type": "video_url", "video_url": {"url": link}, "role": "reference_video"} for link in links
    ]


async def test_characters_that_are_not_there_or_that_no_model_takes_are_refused_by_name(
    tmp_path: Path,
) -> None:
    async with served(tmp_path, NOWHERE, running=False) as s, httpx2.AsyncClient(base_url=s.url) as http:
        mine = (await s.client().videos.create_character(name="Mossy", video=("a.mp4", CLIP))).id
        bobs = (await s.client("bob").videos.create_character(name="Fern", video=("a.mp4", CLIP))).id
        for given, param, word in (
            ([{"id": bobs}], "characters[0].id", "no character"),
            ([mine, "char_0"], "characters[1].id", "no character"),
            ([{"name": "Mossy"}], "characters[0].id", "must be the id"),
            ([mine] * 10, "characters", "at most 9"),
            ([mine], "characters", "allowed: first_frame"),
        ):
            body = {"prompt": "Mossy runs", "characters": given}
            error = (await http.post("/v1/videos", json=body, headers=ANNS)).json()["error"]
            assert error["param"] == param
            assert word in error["message"]
        assert await s.stories.rows("select * from jobs") == []
