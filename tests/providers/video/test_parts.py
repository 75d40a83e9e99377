"""What requests of several providers have in common."""

import pytest
from msgspec.structs import replace

from providers.errors import ErrorKind, ProviderError
from providers.types import Media, Quirks, Secret, Target, VideoLimits
from providers.video import parts
from providers.video.fields import fit
from tests.providers.video import recorded
from tests.providers.video.recorded import LAST_LINK, LINK, PICTURE, REFERENCE, REQUEST

TARGET = Target(
    provider="p", dialect="d", base_url="https://api.p.example", model="m", credential=Secret("k"),
    headers={"x-team": "a"},
)  # fmt: skip


def test_fields_without_a_value_are_not_sent_and_quirks_apply() -> None:
    target = replace(TARGET, quirks=Quirks(drop=("seed",), rename={"size": "resolution"}, force={"steps": 4}))
    fields = {"prompt": "p", "seed": 1, "size": "720p", "ratio": None, "watermark": False}
    for request in (
        parts.post(target, "videos", fields, fit(REQUEST, target), {"x-own": "b"}),
        parts.post_form(target, "videos", fields, fit(REQUEST, target), ()),
    ):
        form = request.headers["content-type"].startswith("multipart/")
        sent = recorded.form(request)[0] if form else recorded.body(request)
        assert sent.keys() == {"prompt", "resolution", "watermark", "steps"}
        assert (request.method, request.url) == ("POST", "https://api.p.example/videos")
        assert request.dropped == ["seed"]
        assert request.headers.items() >= {("authorization", "Bearer k"), ("x-team", "a")}
        assert form or request.headers["x-own"] == "b"


def test_two_files_under_one_name_both_arrive() -> None:
    cats = [Media(role="reference_image", mime="image/png", data=data) for data in (b"one", b"two")]
    request = parts.post_form(TARGET, "v", {"a": "b"}, fit(REQUEST, TARGET), [("cats", cat) for cat in cats])
    assert request.body.count(b'name="cats"; filename="cats.png"') == 2
    assert b"one" in request.body
    assert b"two" in request.body


def test_words_and_pictures_are_parts_of_one_content() -> None:
    first, second = parts.content(replace(REQUEST, media=(PICTURE,)))
    assert first == {"type": "text", "text": REQUEST.prompt}
    assert second["role"] == "first_frame"
    assert second["image_url"]["url"].startswith("data:image/png;base64,")


def test_frames_and_references_exclude_each_other() -> None:
    parts.check_modes((LINK, LAST_LINK))
    parts.check_modes((REFERENCE, REFERENCE))
    with pytest.raises(ProviderError) as refused:
        parts.check_modes((LINK, REFERENCE))
    assert (refused.value.kind, refused.value.param) == (ErrorKind.UNSUPPORTED, "reference_image")


@pytest.mark.parametrize(
    ("audio", "told"), [(None, True), ("switch", True), ("always", None), ("never", None)]
)
def test_sound_is_a_matter_for_models_that_can_be_told(audio: str | None, told: bool | None) -> None:
    target = replace(TARGET, video=VideoLimits(audio=audio))
    assert parts.sound(replace(REQUEST, audio=True), target) is told


@pytest.mark.parametrize(("seconds", "whole"), [(None, None), (8.0, 8)])
def test_whole_seconds(seconds: float | None, whole: int | None) -> None:
    assert parts.whole_seconds(seconds) == whole
    with pytest.raises(ProviderError) as refused:
        parts.whole_seconds(5.5)
    assert (refused.value.kind, refused.value.param) == (ErrorKind.UNSUPPORTED, "seconds")
