"""Lines that people read while a video is made."""

import pytest

from gateway.commands.progress import bar, row, span

VIDEO = {
    "id": "video_1", "status": "in_progress", "progress": 50, "eta": 12, "seconds": "4", "size": "64x64",
    "model": "sora-2", "prompt": "A red kite",
}  # fmt: skip


def test_a_bar_shows_how_far_it_is_and_what_is_left():
    assert bar(VIDEO) == f"in_progress [{'#' * 15}{'-' * 15}]  50 %  about 12 s left"
    assert bar({**VIDEO, "eta": None, "progress": 0, "status": "queued"}) == f"queued      [{'-' * 30}]   0 %"
    assert bar({**VIDEO, "eta": None, "progress": 100}).count("#") == 30


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.2, "0 s"), (59.4, "59 s"), (60, "1 min 00 s"), (125, "2 min 05 s"), (3725, "1 h 02 min")],
)
def test_a_length_of_time_is_said_as_people_do(seconds: float, said: str):
    assert span(seconds) == said


def test_a_row_is_one_line_whatever_the_prompt_holds():
    line = row({**VIDEO, "prompt": "a\x1b[2J\nb" * 50})
    assert line.isprintable()
    assert line.startswith("video_1  in_progress 50 %")
    assert line.endswith("…")
