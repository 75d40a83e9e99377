"""The levers of a model's settings, with tiny models on the CPU: they work, and the lossless ones lose nothing."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from providers.local.engine import CANNOT_LOAD, CLIP, VIDEO, Engine, Order
from providers.local.engine import make as render

pytestmark = pytest.mark.filterwarnings("ignore")  # of libraries that we do not keep
ORDER = Order(
    model="m", prompt="a red ball", negative_prompt="blurry", width=32, height=32, seconds=0.25, seed=7
)
LOSSLESS: list[dict[str, Any]] = [
    {"attention": "native", "prompt_cache": 0},
    {"offload": True, "prompt_cache": 1},
    {"compile": ["transformer", "vae"], "warm": ["32x32x9"]},
]
ALL_AT_ONCE = {"offload": True, "prompt_cache": 2, "first_block_cache": 0.9, "quantize": "int8"}


def load(tiny_models: Path, family: str, **levers: Any) -> Engine:
    from providers.local.diffusion.engine import load as load_engine  # noqa: PLC0415 - torch takes seconds

    return load_engine(json.dumps({"m": {"path": str(tiny_models / family), "steps": 4} | levers}))


def made(engine: Engine, folder: Path, order: Order = ORDER) -> bytes:
    render(engine, order, folder, lambda _percent: None)
    return (folder / VIDEO).read_bytes()


@pytest.fixture
def eager() -> Iterator[None]:
    """What is compiled runs as it stands: compiling takes longer than all tests here together."""
    import torch  # noqa: PLC0415

    with torch.compiler.set_stance("force_eager"):
        yield


@pytest.fixture(scope="module", params=["ltx", "wan"])
def plain(
    request: pytest.FixtureRequest, tiny_models: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, bytes]:
    """A family, and the video that its model makes without any lever."""
    return request.param, made(load(tiny_models, request.param), tmp_path_factory.mktemp("plain"))


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("levers", LOSSLESS, ids=str)
def test_a_lossless_lever_changes_no_byte(
    plain: tuple[str, bytes], tiny_models: Path, tmp_path: Path, levers: dict[str, Any]
) -> None:
    family, wanted = plain
    engine = load(tiny_models, family, **levers)
    assert [made(engine, tmp_path) for _ in range(2)] == [wanted] * 2


def test_the_first_block_cache_changes_the_video_but_not_from_one_run_to_the_next(
    plain: tuple[str, bytes], tiny_models: Path, tmp_path: Path
) -> None:
    family, without = plain
    engine = load(tiny_models, family, first_block_cache=0.9)
    first, again = (made(engine, tmp_path) for _ in range(2))
    assert first == again != without


def test_weights_in_eight_bits_change_the_video_but_not_from_one_run_to_the_next(
    plain: tuple[str, bytes], tiny_models: Path, tmp_path: Path
) -> None:
    family, without = plain
    held, waiting = (load(tiny_models, family, quantize="int8", offload=one) for one in (False, True))
    first, again, elsewhere = (made(engine, tmp_path) for engine in (held, held, waiting))
    assert first == again == elsewhere != without


def test_the_levers_that_change_what_is_seen_are_told(tiny_models: Path) -> None:
    levers = {"quantize": "int8", "vae_tiling": True, "first_block_cache": 0.1}
    (told,) = load(tiny_models, "wan", **levers).models()
    assert set(told.lossy) == set(levers)
    assert not load(tiny_models, "wan", prompt_cache=0).models()[0].lossy


def test_a_remix_does_without_the_first_block_cache_where_the_pipeline_cannot_tell_it_what_it_calls(
    tiny_models: Path, tmp_path: Path
) -> None:
    engine = load(tiny_models, "wan", first_block_cache=0.9)
    made(engine, tmp_path)
    (tmp_path / VIDEO).rename(tmp_path / CLIP)
    assert made(engine, tmp_path, msgspec.structs.replace(ORDER, operation="remix", clip=True))


@pytest.mark.parametrize("levers", [{}, ALL_AT_ONCE], ids=("plain", "levers"))
def test_what_is_left_between_any_two_operations_changes_nothing_of_the_next_video(
    plain: tuple[str, bytes], tiny_models: Path, tmp_path: Path, levers: dict[str, Any]
) -> None:
    from torch.utils._python_dispatch import TorchDispatchMode  # noqa: PLC0415

    class LeftError(Exception):
        pass

    class Leave(TorchDispatchMode):
        """Ends the work at the operation of that number."""

        def __init__(self, last: float) -> None:
            super().__init__()
            self.last, self.seen = last, 0

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), named: Any = None) -> Any:
            self.seen += 1
            if self.seen == self.last:
                raise LeftError
            return func(*args, **(named or {}))

    engine = load(tiny_models, plain[0], **levers)
    wanted = made(engine, tmp_path)
    assert (wanted == plain[1]) == (not levers)
    with Leave(float("inf")) as count:
        assert made(engine, tmp_path) == wanted
    for share in (0.01, 0.5, 0.95):
        other = msgspec.structs.replace(ORDER, prompt=f"a cat {share}")
        with pytest.raises(LeftError), Leave(int(count.seen * share)):
            made(engine, tmp_path, other)
        assert made(engine, tmp_path) == wanted


def test_tiling_decodes_large_pictures_in_pieces(tiny_models: Path, tmp_path: Path) -> None:
    wide = msgspec.structs.replace(ORDER, width=320)
    whole, tiled = (made(load(tiny_models, "wan", vae_tiling=one), tmp_path, wide) for one in (False, True))
    assert whole != tiled


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"attention": "fast"}, "attention 'fast' cannot be used here"),
        ({"context_parallel": 2}, "context_parallel 2 cannot be used for m: of the kinds of models only Wan"),
        ({"quantize": "fp8"}, "quantize 'fp8' cannot be used here"),
        ({"device": "abacus"}, "device 'abacus' cannot be used here"),
    ],
)
def test_what_this_machine_does_not_have_is_named(
    tiny_models: Path, capsys: pytest.CaptureFixture[str], setting: dict[str, str], message: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        load(tiny_models, "ltx", **setting)
    assert ended.value.code == CANNOT_LOAD
    assert message in capsys.readouterr().err
