"""fal's queue against the recorded wire."""

import json
from typing import Any

import pytest

from providers.errors import ErrorKind, ProviderError
from providers.types import Media, VideoOutput
from providers.video import VIDEO_CANCEL, fal
from tests.providers.video.wire import FIRST, answer, asked, fixture, response, same, target

TARGET = target("fal", "fal-ai/kling-video/v3/pro/text-to-video", "test:secret")
LINKS = {
    name: fixture("fal/submit_response")["json"][name]
    for name in ("status_url", "response_url", "cancel_url")
}


def test_a_model_is_asked_in_its_own_names() -> None:
    request = fal.video_create(
        asked(seconds=5.0, size="1920x1080", negative_prompt="blur", audio=True, seed=1), TARGET
    )
    same(request, "fal/submit_request")
    assert request.dropped == ["seed"]


def test_the_links_that_were_given_are_used() -> None:
    begun = fal.video_created(response("fal/submit_response"))
    assert (begun.state, begun.operation) == ("queued", LINKS)
    status, cancel = fal.video_poll(LINKS, TARGET), fal.video_cancel(LINKS, TARGET)
    assert (status.method, status.url) == ("GET", LINKS["status_url"])
    assert (cancel.method, cancel.url) == ("PUT", LINKS["cancel_url"])
    assert status.headers == cancel.headers == {"authorization": "Key test:secret"}
    assert VIDEO_CANCEL["fal"] is fal


def test_an_end_is_no_success_before_the_result_says_so() -> None:
    ended = fal.video_update(response("fal/poll_succeeded"))
    assert (ended.state, ended.follow, ended.operation) == ("in_progress", True, {"result": True})
    assert fal.video_poll({**LINKS, "result": True}, TARGET).url == LINKS["response_url"]
    done = fal.video_update(response("fal/result_succeeded"))
    assert done.output == VideoOutput(width=1280, height=720, fps=24, seconds=5.04)
    assert done.operation == {"url": "https://cdn.example.com/fal.mp4"}
    content = fal.video_content(done.operation, TARGET)
    assert (content.url, content.headers) == ("https://cdn.example.com/fal.mp4", {})
    assert fal.video_update(answer({"images": []})).state == "failed"


@pytest.mark.parametrize(
    "url", ["https://queue.fal.run.evil/x", "http://queue.fal.run/x", "https://10.0.0.1/x"]
)
def test_our_key_goes_to_fal_alone(url: str) -> None:
    with pytest.raises(ProviderError) as refused:
        fal.video_poll({**LINKS, "status_url": url}, TARGET)
    assert refused.value.kind is ErrorKind.PROTOCOL


@pytest.mark.parametrize(
    ("body", "status", "headers", "code", "blamed"),
    [
        ({"detail": [{"type": "image_load_error", "msg": "No."}]}, 422, {}, "invalid_request", True),
        ({"detail": "gone wrong"}, 422, {}, "provider_error", False),
        ({"detail": "x"}, 504, {"x-fal-error-type": "generation_timeout"}, "provider_error", False),
        (
            {"status": "COMPLETED", "error": "No.", "error_type": "runner_died"},
            200,
            {},
            "provider_error",
            False,
        ),
    ],
)
def test_why_it_failed(
    body: dict[str, Any], status: int, headers: dict[str, str], code: str, blamed: bool
) -> None:
    update = fal.video_update(answer(body, status, **headers))
    assert (update.state, update.code, update.blamed, bool(update.message)) == ("failed", code, blamed, True)


def test_a_poll_that_fails_says_nothing_of_the_video() -> None:
    for status, kind in ((500, ErrorKind.UNAVAILABLE), (429, ErrorKind.RATE_LIMITED)):
        with pytest.raises(ProviderError) as raised:
            fal.video_update(answer({"detail": "x"}, status))
        assert raised.value.kind is kind
    assert fal.video_update(answer({"detail": "x"}, 404)).state == "gone"
    assert fal.error(response("fal/result_failed")).kind is ErrorKind.CONTENT_POLICY


def test_what_has_no_name_is_not_sent() -> None:
    picture = Media(role="first_frame", mime="", url=FIRST)
    for asking, at, param in (
        (asked(seconds=5.0, size="1920x1080", media=(picture,)), TARGET, "first_frame"),
        (asked(), target("fal", "fal-ai/unheard-of", "k"), "model"),
    ):
        with pytest.raises(ProviderError) as refused:
            fal.video_create(asking, at)
        assert (refused.value.kind, refused.value.param) == (ErrorKind.UNSUPPORTED, param)
    body = json.loads(fal.video_create(asked(size="1920x1080"), TARGET).body)
    assert body.keys() == {"prompt", "duration", "aspect_ratio"}
