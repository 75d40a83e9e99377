"""The result cache as a client sees it."""

import openai
import pytest

from tests.e2e.stage import TINY, Guest, Stage

pytestmark = pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning")
ALLOW = {"x-fairlead-cache": "allow"}


def test_the_same_request_is_answered_at_once_with_the_same_video(stage: Stage, guest: Guest) -> None:
    prompt, create = stage.prompt(), guest.openai.videos.with_raw_response.create
    first = create(prompt=prompt, extra_headers=ALLOW, **TINY)
    assert first.headers["x-fairlead-cache"] == "miss"
    made = guest.openai.videos.poll(first.parse().id)
    again = create(prompt=prompt, extra_headers=ALLOW, **TINY)
    assert again.headers["x-fairlead-cache"] == "hit"
    video = guest.http.get(f"/v1/videos/{again.parse().id}").json()
    assert (video["status"], video["progress"], video["cost_usd"]) == ("completed", 100, 0)
    assert (video["output"]["cached_from"], video["provider"]) == (made.id, "studio")
    content = guest.openai.videos.download_content(made.id).content
    guest.openai.videos.delete(made.id)
    assert guest.openai.videos.download_content(video["id"]).content == content
    assert len(stage.studio.jobs(prompt)) == 1
    body = {"model": "sora-2", "prompt": prompt, "duration": 1, "resolution": "64x64"}
    older = guest.http.post("/v1/video/generations", json=body, headers=ALLOW)
    assert (older.status_code, older.headers["x-fairlead-cache"]) == (202, "miss")  # the first one is gone
    assert "x-fairlead-cache" not in create(prompt=prompt, **TINY).headers


def test_an_edit_of_the_same_video_is_found_again(stage: Stage, guest: Guest) -> None:
    first, prompt = guest.made(stage.prompt()), stage.prompt()
    body = {"prompt": prompt, "video": {"id": first.id}}
    told = guest.http.post("/v1/videos/edits", json=body, headers=ALLOW)
    assert (told.status_code, told.headers["x-fairlead-cache"]) == (200, "miss")
    edited = guest.openai.videos.poll(told.json()["id"])
    again = guest.http.post("/v1/videos/edits", json=body, headers=ALLOW)
    assert again.headers["x-fairlead-cache"] == "hit"
    assert again.json()["output"]["cached_from"] == edited.id
    older = {"prompt": prompt, "previous_job_id": first.id}
    other = guest.http.post("/v1/video/generations", json=older, headers=ALLOW)
    assert (other.status_code, other.headers["x-fairlead-cache"]) == (202, "hit")
    assert len(stage.studio.jobs(prompt)) == 1


def test_anything_but_allow_is_refused_by_name(guest: Guest) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        guest.openai.videos.create(prompt="x", extra_headers={"x-fairlead-cache": "yes"}, **TINY)
    assert caught.value.param == "x-fairlead-cache"
