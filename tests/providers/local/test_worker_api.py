"""The worker as its clients see it: over HTTP, and with the official OpenAI client."""

import base64
import hashlib
import io
import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import httpx2
import openai
import pytest

from tests.providers.local.running import RunningWorker, until

pytestmark = pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning")

FIXTURES = Path(__file__).parents[2] / "fixtures/video/openai"
KEYS = {
    "id", "object", "model", "status", "progress", "created_at", "completed_at", "expires_at", "prompt", "size",
    "seconds", "remixed_from_video_id", "error",
}  # fmt: skip
TINY: Any = {"seconds": "1", "size": "96x64"}  # the client's types know the four sizes of Sora only
ERROR_KEYS = {"message", "type", "param", "code"}
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def shape(data: bytes) -> tuple[int, int, int]:
    """Width, height and number of frames of an MP4."""
    with av.open(io.BytesIO(data)) as file:
        stream = file.streams.video[0]
        return stream.codec_context.width, stream.codec_context.height, stream.frames


@pytest.fixture(scope="module")
def finished(worker: RunningWorker) -> dict[str, Any]:
    """A completed video that tests may read but not delete."""
    return worker.wait(worker.create("a finished one", seed=5, size="65x64"))


def test_the_openai_client_makes_finds_lists_fetches_remixes_and_deletes(worker: RunningWorker) -> None:
    client = worker.client()
    made = client.videos.create_and_poll(
        model="testcard", prompt="a kite", extra_body={"seed": 3}, poll_interval_ms=20, **TINY
    )
    assert (made.status, made.progress, made.error) == ("completed", 100, None)
    assert client.videos.retrieve(made.id) == made
    assert made.id in [video.id for video in client.videos.list(limit=1)]
    data = client.videos.download_content(made.id).read()
    assert shape(data) == (96, 64, 24)
    assert client.videos.download_content(made.id, variant="thumbnail").read()[8:12] == b"WEBP"
    remixed = client.videos.poll(
        client.videos.remix(made.id, prompt="a kite at night").id, poll_interval_ms=20
    )
    assert (remixed.status, remixed.remixed_from_video_id, remixed.size) == ("completed", made.id, "96x64")
    assert remixed.model_extra is not None
    assert remixed.model_extra["seed"] == 3
    assert shape(client.videos.download_content(remixed.id).read()) == (96, 64, 24)
    for video in (made, remixed):
        assert client.videos.delete(video.id).deleted
        with pytest.raises(openai.NotFoundError):
            client.videos.retrieve(video.id)


def test_the_openai_client_sends_a_picture(worker: RunningWorker) -> None:
    video = worker.client().videos.create_and_poll(
        prompt="from a picture", input_reference=PNG, poll_interval_ms=20, **TINY
    )
    assert (video.status, video.model) == ("completed", "testcard")


def test_a_picture_that_cannot_be_read_fails_the_job_and_not_the_engine(worker: RunningWorker) -> None:
    reference = {"image_url": "data:image/png;base64," + base64.b64encode(PNG[:20]).decode()}
    restarts = worker.get("/worker").json()["restarts"]
    video = worker.wait(worker.create("broken", input_reference=reference))
    assert (video["status"], video["error"]["code"]) == ("failed", "invalid_input_reference")
    assert worker.get("/worker").json()["restarts"] == restarts


def test_a_video_that_cannot_be_read_fails_the_job_and_not_the_engine(
    worker: RunningWorker, finished: dict[str, Any]
) -> None:
    film = worker.get(f"/videos/{finished['id']}/content").content
    restarts = worker.get("/worker").json()["restarts"]
    pictures = film.index(b"mdat") + 4

    def edited(upload: bytes) -> httpx2.Response:
        files = {"prompt": (None, b"over it"), "video": ("film.mp4", upload, "video/mp4")}
        return httpx2.post(f"{worker.base_url}/videos/edits", files=files)

    for upload in (b"", b"a text", film[:100], film[: pictures // 2]):  # its head is not there
        answer = edited(upload)
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, "video"), upload[:20]
    broken = worker.wait(edited(film[:pictures] + bytes(len(film) - pictures)).json()["id"])
    assert (broken["status"], broken["error"]["code"]) == ("failed", "invalid_input_reference")
    assert worker.wait(edited(film).json()["id"])["status"] == "completed"
    assert worker.get("/worker").json()["restarts"] == restarts


PATHS: list[dict[str, Any]] = [
    # what other servers take for the names of files of theirs, and what might be taken so here
    {"video_path": "/etc/passwd", "output_path": "/tmp/../{out}", "perf_dump_path": "{out}",
     "upscaling_model_path": "{out}", "x264_preset": "x:stats={out}", "path": "{out}", "folder": "{out}",
     "image": "/etc/passwd", "clip": "{out}", "source": "../../etc", "id": "../{out}", "order": {"clip": True}},
    {"prompt": "/etc/passwd'; touch {out}; $(touch {out}) %(out)s", "negative_prompt": "file:///etc/passwd",
     "style_preset": "../../{out}", "camera_movement": "/{out}"},
]  # fmt: skip


def test_no_field_names_a_file_of_the_machines(worker: RunningWorker, tmp_path: Path) -> None:
    out = tmp_path / "out"
    before = sorted(worker.data_dir.rglob("*"))
    for fields in PATHS:
        told = json.loads(json.dumps({"prompt": "a kite", **fields}).replace("{out}", str(out)))
        made = worker.post(
            "/videos", {"seconds": 1, "size": "64x64", **told}, idempotency_key=f"../{fields}"[:99]
        )
        done = worker.wait(made.json()["id"])
        assert (done["status"], done["prompt"]) == ("completed", told["prompt"])
        folder = worker.data_dir / "videos" / done["id"]
        assert {file.name for file in folder.iterdir()} == {"video.mp4", "thumbnail.webp", "spritesheet.jpg"}
        httpx2.delete(f"{worker.base_url}/videos/{done['id']}")
    upload = {"input_reference": ("../../../out.png", PNG, "image/png"), "prompt": (None, b"a kite")}
    video = worker.wait(httpx2.post(f"{worker.base_url}/videos", files=upload).json()["id"])
    httpx2.delete(f"{worker.base_url}/videos/{video['id']}")
    assert sorted(worker.data_dir.rglob("*")) == before
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/videos", {"prompt": "x", "input_reference": "/etc/passwd"}, 400),
        ("/videos", {"prompt": "x", "input_reference": {"image_url": "file:///etc/passwd"}}, 400),
        ("/videos", {"prompt": "x", "input_reference": {"file_id": "/etc/passwd"}}, 400),
        ("/videos", {"prompt": "x", "model": "../../etc"}, 400),
        ("/videos/edits", {"prompt": "x", "video": "/etc/passwd"}, 400),
        ("/videos/edits", {"prompt": "x", "video": {"id": "../../../etc/passwd"}}, 404),
        ("/videos/edits", {"prompt": "x", "video": {"url": "file:///etc/passwd"}}, 400),
        ("/videos/..%2F..%2Fjobs.sqlite/content", None, 404),
        ("/videos/{video}/content?variant=../../jobs.sqlite", None, 404),
    ],
)
def test_a_path_in_the_place_of_a_file_is_refused(
    worker: RunningWorker, finished: dict[str, Any], path: str, body: Any, status: int
) -> None:
    path = path.replace("{video}", finished["id"])
    answer = worker.get(path) if body is None else worker.post(path, body)
    assert answer.status_code == status, answer.text
    assert "root:" not in answer.text
    assert answer.json()["error"]["message"]


def test_the_same_order_gives_the_same_file(worker: RunningWorker) -> None:
    ids = [worker.create("the same", seed=11) for _ in range(2)] + [worker.create("another", seed=11)]
    files = []
    for video_id in ids:
        worker.wait(video_id)
        files.append(hashlib.sha256(worker.get(f"/videos/{video_id}/content").content).hexdigest())
    assert files[0] == files[1] != files[2]


def test_an_unseeded_video_tells_its_seed(worker: RunningWorker) -> None:
    first, second = (worker.video(worker.create("unseeded"))["seed"] for _ in range(2))
    assert first != second


@pytest.mark.parametrize(
    "name", ["submit_request", "submit_request_extra_body", "submit_request_file", "submit_request_json"]
)
def test_every_clients_way_of_sending_is_understood(worker: RunningWorker, name: str) -> None:
    sent = json.loads((FIXTURES / f"{name}.json").read_text())
    small = {"model": "testcard", "size": "64x64", "seconds": "1"}
    if "json" in sent:
        answer = httpx2.post(f"{worker.base_url}/videos", json=sent["json"] | small)
    else:
        parts = [(field, value) for field, value in sent["form"] if field not in small] + list(small.items())
        files = [(field, (None, value.encode(), None)) for field, value in parts] + [
            (file["name"], (file["filename"], base64.b64decode(file["base64"]), file["content_type"]))
            for file in sent["files"]
        ]
        answer = httpx2.post(f"{worker.base_url}/videos", files=files)
    assert answer.status_code == 200, answer.text
    video = worker.wait(answer.json()["id"])
    assert (video["status"], video["prompt"]) == (
        "completed",
        "A red kite over a grey sea, slow tracking shot",
    )
    if name == "submit_request_extra_body":
        assert video["seed"] == 42


def test_a_link_in_a_forms_bracket_field_is_refused_because_the_worker_fetches_nothing(
    worker: RunningWorker,
) -> None:
    form = dict(json.loads((FIXTURES / "submit_request_node_brackets.json").read_text())["form"])
    answer = httpx2.post(f"{worker.base_url}/videos", data=form | {"model": "testcard"})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "input_reference")


def test_answers_have_the_keys_of_openais(worker: RunningWorker, finished: dict[str, Any]) -> None:
    remix = worker.post(f"/videos/{finished['id']}/remix", {"prompt": "again"}).json()
    page = worker.get("/videos").json()
    deleted = httpx2.delete(f"{worker.base_url}/videos/{remix['id']}").json()
    for name, answer in (("remix_response", remix), ("list_response", page), ("delete_response", deleted)):
        expected = json.loads((FIXTURES / f"{name}.json").read_text())["json"]
        assert set(expected) <= set(answer)
        assert answer["object"] == expected["object"]


def test_a_video_has_all_of_openais_keys_from_the_first_answer_on(finished: dict[str, Any]) -> None:
    expected = json.loads((FIXTURES / "poll_succeeded.json").read_text())["json"]
    assert set(expected) == KEYS
    assert set(finished) - KEYS == {"seed", "output"}
    assert {key: type(finished[key]) for key in KEYS} == {key: type(expected[key]) for key in KEYS}
    assert (finished["size"], finished["seconds"]) == ("65x64", "1")
    rendered = {"width": 66, "height": 64, "fps": 24.0, "seconds": 1.0, "has_audio": False, "steps": None}
    assert finished["output"] == {**rendered, "gpu_seconds": finished["output"]["gpu_seconds"]}


def test_polls_say_when_to_ask_again(worker: RunningWorker) -> None:
    answer = worker.post("/videos", {"prompt": "x", "seconds": 1, "size": "64x64"})
    assert 200 <= int(answer.headers["openai-poll-after-ms"]) <= 5000
    assert set(answer.json()) >= KEYS
    worker.wait(answer.json()["id"])


def test_pages_of_the_list(worker: RunningWorker) -> None:
    made = [worker.create(f"page {number}") for number in range(3)]
    newest = worker.get("/videos?limit=2").json()
    assert [video["id"] for video in newest["data"]] == made[:0:-1]
    assert (newest["first_id"], newest["last_id"], newest["has_more"]) == (made[2], made[1], True)
    behind = worker.get(f"/videos?limit=1&after={made[1]}").json()
    assert [video["id"] for video in behind["data"]] == made[:1]
    last = worker.get(f"/videos?order=asc&after={made[1]}").json()
    assert ([video["id"] for video in last["data"]], last["has_more"]) == ([made[2]], False)
    for video_id in made:
        worker.wait(video_id)


def test_players_can_seek(worker: RunningWorker, finished: dict[str, Any]) -> None:
    path = f"/videos/{finished['id']}/content"
    whole = worker.get(path)
    size = len(whole.content)
    assert (whole.status_code, whole.headers["content-length"]) == (200, str(size))
    assert (whole.headers["content-type"], whole.headers["accept-ranges"]) == ("video/mp4", "bytes")
    assert whole.headers["content-disposition"] == f'attachment; filename="{finished["id"]}.mp4"'
    part = worker.get(path, range="bytes=10-19")
    assert (part.status_code, part.content) == (206, whole.content[10:20])
    assert part.headers["content-range"] == f"bytes 10-19/{size}"
    assert worker.get(path, range="bytes=-7").content == whole.content[-7:]
    beyond = worker.get(path, range=f"bytes={size}-")
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{size}")
    assert worker.get(path, range="bytes=1-2", if_range='"other"').status_code == 200
    same = worker.get(path, if_none_match=whole.headers["etag"])
    assert (same.status_code, same.content) == (304, b"")
    assert worker.get(f"{path}?variant=thumbnail").headers["etag"] != whole.headers["etag"]


def test_an_idempotency_key_makes_one_video_of_many_requests(worker: RunningWorker) -> None:
    body = {"prompt": "once", "seconds": "1", "size": "64x64"}
    first, again = (worker.post("/videos", body, idempotency_key="key-1").json() for _ in range(2))
    assert (first["id"], first["seed"]) == (again["id"], again["seed"])
    other = worker.post("/videos", body | {"prompt": "twice"}, idempotency_key="key-1")
    assert (other.status_code, other.json()["error"]["code"]) == (422, "idempotency_mismatch")
    worker.wait(first["id"])
    remixes = {
        worker.post(f"/videos/{first['id']}/remix", {"prompt": "r"}, idempotency_key="key-2").json()["id"]
        for _ in range(2)
    }
    assert len(remixes) == 1
    assert worker.post("/videos", body, idempotency_key="k" * 256).status_code == 400


REFUSED: list[tuple[str, Any, tuple[int, str | None, str | None]]] = [
    # request line, JSON body, status, code and parameter of the refusal
    ("POST /videos", {"prompt": "x", "seconds": "99"}, (400, "unsupported_value", "seconds")),
    ("POST /videos", {"prompt": "x", "size": "9x9"}, (400, "unsupported_value", "size")),
    ("POST /videos", {"prompt": "x", "model": "sora-2"}, (400, "model_not_found", "model")),
    ("POST /videos", {}, (400, "missing_required_parameter", "prompt")),
    ("POST /videos", [], (400, "invalid_json", None)),
    ("GET /videos?limit=101", None, (400, "invalid_value", "limit")),
    ("GET /videos?limit=-1", None, (400, "invalid_value", "limit")),
    ("GET /videos?order=up", None, (400, "invalid_value", "order")),
    ("GET /videos?after=video_x", None, (404, "not_found", None)),
    ("GET /videos/video_x", None, (404, "not_found", None)),
    ("GET /videos/..%2Fjobs.sqlite/content", None, (404, None, None)),
    ("DELETE /videos/video_x", None, (404, "not_found", None)),
    ("GET /videos/video_x/content", None, (404, "not_found", None)),
    ("POST /videos/video_x/remix", {"prompt": "x"}, (404, "not_found", None)),
    ("POST /videos/video_x/cancel", None, (404, "not_found", None)),
    ("PUT /videos", {}, (405, None, None)),
    ("GET /nothing", None, (404, None, None)),
]


@pytest.mark.parametrize(("request_line", "body", "expected"), REFUSED)
def test_refusals_are_openai_errors(
    worker: RunningWorker, request_line: str, body: Any, expected: tuple[int, str | None, str | None]
) -> None:
    method, path = request_line.split()
    answer = httpx2.request(method, worker.base_url + path, json=body)
    error = answer.json()["error"]
    assert set(error) == ERROR_KEYS
    assert (answer.status_code, error["code"], error["param"]) == expected
    assert error["message"]


@pytest.mark.parametrize(
    ("kind", "content", "status"),
    [
        ("text/plain", b"x", 415),
        ("", b"x", 415),
        ("multipart/form-data", b"x", 400),
        ("multipart/form-data; boundary=b", b"--b\r\nx", 400),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\ncontent-disposition: form-data; name="prompt"\r\n\r\n\xff\r\n--b--\r\n',
            400,
        ),
        ("application/json", b"[" * 100_000, 400),
        ("application/json", b" " * (85 * 2**20), 413),
    ],
)
def test_bodies_that_cannot_be_read(worker: RunningWorker, kind: str, content: bytes, status: int) -> None:
    answer = httpx2.post(f"{worker.base_url}/videos", content=content, headers={"content-type": kind})
    assert answer.status_code == status
    assert set(answer.json()["error"]) == ERROR_KEYS


def test_files_exist_once_the_video_is_completed(worker: RunningWorker, finished: dict[str, Any]) -> None:
    unfinished = worker.create("long", seconds=60)
    for path in (f"/videos/{unfinished}/content", f"/videos/{finished['id']}/content?variant=poster"):
        answer = worker.get(path)
        assert answer.status_code == 404
        assert answer.json()["error"]["code"] in ("video_not_completed", "variant_unavailable")
    early = worker.post(f"/videos/{unfinished}/remix", {"prompt": "too early"})
    assert (early.status_code, early.json()["error"]["code"]) == (400, "video_not_completed")
    assert worker.client().videos.delete(unfinished).deleted


def test_the_worker_tells_what_it_can_make_and_how_busy_it_is(worker: RunningWorker) -> None:
    idle = until(lambda: told if (told := worker.get("/worker").json())["free_slots"] else None)
    (model,) = idle["models"]
    assert (model["id"], model["operations"], model["fps"]) == (
        "testcard",
        ["generate", "remix", "edit", "extend"],
        24,
    )
    assert (model["min_seconds"], model["max_seconds"], model["default_size"]) == (1, 60, "720x1280")
    assert {"av", "numpy", "pillow"} <= set(idle["versions"])
    assert (idle["ready"], idle["free_slots"], idle["queued"], idle["eta_s"]) == (True, 1, 0, 0)
    assert isinstance(idle["gpus"], list)
    running, queued = worker.create("busy", seconds=60), worker.create("behind it")
    busy = worker.get("/worker").json()
    assert (busy["free_slots"], busy["running"], busy["queued"]) == (0, 1, 1)
    assert busy["eta_s"] > 0
    for video_id in (running, queued):
        worker.client().videos.delete(video_id)


def test_a_key_is_asked_for_where_one_is_set(start: Callable[..., RunningWorker]) -> None:
    worker = start(key="s3cret")
    for header in ("", "Bearer", "Bearer s3cre", "Basic s3cret", "Bearer s3crét"):
        answer = httpx2.get(f"{worker.base_url}/videos", headers={b"authorization": header.encode()})
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")
        assert "s3cre" not in answer.text
    assert list(worker.client("s3cret").videos.list()) == []
    assert httpx2.get(worker.base_url.removesuffix("/v1") + "/livez").status_code == 200
    assert worker.end(signal.SIGTERM) == 0


def test_how_fast_it_is_is_known_after_the_first_video_and_outlives_a_restart(
    start: Callable[..., RunningWorker],
) -> None:
    worker = start()
    assert worker.get("/worker").json()["models"][0]["rate"] is None
    done = worker.wait(worker.create("a first", size="128x128"))
    took = done["output"]["gpu_seconds"]
    assert took > 0
    assert worker.get("/worker").json()["models"][0]["rate"] == pytest.approx(took / 0.016384, rel=0.01)
    assert worker.end(signal.SIGTERM) == 0
    worker.start()
    assert worker.get("/worker").json()["models"][0]["rate"] == pytest.approx(took / 0.016384, rel=0.01)
