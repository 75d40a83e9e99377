"""OpenRouter's video API against the recorded wire."""

from typing import Any

import pytest
from msgspec.structs import replace

from providers.errors import ErrorKind
from providers.types import Media
from providers.video import VIDEO, VIDEO_CANCEL, openrouter
from tests.providers.video import recorded, wire
from tests.providers.video.recorded import LINK, REFERENCE, REQUEST

BASE = "https://openrouter.ai/api/v1"
TARGET = wire.target("openrouter", "google/veo-3.1-lite", "test-key")
JOB = {"id": "gen-vid-1795132800-abcdefghijklmnopqrst"}


def test_a_submit_is_the_recorded_one_but_for_the_callback() -> None:
    request = openrouter.video_create(replace(REQUEST, seed=42, audio=True, media=(LINK,)), TARGET)
    wire.same(request, "openrouter/submit_request", without=("callback_url",))


def test_a_model_nobody_described_is_told_the_size_as_it_was_asked_for() -> None:
    last = Media(role="last_frame", mime="image/png", data=b"last")
    other = wire.target("openrouter", "acme/film-1", "k")
    asked = replace(REQUEST, media=(last, REFERENCE), negative_prompt="blur")
    request = openrouter.video_create(asked, other)
    body = recorded.body(request)
    assert body["size"] == "1280x720"
    assert not {"resolution", "aspect_ratio", "negative_prompt"} & body.keys()
    assert body["frame_images"][0]["frame_type"] == "last_frame"
    assert body["input_references"] == [{"type": "image_url", "image_url": {"url": REFERENCE.url}}]
    assert request.folded == ["negative_prompt"]


@pytest.mark.parametrize(
    ("told", "code", "blamed"),
    [
        ({"status": "failed", "error": "Flagged by content moderation"}, "moderation_blocked", True),
        ({"status": "failed", "error": "Upstream timed out"}, "provider_error", False),
        ({"status": "failed"}, "provider_error", False),
        ({"status": "cancelled"}, "cancelled", False),
        ({"status": "expired"}, "job_expired", False),
    ],
)
def test_a_failure_is_a_sentence_without_a_code(told: dict[str, Any], code: str, blamed: bool) -> None:
    update = openrouter.video_update(wire.answer(JOB | told))
    assert (update.state, update.code, update.blamed) == ("failed", code, blamed)


def test_polls_and_fetches_go_through_openrouter() -> None:
    operation = openrouter.video_created(wire.response("openrouter/submit_response")).operation
    assert operation == JOB
    url = f"{BASE}/videos/{JOB['id']}"
    poll, content = openrouter.video_poll(operation, TARGET), openrouter.video_content(operation, TARGET)
    assert (poll.url, content.url) == (url, f"{url}/content?index=0")
    assert poll.headers == content.headers == {"authorization": "Bearer test-key"}
    assert openrouter.video_update(wire.answer({"error": {"message": "no"}}, 404)).state == "gone"


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        ({"error": {"code": 402, "message": "m"}}, 402, ErrorKind.QUOTA),
        ({"error": {"code": 429, "message": "m"}}, 429, ErrorKind.RATE_LIMITED),
        (
            {"error": {"code": 403, "message": "m", "metadata": {"reasons": ["violence"]}}},
            403,
            ErrorKind.CONTENT_POLICY,
        ),
        ({"error": {"code": 400, "message": "m"}}, 400, ErrorKind.INVALID_REQUEST),
    ],
)
def test_errors_are_what_they_say(body: Any, status: int, kind: ErrorKind) -> None:
    assert openrouter.error(wire.answer(body, status)).kind is kind


def test_answers_that_say_nothing_are_a_broken_protocol() -> None:
    recorded.broken(openrouter)


def test_the_dialect_is_in_the_tables() -> None:
    assert (VIDEO["openrouter"], "openrouter" in VIDEO_CANCEL) == (openrouter, False)
