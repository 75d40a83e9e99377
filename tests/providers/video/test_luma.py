"""Luma's two APIs against the recorded wire."""

import base64
import json

import pytest

from providers.adapter import VideoAdapter
from providers.errors import ErrorKind, ProviderError
from providers.types import Media, Target
from providers.video import VIDEO_CANCEL, luma, luma_legacy
from tests.providers.video.wire import FIRST, LAST, PNG, answer, asked, response, same, target

NOW = target("luma", "ray-3.2", "test-key")
OLD = target("luma_legacy", "ray-2", "test-key")
FRAMES = (Media(role="first_frame", mime="", url=FIRST), Media(role="last_frame", mime="", url=LAST))


def test_requests() -> None:
    same(luma.video_create(asked(seconds=5.0, media=FRAMES[:1]), NOW), "luma_agents/submit_request")
    request = luma_legacy.video_create(asked(seconds=5.0, media=FRAMES), OLD)
    same(request, "luma_legacy/submit_request", without=("callback_url", "loop"))


def test_an_uploaded_picture_travels_as_its_bytes_or_not_at_all() -> None:
    picture = Media(role="last_frame", mime="image/png", data=base64.b64decode(PNG))
    body = json.loads(luma.video_create(asked(seconds=5.0, media=(picture,)), NOW).body)
    assert body["video"]["end_frame"] == {"data": PNG, "media_type": "image/png"}
    with pytest.raises(ProviderError) as refused:
        luma_legacy.video_create(asked(seconds=5.0, media=(picture,)), OLD)
    assert refused.value.kind is ErrorKind.UNSUPPORTED


@pytest.mark.parametrize(
    ("dialect", "at", "folder"), [(luma, NOW, "luma_agents"), (luma_legacy, OLD, "luma_legacy")]
)
def test_the_way_of_a_job(dialect: VideoAdapter, at: Target, folder: str) -> None:
    operation = dialect.video_created(response(f"{folder}/submit_response")).operation
    assert operation is not None
    poll = dialect.video_poll(operation, at)
    assert (poll.method, poll.url) == ("GET", f"{at.base_url}/generations/{operation['id']}")
    assert poll.headers == {"authorization": "Bearer test-key"}
    done = dialect.video_update(response(f"{folder}/poll_succeeded"))
    assert done.operation is not None
    content = dialect.video_content(done.operation, at)
    assert content.url.startswith("https://cdn.example.com/")
    assert content.headers == {}
    assert dialect.video_update(answer({"id": "a", "state": "completed"})).state == "failed"
    assert dialect.video_update(answer({"id": "a", "state": "pondering"})).state == "in_progress"
    assert dialect.video_update(answer({}, 404)).state == "gone"
    with pytest.raises(ProviderError) as raised:
        dialect.video_update(answer({"detail": "No."}, 401))
    assert raised.value.kind is ErrorKind.AUTHENTICATION
    assert folder.partition("_")[0] not in VIDEO_CANCEL


@pytest.mark.parametrize(
    ("code", "expected", "blamed"),
    [
        ("corrupt_input", "invalid_request", True),
        ("budget_exhausted", "provider_quota_exceeded", False),
        ("rate_limited", "provider_overloaded", False),
        ("generation_failed", "provider_error", False),
    ],
)
def test_why_it_failed(code: str, expected: str, blamed: bool) -> None:
    update = luma.video_update(answer({"id": "a", "state": "failed", "failure_code": code}))
    assert (update.code, update.blamed, bool(update.message)) == (expected, blamed, True)


def test_words_that_say_nothing_of_moderation_are_not_the_requests_fault() -> None:
    told = {"id": "a", "state": "failed", "failure_reason": "500: out of memory"}
    assert luma_legacy.video_update(answer(told)).code == "provider_error"
