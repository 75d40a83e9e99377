"""The videos themselves: real files, read back with PyAV."""

import hashlib
import io
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import msgspec
import numpy as np
import pytest
from PIL import Image

from providers.local import sources
from providers.local.engine import IMAGE, SPRITESHEET, THUMBNAIL, VIDEO, OrderError, Output
from providers.local.engine import Order as Ordered
from providers.local.testcard import load

ORDER = Ordered(model="testcard", prompt="A red kite over a grey sea", width=96, height=64, seconds=1, seed=7)


def render(folder: Path, order: Ordered = ORDER, image: bytes | None = None) -> Output:
    folder.mkdir(exist_ok=True)
    if image is not None:
        (folder / IMAGE).write_bytes(image)
        order = msgspec.structs.replace(order, image=True)
    return load().render(order, folder, lambda _percent: None)


def frames(folder: Path) -> list[np.ndarray]:
    with av.open(folder / VIDEO) as file:
        return [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]


def digest(folder: Path) -> str:
    return hashlib.sha256((folder / VIDEO).read_bytes()).hexdigest()


def picture(width: int, height: int, kind: str = "PNG", colour: str = "red") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(file, kind)
    return file.getvalue()


def test_the_file_is_the_h264_video_that_was_ordered(tmp_path: Path) -> None:
    output = render(tmp_path, msgspec.structs.replace(ORDER, seconds=1.5, width=320, height=180))
    with av.open(tmp_path / VIDEO) as file:
        stream = file.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert stream.codec_context.pix_fmt == "yuv420p"
        assert (stream.codec_context.width, stream.codec_context.height) == (320, 180)
        assert stream.average_rate == 24
        assert stream.frames == 36
        assert file.duration == 1_500_000
    assert output == Output(width=320, height=180, fps=24, seconds=1.5)


def test_players_can_start_before_the_file_is_there(tmp_path: Path) -> None:
    render(tmp_path)
    data = (tmp_path / VIDEO).read_bytes()
    assert 0 < data.index(b"moov") < data.index(b"mdat")


def test_the_picture_moves(tmp_path: Path) -> None:
    render(tmp_path)
    pictures = frames(tmp_path)
    assert all((one != other).any() for one, other in pairwise(pictures))


def test_the_same_order_gives_the_same_bytes_and_any_other_word_different_ones(tmp_path: Path) -> None:
    changes: tuple[dict[str, Any], ...] = (
        {},
        {},
        {"seed": 8},
        {"prompt": "A blue kite"},
        {"style_preset": "noir"},
        {"negative_prompt": "fog"},
    )
    digests = []
    for number, change in enumerate(changes):
        render(tmp_path / str(number), msgspec.structs.replace(ORDER, **change))
        digests.append(digest(tmp_path / str(number)))
    assert digests[0] == digests[1]
    assert len(set(digests)) == len(changes) - 1


def test_odd_edges_are_rounded_up(tmp_path: Path) -> None:
    output = render(tmp_path, msgspec.structs.replace(ORDER, width=65, height=67))
    assert (output.width, output.height) == (66, 68)
    assert frames(tmp_path)[0].shape == (68, 66, 3)


def test_the_still_is_a_webp_of_the_video(tmp_path: Path) -> None:
    render(tmp_path, msgspec.structs.replace(ORDER, width=1024, height=64))
    with Image.open(tmp_path / THUMBNAIL) as still:
        assert (still.format, still.size) == ("WEBP", (512, 32))


@pytest.mark.parametrize(
    "prompt", ["x" * 32_000, "\u65e5\u672c\u8a9e \U0001f3ac", "a\nb\tc", "word " * 200, "\x00"]
)
def test_any_prompt_can_be_drawn(tmp_path: Path, prompt: str) -> None:
    render(tmp_path, msgspec.structs.replace(ORDER, prompt=prompt, style_preset="s" * 200))
    assert len(frames(tmp_path)) == 24


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_the_clients_picture_is_the_backdrop(tmp_path: Path, kind: str) -> None:
    render(tmp_path, image=picture(30, 200, kind))
    corner = frames(tmp_path)[12][20:30, 88:94].mean(axis=(0, 1))
    assert corner[0] > 150
    assert corner[1:].max() < 60


@pytest.mark.parametrize(
    "broken", [b"", b"\x89PNG\r\n\x1a\n", picture(8, 8)[:40], picture(8, 8, "GIF"), b"RIFF"]
)
def test_a_broken_picture_is_told_and_not_a_crash(tmp_path: Path, broken: bytes) -> None:
    with pytest.raises(OrderError) as refused:
        render(tmp_path, image=broken)
    assert refused.value.code == "invalid_input_reference"


def test_a_picture_that_unpacks_to_too_much_is_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "MAX_PIXELS", 99)
    with pytest.raises(OrderError, match="10x10 pixels"):
        render(tmp_path, image=picture(10, 10))


def test_progress_rises_and_leaves_the_end_to_the_finished_file(tmp_path: Path) -> None:
    told: list[int] = []
    load().render(ORDER, tmp_path, told.append)
    assert told == sorted(told)
    assert told[0] == 0
    assert told[-1] < 100


def test_the_spritesheet_holds_nine_moments_in_their_order(tmp_path: Path) -> None:
    render(tmp_path, msgspec.structs.replace(ORDER, width=96, height=64, seconds=2))
    with Image.open(tmp_path / SPRITESHEET) as opened:
        assert (opened.format, opened.size) == ("JPEG", (288, 192))
        sheet = np.asarray(opened).astype(int)
    made = frames(tmp_path)
    tiles = [sheet[row : row + 64, column : column + 96] for row in (0, 64, 128) for column in (0, 96, 192)]
    for number, tile in enumerate(tiles):
        apart = [float(abs(tile - frame.astype(int)).mean()) for frame in made]
        assert abs(int(np.argmin(apart)) - number * len(made) // 9) <= 2
