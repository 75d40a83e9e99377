"""Stills show what is at their moment of the video, and no bytes break who asks for them."""

import contextlib
import io
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from gateway.media.stills import UnreadableError, stills
from tests.media.films import HEIGHT, WIDTH, film, grey_at


def opened(path: Path, mime: str = "video/mp4") -> tuple[Image.Image, Image.Image]:
    thumbnail, sheet = (Image.open(io.BytesIO(data)) for data in stills(path, mime))
    return thumbnail, sheet


def tiles(sheet: Image.Image) -> list[int]:
    """How bright each of the nine is, row by row."""
    width, height = sheet.width // 3, sheet.height // 3
    places = [(column, row) for row in range(3) for column in range(3)]
    return [grey_at(sheet, x * width + width // 2, y * height + height // 2) for x, y in places]


@pytest.mark.parametrize(("form", "mime"), [("mp4", "video/mp4"), ("webm", "video/webm")])
def test_the_still_is_the_middle_and_the_sheet_the_whole_length_in_order(
    tmp_path: Path, form: str, mime: str
) -> None:
    thumbnail, sheet = opened(film(tmp_path / "a", form=form), mime)
    assert (thumbnail.format, thumbnail.size) == ("WEBP", (WIDTH, HEIGHT))
    assert (sheet.format, sheet.size) == ("JPEG", (3 * WIDTH, 3 * HEIGHT))
    assert grey_at(thumbnail, 5, 5) == pytest.approx(128, abs=20)
    seen = tiles(sheet)
    assert seen == pytest.approx([255 * 2 * at / 17 for at in range(9)], abs=20)


def test_large_videos_have_small_stills_in_proportion(tmp_path: Path) -> None:
    thumbnail, sheet = opened(film(tmp_path / "a", seconds=0.3, size=(1280, 720)))
    assert thumbnail.size == (512, 288)
    assert sheet.size == (3 * 256, 3 * 144)


def test_a_video_of_one_frame_has_nine_tiles_all_the_same(tmp_path: Path) -> None:
    _, sheet = opened(film(tmp_path / "a", seconds=0.1))
    assert len(set(tiles(sheet))) == 1


def test_a_long_video_is_shown_by_its_key_frames(tmp_path: Path) -> None:
    _, sheet = opened(film(tmp_path / "a", seconds=70, fps=10, size=(32, 32)))
    seen = tiles(sheet)
    assert seen == sorted(seen)
    assert seen[-1] - seen[0] > 100


def test_a_video_that_breaks_off_is_shown_as_far_as_it_goes(tmp_path: Path) -> None:
    path = film(tmp_path / "a", form="webm", seconds=4)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    _, sheet = opened(path, "video/webm")
    assert max(tiles(sheet)) < 200


@settings(max_examples=30, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300), st.sampled_from(["video/mp4", "video/webm"]))
def test_what_is_no_video_is_unreadable_and_nothing_else(tmp_path: Path, junk: bytes, mime: str) -> None:
    path = tmp_path / "junk"
    path.write_bytes((b"\x00\x00\x00\x18ftypmp42" if mime == "video/mp4" else b"\x1a\x45\xdf\xa3") + junk)
    with pytest.raises(UnreadableError):
        stills(path, mime)


@settings(max_examples=30, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_bytes_that_were_turned_in_a_video_are_survived(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "whole.mp4"
    if not path.exists():
        film(path, seconds=0.5)
    broken = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 20))):
        broken[data.draw(st.integers(0, len(broken) - 1))] = data.draw(st.integers(0, 255))
    (tmp_path / "broken.mp4").write_bytes(broken)
    with contextlib.suppress(UnreadableError):
        assert all(stills(tmp_path / "broken.mp4", "video/mp4"))
