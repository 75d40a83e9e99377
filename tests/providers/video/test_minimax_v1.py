"""MiniMax's earlier video API against the recorded wire: errors inside a 200, and a file in two steps."""

import pytest
from msgspec.structs import replace

from providers.errors import ErrorKind, ProviderError
from providers.types import Media
from providers.video import VIDEO, VIDEO_CANCEL, minimax_v1
from tests.providers.video import recorded, wire
from tests.providers.video.recorded import LAST_LINK, LINK, REQUEST

TARGET = wire.target("minimax_v1", "MiniMax-Hailuo-02", "test-key")
SIX = replace(REQUEST, seconds=6.0)


def test_a_submit_is_the_recorded_one_but_for_what_we_leave_to_it() -> None:
    asked = replace(SIX, media=(LINK,), camera_movement="tracking_shot")
    request = minimax_v1.video_create(asked, TARGET)
    wire.same(request, "minimax_v1/submit_request", without=("callback_url", "prompt_optimizer"))
    assert request.folded == []


def test_a_movement_it_has_no_command_for_is_told_in_words() -> None:
    request = minimax_v1.video_create(replace(SIX, camera_movement="orbit_left"), TARGET)
    assert recorded.body(request)["prompt"].startswith("Camera: orbit around the subject to the left.")
    assert request.folded == ["camera_movement"]


def test_a_last_frame_has_a_field_of_its_own() -> None:
    body = recorded.body(minimax_v1.video_create(replace(SIX, media=(LINK, LAST_LINK)), TARGET))
    assert (body["first_frame_image"], body["last_frame_image"]) == (LINK.url, LAST_LINK.url)


@pytest.mark.parametrize(
    ("size", "media", "fits"),
    [("1280x720", (), True), ("720x1280", (), False), ("720x1280", (LINK,), True), ("1920x1080", (), False)],
)
def test_a_size_of_its_own_choice_goes_elsewhere(size: str, media: tuple[Media, ...], fits: bool) -> None:
    asked = replace(SIX, size=size, media=media)
    if fits:
        assert recorded.body(minimax_v1.video_create(asked, TARGET))["resolution"] == "768P"
        return
    with pytest.raises(ProviderError) as refused:
        minimax_v1.video_create(asked, TARGET)
    assert (refused.value.kind, refused.value.param) == (ErrorKind.UNSUPPORTED, "size")


def test_a_file_is_found_in_two_steps() -> None:
    done = minimax_v1.video_update(wire.response("minimax_v1/poll_succeeded"))
    assert (done.state, done.follow, done.operation) == ("in_progress", True, {"file": "176844028768320"})
    assert done.operation is not None
    poll = minimax_v1.video_poll(done.operation, TARGET)
    assert poll.url == "https://api.minimax.io/v1/files/retrieve?file_id=176844028768320"
    found = minimax_v1.video_update(wire.response("minimax_v1/file_retrieve_response"))
    assert (found.state, found.operation) == ("completed", {"url": "https://cdn.example.com/mm.mp4"})
    assert found.operation is not None
    request = minimax_v1.video_content(found.operation, TARGET)
    assert (request.url, request.headers) == ("https://cdn.example.com/mm.mp4", {})


def test_success_without_a_file_is_a_failure() -> None:
    told = {"task_id": "1", "status": "Success", "file_id": "", "base_resp": {"status_code": 0}}
    update = minimax_v1.video_update(wire.answer(told))
    assert (update.state, update.code, update.blamed) == ("failed", "provider_error", False)


def test_a_poll_is_the_recorded_one() -> None:
    expected = wire.fixture("minimax_v1/poll_request")
    poll = minimax_v1.video_poll({"id": "106916112212032"}, TARGET)
    assert poll.url == f"{expected['url']}?task_id={expected['query']['task_id']}"
    assert poll.headers == expected["headers"]


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (1002, ErrorKind.RATE_LIMITED),
        (1004, ErrorKind.AUTHENTICATION),
        (1008, ErrorKind.QUOTA),
        (1026, ErrorKind.CONTENT_POLICY),
        (2013, ErrorKind.INVALID_REQUEST),
        (2049, ErrorKind.AUTHENTICATION),
        (1000, ErrorKind.UNAVAILABLE),
    ],
)
def test_an_error_inside_a_200_is_an_error(code: int, kind: ErrorKind) -> None:
    told = wire.answer({"task_id": "", "base_resp": {"status_code": code, "status_msg": "m"}})
    for read in (minimax_v1.video_created, minimax_v1.video_update):
        with pytest.raises(ProviderError) as raised:
            read(told)
        assert raised.value.kind is kind


def test_a_moderated_submit_is_the_requests_fault() -> None:
    with pytest.raises(ProviderError) as raised:
        minimax_v1.video_created(wire.response("minimax_v1/error_in_200"))
    assert raised.value.kind is ErrorKind.CONTENT_POLICY


def test_answers_that_say_nothing_are_a_broken_protocol() -> None:
    recorded.broken(minimax_v1)


def test_the_dialect_is_in_the_tables() -> None:
    assert (VIDEO["minimax_v1"], "minimax_v1" in VIDEO_CANCEL) == (minimax_v1, False)
