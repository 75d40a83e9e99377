"""`/v1/video/generations`: the older form, over the same jobs."""

from pathlib import Path
from typing import Any

import httpx2

from tests.api.video_app import served
from tests.service.video_provider import MP4, Provider
from tests.service.video_rig import ANN, snapshot, target

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
