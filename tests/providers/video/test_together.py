"""Together's video API against the recorded wire."""

import pytest
from msgspec.structs import replace

from providers.errors import ErrorKind
from providers.types import Media, Quirks, VideoOutput
from providers.video import VIDEO, VIDEO_CANCEL, together
from tests.providers.video import recorded, wire
from tests.providers.video.recorded import LAST_LINK, LINK, PICTURE, REQUEST

BASE = "https://api.together.ai/v2"
TARGET = wire.target("together", "acme/video-1", "test-key")


def test_a_submit_is_the_recorded_one() -> None:
    asked = replace(REQUEST, seconds=5.0, seed=42, negative_prompt="blur", audio=True)
    request = together.video_create(asked, replace(TARGET, quirks=Quirks(force={"fps": 24})))
    wire.same(request, "together/submit_request")


def test_pictures_are_frames_or_references() -> None:
    cat = Media(role="reference_image", mime="image/png", data=b"cat")
    body = recorded.body(together.video_create(replace(REQUEST, media=(LINK, LAST_LINK)), TARGET))
    assert body["media"] == {
        "frame_images": [
            {"input_image": LINK.url, "frame": "first"},
            {"input_image": LAST_LINK.url, "frame": "last"},
        ]
    }
    body = recorded.body(together.video_create(replace(REQUEST, media=(PICTURE, cat)), TARGET))
    assert body["media"]["reference_images"] == ["data:image/png;base64,Y2F0"]


def test_only_what_was_asked_for_is_sent() -> None:
    asked = replace(REQUEST, seconds=None, size=None)
    assert recorded.body(together.video_create(asked, TARGET)).keys() == {"model", "prompt"}


def test_a_finished_video_says_where_it_is() -> None:
    update = together.video_update(wire.response("together/poll_succeeded"))
    assert update.operation == {"url": "https://cdn.example.com/t.mp4"}
    assert update.output == VideoOutput(width=1280, height=720, seconds=5)
    request = together.video_content(update.operation, TARGET)
    assert (request.url, request.headers) == ("https://cdn.example.com/t.mp4", {})


def test_a_poll_asks_for_the_job() -> None:
    operation = together.video_created(wire.response("together/submit_response")).operation
    assert operation is not None
    poll = together.video_poll(operation, TARGET)
    assert (poll.method, poll.url) == ("GET", f"{BASE}/videos/tg_1")
    assert together.video_update(wire.answer({"error": {"message": "no"}}, 404)).state == "gone"


def test_a_failure_that_is_not_the_requests_goes_elsewhere() -> None:
    told = {"id": "tg_1", "status": "failed", "error": {"code": "worker_lost", "message": "m"}}
    update = together.video_update(wire.answer(told))
    assert (update.state, update.code, update.blamed) == ("failed", "provider_error", False)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, ErrorKind.INVALID_REQUEST),
        (401, ErrorKind.AUTHENTICATION),
        (402, ErrorKind.QUOTA),
        (429, ErrorKind.RATE_LIMITED),
        (503, ErrorKind.UNAVAILABLE),
    ],
)
def test_errors_are_what_they_say(status: int, kind: ErrorKind) -> None:
    told = {"error": {"message": "m", "type": "t", "param": None, "code": None}}
    assert together.error(wire.answer(told, status)).kind is kind


def test_answers_that_say_nothing_are_a_broken_protocol() -> None:
    recorded.broken(together)


def test_the_dialect_is_in_the_tables() -> None:
    assert (VIDEO["together"], "together" in VIDEO_CANCEL) == (together, False)
