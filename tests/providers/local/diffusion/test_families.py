"""The table of families, and the row of a class that is not in it."""

from typing import Any

import pytest

from providers.local.diffusion.families import FAMILIES, family_by_signature, family_of


@pytest.mark.parametrize(
    ("index", "key"),
    [
        ({"_class_name": "WanPipeline"}, "WanPipeline"),
        ({"_class_name": "WanPipeline", "boundary_ratio": None, "expand_timesteps": False}, "WanPipeline"),
        ({"_class_name": "WanPipeline", "boundary_ratio": 0.875}, "WanPipeline+boundary_ratio"),
        ({"_class_name": "WanPipeline", "expand_timesteps": True}, "WanPipeline+expand_timesteps"),
        ({"_class_name": "LTXConditionPipeline"}, "LTXConditionPipeline"),
    ],
)
def test_the_index_chooses_the_row(index: dict[str, Any], key: str) -> None:
    assert family_of(index) is FAMILIES[key]


def test_a_class_without_a_row_is_read_off_its_call_and_marked() -> None:
    call = {"prompt": None, "image": None, "num_frames": 61, "width": None, "height": 720, "last_image": None}
    assert family_of({"_class_name": "NewPipeline"}) is None
    family = family_by_signature("NewPipeline", call)
    assert family is not None
    assert (family.picture, family.words, family.frames, family.size) == ("NewPipeline", None, 61, "832x720")
    assert family.last
    assert family.experimental
    words = family_by_signature("SanaLike", {"prompt": None, "frames": 81})
    assert words is not None
    assert (words.words, words.frames, words.experimental) == ("SanaLike", 81, True)


@pytest.mark.parametrize("call", [{"prompt": None}, {"image": None, "num_frames": 25}, {}])
def test_what_makes_no_videos_from_words_has_no_row(call: dict[str, Any]) -> None:
    assert family_by_signature("Other", call) is None


def test_only_models_that_take_conditions_go_on_from_more_than_one_frame() -> None:
    assert all(family.conditions or family.tail == 1 for family in FAMILIES.values())
    assert all(family.words or family.picture for family in FAMILIES.values())
