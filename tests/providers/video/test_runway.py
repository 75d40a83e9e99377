"""Runway's task API against the recorded wire."""

import base64
import json
from typing import Any

import pytest

from providers.errors import ErrorKind, ProviderError
from providers.types import Media
from providers.video import VIDEO_CANCEL, runway
from tests.providers.video.wire import FIRST, PNG, answer, asked, fixture, response, same, target

TARGET = target("runway", "gen4.5", "key_test")
JOB = {"id": "17f20503-6c24-4c16-946b-35dbbce2af2f"}
PICTURE = Media(role="first_frame", mime="", url=FIRST)


def test_from_text() -> None:
    same(runway.video_create(asked(seed=42), TARGET), "runway/submit_request")


def test_from_a_picture() -> None:
    turbo = target("runway", "gen4_turbo", "key_test")
    same(runway.video_create(asked(seconds=5.0, media=(PICTURE,)), turbo), "runway/submit_request_image")
    uploaded = Media(role="first_frame", mime="image/png", data=base64.b64decode(PNG))
    body = json.loads(runway.video_create(asked(seconds=5.0, media=(uploaded,)), turbo).body)
    assert body["promptImage"] == f"data:image/png;base64,{PNG}"


def test_from_a_video() -> None:
    source = Media(role="source_video", mime="", url="https://assets.example.com/in.mp4")
    request = asked(prompt="make it night", media=(source,))
    same(runway.video_create(request, target("runway", "aleph2", "key_test")), "runway/submit_request_video")


@pytest.mark.parametrize(
    ("model", "fields", "expected"),
    [
        ("gen4.5", {"size": "1104x832"}, None),
        ("gen4.5", {"size": "720x1280"}, {"ratio": "720:1280"}),
        ("gen4.5", {"size": "1104x832", "media": (PICTURE,)}, {"ratio": "1104:832"}),
        ("gen4.5", {"size": "960x720", "media": (PICTURE,)}, {"ratio": "1104:832"}),
        (
            "veo3.1_fast",
            {"audio": True, "negative_prompt": "blur"},
            {"audio": True, "negativePrompt": "blur"},
        ),
        ("hailuo3", {"size": "1440x2560"}, {"ratio": "9:16", "resolution": "2k"}),
        ("seedance2", {"size": "480x854"}, {"ratio": "496:864"}),
    ],
)
def test_each_model_is_asked_in_its_own_words(
    model: str, fields: dict[str, Any], expected: dict[str, Any] | None
) -> None:
    def body() -> Any:
        return json.loads(runway.video_create(asked(**fields), target("runway", model, "k")).body)

    if expected is not None:
        assert body().items() >= expected.items()
        return
    with pytest.raises(ProviderError) as refused:
        body()
    assert (refused.value.kind, refused.value.param) == (ErrorKind.UNSUPPORTED, "size")


def test_nothing_is_sent_that_the_model_does_not_know() -> None:
    request = runway.video_create(
        asked(negative_prompt="blur", style_preset="noir", camera_movement="pan_left", token="t"), TARGET
    )
    assert json.loads(request.body).keys() == {"model", "promptText", "ratio", "duration"}
    assert request.folded == ["camera_movement", "style_preset", "negative_prompt"]
    turbo = runway.video_create(
        asked(seconds=5.0, seed=1, media=(PICTURE,)), target("runway", "gemini_omni_flash", "k")
    )
    assert (turbo.dropped, "seed" in json.loads(turbo.body)) == (["seed"], False)


def test_polls_fetches_and_cancels_of_an_accepted_task() -> None:
    assert runway.video_created(response("runway/submit_response")).operation == JOB
    poll, cancel = runway.video_poll(JOB, TARGET), runway.video_cancel(JOB, TARGET)
    url = f"https://api.dev.runwayml.com/v1/tasks/{JOB['id']}"
    assert (poll.method, poll.url, cancel.method, cancel.url) == ("GET", url, "DELETE", url)
    assert poll.headers == {"authorization": "Bearer key_test", "x-runway-version": "2024-11-06"}
    assert VIDEO_CANCEL["runway"] is runway
    done = runway.video_update(response("runway/poll_succeeded"))
    assert done.operation is not None
    content = runway.video_content(done.operation, TARGET)
    assert done.cost == 960_000_000
    assert (content.url, content.headers) == (fixture("runway/poll_succeeded")["json"]["output"][0], {})


def test_a_running_task_tells_its_progress_and_when_to_ask_again() -> None:
    update = runway.video_update(response("runway/poll_running"))
    assert (update.state, update.progress, update.retry_after) == ("in_progress", 42, 5.0)


@pytest.mark.parametrize(
    ("code", "expected", "blamed"),
    [
        ("SAFETY.OUTPUT.VIDEO", "moderation_blocked", True),
        ("INPUT_PREPROCESSING.SAFETY.TEXT", "invalid_request", True),
        ("ASSET.INVALID", "invalid_request", True),
        ("INTERNAL.BAD_OUTPUT.CODE01", "provider_error", False),
        (None, "provider_error", False),
    ],
)
def test_why_a_task_failed(code: str | None, expected: str, blamed: bool) -> None:
    update = runway.video_update(answer({"id": "a", "status": "FAILED", "failureCode": code}))
    assert (update.state, update.code, update.blamed) == ("failed", expected, blamed)


def test_a_task_that_is_done_without_a_file_has_failed() -> None:
    assert runway.video_update(answer({"id": "a", "status": "SUCCEEDED", "output": []})).state == "failed"


def test_a_word_nobody_knows_means_still_running_and_a_404_means_lost() -> None:
    assert runway.video_update(answer({"id": "a", "status": "PONDERING"})).state == "in_progress"
    assert runway.video_update(answer({"error": "not found"}, 404)).state == "gone"


def test_errors() -> None:
    told = runway.error(response("runway/error_400"))
    assert (told.kind, told.message) == (ErrorKind.INVALID_REQUEST, "Validation of body failed")
    with pytest.raises(ProviderError) as raised:
        runway.video_update(answer({"error": "slow down"}, 429))
    assert raised.value.kind is ErrorKind.RATE_LIMITED
    for body in ([], {"id": 1}, "x"):
        with pytest.raises(ProviderError) as broken:
            runway.video_created(answer(body))
        assert broken.value.kind is ErrorKind.PROTOCOL
