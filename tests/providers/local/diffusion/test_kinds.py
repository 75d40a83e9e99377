"""Every kind of model in the table makes videos in every way it says it can, with tiny models on the CPU."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import av
import msgspec
import pytest
from PIL import Image

from providers.local.diffusion.directory import read_index
from providers.local.diffusion.families import FAMILIES, family_of
from providers.local.engine import CANNOT_LOAD, CLIP, IMAGE, VIDEO, Engine, Order
from providers.local.engine import make as render

pytestmark = pytest.mark.filterwarnings("ignore")  # of libraries that we do not keep
ORDER = Order(
    model="m", prompt="a red ball", negative_prompt="blurry", width=64, height=64, seconds=0.25, seed=7
)
KINDS = (
    "wan-words", "wan-two", "wan-picture", "ltx-before", "ltx-before-picture", "ltx2", "skyreels", "skyreels-picture",
    "skyreels-forcing", "cog", "cog-picture", "hunyuan", "hunyuan15", "hunyuan15-picture",
)  # fmt: skip
ELSEWHERE = {
    "wan": "WanPipeline+expand_timesteps",
    "wan-a14b": "WanImageToVideoPipeline",
    "ltx": "LTXConditionPipeline",
}
NEVER_RUN = {"HunyuanVideoImageToVideoPipeline"}


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The directory of a kind, made when it is first asked for."""
    from tests.providers.local.diffusion import tiny_families  # noqa: PLC0415 - torch takes seconds to import

    assert set(KINDS) == set(tiny_families.KINDS)
    folder = tmp_path_factory.mktemp("kinds")

    def directory(kind: str) -> Path:
        if not (folder / kind).exists():
            tiny_families.make(kind, folder / kind)
        return folder / kind

    return directory


def load(directory: Path, **settings: object) -> Engine:
    from providers.local.diffusion.engine import load as load_engine  # noqa: PLC0415

    return load_engine(json.dumps({"m": {"path": str(directory), "steps": 2} | settings}))


def made(engine: Engine, folder: Path, **changes: object) -> bytes:
    render(engine, msgspec.structs.replace(ORDER, **changes), folder, lambda _percent: None)
    return (folder / VIDEO).read_bytes()


def frames(video: bytes) -> int:
    with av.open(io.BytesIO(video)) as file:
        return int(file.streams.video[0].frames)


@pytest.mark.parametrize("kind", KINDS)
def test_it_makes_videos_in_every_way_it_says(
    kinds: Callable[[str], Path], tmp_path: Path, kind: str
) -> None:
    engine = load(kinds(kind))
    (model,) = engine.models()
    assert not model.experimental
    Image.new("RGB", (90, 40), "red").save(tmp_path / IMAGE, "PNG")
    ways = {"none": [False], "optional": [False, True], "required": [True]}[model.image]
    videos = [made(engine, tmp_path, image=image) for image in ways]
    assert len(set(videos)) == len(ways)
    assert [frames(video) for video in videos] == [model.fps // 4] * len(ways)
    (tmp_path / CLIP).write_bytes(videos[0])
    if "edit" in model.operations:
        assert frames(made(engine, tmp_path, operation="edit", clip=True)) == model.fps // 4
    if "extend" in model.operations:
        longer = made(engine, tmp_path, operation="extend", clip=True, seconds=0.5, added=0.25)
        assert frames(longer) == 2 * (model.fps // 4)


def test_no_row_of_the_table_is_there_that_was_never_run(
    kinds: Callable[[str], Path], tiny_models: Path
) -> None:
    run = [family_of(read_index(kinds(kind))) for kind in KINDS]
    run += [family_of(read_index(tiny_models / kind)) for kind in ELSEWHERE]
    assert {name for name, row in FAMILIES.items() if row not in run} == NEVER_RUN


def test_progress_is_told_step_by_step_where_each_frame_has_a_scheduler_of_its_own(
    kinds: Callable[[str], Path], tmp_path: Path
) -> None:
    told: list[int] = []
    render(load(kinds("skyreels-forcing"), steps=4), ORDER, tmp_path, told.append)
    assert {21, 42, 64, 85} <= set(told)


@pytest.mark.parametrize("lever", [{"quantize": "int8"}, {"compile": ["transformer"]}], ids=str)
def test_a_lever_for_blocks_is_refused_where_diffusers_names_none(
    kinds: Callable[[str], Path], capsys: pytest.CaptureFixture[str], lever: dict[str, object]
) -> None:
    with pytest.raises(SystemExit) as ended:
        load(kinds("cog"), **lever)
    assert ended.value.code == CANNOT_LOAD
    assert f"{next(iter(lever))} cannot be used for CogVideoXTransformer3DModel" in capsys.readouterr().err
