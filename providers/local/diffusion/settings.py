"""What an operator says about models: `--model DIR_OR_ID`, or a file for `--config`. Never loads torch."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import yaml
from msgspec import Meta, Struct

_NAME = re.compile(r"[\w.-]{1,100}")
_AT = re.compile(r"^(.*?) - at `\$\.(\w+).*`$")

Steps = Annotated[int, Meta(ge=1, le=1000)]
Size = Annotated[str, Meta(pattern=r"^[1-9][0-9]{1,4}x[1-9][0-9]{1,4}$")]
Bucket = Annotated[str, Meta(pattern=r"^[1-9][0-9]{1,4}x[1-9][0-9]{1,4}x[1-9][0-9]{0,3}$")]
Phrases = dict[Annotated[str, Meta(min_length=1, max_length=200)], str]


class SetupError(Exception):
    """The worker cannot be started like this; the message says what to change."""


class ModelSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One model: where it lies and how it is run. What is left out is the model's own or its family's.

    `path` is a directory with a `model_index.json`, or the name of a model on the Hugging Face Hub that is in
    the local cache. `device` is a name of torch's; `auto` takes a GPU if there is one. `dtype` `auto` is
    bfloat16 on a GPU and float32 on a CPU. `sizes` are the only ones that may be asked for; without it any
    size within the limits may, from `min_edge` pixels to `max_size` in either orientation. `strength` is how
    much of a remix is new, 0 to 1. `style_presets` and `camera_movements` map what clients may say to what
    the prompt then says.

    The levers: `attention` is a backend of diffusers. `compile` names what is compiled, for which the buckets
    `WIDTHxHEIGHTxFRAMES` of `warm` are run once before the first request. `vae_tiling` decodes in pieces with
    blended edges, and `offload` keeps weights in main memory until they are needed. `prompt_cache` is how many
    encoded texts are kept, 0 none. `first_block_cache` is a threshold. `quantize` keeps the weights of the
    transformer's blocks in eight bits. These two and `vae_tiling` change what is seen. `context_parallel` is how
    many devices, and processes, make each clip together.
    """

    path: str
    device: str = "auto"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    steps: Steps | None = None
    guidance_scale: Annotated[float, Meta(ge=0, le=100)] | None = None
    negative_prompt: str = ""
    strength: Annotated[float, Meta(gt=0, le=1)] = 0.7
    sizes: Annotated[list[Size], Meta(min_length=1)] | None = None
    default_size: Size | None = None
    min_edge: Annotated[int, Meta(ge=2, le=4096)] = 64
    max_size: Size = "1920x1088"
    max_seconds: Annotated[float, Meta(gt=0, le=600)] | None = None
    default_seconds: Annotated[float, Meta(gt=0, le=600)] | None = None
    style_presets: Phrases | None = None
    camera_movements: Phrases | None = None
    attention: str = "native"
    compile: list[Literal["transformer", "vae"]] = []
    warm: list[Bucket] = []
    vae_tiling: bool = False
    offload: bool = False
    prompt_cache: Annotated[int, Meta(ge=0, le=10_000)] = 64
    first_block_cache: Annotated[float, Meta(gt=0, le=1)] | None = None
    quantize: Literal["int8", "fp8"] | None = None
    context_parallel: Literal[1, 2, 4, 8] = 1

    @property
    def lossy(self) -> Sequence[str]:
        """The levers in use that change what is seen."""
        return [name for name in ("first_block_cache", "quantize", "vae_tiling") if getattr(self, name)]


Models = Mapping[str, ModelSettings]
"""What clients call a model, to its settings; the first one is the default."""


def one_model(path: str) -> Models:
    """The settings of `--model`: everything by default, named after the last part of its path."""
    return {Path(path).name or "model": ModelSettings(path=path)}


def read_models(file: Path) -> Models:
    """The models of a configuration file. Raises SetupError, OSError."""
    try:
        told = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as broken:
        raise SetupError(f"--config {file} is not YAML: {' '.join(str(broken).split())}") from broken
    if not isinstance(told, dict) or not isinstance(told.get("models"), dict) or not told["models"]:
        raise SetupError(
            f"--config {file} names no models: begin with 'models:', then a name, then its 'path:'."
        )
    for name, value in told.items():
        if name != "models":
            raise SetupError(f"--config {file}: {_unknown(name, value, ['models'])}")
    return {
        str(name): _model(f"--config {file}: models.{name}", name, value)
        for name, value in told["models"].items()
    }


def _model(where: str, name: object, told: object) -> ModelSettings:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise SetupError(f"{where}: a model's name is made of letters, digits, '.', '_' and '-'.")
    if not isinstance(told, dict):
        raise SetupError(f"{where} is {told!r}: it must be a mapping with a 'path'.")
    for field, value in told.items():
        if field not in ModelSettings.__struct_fields__:
            raise SetupError(f"{where}.{_unknown(field, value, ModelSettings.__struct_fields__)}")
    try:
        return msgspec.convert(told, ModelSettings)
    except msgspec.ValidationError as wrong:
        raise SetupError(f"{where}{_explained(str(wrong), told)}") from wrong


def _unknown(name: object, value: object, known: Any) -> str:
    return f"{name} ({value!r}) is not a field that is known: leave it out, or use one of {', '.join(known)}."


def _explained(message: str, told: Mapping[str, Any]) -> str:
    """Msgspec's message with the field in front and the value that was given."""
    found = _AT.match(message)
    if found is None:
        return f": {message}."
    return f".{found[2]} is {told.get(found[2])!r}: {found[1][0].lower()}{found[1][1:]}."
