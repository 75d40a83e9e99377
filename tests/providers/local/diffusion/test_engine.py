"""Videos really made by diffusers, with tiny models on the CPU."""

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import msgspec
import numpy as np
import pytest
from PIL import Image

from providers.local.__main__ import main
from providers.local.engine import CLIP, IMAGE, LAST_FRAME, VIDEO, Engine, Order, OrderError, Output
from providers.local.engine import make as render

pytestmark = pytest.mark.filterwarnings("ignore")  # of libraries that we do not keep
ORDER = Order(model="ltx", prompt="a red ball", width=32, height=32, seconds=0.5, seed=7)
ALL = ("ltx", "wan")


@pytest.fixture(scope="module")
def engine(tiny_models: Path) -> Engine:
    thorough = {"steps": 8}
    return load(tiny_models, {"ltx": {}, "wan": {}, "wan-a14b": {}, "ltx@8": thorough, "wan@8": thorough})


def load(tiny_models: Path, models: dict[str, Any]) -> Engine:
    from providers.local.diffusion.engine import load as load_engine  # noqa: PLC0415 - torch takes seconds

    told = {
        name: {"path": str(tiny_models / name.partition("@")[0]), "steps": 2} | more
        for name, more in models.items()
    }
    return load_engine(json.dumps(told))


class Made:
    """A video that was made: what the engine said of it, its bytes and its frames."""

    def __init__(self, folder: Path, output: Output) -> None:
        self.output = output
        self.path = folder / VIDEO
        self.data = self.path.read_bytes()
        with av.open(io.BytesIO(self.data)) as file:
            self.frames = np.stack([one.to_ndarray(format="rgb24") for one in file.decode(video=0)]).astype(
                int
            )


@pytest.fixture
def make(engine: Engine, tmp_path: Path) -> Callable[..., Made]:
    """Renders `ORDER` with changes, beginning with pictures or a video where they are given."""

    def make(*, by: Engine = engine, **changes: Any) -> Made:
        folder = tmp_path / f"job{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        for name, field in ((IMAGE, "image"), (LAST_FRAME, "last_frame")):
            if field in changes:
                Image.new("RGB", (90, 40), changes[field]).save(folder / name, "PNG")
                changes[field] = True
        if "clip" in changes:
            shutil.copy(changes["clip"].path, folder / CLIP)
            changes["clip"] = True
        output = render(by, msgspec.structs.replace(ORDER, **changes), folder, lambda _percent: None)
        return Made(folder, output)

    return make


def apart(one: np.ndarray, other: np.ndarray) -> float:
    """The mean difference of two pictures, in 256ths."""
    return float(abs(one - other).mean())


@pytest.mark.parametrize("model", ALL)
def test_the_seed_decides_every_byte(make: Callable[..., Made], model: str) -> None:
    first, again, other = make(model=model), make(model=model), make(model=model, seed=8)
    assert first.output == Output(width=32, height=32, fps=24, seconds=0.5, steps=2)
    assert len(first.frames) == 12
    assert first.data == again.data != other.data


@pytest.mark.parametrize("model", ALL)
@pytest.mark.parametrize(
    "words",
    [
        {"prompt": "a blue cat"},
        {"negative_prompt": "blurry"},
        {"camera_movement": "pan_left"},
        {"style_preset": "noir"},
    ],
)
def test_every_word_counts(make: Callable[..., Made], model: str, words: dict[str, str]) -> None:
    assert make(model=model, seconds=0.25).data != make(model=model, seconds=0.25, **words).data


def test_any_size_is_made_and_none_is_stretched(make: Callable[..., Made]) -> None:
    made = make(width=71, height=34)
    assert made.output == Output(width=72, height=34, fps=24, seconds=0.5, steps=2)
    assert made.frames.shape == (12, 34, 72, 3)


@pytest.mark.parametrize("model", ALL)
def test_a_picture_is_what_the_video_begins_with(make: Callable[..., Made], model: str) -> None:
    words, red, blue = (make(model=model, **more) for more in ({}, {"image": "red"}, {"image": "blue"}))
    assert red.data != blue.data != words.data
    assert red.data == make(model=model, image="red").data


@pytest.mark.parametrize("model", ["wan-a14b", "ltx"])
def test_a_last_picture_changes_the_end(make: Callable[..., Made], model: str) -> None:
    """Random weights cannot end with it, but what they make of it must differ."""
    without, with_it = make(model=model, image="red"), make(model=model, image="red", last_frame="blue")
    assert len(with_it.frames) == len(without.frames)
    assert apart(without.frames[-1], with_it.frames[-1]) > 0


@pytest.mark.parametrize("model", ALL)
def test_an_extension_shows_the_video_and_goes_on_as_long_as_was_asked(
    make: Callable[..., Made], model: str
) -> None:
    source = make(model=model)
    longer = make(model=model, clip=source, operation="extend", seconds=1.25, added=0.75)
    assert longer.output.seconds == 1.25
    assert len(longer.frames) == 30
    assert apart(longer.frames[:12], source.frames) < 4  # the file is compressed once more
    assert len({frame.tobytes() for frame in longer.frames[12:]}) > 1


@pytest.mark.parametrize("model", ["ltx@8", "wan@8"])
def test_a_remix_keeps_the_length_and_as_much_of_the_video_as_its_strength_says(
    make: Callable[..., Made], model: str
) -> None:
    source = make(model=model)
    order = {"model": model, "clip": source, "operation": "remix", "prompt": "a cat"}
    little, much, least = (make(strength=strength, **order) for strength in (0.3, 1.0, 0.001))
    assert len(little.frames) == len(much.frames) == len(source.frames)
    assert apart(little.frames, least.frames) < apart(much.frames, least.frames)


def test_what_is_longer_than_the_model_makes_is_chained(make: Callable[..., Made]) -> None:
    made = make(seconds=8)
    assert (made.output.seconds, len(made.frames)) == (8, 192)
    assert made.data == make(seconds=8).data


def test_broken_uploads_are_the_orders_fault(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / IMAGE).write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    (tmp_path / CLIP).write_bytes(b"no video")
    for more in (
        {"image": True},
        {"clip": True, "operation": "extend", "added": 0.25},
        {"clip": True, "operation": "edit"},
    ):
        with pytest.raises(OrderError) as refused:
            render(engine, msgspec.structs.replace(ORDER, **more), tmp_path, lambda _percent: None)
        assert refused.value.code == "invalid_input_reference"


def test_progress_rises_step_by_step_and_ends_below_a_hundred(engine: Engine, tmp_path: Path) -> None:
    told: list[int] = []
    render(engine, ORDER, tmp_path, told.append)
    assert told == sorted(told)
    assert {42, 85, 98} <= set(told)
    assert told[-1] < 100


def test_models_say_what_they_can(engine: Engine) -> None:
    ltx, wan, a14b = engine.models()[:3]
    assert ltx.operations == wan.operations == ["generate", "remix", "edit", "extend"]
    assert a14b.operations == ["generate", "remix", "extend"]
    assert (ltx.image, wan.image, a14b.image) == ("optional", "optional", "required")
    assert (ltx.last_frame, wan.last_frame, a14b.last_frame) == (True, False, True)
    assert (ltx.fps, wan.fps, a14b.fps) == (24, 24, 16)
    assert {"torch", "diffusers", "transformers"} <= set(engine.versions())


def test_a_tiny_model_is_made_on_command_and_nothing_is_overwritten(
    tmp_path: Path, tiny_models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["make-tiny", "--family", "ltx", str(tmp_path / "ltx")]
    assert main(command) == 0
    assert f"fairlead worker --model {tmp_path / 'ltx'}" in capsys.readouterr().out
    files = [file for file in (tmp_path / "ltx").rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) < 2**20
    for file in files:
        assert file.read_bytes() == (tiny_models / "ltx" / file.relative_to(tmp_path / "ltx")).read_bytes()
    assert main(command) == 1
    assert "exists already" in capsys.readouterr().err


def test_the_benchmark_times_a_model_beside_plain_diffusers(
    tiny_models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["bench", "--model", str(tiny_models / "ltx"), "--size", "32x32", "--steps", "3", "--runs", "1"]
    assert main(command) == 0
    head, columns, plain, ours, ratio = capsys.readouterr().out.splitlines()
    assert head.startswith("ltx, 32x32, 25 frames at 24 a second, on cpu, torch ")
    assert columns.split("  ")[-1].strip() == "peak MiB"
    rates = []
    for line in (plain, ours):
        *_, step, rate, _peak = figures = [float(figure) for figure in line.split()[-4:]]
        assert all(figure > 0 for figure in figures)
        rates.append(step * rate)
    assert rates[0] == pytest.approx(rates[1], rel=0.1)  # the same work, whatever it takes
    assert ratio.startswith("fairlead takes ")
    assert 0 < float(ratio.partition("; ")[2].partition("%")[0]) < 100
    assert main(["bench", "--model", str(tiny_models / "wan-a14b")]) == 1
    assert "one clip from words" in capsys.readouterr().err
