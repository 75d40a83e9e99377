"""Wan over DashScope against the recorded wire."""

from typing import Any

import pytest
from msgspec.structs import replace

from providers.errors import ErrorKind, ProviderError
from providers.types import HttpResponse, Target, VideoOutput, encode
from providers.video import VIDEO, VIDEO_CANCEL, wan
from tests.providers.video import recorded, wire
from tests.providers.video.recorded import LAST_LINK, LINK, PICTURE, REFERENCE, REQUEST


def at(model: str) -> Target:
    return wire.target("dashscope", model, "sk-test")


def test_a_submit_is_the_recorded_one_but_for_what_we_leave_to_it() -> None:
    asked = replace(REQUEST, seed=42, negative_prompt="blur", media=(LINK,))
    request = wan.video_create(asked, at("wan3.0-video"))
    wire.same(request, "wan/submit_request", without=("prompt_extend", "watermark"))


def test_the_earlier_line_is_told_pixels_with_a_star() -> None:
    asked = replace(REQUEST, seconds=5.0, seed=42, negative_prompt="blur")
    wire.same(wan.video_create(asked, at("wan2.6-t2v")), "wan/submit_request_wan26")


def test_each_line_has_its_own_place_for_pictures() -> None:
    five = replace(REQUEST, seconds=5.0)
    one = recorded.body(wan.video_create(replace(five, media=(PICTURE,)), at("wan2.6-i2v")))
    assert one["input"]["img_url"].startswith("data:image/png;base64,")
    assert one["parameters"] == {"resolution": "720P", "duration": 5}
    two = wan.video_create(replace(five, media=(LINK, LAST_LINK)), at("wan2.2-kf2v-flash"))
    assert two.url.endswith("/services/aigc/image2video/video-synthesis")
    assert recorded.body(two)["input"].items() >= {
        ("first_frame_url", LINK.url),
        ("last_frame_url", LAST_LINK.url),
    }


@pytest.mark.parametrize(
    ("model", "changes", "param"),
    [
        ("wan2.7-t2v", {"media": (LINK,)}, "first_frame"),
        ("wan2.7-i2v", {}, "first_frame"),
        ("wan3.0-video", {"media": (LINK, REFERENCE)}, "reference_image"),
        ("wan3.0-video", {"seconds": 4.5}, "seconds"),
        ("wan3.0-video", {"size": "2560x1440"}, "size"),
        ("wan3.0-video", {"prompt": "x" * 20001}, "prompt"),
    ],
)
def test_what_a_model_cannot_make_goes_elsewhere(model: str, changes: dict[str, Any], param: str) -> None:
    with pytest.raises(ProviderError) as refused:
        wan.video_create(replace(REQUEST, **changes), at(model))
    assert (refused.value.kind, refused.value.param, refused.value.sent) == (
        ErrorKind.UNSUPPORTED,
        param,
        False,
    )


@pytest.mark.parametrize(("model", "told"), [("wan3.0-video", False), ("wan2.7-t2v", None)])
def test_silence_is_told_where_there_is_a_switch(model: str, told: bool | None) -> None:
    request = wan.video_create(replace(REQUEST, audio=False), at(model))
    assert recorded.body(request)["parameters"].get("audio") is told
    assert request.dropped == ([] if told is False else ["audio"])


def test_a_running_task_is_asked_after_seldom() -> None:
    told = {"output": {"task_id": "1", "task_status": "SUSPENDED"}}
    assert wan.video_update(wire.answer(told)).retry_after == 15
    assert (
        wan.video_update(
            HttpResponse(status=200, headers={"retry-after": "40"}, body=encode(told))
        ).retry_after
        == 40
    )


def test_a_cancelled_task_is_told_from_a_failed_one() -> None:
    told = {"output": {"task_id": "1", "task_status": "CANCELED"}}
    update = wan.video_update(wire.answer(told))
    assert (update.state, update.code, update.blamed) == ("failed", "cancelled", False)


def test_a_finished_task_says_where_its_file_is() -> None:
    update = wan.video_update(wire.response("wan/poll_succeeded"))
    url = "https://cdn.example.com/wan.mp4?Expires=1"
    assert (update.operation, update.output) == ({"url": url}, VideoOutput(seconds=8))
    request = wan.video_content({"url": url}, at("wan3.0-video"))
    assert (request.url, request.headers) == (url, {})


def test_polls_and_cancels() -> None:
    operation = wan.video_created(wire.response("wan/submit_response")).operation
    assert operation == {"id": "0385dc79"}
    target = at("wan3.0-video")
    poll, cancel = wan.video_poll(operation, target), wan.video_cancel(operation, target)
    assert (poll.method, poll.url) == ("GET", f"{target.base_url}/tasks/0385dc79")
    assert (cancel.method, cancel.url) == ("POST", f"{target.base_url}/tasks/0385dc79/cancel")


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("InvalidParameter", 400, ErrorKind.INVALID_REQUEST),
        ("DataInspectionFailed", 400, ErrorKind.CONTENT_POLICY),
        ("InvalidApiKey", 401, ErrorKind.AUTHENTICATION),
        ("Throttling.RateQuota", 429, ErrorKind.RATE_LIMITED),
        ("Throttling.AllocationQuota", 429, ErrorKind.RATE_LIMITED),
        ("Arrearage", 400, ErrorKind.QUOTA),
        ("InternalError", 500, ErrorKind.UNAVAILABLE),
    ],
)
def test_errors_are_what_they_say(code: str, status: int, kind: ErrorKind) -> None:
    told = wire.answer({"code": code, "message": "m", "request_id": "r"}, status)
    assert wan.error(told).kind is kind


@pytest.mark.parametrize(
    ("code", "becomes", "blamed"),
    [
        ("InvalidParameter.Size", "invalid_request", True),
        ("Throttling.AllocationQuota", "provider_overloaded", False),
        ("InternalError.Algo", "provider_error", False),
    ],
)
def test_a_failed_task_is_read_by_the_same_codes(code: str, becomes: str, blamed: bool) -> None:
    told = {"output": {"task_id": "1", "task_status": "FAILED", "code": code, "message": "m"}}
    update = wan.video_update(wire.answer(told))
    assert (update.state, update.code, update.blamed) == ("failed", becomes, blamed)


def test_answers_that_say_nothing_are_a_broken_protocol() -> None:
    recorded.broken(wan)


def test_the_dialect_is_in_the_tables() -> None:
    assert (VIDEO["wan"], VIDEO_CANCEL["wan"]) == (wan, wan)
