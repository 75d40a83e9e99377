"""Looks at a pipeline's directory before anything is loaded, so that a mistake is told at once. No torch."""

import re
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec

from providers.local.diffusion.settings import SetupError

INDEX = "model_index.json"

_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
_WEIGHTS = ("*.safetensors", "*.bin")
_SHARDS = "*.index.json"


def find_directory(path: str) -> Path:
    """Where a model lies: the directory itself, or the Hub's local cache. Nothing is downloaded."""
    directory = Path(path).expanduser()
    if directory.exists() or not _HUB_NAME.fullmatch(path):
        return directory
    hub = import_module("huggingface_hub")
    try:
        return Path(hub.snapshot_download(path, local_files_only=True))
    except (OSError, ValueError) as missing:
        raise SetupError(
            f"the model {path} is neither a directory nor in the local Hugging Face cache: "
            f"check the path, or fetch it first with 'hf download {path}'."
        ) from missing


def read_index(directory: Path) -> Mapping[str, Any]:
    """The `model_index.json` of a directory whose parts are all there. Raises SetupError."""
    if not directory.is_dir():
        raise SetupError(f"the model {directory} does not exist: name a directory with a {INDEX} in it.")
    file = directory / INDEX
    if not file.is_file():
        raise SetupError(
            f"the model {directory} has no {INDEX}: it must be a pipeline in the format of diffusers, "
            f"not a single file of weights or one part of a pipeline."
        )
    try:
        index = msgspec.json.decode(file.read_bytes(), type=dict[str, Any])
        name = index["_class_name"]
    except (msgspec.MsgspecError, KeyError) as broken:
        raise SetupError(f"{file} cannot be read ({broken}): fetch the model again.") from broken
    for part, told in index.items():
        if isinstance(told, list) and len(told) == 2 and all(told):
            _check_part(directory / part, f"the model {directory} ({name}) lacks")
    return index


def _check_part(folder: Path, lacks: str) -> None:
    """A part has files; one with a `config.json` is a network and has weights, every shard of them."""
    again = "fetch the model again, or copy the rest of it."
    if not folder.is_dir() or not any(folder.iterdir()):
        raise SetupError(f"{lacks} its part {folder.name}: {again}")
    if not (folder / "config.json").is_file():
        return
    if not any(any(folder.glob(pattern)) for pattern in _WEIGHTS):
        raise SetupError(f"{lacks} the weights of its part {folder.name}: {again}")
    for shards in folder.glob(_SHARDS):
        named = set(msgspec.json.decode(shards.read_bytes())["weight_map"].values())
        missing = sorted(name for name in named if not (folder / name).is_file())
        if missing:
            raise SetupError(f"{lacks} {folder.name}/{missing[0]}: {again}")
