"""Edits and extensions from the client to the worker's engine and back."""

import base64
import io
from typing import Any

import av
import httpx2
import pytest

from tests.e2e.stage import PRICE, TINY, Guest, Stage
from tests.e2e.test_official_client import picture, redness, shape

pytestmark = pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning")


def frames(video: bytes) -> list[Any]:
    with av.open(io.BytesIO(video), "r") as opened:
        return [frame.to_ndarray(format="rgb24").astype(int) for frame in opened.decode(video=0)]


def content(guest: Guest, video: str) -> bytes:
    return guest.openai.videos.download_content(video).content


def alike(one: Any, other: Any) -> float:
    """How far two pictures are apart, 0 to 255."""
    return float(abs(one - other).mean())


def change(guest: Guest, path: str, **fields: Any) -> httpx2.Response:
    return guest.http.post(f"/v1/videos/{path}", json=fields)


def test_an_uploaded_video_is_extended_by_the_official_client(stage: Stage, guest: Guest) -> None:
    source = content(guest, guest.made(stage.prompt(), input_reference=("r.png", picture("red"))).id)
    video = guest.openai.videos.extend(prompt=stage.prompt(), seconds="2", video=("source.mp4", source))  # type: ignore[arg-type]
    assert (video.status, video.seconds, video.size, video.model) == ("queued", "3", "64x64", "sora-2")
    done = guest.openai.videos.poll(video.id)
    assert done.status == "completed", done
    extras = done.model_extra or {}
    assert extras["output"]["seconds"] == 3
    assert extras["cost_usd"] == pytest.approx(2 * PRICE)  # what it began with was paid for before
    whole = content(guest, done.id)
    assert shape(whole) == ("h264", 64, 64, 72)
    before, after = frames(source), frames(whole)
    assert max(alike(one, other) for one, other in zip(before, after, strict=False)) < 12
    assert redness(whole) > 0.5


def test_a_video_of_ours_is_extended_by_its_id(stage: Stage, guest: Guest) -> None:
    first = guest.made(stage.prompt())
    told = change(guest, "extensions", prompt=stage.prompt(), seconds="1", video={"id": first.id})
    assert told.status_code == 200
    done = guest.openai.videos.poll(told.json()["id"])
    assert (done.status, done.seconds, done.remixed_from_video_id) == ("completed", "2", first.id)
    assert shape(content(guest, done.id)) == ("h264", 64, 64, 48)
    again = change(guest, "extensions", prompt=stage.prompt(), seconds="1", video={"id": done.id})
    assert again.json()["seconds"] == "3"


def test_an_edit_keeps_length_and_size_and_what_is_behind(stage: Stage, guest: Guest) -> None:
    first = guest.made(stage.prompt(), seconds="2", input_reference=("r.png", picture("red")))
    form = {"prompt": (None, stage.prompt()), "video[id]": (None, first.id)}  # as the Node client sends it
    told = guest.http.post("/v1/videos/edits", files=form)
    assert told.status_code == 200
    done = guest.openai.videos.poll(told.json()["id"])
    assert (done.status, done.seconds, done.size, done.model) == ("completed", "2", "64x64", "sora-2")
    edited = content(guest, done.id)
    assert shape(edited) == ("h264", 64, 64, 48)
    assert redness(edited) > 0.5
    assert edited != content(guest, first.id)
    uploaded = guest.openai.videos.edit(prompt=stage.prompt(), video=("source.mp4", edited))  # type: ignore[arg-type]
    assert guest.openai.videos.poll(uploaded.id).status == "completed"


BROKEN = b"\x00\x00\x00\x18ftypmp42" + bytes(40)


@pytest.mark.parametrize(
    ("path", "fields", "files", "param"),
    [
        ("edits", {"prompt": "x"}, {}, "video"),
        ("edits", {"prompt": "x", "video": "a.mp4"}, {}, "video"),
        ("edits", {"prompt": "x"}, {"video": BROKEN}, "video"),
        ("edits", {"prompt": "x"}, {"video": b"text"}, "video"),
        ("edits", {"prompt": "x", "video[id]": ""}, {}, "video.id"),
        ("edits", {"video[id]": "video_1"}, {}, "prompt"),
        ("extensions", {"prompt": "x", "video[id]": "video_1"}, {}, "seconds"),
        ("extensions", {"prompt": "x", "video[id]": "video_1", "seconds": "0"}, {}, "seconds"),
    ],
)
def test_what_cannot_be_changed_is_refused_by_name(
    guest: Guest, path: str, fields: dict[str, str], files: dict[str, bytes], param: str
) -> None:
    told = {name: (None, value) for name, value in fields.items()} | files
    answer = guest.http.post(f"/v1/videos/{path}", files=told)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
    assert guest.ids() == []


def test_a_model_that_cannot_and_a_video_that_is_not_there_are_told(stage: Stage, guest: Guest) -> None:
    first = guest.made(stage.prompt())
    waiting = guest.openai.videos.create(model="waiting", prompt=stage.prompt(), **TINY)
    refused = change(guest, "edits", prompt="x", model="plain", video={"id": first.id})
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "unsupported_operation")
    assert "generate, remix" in refused.json()["error"]["message"]
    assert change(guest, "edits", prompt="x", video={"id": waiting.id}).status_code == 409
    assert change(guest, "edits", prompt="x", video={"id": "video_none"}).status_code == 404
    stranger = stage.guest()
    assert change(stranger, "edits", prompt="x", video={"id": first.id}).status_code == 404
    stranger.close()


def test_the_older_form_edits_and_extends_in_every_way_to_name_a_video(stage: Stage, guest: Guest) -> None:
    first = guest.made(stage.prompt())
    inline = "data:video/mp4;base64," + base64.b64encode(content(guest, first.id)).decode()
    more = {"operation": "extend", "duration": 2}
    asks: list[dict[str, Any]] = [
        {"json": {"previous_job_id": first.id}},
        {"json": {"previous_job_id": first.id, **more}},
        {"json": {"video": {"id": first.id}, **more}},
        {"json": {"video_url": inline, "model": "sora-2", "style_preset": "noir"}},
        {"files": {"video": ("a.mp4", content(guest, first.id))}, "data": {**more, "model": "sora-2"}},
    ]
    made = []
    for ask in asks:
        name = "json" if "json" in ask else "data"
        told = guest.http.post(
            "/v1/video/generations", **{**ask, name: {"prompt": stage.prompt(), **ask[name]}}
        )
        assert told.status_code == 202, told.text
        made.append(told.json())
    assert [one["duration"] for one in made] == [1, 3, 3, 1, 3]
    assert made[3]["style_preset"] == "noir"
    for one in made:
        assert guest.openai.videos.poll(one["id"]).status == "completed"
    nameless = guest.http.post("/v1/video/generations", json={"prompt": "x", "video_url": inline})
    assert (nameless.status_code, nameless.json()["error"]["param"]) == (400, "model")
