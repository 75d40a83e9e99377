"""Recorded answers and requests of video providers, and short ways to compare with them."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from gateway.config.catalogue import catalogue
from providers.types import HttpRequest, HttpResponse, Secret, Target, VideoRequest

FIXTURES = Path(__file__).parents[2] / "fixtures/video"
PROMPT = "A red kite over a grey sea, slow tracking shot"
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
FIRST, LAST = "https://assets.example.com/first.png", "https://assets.example.com/last.png"


@cache
def fixture(name: str) -> Any:
    """A recorded request or answer, by folder and name."""
    return json.loads((FIXTURES / f"{name}.json").read_text())


def response(name: str) -> HttpResponse:
    """A recorded answer."""
    told = fixture(name)
    body = json.dumps(told["json"]).encode() if "json" in told else b""
    return HttpResponse(status=told["status"], headers=told["headers"], body=body)


def answer(body: Any, status: int = 200, **headers: str) -> HttpResponse:
    """An answer of the test's own."""
    return HttpResponse(status=status, headers=headers, body=json.dumps(body).encode())


def target(vendor: str, model: str, key: str) -> Target:
    """A target as the shipped tables make it."""
    data = catalogue()
    row = data.vendors[vendor]
    face = row.video or row
    return Target(
        provider=vendor, dialect=face.dialect, base_url=face.base_url, model=model, credential=Secret(key),
        video=data.video_limits(face.dialect, model),
    )  # fmt: skip


def asked(**fields: Any) -> VideoRequest:
    """A request for the video of the recordings."""
    return VideoRequest(**({"model": "video", "prompt": PROMPT, "seconds": 8.0, "size": "1280x720"} | fields))


def same(request: HttpRequest, name: str, *, without: tuple[str, ...] = ()) -> None:
    """Hold that a request is the recorded one, less what nobody asked for here."""
    told = fixture(name)
    assert (request.method, request.url) == (told["method"], told["url"])
    assert request.headers == told["headers"]
    body = json.loads(request.body) if request.body else None
    assert body == _without(told.get("json"), without)


def _without(body: Any, names: tuple[str, ...]) -> Any:
    if isinstance(body, list):
        return [_without(one, names) for one in body]
    if not isinstance(body, dict):
        return body
    left = {key: _without(value, names) for key, value in body.items() if key not in names}
    return {key: value for key, value in left.items() if value != {} or body[key] == {}}
