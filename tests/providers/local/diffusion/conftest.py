"""Tiny models with random weights, in the true format of diffusers."""

import os
from pathlib import Path

import pytest

os.environ["OMP_NUM_THREADS"] = (
    "1"  # read when torch is imported; more threads wait for each other on a busy machine
)


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one directory per family that `make-tiny` knows."""
    from providers.local.diffusion import tiny  # noqa: PLC0415 - torch takes seconds to import

    folder = tmp_path_factory.mktemp("models")
    for family in tiny.FAMILIES:
        tiny.make(family, folder / family)
    return folder
