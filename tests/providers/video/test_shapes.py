"""Sizes and ratios: the nearest shape on offer, or none; never another tier."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.video.shapes import TOLERANCE, Shape, pixels, shape, tier

ALL = ("16:9", "9:16", "1:1", "4:3", "3:4", "21:9")
OFFERED = {"480p": ALL, "720p": (*ALL, "1104:832"), "1080p": ("1920:1080",)}


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ("1280x720", Shape("16:9", "720p")),
        ("720x1280", Shape("9:16", "720p")),
        ("1024x576", Shape("16:9", "720p")),
        ("1920x1080", Shape("1920:1080", "1080p")),
        ("1792x1024", Shape("1920:1080", "1080p")),
        ("1024x1792", None),
        ("1280x800", None),
        ("1104x832", Shape("1104:832", "720p")),
        ("1102x832", None),
        ("3840x2160", None),
        ("854x480", Shape("16:9", "480p")),
    ],
)
def test_the_nearest_shape(size: str, expected: Shape | None) -> None:
    assert shape(size, OFFERED) == expected


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ("520x900", "480p"), ("521x900", "720p"), ("768x1344", "720p"), ("1024x1792", "1080p"),
        ("1440x2560", "2k"), ("3840x2160", "4k"),
    ],
)  # fmt: skip
def test_the_tier_goes_by_the_short_edge(size: str, expected: str) -> None:
    assert tier(size) == expected


@given(st.sampled_from(ALL), st.sampled_from(["480p", "720p", "1080p", "2k", "4k"]))
def test_pixels_of_a_ratio_lead_back_to_it(ratio: str, at: str) -> None:
    size = pixels(ratio, at)
    assert shape(size, {at: ALL}) == Shape(ratio, at)
    assert all(int(edge) % 2 == 0 for edge in size.split("x"))


@given(st.integers(16, 8000), st.integers(16, 8000))
def test_what_is_found_is_near_enough(width: int, height: int) -> None:
    size = f"{width}x{height}"
    found = shape(size, {tier(size): ALL})
    quotients = {ratio: int(ratio.split(":")[0]) / int(ratio.split(":")[1]) for ratio in ALL}
    near = [ratio for ratio, each in quotients.items() if abs(each * height / width - 1) <= TOLERANCE]
    assert (found.ratio in near) if found else not near


def test_ratios_in_pixels_stay_as_they_are() -> None:
    assert pixels("1104:832", "720p") == "1104x832"
    assert pixels("16:9", "480p") == "854x480"
