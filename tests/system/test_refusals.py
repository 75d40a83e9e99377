"""Bad input to the video API: 400 with field, value and what is allowed; nothing reserved, nothing submitted."""

from pathlib import Path
from typing import Any

import httpx2

from providers.video.fields import CAMERA
from tests.running import KEY, routing, running, upstream
from tests.service.video_provider import Provider

OLDER, NEW = "/v1/video/generations", "/v1/videos"
SECONDS, SIZES = "4, 8", "1280x720, 720x1280"
LINK = "https://pictures.example/a.png"
LONG = "x" * 32_001
CASES: list[tuple[str, dict[str, Any], str, str, str]] = [
    # path, what is sent beside model and prompt, the field, its value, what is allowed
    (NEW, {"seconds": "5"}, "seconds", "5", SECONDS),
    (OLDER, {"duration": 60}, "duration", "60", SECONDS),
    (NEW, {"size": "1920x1080"}, "size", "1920x1080", SIZES),
    (OLDER, {"resolution": "480p"}, "resolution", "854x480", SIZES),
    (OLDER, {"duration": 4, "seconds": 8}, "seconds", "`duration`", "one of: duration, seconds"),
    (OLDER, {"image": LINK, "image_url": LINK}, "image_url", "`image`", "image, image_url, input_reference"),
    (
        NEW,
        {"input_reference": {"image_url": LINK, "file_id": "file_1"}},
        "input_reference",
        "`image_url` and `file_id`",
        "one of them",
    ),
    (
        NEW,
        {"input_reference": {"image_url": "https://10.0.0.5/a.png"}},
        "input_reference",
        "its host",
        "public",
    ),
    (NEW, {"input_reference": {"image_url": "https://[::1]/a.png"}}, "input_reference", "its host", "public"),
    (NEW, {"last_frame": "https://169.254.169.254/latest"}, "last_frame", "its host", "public internet"),
    (OLDER, {"image_url": "https://localhost/a.png"}, "image", "its host", "public internet"),
    (OLDER, {"video_url": "https://192.168.0.9/a.mp4"}, "video_url", "its host", "public internet"),
    (OLDER, {"camera_movement": "barrel_roll"}, "camera_movement", "barrel_roll", ", ".join(CAMERA)),
    (NEW, {"camera_movement": "barrel_roll"}, "camera_movement", "barrel_roll", ", ".join(CAMERA)),
    (NEW, {"prompt": LONG}, "prompt", "32001", "32000"),
    (OLDER, {"prompt": LONG}, "prompt", "32001", "32000"),
]
FILES = [(NEW, "input_reference"), (OLDER, "image"), (NEW, "last_frame")]


def config(provider: Provider) -> str:
    """One model that makes 4 or 8 seconds, and a key that may have 8 seconds a day."""
    target = {"provider": "studio", "model": "m", "seconds": [4, 8], "sizes": SIZES.split(", "),
              "price": {"per_second": 0.01}}  # fmt: skip
    return routing(
        {"film": {"kind": "video", "targets": [target]}},
        {"studio": {**upstream(provider.url), "kind": "video"}},
        key={"limits": [{"video_seconds": 8, "per": "day"}, {"dollars": 0.08, "per": "day"}]},
    )


async def test_each_is_refused_by_name_and_costs_nothing(tmp_path: Path) -> None:
    async with Provider() as provider, running(config(provider), tmp_path) as gateway:
        headers = {"authorization": f"Bearer {KEY}"}
        async with httpx2.AsyncClient(base_url=gateway.url, headers=headers) as http:
            for path, more, field, value, allowed in CASES:
                answer = await http.post(path, json={"model": "film", "prompt": "A kite", **more})
                error = answer.json()["error"]
                assert (answer.status_code, error["param"]) == (400, field), (more, error)
                for part in (field, value, allowed):
                    assert part in error["message"], (more, error)
            for path, field in FILES:
                form = {"data": {"model": "film", "prompt": "A kite"}}
                file = {field: ("cat.png", b"these are only words", "image/png")}
                error = (await http.post(path, **form, files=file)).json()["error"]  # type: ignore[arg-type]
                assert (error["param"], error["code"]) == (field, "invalid_image")
                assert "PNG, JPEG or WebP" in error["message"]
            assert (await http.get(NEW)).json()["data"] == []
            assert list((tmp_path / "data/media").iterdir()) == []
            assert provider.requests == []
            whole = {"model": "film", "prompt": "A kite", "seconds": "8", "size": "1280x720"}
            assert (await http.post(NEW, json=whole)).status_code == 200  # all that the key may have is left
            assert (await http.post(NEW, json=whole)).status_code == 429
