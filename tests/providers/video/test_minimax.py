"""MiniMax's video API of today against the recorded wire."""

from typing import Any

import pytest
from msgspec.structs import replace

from providers.errors import ErrorKind, ProviderError
from providers.types import Media, VideoOutput
from providers.video import VIDEO, VIDEO_CANCEL, minimax
from tests.providers.video import recorded, wire
from tests.providers.video.recorded import LINK, PICTURE, REQUEST

TARGET = wire.target("minimax", "MiniMax-H3", "test-key")


def test_a_submit_is_the_recorded_one_but_for_the_callback() -> None:
    request = minimax.video_create(replace(REQUEST, media=(LINK,)), TARGET)
    told = wire.fixture("minimax_v2/submit_request")
    assert (request.method, request.url, request.headers) == (told["method"], told["url"], told["headers"])
    left = {name: value for name, value in told["json"].items() if name != "callback_url"}
    assert recorded.body(request) == left | {
        "ratio": "16:9"
    }  # the size that was asked for, not the picture's


@pytest.mark.parametrize(
    ("model", "size", "told"),
    [
        ("MiniMax-H3", "1280x720", ("768P", "16:9")),
        ("MiniMax-H3", "1440x2560", ("2K", "9:16")),
        ("MiniMax-H3-Max", "480x480", ("480P", "1:1")),
    ],
)
def test_sizes_are_a_tier_and_a_ratio(model: str, size: str, told: tuple[str, str]) -> None:
    target = wire.target("minimax", model, "k")
    body = recorded.body(minimax.video_create(replace(REQUEST, size=size), target))
    assert (body["resolution"], body["ratio"]) == told


def test_pictures_travel_with_their_role_and_uploads_as_data() -> None:
    last = Media(role="last_frame", mime="image/jpeg", data=b"jpeg")
    body = recorded.body(minimax.video_create(replace(REQUEST, media=(PICTURE, last)), TARGET))
    assert [(part["role"], part["image_url"]["url"].partition(",")[0]) for part in body["content"][1:]] == [
        ("first_frame", "data:image/png;base64"),
        ("last_frame", "data:image/jpeg;base64"),
    ]


def test_what_it_has_no_field_for_is_in_the_prompt_or_told() -> None:
    asked = replace(REQUEST, seed=1, negative_prompt="blur", style_preset="noir", audio=False)
    request = minimax.video_create(asked, TARGET)
    body = recorded.body(request)
    assert set(body) == {"model", "content", "resolution", "duration", "ratio"}
    assert "Avoid: blur." in body["content"][0]["text"]
    assert (set(request.folded), set(request.dropped)) == (
        {"negative_prompt", "style_preset"},
        {"seed", "audio"},
    )


def test_a_finished_task_says_where_its_file_is() -> None:
    update = minimax.video_update(wire.response("minimax_v2/poll_succeeded"))
    assert update.operation == {"url": "https://cdn.example.com/h3.mp4"}
    assert update.output == VideoOutput(seconds=8)
    request = minimax.video_content(update.operation, TARGET)
    assert (request.url, request.headers) == ("https://cdn.example.com/h3.mp4", {})


def test_polls_and_cancels() -> None:
    operation = minimax.video_created(wire.response("minimax_v2/submit_response")).operation
    assert operation == {"id": "h3_123"}
    poll, cancel = minimax.video_poll(operation, TARGET), minimax.video_cancel(operation, TARGET)
    assert (poll.method, poll.url) == ("GET", "https://api.minimax.io/v2/query/video_generation/h3_123")
    assert (cancel.method, cancel.url) == ("DELETE", "https://api.minimax.io/v2/video_generation/h3_123")
    assert poll.headers == cancel.headers == {"authorization": "Bearer test-key"}


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        ({"error": {"message": "internal error"}}, 500, ErrorKind.UNAVAILABLE),
        ({"error": {"code": "1008", "message": "no balance"}}, 400, ErrorKind.QUOTA),
        ({"error": {"code": "1002", "message": "slow down"}}, 429, ErrorKind.RATE_LIMITED),
        ({"error": {"code": "2013", "message": "bad ratio"}}, 400, ErrorKind.INVALID_REQUEST),
        ({"error": {"code": "1026", "message": "input new_sensitive"}}, 400, ErrorKind.CONTENT_POLICY),
    ],
)
def test_errors_are_what_they_say(body: Any, status: int, kind: ErrorKind) -> None:
    told = wire.answer(body, status)
    assert minimax.error(told).kind is kind
    with pytest.raises(ProviderError):
        minimax.video_update(told)


def test_answers_that_say_nothing_are_a_broken_protocol() -> None:
    recorded.broken(minimax)


def test_the_dialect_is_in_the_tables() -> None:
    assert (VIDEO["minimax"], VIDEO_CANCEL["minimax"]) == (minimax, minimax)
