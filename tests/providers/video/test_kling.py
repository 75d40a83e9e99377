"""Kling's two video APIs against the recorded wire."""

import base64
import json
from typing import Any

import pytest

from providers.adapter import DUPLICATE_SUBMIT, VideoAdapter
from providers.errors import ErrorKind, ProviderError
from providers.types import Media, VideoOutput
from providers.video import VIDEO_CANCEL, VIDEO_RECALL, kling, kling_classic
from tests.providers.video.wire import FIRST, LAST, PNG, answer, asked, fixture, response, same, target

TURBO = target("kling", "kling-3.0-turbo", "api-key")
OMNI = target("kling", "kling-3.0-omni", "api-key")
OLD = target("kling_classic", "kling-v2-6", "<jwt>")
FRAMES = (Media(role="first_frame", mime="", url=FIRST), Media(role="last_frame", mime="", url=LAST))
TOKEN = "video_01JD3Z"


def test_requests_of_today() -> None:
    request = kling.video_create(asked(seconds=5.0, token=TOKEN), TURBO)
    same(request, "kling_v3/submit_request", without=("callback_url", "watermark_info"))
    request = kling.video_create(
        asked(seconds=10.0, size="1920x1080", audio=True, token=TOKEN, media=FRAMES), OMNI
    )
    same(request, "kling_v3/submit_request_omni")


def test_a_picture_decides_the_ratio_and_a_silent_shot_is_one_shot() -> None:
    model = target("kling", "kling-3.0", "api-key")
    picture = Media(role="first_frame", mime="image/png", data=base64.b64decode(PNG))
    request = kling.video_create(asked(audio=False, media=(picture,)), model)
    assert request.url == "https://api-singapore.klingai.com/image-to-video/kling-3.0"
    body = json.loads(request.body)
    assert body["settings"] == {"resolution": "720p", "duration": 8, "audio": "off", "multi_shot": False}
    assert body["contents"][1] == {"type": "first_frame", "url": f"data:image/png;base64,{PNG}"}
    assert kling.video_create(asked(audio=False), TURBO).dropped == ["audio"]


def test_requests_of_old() -> None:
    request = kling_classic.video_create(
        asked(
            seconds=5.0, size="1920x1080", negative_prompt="blur", camera_movement="pan_right", audio=True,
            token=TOKEN,
        ),
        OLD,
    )  # fmt: skip
    same(request, "kling_classic/submit_request", without=("callback_url",))
    assert (request.folded, request.operation) == ([], {"way": "text2video"})
    first = Media(role="first_frame", mime="image/png", data=base64.b64decode(PNG))
    request = kling_classic.video_create(asked(seconds=10.0, size="1920x1080", media=(first, FRAMES[1])), OLD)
    same(request, "kling_classic/submit_request_image")
    assert request.operation == {"way": "image2video"}


def test_a_movement_the_old_api_has_no_axis_for_goes_into_the_prompt() -> None:
    request = kling_classic.video_create(asked(seconds=5.0, camera_movement="tracking_shot"), OLD)
    body = json.loads(request.body)
    assert request.folded == ["camera_movement"]
    assert body["prompt"].startswith("Camera: tracking shot")
    assert "camera_control" not in body


def test_the_way_of_a_task() -> None:
    begun = kling.video_created(response("kling_v3/submit_response"))
    assert (begun.state, begun.operation) == ("queued", {"id": "901930004609634393"})
    assert begun.operation is not None
    poll, recorded = kling.video_poll(begun.operation, TURBO), fixture("kling_v3/poll_request")
    assert poll.url == f"{recorded['url']}?task_ids={recorded['query']['task_ids']}"
    assert poll.headers == recorded["headers"]
    running = kling.video_update(response("kling_v3/poll_running"))
    assert (running.state, running.retry_after) == ("in_progress", 3.0)
    done = kling.video_update(response("kling_v3/poll_succeeded"))
    assert (done.state, done.output) == ("completed", VideoOutput(seconds=5.041))
    assert done.operation is not None
    assert kling.video_content(done.operation, TURBO).url == "https://cdn.example.com/k3.mp4?Expires=1"
    old = kling_classic.video_poll({"id": "8/6", "way": "image2video"}, OLD)
    assert old.url == "https://api-singapore.klingai.com/v1/videos/image2video/8%2F6"
    assert not {"kling", "kling_classic"} & set(VIDEO_CANCEL)


@pytest.mark.parametrize("dialect", [kling, kling_classic])
@pytest.mark.parametrize("folder", ["kling_v3", "kling_classic"])
def test_either_reads_what_the_other_says(dialect: VideoAdapter, folder: str) -> None:
    done = dialect.video_update(response(f"{folder}/poll_succeeded"))
    assert (done.state, bool(done.operation and done.operation["url"])) == ("completed", True)


def test_a_list_inside_the_data_is_read_too() -> None:
    task = {"id": "1", "status": "processing"}
    assert (
        kling.video_update(answer({"code": 0, "data": {"count": 1, "result": [task]}})).state == "in_progress"
    )
    assert kling.video_update(answer({"code": 0, "data": {"count": 0, "result": []}})).state == "gone"


def test_a_task_is_found_by_our_own_token_once_kling_knows_it() -> None:
    assert kling.error(response("kling_v3/error_duplicate_external_id")).code == DUPLICATE_SUBMIT
    assert VIDEO_RECALL["kling"] is kling
    poll = kling.video_poll(kling.video_recall("video_1-1"), TURBO)
    assert poll.url == "https://api-singapore.klingai.com/tasks?external_task_ids=video_1-1"
    found = kling.video_update(response("kling_v3/poll_running"))
    assert found.operation == {"id": "901930004609634393"}


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        (1002, 401, ErrorKind.AUTHENTICATION),
        (1102, 429, ErrorKind.QUOTA),
        (1201, 400, ErrorKind.INVALID_REQUEST),
        (1301, 400, ErrorKind.CONTENT_POLICY),
        (1303, 429, ErrorKind.RATE_LIMITED),
        (1303, 200, ErrorKind.RATE_LIMITED),
        (5000, 500, ErrorKind.UNAVAILABLE),
    ],
)
def test_kling_says_it_by_its_own_codes_whatever_the_status(code: int, status: int, kind: ErrorKind) -> None:
    told = answer({"code": code, "message": "No.", "request_id": "r"}, status)
    assert kling.error(told).kind is kind
    for read in (kling.video_created, kling.video_update):
        with pytest.raises(ProviderError) as raised:
            read(told)
        assert raised.value.kind is kind


@pytest.mark.parametrize("data", [None, [], "x", {}, {"id": 1}, [{"status": "succeeded"}]])
def test_an_answer_without_a_task_is_no_acceptance(data: Any) -> None:
    with pytest.raises(ProviderError) as broken:
        kling.video_created(answer({"code": 0, "data": data}))
    assert broken.value.kind is ErrorKind.PROTOCOL


def test_a_task_that_is_done_without_a_file_has_failed() -> None:
    told = {"code": 0, "data": {"task_id": "1", "task_status": "succeed", "task_result": {"videos": []}}}
    assert kling_classic.video_update(answer(told)).state == "failed"
