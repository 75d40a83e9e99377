"""`/v1/video/generations`: the older form, over the same jobs."""

from pathlib import Path
from typing import Any

import httpx2

from gateway.transport.fetch import Fetcher
from tests.api.video_app import served
from tests.providers.test_mp4 import made
from tests.service.video_provider import MP4, Provider
from tests.service.video_rig import ANN, snapshot, target
from tests.transport.certificates import authority
from tests.transport.faulty import Faulty, send
from tests.transport.faulty import answer as cdn_answer
from tests.transport.names import Names

BODY = {
    "model": "sora-2",
    "prompt": "A red kite over a grey sea",
    "duration": 8,
    "resolution": "1280x720",
    "style_preset": "cinematic",
    "camera_movement": "tracking_shot",
    "seed": 42,
    "negative_prompt": "blur, text",
}
HEADERS = {"authorization": "Bearer ann"}


async def test_a_job_from_post_to_file(tmp_path: Path) -> None:
    async with Provider() as one, served(tmp_path, snapshot(target("one", one.url))) as s:
        async with httpx2.AsyncClient(base_url=s.url, headers=HEADERS) as http:
            made = await http.post("/v1/video/generations", json=BODY)
            job = made.json()
            assert made.status_code == 202
            assert made.headers["location"] == f"/v1/video/generations/{job['id']}"
            assert made.headers["retry-after"] == "1"
            assert job["id"] == job["job_id"] == job["task_id"]
            assert (job["object"], job["status"], job["video_url"]) == ("video.generation", "queued", None)
            assert {name: job[name] for name in BODY} == BODY
            await s.stories.over(await s.stories.videos.get(ANN, job["id"]))
            done = (await http.get(made.headers["location"])).json()
            assert (done["status"], done["progress"], done["error_message"]) == ("completed", 100, None)
            assert done["video_url"].startswith(f"{s.url}/v1/video/generations/{job['id']}/content?")
            assert (await http.get(done["video_url"], headers={"authorization": ""})).content == MP4
            assert (await http.get(f"/v1/videos/{job['id']}")).json()["seconds"] == "8"
        [video] = one.videos.values()
        assert {name: video.fields[name] for name in ("seconds", "size", "seed")} == {
            "seconds": "8", "size": "1280x720", "seed": 42,
        }  # fmt: skip


async def test_a_failed_job_tells_it_in_both_ways(tmp_path: Path) -> None:
    async with Provider(poll=["blame"]) as one, served(tmp_path, snapshot(target("one", one.url))) as s:
        async with httpx2.AsyncClient(base_url=s.url, headers=HEADERS) as http:
            job = (await http.post("/v1/video/generations", json=BODY)).json()
            await s.stories.over(await s.stories.videos.get(ANN, job["id"]))
            failed = (await http.get(f"/v1/video/generations/{job['id']}")).json()
        assert failed["status"] == "failed"
        assert failed["error_message"] == failed["error"]["message"] == "The words of the provider."
        assert failed["video_url"] is None
        assert failed["cost_usd"] is None


async def test_fields_are_refused_by_the_name_they_have_here(tmp_path: Path) -> None:
    config = snapshot(target("one", "http://127.0.0.1:9", seconds=(4.0,), sizes=("1280x720",), inputs=()))
    refused: list[tuple[dict[str, Any], str]] = [
        ({"duration": 60}, "duration"),
        ({"duration": "long"}, "duration"),
        ({"resolution": "1920x1080"}, "resolution"),
        ({"resolution": "huge"}, "resolution"),
        ({"image": "https://x.example/a.png"}, "image"),
        ({"image_url": "ftp://x.example/a.png"}, "image_url"),
        ({"model": None}, "model"),
        ({"callback_url": "http://app.example.com/hook"}, "callback_url"),
    ]
    async with served(tmp_path, config, running=False) as s:
        async with httpx2.AsyncClient(base_url=s.url, headers=HEADERS) as http:
            for change, param in refused:
                answer = await http.post("/v1/video/generations", json={**BODY, "duration": 4, **change})
                error = answer.json()["error"]
                assert (answer.status_code, error["param"]) == (400, param), error
                assert param in error["message"]
            tier = await http.post(
                "/v1/video/generations", json={**BODY, "duration": "4", "resolution": "720p"}
            )
            assert tier.json()["resolution"] == "1280x720"
            assert tier.json()["duration"] == 4


async def test_a_linked_video_is_fetched_and_begun_with(tmp_path: Path) -> None:
    config = snapshot(target("one", "http://127.0.0.1:9", operations=("generate", "edit")))
    clip = made(frames=24, width=64, height=96)
    body = {"model": "sora-2", "prompt": "Bluer", "video_url": "https://cdn.example/a.mp4"}
    async with Faulty(tls=authority().server("cdn.example")) as cdn:
        names = {"cdn.example": [["93.184.215.14"]], "inside.example": [["93.184.215.14", "10.0.0.7"]]}
        fetcher = Fetcher(Names(names, cdn.port, authority().client()))
        async with (
            served(tmp_path, config, running=False, fetcher=fetcher) as s,
            httpx2.AsyncClient(base_url=s.url, headers=HEADERS) as http,
        ):
            cdn.next(send(cdn_answer(clip)))
            told = (await http.post("/v1/video/generations", json=body)).json()
            assert (told["resolution"], told["duration"]) == ("64x96", 1)
            job = await s.stories.videos.get(ANN, told["id"])
            assert [(row.role, row.size) for row in job.media] == [("source_video", len(clip))]
            inside = {**body, "video_url": "https://inside.example/a.mp4"}
            for ask, reply, words in (
                (body, cdn_answer(b"<html>"), "must be an MP4"),
                (body, cdn_answer(b"", "302 Found", {"location": "https://10.0.0.7/"}), "not followed"),
                (inside, b"", "public internet"),
            ):
                cdn.next(send(reply))
                error = (await http.post("/v1/video/generations", json=ask)).json()["error"]
                assert error["param"] == "video_url"
                assert words in error["message"]
            assert len(list((tmp_path / "media").iterdir())) == 1
