"""`/v1/video/generations`, the older form: every parameter of it, and the same videos as on `/v1/videos`."""

from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from tests.e2e.processes import until
from tests.e2e.stage import Guest, Stage, check_video

pytestmark = pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning")
PATH = "/v1/video/generations"
SMALL: dict[str, Any] = {"model": "sora-2", "duration": 1, "resolution": "64x64"}
FACES = frozenset(("id", "job_id", "task_id"))
KEYS = FACES | {
    "object", "model", "status", "progress", "created_at", "completed_at", "expires_at", "prompt", "duration",
    "resolution", "style_preset", "camera_movement", "seed", "negative_prompt", "video_url", "error_message",
    "error", "provider", "provider_model", "cost_usd", "warnings", "output", "attempts", "eta",
    "provenance",
}  # fmt: skip


def created(guest: Guest, body: dict[str, Any]) -> dict[str, Any]:
    """The generation that this body makes."""
    answer = guest.http.post(PATH, json=body)
    assert answer.status_code == 202, answer.text
    found: dict[str, Any] = answer.json()
    assert set(found) == KEYS
    return found


def finished(guest: Guest, identity: str) -> dict[str, Any]:
    """The generation once it is over."""

    def over() -> dict[str, Any] | None:
        found: dict[str, Any] = guest.http.get(f"{PATH}/{identity}").json()
        return found if found["status"] in ("completed", "failed") else None

    found: dict[str, Any] = until(over)
    assert set(found) == KEYS
    return found


def test_a_generation_says_where_to_look_and_how_long_to_wait(stage: Stage, guest: Guest) -> None:
    prompt = stage.prompt()
    answer = guest.http.post(PATH, json={**SMALL, "prompt": prompt})
    assert answer.status_code == 202
    body = answer.json()
    assert len({body[name] for name in FACES}) == 1
    assert (body["object"], body["status"], body["video_url"]) == ("video.generation", "queued", None)
    assert answer.headers["location"] == f"{PATH}/{body['id']}"
    assert int(answer.headers["retry-after"]) >= 1
    looked = guest.http.get(answer.headers["location"])
    assert (looked.status_code, looked.json()["id"]) == (200, body["id"])
    done = finished(guest, body["id"])
    assert (done["status"], done["error"], done["error_message"]) == ("completed", None, None)
    assert "retry-after" not in guest.http.get(f"{PATH}/{body['id']}").headers
    assert len(stage.studio.jobs(prompt)) == 1


def test_the_video_is_where_its_url_says(stage: Stage, guest: Guest) -> None:
    done = finished(guest, created(guest, {**SMALL, "prompt": stage.prompt()})["id"])
    assert done["video_url"].startswith(f"{guest.url}{PATH}/")
    fetched = httpx2.get(done["video_url"])
    assert (fetched.status_code, fetched.headers["content-type"]) == (200, "video/mp4")
    assert fetched.content[4:8] == b"ftyp"
    part = httpx2.get(done["video_url"], headers={"range": "bytes=4-7"})
    assert (part.status_code, part.content) == (206, b"ftyp")
    assert httpx2.head(done["video_url"]).headers["content-length"] == str(len(fetched.content))


def test_a_video_url_opens_one_file_for_whoever_holds_it_and_nothing_else(
    stage: Stage, guest: Guest, guests: Callable[[], Guest]
) -> None:
    done, other = (
        finished(guest, created(guest, {**SMALL, "prompt": stage.prompt()})["id"]) for _ in range(2)
    )
    plain, _, query = done["video_url"].partition("?")
    signature = query.rpartition("=")[2]
    assert guests().http.get(done["video_url"]).status_code == 200
    wrong = [
        f"{other['video_url'].partition('?')[0]}?{query}",
        f"{done['video_url']}&variant=thumbnail",
        done["video_url"].replace("expires=", "expires=1"),
        f"{plain}?signature={signature}",
        f"{plain}?expires=soon&signature={signature}",
        f"{plain}?{query[:-1]}",
        f"{plain}?{query}%C3%A9",
        f"{plain}/../{query}",
        f"{guest.url}{PATH}/{done['id']}?{query}",
    ]
    for url in wrong:
        assert httpx2.get(url).status_code in (401, 404), url
    told = httpx2.get(wrong[0]).json()["error"]
    assert (told["code"], "retrieve the video again" in told["message"]) == ("invalid_link", True)
    assert guest.http.get(wrong[0]).status_code == 200, "the owner's key opens it all the same"
    assert guests().http.get(wrong[0]).status_code == 404, "a stranger's does not"
    assert httpx2.get(plain).json()["error"]["code"] == "invalid_api_key"
    assert guest.http.delete(f"/v1/videos/{done['id']}").status_code == 200
    assert httpx2.get(done["video_url"]).status_code == 404
    assert signature not in stage.gateway.said()


def test_a_video_is_the_same_one_on_both_surfaces(stage: Stage, guest: Guest) -> None:
    generation = created(guest, {**SMALL, "prompt": stage.prompt()})
    video = guest.made(stage.prompt())
    assert set(guest.ids()) == {generation["id"], video.id}
    finished(guest, generation["id"])
    for identity in (generation["id"], video.id):
        as_video = guest.http.get(f"/v1/videos/{identity}").json()
        check_video(as_video)
        as_generation = finished(guest, identity)
        for name in ("id", "model", "status", "progress", "created_at", "completed_at", "prompt", "cost_usd"):
            assert as_video[name] == as_generation[name], name
        assert (as_video["size"], as_video["seconds"]) == ("64x64", "1")
        assert (as_generation["resolution"], as_generation["duration"]) == ("64x64", 1)
        one, other = (guest.http.get(f"{path}/{identity}/content") for path in ("/v1/videos", PATH))
        assert one.content == other.content
        assert one.headers["etag"] == other.headers["etag"]
    assert guest.http.delete(f"/v1/videos/{generation['id']}").status_code == 200
    assert guest.http.get(f"{PATH}/{generation['id']}").status_code == 404


def test_every_parameter_shapes_the_video_and_is_told_again(stage: Stage, guest: Guest) -> None:
    plain = {**SMALL, "prompt": stage.prompt(), "seed": 11}
    more: list[dict[str, Any]] = [
        {},
        {"style_preset": "noir"},
        {"camera_movement": "pan_left"},
        {"negative_prompt": "rain"},
        {"seed": 12},
        {"resolution": "96x64"},
        {"duration": 1.5},
    ]
    asked = [(extra, created(guest, {**plain, **extra})) for extra in more]
    contents = []
    for extra, generation in asked:
        done = finished(guest, generation["id"])
        assert done["status"] == "completed", extra
        assert done.items() >= {**plain, **extra}.items()
        assert done["warnings"] == []
        contents.append(guest.http.get(done["video_url"]).content)
    assert len(set(contents)) == len(more)


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ({"duration": "1"}, {"duration": 1}),
        ({"duration": 1.0}, {"duration": 1}),
        ({"seconds": "2"}, {"duration": 2}),
        ({"size": "96x64"}, {"resolution": "96x64"}),
        ({"resolution": "480p"}, {"resolution": "854x480"}),
        ({"resolution": "720p"}, {"resolution": "1280x720"}),
        ({"resolution": "1080p"}, {"resolution": "1920x1080"}),
        ({"seed": "5"}, {"seed": 5}),
        ({"n": 1}, {}),
        ({"style_preset": None, "callback_url": None}, {"style_preset": None}),
    ],
)
def test_what_clients_write_is_understood(
    stage: Stage, guest: Guest, written: dict[str, Any], told: dict[str, Any]
) -> None:
    assert created(guest, {"model": "waiting", "prompt": stage.prompt(), **written}).items() >= told.items()


REFUSED: list[tuple[dict[str, Any], str, str, str]] = [
    # what is written, the field, its value as shown, what is said to be allowed
    ({"duration": 5}, "duration", "5", "1, 2"),
    ({"duration": "1.5"}, "duration", "1.5", "1, 2"),
    ({"duration": "soon"}, "duration", "soon", "number of seconds"),
    ({"duration": 0}, "duration", "0", "above 0"),
    ({"duration": -1}, "duration", "-1", "above 0"),
    ({"seconds": 9}, "duration", "9", "1, 2"),
    ({"resolution": "1920x1080", "duration": 1}, "resolution", "1920x1080", "64x64, 128x72"),
    ({"resolution": "720p", "duration": 1}, "resolution", "1280x720", "64x64, 128x72"),
    ({"resolution": "wide"}, "resolution", "wide", "WIDTHxHEIGHT"),
    ({"seed": -1}, "seed", "-1", "whole number"),
    ({"seed": 1.5}, "seed", "1.5", "whole number"),
    ({"seed": "lucky"}, "seed", "lucky", "whole number"),
    ({"n": 2}, "n", "2", "send 1"),
    ({"image_url": "ftp://pictures.example/a.png"}, "image_url", "", "https://"),
    ({"image_url": "https://pictures.example/a.png"}, "image", "first_frame", "text only"),
    ({"image_url": "https://10.0.0.7/a.png"}, "image", "", "public internet"),
    (
        {"image_url": "https://a.example/a.png", "image": "https://b.example/b.png"},
        "image_url",
        "",
        "send one",
    ),
    ({"images": ["https://a.example/a.png"], "image": "https://b.example/b.png"}, "images", "", "either"),
    ({"duration": 1, "seconds": 2}, "seconds", "", "send one of: duration, seconds"),
    ({"resolution": "64x64", "size": "64x64"}, "size", "", "send one of: resolution, size"),
    ({"video": {"id": "a"}, "previous_job_id": "b"}, "previous_job_id", "", "send one of: video, video_url"),
    ({"previous_job_id": "a", "duration": 1}, "duration", "1", "`operation`: extend"),
    ({"previous_job_id": "a", "operation": "extend"}, "duration", "", "how much longer"),
    ({"previous_job_id": "a", "operation": "upscale"}, "operation", "upscale", "edit, extend"),
    ({"video_url": "https://10.0.0.7/a.mp4"}, "video_url", "", "public internet"),
    ({"video_url": "http://a.example/a.mp4"}, "video_url", "", "https://"),
    ({"callback_url": "http://93.184.215.14/x"}, "callback_url", "", "https://"),
    ({"callback_url": "https://10.0.0.7/x"}, "callback_url", "", "public internet"),
    ({"style_preset": "x" * 101}, "style_preset", "101", "100"),
    ({"camera_movement": "barrel_roll"}, "camera_movement", "barrel_roll", "pan_left, pan_right"),
    ({"camera_movement": 5}, "camera_movement", "5", "pan_left, pan_right"),
    ({"negative_prompt": "x" * 2001}, "negative_prompt", "2001", "2000"),
    ({"style_preset": 5}, "style_preset", "", "string"),
    ({"prompt": ""}, "prompt", "", "1 to 32000"),
    ({"prompt": None}, "prompt", "", "1 to 32000"),
    ({"model": None}, "model", "", "required"),
]


@pytest.mark.parametrize(("written", "field", "value", "allowed"), REFUSED)
def test_what_cannot_be_done_is_refused_with_field_value_and_way_out(
    stage: Stage, guest: Guest, written: dict[str, Any], field: str, value: str, allowed: str
) -> None:
    answer = guest.http.post(PATH, json={"model": "narrow", "prompt": stage.prompt(), **written})
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["param"] == field
    assert error["code"]
    for part in (field, value, allowed):
        assert part in error["message"]
    assert guest.ids() == []


def test_a_failed_generation_says_why(stage: Stage, guest: Guest) -> None:
    done = finished(guest, created(guest, {**SMALL, "model": "broken", "prompt": stage.prompt()})["id"])
    assert (done["status"], done["error"]["code"]) == ("failed", "model_unavailable")
    assert done["error_message"] == done["error"]["message"]
    assert done["video_url"] is None
