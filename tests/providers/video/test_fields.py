"""What becomes of fields a provider does not have."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.errors import ErrorKind, ProviderError
from providers.types import Media, Target, VideoLimits, VideoRequest
from providers.video.fields import Words, fit, fold, units
from providers.video.shapes import Shape

PICTURE = Media(role="first_frame", mime="image/png", data=b"x")
LINK = Media(role="first_frame", mime="", url="https://a.example/1.png")


def target(**limits: Any) -> Target:
    return Target(
        provider="p", dialect="d", base_url="https://p.example", model="m", video=VideoLimits(**limits)
    )


def asked(**fields: Any) -> VideoRequest:
    return VideoRequest(model="m", **({"prompt": "A red kite", "seconds": 4.0, "size": "1280x720"} | fields))


def test_words_go_into_the_prompt_in_a_fixed_order() -> None:
    words = Words(
        prompt="A red kite",
        negative_prompt="blur, text",
        style_preset="noir",
        camera_movement="dolly_forward",
    )
    prompt, folded = fold(words, ())
    assert prompt == (
        "Camera: slow dolly forward. A red kite. Style: film noir, high contrast black and white, hard shadows. "
        "Avoid: blur, text."
    )
    assert folded == ["camera_movement", "style_preset", "negative_prompt"]
    assert fold(words, None) == ("A red kite", [])
    assert fold(words, ("negative_prompt", "style_preset"))[0] == "Camera: slow dolly forward. A red kite."


def test_words_nobody_knows_are_taken_as_they_are() -> None:
    assert fold(Words(prompt="A kite!", style_preset="oil_on_glass"), ())[0] == "A kite! Style: oil on glass."
    assert fold(Words(prompt="A kite", style_preset="  "), ()) == ("A kite", [])


@given(st.text(max_size=30), st.sampled_from([None, (), ("seed",)]))
def test_a_prompt_alone_is_never_touched(prompt: str, native: Any) -> None:
    assert fold(Words(prompt=prompt), native) == (prompt, [])
    assert units(prompt) >= len(prompt)


def test_what_is_folded_or_dropped_is_not_sent_as_a_field() -> None:
    fitted = fit(
        asked(seed=7, negative_prompt="blur", audio=False),
        target(fields=(), audio="always", ratios={"720p": ("16:9",)}),
    )
    request = fitted.request
    assert (request.seed, request.negative_prompt, request.audio) == (None, None, None)
    assert (fitted.folded, fitted.dropped) == (["negative_prompt"], ["seed", "audio"])
    assert fitted.shape == Shape("16:9", "720p")


def test_what_a_target_has_a_field_for_stays() -> None:
    request = asked(seed=0, negative_prompt="blur", audio=True, media=(PICTURE,))
    fitted = fit(request, target(fields=("seed", "negative_prompt"), inputs=("first_frame",), audio="switch"))
    assert fitted.request == request
    assert (fitted.shape, fitted.media("first_frame"), fitted.media("last_frame")) == (None, PICTURE, None)


@pytest.mark.parametrize(
    ("limits", "fields", "param"),
    [
        ({"ratios": {"720p": ("1:1",)}}, {}, "size"),
        ({"inputs": ()}, {"media": (PICTURE,)}, "first_frame"),
        ({"needs": ("first_frame",)}, {}, "first_frame"),
        ({"audio": "never"}, {"audio": True}, "audio"),
        ({"uploads": False}, {"media": (PICTURE,)}, "input_reference"),
        ({"links": False}, {"media": (LINK,)}, "input_reference"),
        ({"max_prompt": 5}, {}, "prompt"),
        ({}, {"operation": "remix"}, "operation"),
    ],
)
def test_what_a_target_cannot_do_leaves_the_job_to_another(
    limits: dict[str, Any], fields: dict[str, Any], param: str
) -> None:
    with pytest.raises(ProviderError) as refused:
        fit(asked(**fields), target(**limits))
    assert (refused.value.kind, refused.value.param, refused.value.sent) == (
        ErrorKind.UNSUPPORTED,
        param,
        False,
    )
