"""xAI's Imagine video API against the recorded wire."""

from typing import Any

import pytest
from msgspec.structs import replace

from providers.errors import ErrorKind, ProviderError
from providers.types import Media, VideoOutput
from providers.video import VIDEO, VIDEO_CANCEL, xai
from tests.providers.video import recorded, wire
from tests.providers.video.recorded import LAST_LINK, LINK, REFERENCE, REQUEST

BASE = "https://api.x.ai/v1"
TARGET = wire.target("xai", "grok-imagine-video-1.5", "test-key")
FIRST = wire.target("xai", "grok-imagine-video", "test-key")
CLIP = {"url": "https://assets.example.com/in.mp4"}


def test_a_submit_is_the_recorded_one_but_for_the_user() -> None:
    request = xai.video_create(replace(REQUEST, media=(LINK,)), TARGET)
    wire.same(request, "xai/submit_request", without=("user",))


def test_pictures_have_a_field_for_each_role() -> None:
    body = recorded.body(xai.video_create(replace(REQUEST, media=(LINK, LAST_LINK), audio=False), TARGET))
    assert (body["image"], body["last_frame"]) == ({"url": LINK.url}, {"url": LAST_LINK.url})
    assert body["generate_audio"] is False
    body = recorded.body(xai.video_create(replace(REQUEST, media=(REFERENCE, REFERENCE)), TARGET))
    assert body["reference_images"] == [{"url": REFERENCE.url}] * 2
    assert "image" not in body


def test_what_it_has_no_field_for_is_in_the_prompt_or_told() -> None:
    request = xai.video_create(replace(REQUEST, seed=3, negative_prompt="blur"), TARGET)
    assert recorded.body(request)["prompt"].endswith("Avoid: blur.")
    assert (request.folded, request.dropped) == (["negative_prompt"], ["seed"])


@pytest.mark.parametrize("operation", ["remix", "edit"])
def test_an_edit_starts_from_a_finished_video(operation: str) -> None:
    asked = replace(REQUEST, prompt="make it night", operation=operation, source=CLIP)
    wire.same(xai.video_create(asked, FIRST), "xai/submit_request_edit")


def test_an_extension_says_how_much_longer() -> None:
    clip = Media(role="source_video", mime="", url=CLIP["url"])
    asked = replace(REQUEST, prompt="the kite lands", operation="extend", seconds=6.0, media=(clip,))
    wire.same(xai.video_create(asked, FIRST), "xai/submit_request_extend")


@pytest.mark.parametrize(
    ("model", "changes", "param"),
    [
        ("grok-imagine-video", {"size": "1920x1080"}, "size"),
        ("grok-imagine-video", {"media": (LAST_LINK,)}, "last_frame"),
        ("grok-imagine-video-1.5", {"media": (REFERENCE,), "size": "1920x1080"}, "size"),
        ("grok-imagine-video-1.5", {"operation": "remix", "source": {"id": "unfinished"}}, "source"),
        ("grok-imagine-video-1.5", {"operation": "upscale"}, "operation"),
    ],
)
def test_what_a_model_cannot_make_goes_elsewhere(model: str, changes: dict[str, Any], param: str) -> None:
    with pytest.raises(ProviderError) as refused:
        xai.video_create(replace(REQUEST, **changes), wire.target("xai", model, "test-key"))
    assert (refused.value.kind, refused.value.param) == (ErrorKind.UNSUPPORTED, param)


def test_progress_is_told_where_it_is_known() -> None:
    assert xai.video_update(wire.response("xai/poll_running")).progress == 40
    assert xai.video_update(wire.response("xai/poll_running_empty")).progress is None


def test_a_finished_video_says_where_it_is() -> None:
    update = xai.video_update(wire.response("xai/poll_succeeded"))
    assert update.operation == {"url": "https://cdn.example.com/x.mp4"}
    assert update.output == VideoOutput(seconds=8)
    request = xai.video_content(update.operation, TARGET)
    assert (request.url, request.headers) == ("https://cdn.example.com/x.mp4", {})


def test_a_poll_asks_for_the_request() -> None:
    operation = xai.video_created(wire.response("xai/submit_response")).operation
    assert operation is not None
    poll = xai.video_poll(operation, TARGET)
    assert (poll.method, poll.url) == ("GET", f"{BASE}/videos/d97415a1-5796-b7ec-379f-4e6819e08fdf")
    assert poll.headers == {"authorization": "Bearer test-key"}
    gone = xai.video_update(wire.answer({"code": "not-found", "error": "no"}, 404))
    assert (gone.state, gone.code) == ("gone", "job_lost")


def test_an_error_is_a_sentence_beside_its_code() -> None:
    told = xai.error(wire.response("xai/error_400"))
    assert (told.kind, told.message) == (
        ErrorKind.INVALID_REQUEST,
        "duration must be between 1 and 15",
    )


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, ErrorKind.AUTHENTICATION),
        (404, ErrorKind.NOT_FOUND),
        (429, ErrorKind.RATE_LIMITED),
        (500, ErrorKind.UNAVAILABLE),
    ],
)
def test_errors_are_what_they_say(status: int, kind: ErrorKind) -> None:
    assert xai.error(wire.answer({"code": "c", "error": "m"}, status)).kind is kind


def test_answers_that_say_nothing_are_a_broken_protocol() -> None:
    recorded.broken(xai)


def test_the_dialect_is_in_the_tables() -> None:
    assert (VIDEO["xai"], "xai" in VIDEO_CANCEL) == (xai, False)
