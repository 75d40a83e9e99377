"""What an operator writes, and what is said of mistakes."""

from pathlib import Path

import pytest

from providers.local.diffusion.settings import SetupError, one_model, read_models

GOOD = """
models:
  wan:
    path: /models/wan
    steps: 30
    sizes: [832x480]
    style_presets: {film: 35 mm film look}
  ltx: {path: Lightricks/LTX-Video}
"""
WRONG = [
    # file, parts of the message
    ("models: [", "is not YAML"),
    ("", "names no models"),
    ("models: {}", "names no models"),
    ("modles: {wan: {path: x}}", "names no models"),
    ("models: {wan: {path: x}}\nport: 1", "port (1) is not a field that is known: leave it out, or use one of models"),
    ("models: {wan: 7}", "models.wan is 7: it must be a mapping with a 'path'"),
    ("models: {a b: {path: x}}", "a model's name is made of letters"),
    ("models: {wan: {path: x, stepz: 9}}", "wan.stepz (9) is not a field that is known: leave it out, or use"),
    ("models: {wan: {path: x, steps: many}}", "models.wan.steps is 'many': expected `int | null`, got `str`"),
    ("models: {wan: {path: x, steps: 0}}", "models.wan.steps is 0: expected `int` >= 1"),
    ("models: {wan: {path: x, sizes: [wide]}}", "models.wan.sizes is ['wide']"),
    ("models: {wan: {path: x, dtype: int8}}", "models.wan.dtype is 'int8'"),
    ("models: {wan: {path: x, quantize: int4}}", "models.wan.quantize is 'int4'"),
    ("models: {wan: {steps: 1}}", "missing required field `path`"),
]  # fmt: skip


def write(folder: Path, text: str) -> Path:
    file = folder / "worker.yaml"
    file.write_text(text)
    return file


def test_models_are_read_in_their_order(tmp_path: Path) -> None:
    models = read_models(write(tmp_path, GOOD))
    assert list(models) == ["wan", "ltx"]
    assert (models["wan"].steps, models["wan"].sizes, models["wan"].strength) == (30, ["832x480"], 0.7)
    assert models["wan"].style_presets == {"film": "35 mm film look"}


@pytest.mark.parametrize(("text", "part"), WRONG)
def test_a_mistake_is_named_with_its_place_its_value_and_the_way_out(
    tmp_path: Path, text: str, part: str
) -> None:
    with pytest.raises(SetupError) as refused:
        read_models(write(tmp_path, text))
    assert part in str(refused.value)
    assert "worker.yaml" in str(refused.value)


@pytest.mark.parametrize(
    ("path", "name"),
    [("/models/wan", "wan"), ("models/ltx/", "ltx"), ("Wan-AI/Wan2.1-T2V-1.3B-Diffusers", "Wan2.1-T2V-1.3B-Diffusers")],
)  # fmt: skip
def test_one_model_is_called_what_its_directory_is(path: str, name: str) -> None:
    assert list(one_model(path)) == [name]
