"""Which encoder writes a video: the best one that really works here."""

from pathlib import Path

import av
import numpy as np
import pytest

from providers.local import encode
from providers.local.encode import frame_of, usable_encoder, write_video
from providers.local.engine import VIDEO, Output

OUTPUT = Output(width=64, height=48, fps=24, seconds=0.25)


def test_an_encoder_counts_only_when_it_opens() -> None:
    assert encode._opens("libx264", OUTPUT)
    assert not encode._opens("no_such_encoder", OUTPUT)
    assert not encode._opens("libx264", Output(width=63, height=48, fps=24, seconds=1))  # no odd edges
    assert (usable_encoder(OUTPUT) == "h264_nvenc") == encode._opens("h264_nvenc", OUTPUT)


@pytest.mark.parametrize("first", ["libx264rgb", "no_such_encoder", "h264_nvenc"])
def test_the_first_that_opens_writes_the_file_and_the_last_one_always_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    monkeypatch.setattr(encode, "_ENCODERS", {first: {}, "mpeg4": {}})
    wanted = "h264" if encode._opens(first, OUTPUT) else "mpeg4"
    picture = np.zeros((48, 64, 3), np.uint8)
    write_video(tmp_path, (frame_of(picture, 64, 48) for _ in range(6)), OUTPUT, lambda _percent: None)
    with av.open(tmp_path / VIDEO) as file:
        assert (file.streams.video[0].name, file.streams.video[0].frames) == (wanted, 6)
