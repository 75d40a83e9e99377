"""Directories that are no models, or not all of one, are refused before anything is loaded."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from providers.local.diffusion.directory import find_directory, read_index
from providers.local.diffusion.settings import SetupError

INDEX = {
    "_class_name": "WanPipeline",
    "_diffusers_version": "0.42.1",
    "image_encoder": [None, None],
    "boundary_ratio": None,
    "scheduler": ["diffusers", "UniPCMultistepScheduler"],
    "transformer": ["diffusers", "WanTransformer3DModel"],
}


def write(folder: Path) -> Path:
    """A directory that has everything but sense."""
    folder.mkdir()
    (folder / "model_index.json").write_text(json.dumps(INDEX))
    for part, names in {
        "scheduler": ["scheduler_config.json"],
        "transformer": ["config.json", "b.safetensors"],
    }.items():
        (folder / part).mkdir()
        for name in names:
            (folder / part / name).write_text("{}")
    (folder / "transformer" / "model.safetensors.index.json").write_text(
        json.dumps({"weight_map": {"x": "b.safetensors"}})
    )
    return folder


def drop_folder(folder: Path) -> None:
    (folder / "scheduler" / "scheduler_config.json").unlink()


def drop_weights(folder: Path) -> None:
    (folder / "transformer" / "b.safetensors").unlink()


def drop_shard(folder: Path) -> None:
    drop_weights(folder)
    (folder / "transformer" / "a.safetensors").write_text("")


def drop_index(folder: Path) -> None:
    (folder / "model_index.json").unlink()


def garble(folder: Path) -> None:
    (folder / "model_index.json").write_text("{")


def unname(folder: Path) -> None:
    (folder / "model_index.json").write_text("{}")


def test_a_whole_directory_is_taken(tmp_path: Path) -> None:
    assert read_index(write(tmp_path / "wan"))["_class_name"] == "WanPipeline"


@pytest.mark.parametrize(
    ("damage", "part"),
    [
        (drop_folder, "(WanPipeline) lacks its part scheduler"),
        (drop_weights, "lacks the weights of its part transformer"),
        (drop_shard, "lacks transformer/b.safetensors"),
        (drop_index, "has no model_index.json"),
        (garble, "cannot be read"),
        (unname, "cannot be read"),
    ],
)
def test_what_is_missing_is_named(tmp_path: Path, damage: Callable[[Path], None], part: str) -> None:
    folder = write(tmp_path / "wan")
    damage(folder)
    with pytest.raises(SetupError) as refused:
        read_index(folder)
    assert part in str(refused.value)
    assert str(folder) in str(refused.value)


def test_a_directory_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="nowhere does not exist"):
        read_index(find_directory(str(tmp_path / "nowhere")))


def test_a_name_of_the_hub_is_looked_up_in_the_cache_and_never_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(SetupError, match="fetch it first with 'hf download nobody/nothing'"):
        find_directory("nobody/nothing")
