"""vLLM-Omni's Videos API against the recorded wire: forms only, and failed jobs behind a 500."""

from typing import Any

import pytest
from msgspec.structs import replace

from providers.errors import ErrorKind, ProviderError
from providers.types import Media, Quirks, VideoOutput
from providers.video import VIDEO, VIDEO_CANCEL, vllm_omni
from tests.providers.video import recorded, wire
from tests.providers.video.recorded import LINK, PICTURE, REQUEST

BASE = "http://gpu.example.internal:8091/v1"
MODEL = "Wan-AI/Wan2.2-T2V-A14B-Diffusers"
TARGET = replace(wire.target("vllm_omni", MODEL, ""), base_url=BASE)
FIVE = replace(REQUEST, seconds=5.0)


def test_a_submit_is_the_recorded_form() -> None:
    quirks = Quirks(force={"fps": 24, "num_inference_steps": 40, "guidance_scale": 4.0})
    asked = replace(FIVE, seed=42, negative_prompt="blur")
    request = vllm_omni.video_create(asked, replace(TARGET, quirks=quirks))
    expected = wire.fixture("vllm_omni/submit_request")
    texts, files = recorded.form(request)
    assert (request.method, request.url) == (expected["method"], expected["url"])
    assert texts == dict(expected["form"]) | {"model": MODEL}
    assert files == {}


def test_pictures_are_files() -> None:
    reference = Media(role="reference_image", mime="image/webp", data=b"cat")
    texts, files = recorded.form(vllm_omni.video_create(replace(FIVE, media=(PICTURE, reference)), TARGET))
    assert set(texts) == {"prompt", "model", "seconds", "size"}
    assert files == {
        "input_reference": ("input_reference.png", "image/png", PICTURE.data),
        "input_references": ("input_references.webp", "image/webp", b"cat"),
    }


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"media": (LINK,)}, "input_reference"),
        ({"media": (Media(role="source_video", mime="video/mp4", data=b"x"),)}, "source_video"),
        ({"seconds": 5.5}, "seconds"),
        ({"operation": "remix", "source": {"id": "1"}}, "operation"),
    ],
)
def test_what_it_cannot_be_told_goes_elsewhere(changes: dict[str, Any], param: str) -> None:
    with pytest.raises(ProviderError) as refused:
        vllm_omni.video_create(replace(FIVE, **changes), TARGET)
    assert (refused.value.kind, refused.value.param) == (ErrorKind.UNSUPPORTED, param)


def test_words_it_has_no_field_for_are_in_the_prompt() -> None:
    asked = replace(FIVE, style_preset="/etc/passwd", camera_movement="pan_left", audio=True)
    request = vllm_omni.video_create(asked, TARGET)
    texts, _ = recorded.form(request)
    assert texts.keys() == {"prompt", "model", "seconds", "size", "generate_sound"}
    assert request.folded == ["camera_movement", "style_preset"]


def test_a_finished_video_is_fetched_where_it_was_made() -> None:
    update = vllm_omni.video_update(wire.response("vllm_omni/poll_succeeded"))
    assert update.output == VideoOutput(width=1280, height=720, fps=24, seconds=5.04)
    operation = vllm_omni.video_created(wire.response("vllm_omni/submit_response")).operation
    assert operation is not None
    url = f"{BASE}/videos/video_gen_1a2b3c"
    assert vllm_omni.video_poll(operation, TARGET).url == url
    content, cancel = vllm_omni.video_content(operation, TARGET), vllm_omni.video_cancel(operation, TARGET)
    assert (content.url, content.headers) == (f"{url}/content", {})
    assert (cancel.method, cancel.url) == ("DELETE", url)


def test_a_file_that_is_not_ready_is_not_found() -> None:
    assert vllm_omni.error(wire.response("vllm_omni/content_not_ready")).kind is ErrorKind.NOT_FOUND


def test_a_restarted_server_has_lost_its_jobs() -> None:
    update = vllm_omni.video_update(wire.answer({"detail": "Video not found"}, 404))
    assert (update.state, update.code) == ("gone", "job_lost")


def test_the_dialect_is_in_the_tables() -> None:
    assert (VIDEO["vllm_omni"], VIDEO_CANCEL["vllm_omni"]) == (vllm_omni, vllm_omni)
