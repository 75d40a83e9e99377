"""From what clients send to an order, or to a refusal that says what would be right."""

import base64
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.local.engine import IMAGE, Model
from providers.local.fields import fingerprint, json_fields, read_change, read_order, read_remix, unbracketed
from providers.local.refusal import RefusalError
from providers.local.testcard import MODEL
from providers.mp4 import Clip

PNG = b"\x89PNG\r\n\x1a\n and so on"
STRICT = Model(
    id="strict", min_edge=1, max_short_edge=9999, max_long_edge=9999, sizes=("832x480",), default_size="832x480",
    min_seconds=2, max_seconds=5, default_seconds=3, fps=16,
)  # fmt: skip
DIFFUSION = msgspec.structs.replace(
    STRICT, id="diffusion", operations=("generate", "remix"), sizes=None, image="required", last_frame=True,
    style_presets=("noir",), camera_movements=("pan_left",), redraws=True,
)  # fmt: skip
REFUSED: list[tuple[dict[str, Any], str, str]] = [
    # fields beside the prompt, the field named, a part of the message
    ({"prompt": None}, "prompt", "required"),
    ({"prompt": "   "}, "prompt", "required"),
    ({"prompt": "x" * 32_001}, "prompt", "32001 characters: at most 32000"),
    ({"prompt": ["a"]}, "prompt", "a list: it must be text"),
    ({"model": "sora-2"}, "model", "'sora-2': it must be one of testcard, strict, diffusion"),
    ({"seconds": "0"}, "seconds", "'0': it must be a number from 1 to 60"),
    ({"seconds": "61"}, "seconds", "'61'"),
    ({"seconds": "four"}, "seconds", "'four'"),
    ({"seconds": True}, "seconds", "True"),
    ({"seconds": "1e1"}, "seconds", "'1e1'"),
    ({"size": "wide"}, "size", "'wide': it must be WIDTHxHEIGHT in pixels, such as 720x1280"),
    ({"size": 720}, "size", "720"),
    ({"size": "63x64"}, "size", "from 64x64 to 1920x1080 or 1080x1920"),
    ({"size": "1081x1081"}, "size", "'1081x1081'"),
    ({"size": "99999x64"}, "size", "'99999x64'"),
    ({"model": "strict", "size": "480x832"}, "size", "one of 832x480"),
    ({"seed": -1}, "seed", "-1: it must be a whole number"),
    ({"seed": 2**63}, "seed", "from 0 to"),
    ({"seed": "9" * 5000}, "seed", "whole number"),
    ({"seed": 1.5}, "seed", "1.5"),
    ({"style_preset": {"a": 1}}, "style_preset", "an object: it must be text"),
    ({"camera_movement": "x" * 201}, "camera_movement", "at most 200"),
    ({"input_reference": "/etc/passwd"}, "input_reference", "an uploaded file"),
    ({"input_reference": b"MZ"}, "input_reference", "a file of 2 bytes: it must be a PNG, JPEG or WebP"),
    ({"input_reference": PNG + bytes(20 * 2**20)}, "input_reference", "at most 20971520 bytes"),
    ({"input_reference": {"image_url": "https://a.example/b.png"}}, "input_reference", "data URL"),
    ({"input_reference": {"image_url": "data:image/png;base64,%%%"}}, "input_reference", "can be read"),
    ({"input_reference": {"file_id": "file_1"}}, "input_reference", "data URL"),
    (
        {"model": "diffusion"},
        "input_reference",
        "is missing: send a picture to start from, this model starts",
    ),
    (
        {"last_frame": PNG},
        "input_reference",
        "is missing: send a picture to start from, 'last_frame' needs it",
    ),
    ({"input_reference": PNG, "last_frame": PNG}, "last_frame", "left out: the model testcard takes none"),
    (
        {"input_reference": PNG, "last_frame": b"MZ", "model": "diffusion"},
        "last_frame",
        "a PNG, JPEG or WebP",
    ),
    ({"model": "diffusion", "input_reference": PNG, "style_preset": "rococo"}, "style_preset", "one of noir"),
    ({"model": "diffusion", "input_reference": PNG, "camera_movement": "up"}, "camera_movement", "pan_left"),
]


def read(**fields: Any) -> Any:
    given_fields = {
        name: value for name, value in {"prompt": "a kite", **fields}.items() if value is not None
    }
    return read_order(given_fields, (MODEL, STRICT, DIFFUSION))


def test_the_prompt_alone_is_enough() -> None:
    order, inputs = read()
    assert (order.model, order.size, order.seconds, inputs) == ("testcard", "720x1280", 4, {})
    assert read()[0].seed != order.seed  # drawn anew each time


@pytest.mark.parametrize("seconds", ["8", 8, 8.0, "8.0"])
@pytest.mark.parametrize("seed", ["42", 42])
def test_numbers_may_come_as_text(seconds: Any, seed: Any) -> None:
    order, _ = read(seconds=seconds, seed=seed)
    assert (order.seconds, order.seed) == (8, 42)


@pytest.mark.parametrize(("fields", "param", "message"), REFUSED)
def test_a_refusal_names_the_field_the_value_and_what_is_allowed(
    fields: dict[str, Any], param: str, message: str
) -> None:
    with pytest.raises(RefusalError) as refused:
        read(**fields)
    assert (refused.value.status, refused.value.param) == (400, param)
    assert f"'{param}'" in refused.value.message
    assert message in refused.value.message


def test_a_picture_comes_as_a_file_or_as_a_data_url() -> None:
    url = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
    for reference in (PNG, {"image_url": url}):
        order, inputs = read(input_reference=reference)
        assert (order.image, inputs) == (True, {IMAGE: PNG})


def test_a_remix_draws_over_the_video_where_the_model_can_and_is_made_anew_elsewhere() -> None:
    models = (MODEL, DIFFUSION)
    anew = read_remix({"prompt": "x"}, read(seed=3)[0], models)
    assert (anew.operation, anew.clip, anew.seed, anew.prompt) == ("remix", False, 3, "x")
    first, _ = read(model="diffusion", input_reference=PNG, last_frame=PNG, seed=3, style_preset="noir")
    fields = {"prompt": "x", "strength": "0.4", "seed": 4, "camera_movement": "pan_left"}
    over = read_remix(fields, first, models)
    assert (over.operation, over.clip, over.image, over.last_frame) == ("remix", True, False, False)
    assert (over.strength, over.seed, over.style_preset, over.camera_movement) == (0.4, 4, "noir", "pan_left")
    assert (over.size, over.seconds) == (first.size, first.seconds)


@pytest.mark.parametrize("strength", [0, "0", 1.1, -1, "much", True])
def test_a_strength_is_a_share(strength: Any) -> None:
    with pytest.raises(RefusalError, match=r"'strength' is .*: it must be a number above 0, up to 1"):
        read_remix({"prompt": "x", "strength": strength}, read()[0], (MODEL,))


def test_an_operation_that_the_model_cannot_do_is_refused_with_those_it_can() -> None:
    fields = {"prompt": "x", "model": "diffusion"}
    with pytest.raises(RefusalError, match="The model diffusion cannot extend: it can generate, remix"):
        read_change("extend", fields, Clip(width=64, height=64, seconds=1), (MODEL, DIFFUSION))


def test_a_forms_names_become_objects_and_lists() -> None:
    parts = [
        ("seed", "42"),
        ("metadata[team]", "ads"),
        ("metadata[lead]", "x"),
        ("tags[]", "x"),
        ("tags[]", "y"),
    ]
    assert unbracketed(parts) == {"seed": "42", "metadata": {"team": "ads", "lead": "x"}, "tags": ["x", "y"]}


@given(st.lists(st.tuples(st.text("ab[]", max_size=6), st.text(max_size=2))))
def test_no_form_breaks_the_reader(parts: list[tuple[str, str]]) -> None:
    assert isinstance(unbracketed(parts), dict)


@pytest.mark.parametrize("body", [b"", b"[]", b'"x"', b"{", b"\xff"])
def test_a_body_that_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(RefusalError, match="not a JSON object"):
        json_fields(body)


def test_the_fingerprint_is_of_what_counts() -> None:
    assert fingerprint({"prompt": "x", "seed": 1}) == fingerprint({"seed": 1, "prompt": "x", "unknown": 2})
    assert fingerprint({"prompt": "x"}) != fingerprint({"prompt": "y"})
    assert fingerprint({"input_reference": b"a"}) != fingerprint({"input_reference": b"b"})
