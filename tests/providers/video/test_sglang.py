"""SGLang's Videos API against the recorded wire: JSON, or a form with a file, and no path either way."""

from typing import Any

import pytest
from msgspec.structs import replace

from providers.errors import ErrorKind, ProviderError
from providers.types import Media, Quirks, VideoOutput
from providers.video import VIDEO, VIDEO_CANCEL, sglang
from tests.providers.video import recorded, wire
from tests.providers.video.recorded import LINK, PICTURE, REQUEST

BASE = "http://gpu.example.internal:30000/v1"
TARGET = replace(wire.target("sglang", "Wan-AI/Wan2.2-T2V-A14B-Diffusers", ""), base_url=BASE)
FIVE = replace(REQUEST, seconds=5.0)


def test_a_submit_is_the_recorded_one() -> None:
    quirks = Quirks(force={"fps": 24, "num_inference_steps": 40})
    asked = replace(FIVE, seed=42, negative_prompt="blur")
    request = sglang.video_create(asked, replace(TARGET, quirks=quirks))
    wire.same(request, "sglang/submit_request")


def test_a_picture_is_a_file() -> None:
    texts, files = recorded.form(sglang.video_create(replace(FIVE, media=(PICTURE,)), TARGET))
    assert files == {"input_reference": ("input_reference.png", "image/png", PICTURE.data)}
    assert (texts["seconds"], texts["size"]) == ("5", "1280x720")


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"media": (LINK,)}, "input_reference"),
        ({"media": (Media(role="last_frame", mime="image/png", data=b"x"),)}, "last_frame"),
        ({"audio": True}, "audio"),
        ({"seconds": 5.5}, "seconds"),
    ],
)
def test_what_it_cannot_be_told_goes_elsewhere(changes: dict[str, Any], param: str) -> None:
    with pytest.raises(ProviderError) as refused:
        sglang.video_create(replace(FIVE, **changes), TARGET)
    assert (refused.value.kind, refused.value.param) == (ErrorKind.UNSUPPORTED, param)


def test_a_finished_video_is_known_by_its_id_and_never_by_a_path() -> None:
    update = sglang.video_update(wire.response("sglang/poll_succeeded"))
    assert (update.operation, update.output) == (None, VideoOutput(width=1280, height=720, seconds=5))
    operation = sglang.video_created(wire.response("sglang/submit_response")).operation
    assert operation == {"id": "7c9e"}
    assert sglang.video_poll(operation, TARGET).url == f"{BASE}/videos/7c9e"
    assert (
        sglang.video_content(operation, TARGET).url == f"{BASE}/videos/7c9e/content"
    )  # it refuses a variant


def test_progress_is_told() -> None:
    assert sglang.video_update(wire.response("sglang/poll_running")).progress == 35


def test_a_job_that_somebody_deleted_is_over() -> None:
    update = sglang.video_update(wire.response("sglang/delete_response"))
    assert (update.state, update.code) == ("failed", "cancelled")


def test_a_job_cannot_be_stopped() -> None:
    assert (VIDEO["sglang"], "sglang" in VIDEO_CANCEL) == (sglang, False)
