"""OpenAI's Videos dialect against the recorded wire, and against what its imitations answer instead."""

import base64
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.errors import ErrorKind, ProviderError
from providers.types import (
    HttpResponse,
    Media,
    Quirks,
    Secret,
    Target,
    VideoOutput,
    VideoRequest,
)
from providers.video import VIDEO, VIDEO_CANCEL, openai
from tests.providers.video.recorded import form

FIXTURES = Path(__file__).parents[2] / "fixtures/video/openai"
TARGET = Target(
    provider="sora",
    dialect="openai",
    base_url="https://api.openai.com/v1",
    model="sora-2",
    credential=Secret("sk-test"),
)
REQUEST = VideoRequest(
    model="video", prompt="A red kite over a grey sea, slow tracking shot", seconds=8.0, size="1280x720"
)
JOB = {"id": "video_68f0aa11"}
VIDEO_BODY = {"id": "7c9e", "object": "video", "status": "failed", "size": "1280x720", "seconds": "5"}
ALL_KINDS = {
    "error_400_seconds": (ErrorKind.INVALID_REQUEST, "seconds"),
    "error_400_size_mismatch": (ErrorKind.INVALID_REQUEST, None),
    "error_401": (ErrorKind.AUTHENTICATION, None),
    "error_404": (ErrorKind.NOT_FOUND, None),
    "error_429": (ErrorKind.RATE_LIMITED, None),
}


def fixture(name: str) -> Any:
    return json.loads((FIXTURES / f"{name}.json").read_text())


def response(name: str) -> HttpResponse:
    told = fixture(name)
    return HttpResponse(
        status=told["status"], headers=told["headers"], body=json.dumps(told["json"]).encode()
    )


def answer(body: Any, status: int = 200, **headers: str) -> HttpResponse:
    return HttpResponse(status=status, headers=headers, body=json.dumps(body).encode())


def change(request: VideoRequest = REQUEST, **changes: Any) -> VideoRequest:
    return msgspec.structs.replace(request, **changes)


def test_a_create_without_media_is_json() -> None:
    request = openai.video_create(change(token="attempt-1"), TARGET)
    assert (request.method, request.url) == ("POST", "https://api.openai.com/v1/videos")
    assert request.headers == {
        "content-type": "application/json",
        "authorization": "Bearer sk-test",
        "idempotency-key": "attempt-1",
    }
    assert json.loads(request.body) == dict(fixture("submit_request")["form"])


def test_only_what_was_asked_for_is_sent() -> None:
    bare = json.loads(openai.video_create(VideoRequest(model="m", prompt="p"), TARGET).body)
    assert bare == {"prompt": "p", "model": "sora-2"}
    extensions: dict[str, Any] = {
        "seed": 0,
        "negative_prompt": "blur",
        "style_preset": "noir",
        "camera_movement": "pan_left",
    }
    assert json.loads(openai.video_create(change(**extensions), TARGET).body).items() >= extensions.items()
    assert "idempotency-key" not in openai.video_create(REQUEST, TARGET).headers


@pytest.mark.parametrize(("seconds", "text"), [(4.0, "4"), (5.5, "5.5"), (12, "12")])
def test_seconds_are_text(seconds: float, text: str) -> None:
    assert json.loads(openai.video_create(change(seconds=seconds), TARGET).body)["seconds"] == text


def test_a_picture_is_sent_as_a_file() -> None:
    expected = fixture("submit_request_file")
    (file,) = expected["files"]
    data = base64.b64decode(file["base64"])
    media = (Media(role="first_frame", mime="image/png", data=data),)
    request = openai.video_create(change(seconds=4, size="720x1280", media=media), TARGET)
    texts, files = form(request)
    assert texts == dict(expected["form"])
    assert files == {"input_reference": ("input_reference.png", "image/png", data)}


@given(
    prompt=st.text(max_size=40),
    data=st.binary(min_size=1, max_size=200),
    seed=st.none() | st.integers(0, 2**63 - 1),
)
def test_any_words_and_bytes_arrive_and_a_retry_sends_the_same_bytes(
    prompt: str, data: bytes, seed: int | None
) -> None:
    asked = change(prompt=prompt, seed=seed, media=(Media(role="first_frame", mime="image/webp", data=data),))
    request = openai.video_create(asked, TARGET)
    texts, files = form(request)
    assert (texts["prompt"], texts.get("seed")) == (prompt, None if seed is None else str(seed))
    assert files["input_reference"][2] == data
    assert openai.video_create(asked, TARGET) == request


def test_a_link_to_a_picture_is_sent_as_a_link() -> None:
    media = (Media(role="reference_image", mime="image/png", url="https://assets.example.com/first.png"),)
    body = json.loads(openai.video_create(change(media=media), TARGET).body)
    assert body["input_reference"] == {"image_url": "https://assets.example.com/first.png"}


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"media": (Media(role="last_frame", mime="image/png", data=b"x"),)}, "last_frame"),
        ({"media": (Media(role="source_video", mime="video/mp4", data=b"x"),)}, "source_video"),
        ({"media": (Media(role="first_frame", mime="image/png", data=b"x"),) * 2}, "input_reference"),
        ({"operation": "upscale"}, "operation"),
        ({"operation": "extend"}, "video"),
        ({"operation": "remix"}, "source"),
    ],
)
def test_what_the_dialect_cannot_say_leaves_the_job_to_another_target(
    changes: dict[str, Any], param: str
) -> None:
    with pytest.raises(ProviderError) as refused:
        openai.video_create(change(**changes), TARGET)
    assert (refused.value.kind, refused.value.param, refused.value.sent) == (
        ErrorKind.UNSUPPORTED,
        param,
        False,
    )


def test_a_servers_quirks_apply_and_lost_parameters_are_told() -> None:
    quirks = Quirks(drop=("seed",), rename={"size": "resolution"}, force={"steps": 4})
    target = msgspec.structs.replace(TARGET, quirks=quirks, headers={"x-team": "a"})
    media = (Media(role="first_frame", mime="image/png", data=b"x"),)
    for changed in (change(seed=1), change(seed=1, media=media)):
        request = openai.video_create(changed, target)
        fields = form(request)[0] if changed.media else json.loads(request.body)
        assert (request.dropped, "seed" in fields) == (["seed"], False)
        assert (fields["resolution"], int(fields["steps"])) == ("1280x720", 4)
        assert request.headers["x-team"] == "a"


def test_a_remix_names_its_source() -> None:
    expected = fixture("remix_request")
    asked = change(prompt="Same scene at night", operation="remix", source=JOB, token="t")
    request = openai.video_create(asked, TARGET)
    assert (request.method, request.url) == (expected["method"], expected["url"])
    assert json.loads(request.body) == expected["json"]
    assert request.headers["idempotency-key"] == "t"


def test_polls_fetches_and_cancels_of_an_accepted_job() -> None:
    update = openai.video_created(response("submit_response"))
    assert (update.state, update.operation, update.progress) == ("queued", JOB, 0)
    assert update.operation is not None
    url = "https://api.openai.com/v1/videos/video_68f0aa11"
    poll = openai.video_poll(update.operation, TARGET)
    assert (poll.method, poll.url) == ("GET", fixture("poll_request")["url"])
    assert openai.video_content(update.operation, TARGET).url == f"{url}/content"
    cancel = openai.video_cancel(update.operation, TARGET)
    assert (cancel.method, cancel.url, cancel.body) == ("DELETE", url, b"")
    for request in (poll, cancel):
        assert request.headers == {"authorization": "Bearer sk-test"}


def test_an_id_never_leads_to_another_path() -> None:
    assert openai.video_poll({"id": "../models?x=1#"}, TARGET).url.endswith("/videos/..%2Fmodels%3Fx%3D1%23")


def test_a_running_job() -> None:
    update = openai.video_update(response("poll_running"))
    assert (update.state, update.progress, update.retry_after) == ("in_progress", 33, 5.0)
    assert (update.operation, update.output, update.code) == (None, None, "")


def test_a_completed_job() -> None:
    update = openai.video_update(response("poll_succeeded"))
    assert (update.state, update.progress) == ("completed", 100)
    assert update.output == VideoOutput(width=1280, height=720, seconds=8.0)


def test_a_moderated_job_is_the_requests_fault() -> None:
    update = openai.video_update(response("poll_failed"))
    assert (update.state, update.code, update.blamed) == ("failed", "moderation_blocked", True)
    assert update.message == "The request was rejected by content moderation."


@pytest.mark.parametrize(
    ("body", "status", "code", "message"),
    [
        (
            VIDEO_BODY | {"error": {"code": 500, "message": "CUDA out of memory"}},
            500,
            "provider_error",
            "CUDA",
        ),
        (
            VIDEO_BODY | {"error": {"message": "CUDA out of memory"}},
            200,
            "provider_error",
            "CUDA out of memory",
        ),
        (VIDEO_BODY | {"error": "CUDA out of memory"}, 200, "provider_error", "CUDA out of memory"),
        (VIDEO_BODY | {"error": None}, 200, "provider_error", "gave the video up (failed)"),
        (VIDEO_BODY | {"status": "cancelled"}, 200, "cancelled", "cancelled"),
        (VIDEO_BODY | {"status": "deleted"}, 200, "cancelled", "deleted"),
        (VIDEO_BODY | {"status": "expired"}, 200, "job_expired", "expired"),
        (
            VIDEO_BODY | {"error": {"code": "engine_crashed", "message": "twice"}},
            200,
            "engine_crashed",
            "twice",
        ),
    ],
)
def test_every_servers_way_of_failing_is_final_and_not_the_requests_fault(
    body: dict[str, Any], status: int, code: str, message: str
) -> None:
    update = openai.video_update(answer(body, status))
    assert (update.state, update.code, update.blamed) == ("failed", code, False)
    assert message in update.message


@pytest.mark.parametrize("code", ["content_policy_violation", "sentinel_block", "invalid_input_reference"])
def test_codes_that_blame_the_request(code: str) -> None:
    assert openai.video_update(answer(VIDEO_BODY | {"error": {"code": code, "message": ""}})).blamed


def test_what_vllm_omni_tells_of_a_finished_video() -> None:
    body = VIDEO_BODY | {"status": "completed", "progress": 100, "fps": 24, "duration_s": 5.04}
    assert openai.video_update(answer(body)).output == VideoOutput(
        width=1280, height=720, fps=24, seconds=5.04
    )


@pytest.mark.parametrize("word", ["thinking", "", "preprocessing"])
def test_a_word_nobody_knows_means_still_running(word: str) -> None:
    assert openai.video_update(answer(VIDEO_BODY | {"status": word})).state == "in_progress"


def test_a_lost_job_is_gone() -> None:
    update = openai.video_update(response("error_404"))
    assert (update.state, update.code, update.blamed) == ("gone", "job_lost", False)


@pytest.mark.parametrize(("name", "kind", "param"), [(name, *what) for name, what in ALL_KINDS.items()])
def test_errors_are_what_they_say(name: str, kind: ErrorKind, param: str | None) -> None:
    told = openai.error(response(name))
    assert (told.kind, told.param) == (kind, param)
    assert told.retry_after == (20 if name == "error_429" else None)
    if name != "error_404":
        with pytest.raises(ProviderError) as raised:
            openai.video_update(response(name))
        assert raised.value.kind is kind


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("unsupported_value", 400, ErrorKind.UNSUPPORTED),
        ("model_not_found", 400, ErrorKind.NOT_FOUND),
        ("queue_full", 429, ErrorKind.RATE_LIMITED),
        ("engine_starting", 503, ErrorKind.OVERLOADED),
        ("moderation_blocked", 400, ErrorKind.CONTENT_POLICY),
        (None, 500, ErrorKind.UNAVAILABLE),
    ],
)
def test_errors_of_our_own_worker(code: str | None, status: int, kind: ErrorKind) -> None:
    assert openai.error(answer({"error": {"message": "m", "code": code}}, status)).kind is kind


@pytest.mark.parametrize("body", [b"", b"null", b"<html>", b"{}", b'{"id":1,"status":"queued"}', b"\xff"])
def test_an_answer_that_is_no_video_is_a_broken_protocol(body: bytes) -> None:
    for read in (openai.video_created, openai.video_update):
        with pytest.raises(ProviderError) as broken:
            read(HttpResponse(status=200, headers={}, body=body))
        assert broken.value.kind is ErrorKind.PROTOCOL


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=4,
)


@given(
    st.dictionaries(
        st.sampled_from(["progress", "size", "seconds", "output", "fps", "duration_s"]), json_values
    ),
    st.sampled_from(["queued", "completed", "failed", "x"]),
)
def test_no_odd_field_breaks_the_reading_of_a_poll(odd: dict[str, Any], status: str) -> None:
    update = openai.video_update(answer({"id": "v", "status": status} | odd))
    assert update.state in ("queued", "in_progress", "completed", "failed")
    assert update.progress is None or 0 <= update.progress <= 100


def test_the_dialect_is_in_the_tables() -> None:
    assert (VIDEO["openai"], VIDEO_CANCEL["openai"]) == (openai, openai)
