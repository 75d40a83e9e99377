"""Seedance over Ark against the recorded wire."""

from typing import Any

import pytest
from msgspec.structs import replace

from providers.errors import ErrorKind, ProviderError
from providers.types import Media, VideoOutput
from providers.video import VIDEO, VIDEO_CANCEL, seedance
from tests.providers.video import recorded, wire
from tests.providers.video.recorded import LINK, PICTURE, REQUEST

BASE = "https://ark.ap-southeast.bytepluses.com/api/v3"
TARGET = wire.target("byteplus", "dreamina-seedance-2-0", "test-key")
REFERENCE = Media(role="reference_image", mime="image/png", data=b"cat")
OURS = (
    "callback_url",
    "camera_fixed",
    "watermark",
    "return_last_frame",
    "service_tier",
    "execution_expires_after",
)
"""What is left at its default, and the callback that is nobody's business."""


def test_a_submit_is_the_recorded_one_but_for_what_we_leave_to_it() -> None:
    request = seedance.video_create(replace(REQUEST, seed=42, audio=True, media=(LINK,)), TARGET)
    wire.same(request, "seedance/submit_request", without=OURS)


def test_a_camera_that_does_not_move_is_a_field_and_every_other_one_words() -> None:
    still = seedance.video_create(replace(REQUEST, camera_movement="static"), TARGET)
    assert recorded.body(still)["camera_fixed"] is True
    assert (recorded.body(still)["content"][0]["text"], still.folded) == (REQUEST.prompt, [])
    moved = seedance.video_create(replace(REQUEST, camera_movement="pan_left"), TARGET)
    assert "camera_fixed" not in recorded.body(moved)
    assert recorded.body(moved)["content"][0]["text"].startswith("Camera: slow pan to the left.")
    assert moved.folded == ["camera_movement"]


def test_our_token_is_for_tracing_and_for_finding_the_task_again() -> None:
    request = seedance.video_create(replace(REQUEST, token="job-1"), TARGET)
    assert request.headers["x-client-request-id"] == "job-1"
    assert recorded.body(request)["safety_identifier"] == "job-1"
    assert not TARGET.video.idempotent_submit


@pytest.mark.parametrize(
    ("model", "changes", "param"),
    [
        ("dreamina-seedance-2-0", {"media": (PICTURE, REFERENCE)}, "reference_image"),
        ("dreamina-seedance-2-0-mini", {"size": "1920x1080"}, "size"),
        ("dreamina-seedance-2-0", {"size": "1000x720"}, "size"),
        ("dreamina-seedance-2-0", {"seconds": 7.5}, "seconds"),
        ("dreamina-seedance-2-0", {"operation": "remix", "source": {"id": "1"}}, "operation"),
    ],
)
def test_what_a_model_cannot_make_goes_elsewhere(model: str, changes: dict[str, Any], param: str) -> None:
    with pytest.raises(ProviderError) as refused:
        seedance.video_create(replace(REQUEST, **changes), wire.target("byteplus", model, "k"))
    assert (refused.value.kind, refused.value.param) == (ErrorKind.UNSUPPORTED, param)


def test_a_finished_task_says_what_was_rendered_and_where_it_is() -> None:
    update = seedance.video_update(wire.response("seedance/poll_succeeded"))
    url = "https://cdn.example.com/s.mp4?X-Tos-Expires=86400"
    assert update.operation == {"url": url}
    assert update.output == VideoOutput(fps=24, seconds=8, has_audio=True)
    request = seedance.video_content(update.operation, TARGET)
    assert (request.url, request.headers) == (url, {})


def test_a_finished_task_without_a_file_has_failed() -> None:
    told = {"id": "1", "status": "succeeded", "content": {}}
    update = seedance.video_update(wire.answer(told))
    assert (update.state, update.code) == ("failed", "provider_error")


def test_polls_and_cancels() -> None:
    operation = seedance.video_created(wire.response("seedance/submit_response")).operation
    assert operation == {"id": "cgt-20261120-abc"}
    url = f"{BASE}/contents/generations/tasks/cgt-20261120-abc"
    poll, cancel = seedance.video_poll(operation, TARGET), seedance.video_cancel(operation, TARGET)
    assert ((poll.method, poll.url), (cancel.method, cancel.url)) == (("GET", url), ("DELETE", url))


def test_a_busy_service_refuses_before_anything_is_made() -> None:
    refused = seedance.error(wire.response("seedance/error_429"))
    assert (refused.kind, refused.status) == (ErrorKind.OVERLOADED, 429)


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("InputImageSensitiveContentDetected.PrivacyInformation", 400, ErrorKind.CONTENT_POLICY),
        ("InputTextSensitiveContentDetected", 400, ErrorKind.CONTENT_POLICY),
        ("AuthenticationError", 401, ErrorKind.AUTHENTICATION),
        ("AccountOverdueError", 403, ErrorKind.QUOTA),
        ("ModelNotOpen", 404, ErrorKind.NOT_FOUND),
        ("MissingParameter", 400, ErrorKind.INVALID_REQUEST),
        ("RateLimitExceeded.EndpointRPMExceeded", 429, ErrorKind.RATE_LIMITED),
        ("QuotaExceeded", 429, ErrorKind.RATE_LIMITED),
        ("InternalServiceError", 500, ErrorKind.UNAVAILABLE),
    ],
)
def test_errors_are_what_they_say(code: str, status: int, kind: ErrorKind) -> None:
    told = {"error": {"code": code, "message": "m", "param": "", "type": "T"}}
    assert seedance.error(wire.answer(told, status)).kind is kind


@pytest.mark.parametrize(
    ("code", "becomes", "blamed"),
    [
        ("OutputAudioSensitiveContentDetected", "moderation_blocked", True),
        ("OutputVideoSensitiveContentDetected.PolicyViolation", "moderation_blocked", True),
        ("InvalidParameter", "invalid_request", True),
        ("InternalServiceError", "provider_error", False),
        ("ServerOverloaded", "provider_overloaded", False),
    ],
)
def test_a_failed_task_is_read_by_the_same_codes(code: str, becomes: str, blamed: bool) -> None:
    told = {"id": "1", "status": "failed", "error": {"code": code, "message": "why"}}
    update = seedance.video_update(wire.answer(told))
    assert (update.state, update.code, update.blamed, update.message) == ("failed", becomes, blamed, "why")


def test_answers_that_say_nothing_are_a_broken_protocol() -> None:
    recorded.broken(seedance)


def test_the_dialect_is_in_the_tables() -> None:
    assert (VIDEO["seedance"], VIDEO_CANCEL["seedance"]) == (seedance, seedance)
