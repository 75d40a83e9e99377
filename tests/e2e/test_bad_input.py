"""What makes no sense is refused by name, in JSON and in forms, and nothing is begun, stored or reserved for it."""

import io
import json
from collections.abc import Mapping
from typing import Any

import pytest
from PIL import Image

from tests.e2e.stage import PROMPT, TINY, Guest, Stage

pytestmark = pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning")
MIB = 1024 * 1024
WORDS = f"{PROMPT} that nobody will ever see"
MULTIPART = "multipart/form-data; boundary=b"


def png(side: int = 64) -> bytes:
    made = io.BytesIO()
    Image.new("RGB", (side, side), "teal").save(made, "PNG")
    return made.getvalue()


def left(stage: Stage, guest: Guest) -> tuple[int, list[str], int]:
    """What requests have left behind: jobs, files, idempotency keys; nothing of this guest's, nor at the worker."""
    [[jobs]] = stage.gateway.sql("select count(*) from jobs")
    [[keys]] = stage.gateway.sql("select count(*) from idempotency")
    media = sorted(path.name for path in (stage.gateway.data_dir / "media").iterdir())
    assert guest.ids() == []
    assert stage.studio.jobs(WORDS) == []
    return jobs, media, keys


FIELDS: list[tuple[dict[str, Any], str, str]] = [
    # what is sent besides model and prompt, the field at fault, the code
    ({"seconds": "5"}, "seconds", "unsupported_value"),
    ({"seconds": "0"}, "seconds", "invalid_value"),
    ({"seconds": "-1"}, "seconds", "invalid_value"),
    ({"seconds": "1e400"}, "seconds", "invalid_value"),
    ({"seconds": "nan"}, "seconds", "invalid_value"),
    ({"seconds": "inf"}, "seconds", "invalid_value"),
    ({"seconds": "soon"}, "seconds", "invalid_value"),
    ({"seconds": "999999999"}, "seconds", "invalid_value"),
    ({"seconds": ""}, "seconds", "invalid_value"),
    ({"size": "1x1"}, "size", "invalid_value"),
    ({"size": "99999x99999", "seconds": "1"}, "size", "unsupported_value"),
    ({"size": "64 x 64"}, "size", "invalid_value"),
    ({"size": "64x64\n"}, "size", "invalid_value"),
    ({"size": "720x1280", "seconds": "1"}, "size", "unsupported_value"),
    ({"prompt": ""}, "prompt", "invalid_value"),
    ({"prompt": None}, "prompt", "missing_required_parameter"),
    ({"prompt": "x" * 33_000}, "prompt", "string_above_max_length"),
    ({"model": "no-such-model"}, "model", "model_not_found"),
    ({"model": "nowhere/"}, "model", "model_not_found"),
    ({"model": "x" * 300}, "model", "string_above_max_length"),
    ({"seed": "1.5"}, "seed", "invalid_value"),
    ({"seed": "-1"}, "seed", "invalid_value"),
    ({"n": "2"}, "n", "invalid_value"),
    ({"deadline": "soon"}, "deadline", "invalid_value"),
    ({"deadline": "0.5"}, "deadline", "invalid_value"),
    ({"deadline": "3601"}, "deadline", "invalid_value"),
    ({"callback_url": "hooks.example"}, "callback_url", "invalid_value"),
    ({"callback_url": "http://93.184.215.14/"}, "callback_url", "invalid_value"),
    ({"callback_url": "https://169.254.169.254/"}, "callback_url", "invalid_value"),
    ({"callback_url": "https://localhost/"}, "callback_url", "invalid_value"),
    ({"callback_url": "https://x.example/" + "x" * 2000}, "callback_url", "string_above_max_length"),
    ({"last_frame": "https://pictures.example/a.png"}, "last_frame", "unsupported_value"),
    ({"reference_images": "ftp://pictures.example/a.png"}, "reference_images[0]", "invalid_value"),
    ({"negative_prompt": "x" * 2001}, "negative_prompt", "string_above_max_length"),
    ({"style_preset": "x" * 101}, "style_preset", "string_above_max_length"),
    ({"input_reference": "words"}, "input_reference", "invalid_type"),
    ({"input_reference[file_id]": "file_1"}, "input_reference.file_id", "file_not_found"),
    ({"input_reference[image_url]": "file:///etc/passwd"}, "input_reference.image_url", "invalid_value"),
    ({"input_reference[image_url]": "data:image/png;base64,!"}, "input_reference.image_url", "invalid_value"),
    ({"input_reference[image_url]": "https://x.example/a.png"}, "input_reference", "unsupported_value"),
]


def sent(body: Mapping[str, Any], way: str) -> dict[str, Any]:
    """The request that carries these fields as JSON, as a form of parts, or as a form of the older kind."""
    fields = {"model": "narrow", "prompt": WORDS, **body}
    if way == "json":
        nested: dict[str, Any] = {}
        for name, value in fields.items():
            outer, _, inner = name.removesuffix("]").partition("[")
            nested[outer] = {inner: value} if inner else value
        return {"json": nested}
    texts = {name: value for name, value in fields.items() if value is not None}
    return {"data": texts} if way == "urlencoded" else {"files": {k: (None, v) for k, v in texts.items()}}


@pytest.mark.parametrize("way", ["json", "multipart", "urlencoded"])
def test_a_field_that_makes_no_sense_is_named(stage: Stage, guest: Guest, way: str) -> None:
    before = left(stage, guest)
    for body, param, code in FIELDS:
        answer = guest.http.post("/v1/videos", headers={"idempotency-key": "k"}, **sent(body, way))
        error = answer.json()["error"]
        assert answer.status_code == (404 if code == "model_not_found" else 400), (body, answer.text)
        assert (error["param"], error["code"]) == (param, code), body
        assert len(error["message"]) < 400
    assert left(stage, guest) == before


TYPED: list[tuple[dict[str, Any], str]] = [
    ({"prompt": 5}, "prompt"),
    ({"prompt": ["a"]}, "prompt"),
    ({"model": 5}, "model"),
    ({"seconds": True}, "seconds"),
    ({"seconds": [1]}, "seconds"),
    ({"size": 64}, "size"),
    ({"size": {"w": 1}}, "size"),
    ({"seed": True}, "seed"),
    ({"seed": 2**70}, "seed"),
    ({"n": [1]}, "n"),
    ({"input_reference": [1]}, "input_reference"),
    ({"input_reference": {"image_url": 5}}, "input_reference.image_url"),
]


def test_a_value_of_another_type_is_named(stage: Stage, guest: Guest) -> None:
    before = left(stage, guest)
    for body, param in TYPED:
        answer = guest.http.post("/v1/videos", json={"model": "narrow", "prompt": WORDS, **body})
        assert answer.status_code == 400, body
        assert answer.json()["error"]["param"] == param, body
    assert left(stage, guest) == before


FILES: list[tuple[str, bytes, int, str]] = [
    # what the file is called, what is in it, the answer's status and code
    ("a.png", b"just some text", 400, "invalid_image"),
    ("a.png", b"", 400, "invalid_image"),
    ("a.png", b"<svg xmlns='http://www.w3.org/2000/svg'/>", 400, "invalid_image"),
    ("a.png", b"GIF89a" + bytes(100), 400, "invalid_image"),
    ("a.png", b"\x00\x00\x00\x18ftypisom" + bytes(100), 400, "invalid_image"),
    ("a.png", b"%PDF-1.7", 400, "invalid_image"),
    ("a.png", png() + bytes(25 * MIB), 400, "file_too_large"),
    ("a.png", png() + bytes(30 * MIB), 400, "file_too_large"),
]


@pytest.mark.parametrize("path", ["/v1/videos", "/v1/video/generations"])
def test_a_file_is_what_its_bytes_are(stage: Stage, guest: Guest, path: str) -> None:
    before = left(stage, guest)
    for name, content, status, code in FILES:
        fields = {"model": "sora-2", "prompt": WORDS}
        file = {"input_reference": (name, content, "image/png")}
        answer = guest.http.post(path, data=fields, files=file)
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), content[:20]
    taken = guest.http.post(
        "/v1/videos", data={"model": "narrow", "prompt": "x"}, files={"input_reference": png()}
    )
    assert (taken.status_code, taken.json()["error"]["param"]) == (400, "input_reference")
    assert left(stage, guest) == before


def test_a_picture_that_only_begins_like_one_fails_the_video_and_blames_the_picture(
    stage: Stage, guest: Guest
) -> None:
    broken = png()[:40] + b"nonsense"
    video = guest.openai.videos.create_and_poll(prompt=stage.prompt(), input_reference=broken, **TINY)
    assert (video.status, video.error and video.error.code) == ("failed", "invalid_input_reference")


def part(head: bytes, content: bytes = b"x") -> bytes:
    return b"--b\r\ncontent-disposition: form-data; " + head + b"\r\n\r\n" + content + b"\r\n"


BODIES: list[tuple[str, bytes, int]] = [
    ("application/json", b"", 400),
    ("application/json", b"{", 400),
    ("application/json", b"[]", 400),
    ("application/json", b"null", 400),
    ("application/json", b'"prompt"', 400),
    ("application/json", b'{"prompt": "\xff"}', 400),
    ("application/json", b'{"a": ' * 5000, 400),
    ("application/json", b'{"prompt": "x", "seconds": 1e999}', 400),
    ("application/json; charset=utf-16", '{"prompt": "x"}'.encode("utf-16"), 400),
    ("application/json", json.dumps({"prompt": "x" * 28 * MIB}).encode(), 400),
    ("multipart/form-data", part(b'name="prompt"') + b"--b--\r\n", 400),
    ("multipart/form-data; boundary=", b"x", 400),
    (MULTIPART, b"", 400),
    (MULTIPART, b"garbage", 400),
    (MULTIPART, part(b'name="prompt"'), 400),  # cut before the last boundary
    (MULTIPART, part(b'name="prompt"')[:-8], 400),
    (MULTIPART, b"--c\r\n\r\n--c--\r\n", 400),
    (MULTIPART, part(b"") + b"--b--\r\n", 400),
    (MULTIPART, part(b'name="prompt"', b"\xff\xfe") + b"--b--\r\n", 400),
    (MULTIPART, part(b'name="a"') + part(b'name="a[b]"') + b"--b--\r\n", 400),
    (MULTIPART, part(b'name="' + b"a[" * 50 + b'"') + b"--b--\r\n", 400),
    (MULTIPART, b"".join(part(b'name="f%d"' % n) for n in range(3000)) + b"--b--\r\n", 400),
    ("multipart/mixed; boundary=b", part(b'name="prompt"') + b"--b--\r\n", 400),
    ("text/plain", b"A red kite", 400),
    ("application/octet-stream", b"\x00", 400),
    ("application/xml", b"<prompt/>", 400),
    ("image/png", b"\x89PNG\r\n\x1a\n", 400),
    ("nonsense", b"x", 400),
    ("application/x-www-form-urlencoded", b"%ff=%ff&prompt", 400),
]


@pytest.mark.parametrize("path", ["/v1/videos", "/v1/video/generations"])
def test_a_body_that_cannot_be_read_is_the_clients_fault(stage: Stage, guest: Guest, path: str) -> None:
    before = left(stage, guest)
    for kind, body, status in BODIES:
        answer = guest.http.post(path, content=body, headers={"content-type": kind})
        assert answer.status_code == status, (kind, body[:60], answer.text[:300])
        assert answer.json()["error"]["code"], (kind, body[:60])
    assert left(stage, guest) == before


def test_only_what_was_said_is_blamed(guest: Guest) -> None:
    answer = guest.http.post("/v1/videos", json={"model": "narrow", "prompt": WORDS, "size": "1920x1080"})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "size")


QUERIES = [
    ({"limit": "-1"}, "limit"),
    ({"limit": "101"}, "limit"),
    ({"limit": "many"}, "limit"),
    ({"limit": "1.5"}, "limit"),
    ({"order": "up"}, "order"),
    ({"after": "v" * 201}, "after"),
]


@pytest.mark.parametrize(("query", "param"), QUERIES)
def test_a_list_is_not_asked_for_in_ways_it_does_not_know(
    guest: Guest, query: dict[str, str], param: str
) -> None:
    answer = guest.http.get("/v1/videos", params=query)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param
    assert param in answer.json()["error"]["message"]


@pytest.mark.parametrize("key", ["", '""', "x" * 256, "tab\there"])
def test_an_idempotency_key_has_its_bounds(stage: Stage, guest: Guest, key: str) -> None:
    answer = guest.http.post(
        "/v1/videos", json={"model": "waiting", "prompt": "x"}, headers={"idempotency-key": key}
    )
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "Idempotency-Key")
    assert guest.ids() == []


def test_paths_and_methods_that_are_not_there_say_so(guest: Guest) -> None:
    for method, path, status in (
        ("PUT", "/v1/videos", 405),
        ("PATCH", "/v1/videos/video_1", 405),
        ("POST", "/v1/videos/video_1/content", 405),
        ("GET", "/v1/videos/video_1/remix", 405),
        ("GET", "/v1/videos/video_1/nothing", 404),
        ("GET", "/v1/video/generations", 405),
        ("DELETE", "/v1/video/generations/video_1", 405),
        ("GET", "/v1/video", 404),
    ):
        answer = guest.http.request(method, path)
        assert answer.status_code == status, (method, path)
        assert ("allow" in answer.headers) == (status == 405)
