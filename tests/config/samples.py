"""A small catalogue of made-up vendors, and short ways to compile a text against it."""

from collections.abc import Mapping

import pytest

from gateway.config.catalogue import Catalogue, PriceRow, Vendor, VideoFace, VideoRow
from gateway.config.compile import Source, compile_config
from gateway.config.problems import ConfigError
from gateway.config.snapshot import Snapshot
from providers.types import Quirks

NOW = 1_795_000_000.0
FILE = "config/fairlead.yaml"

VENDORS = Catalogue(
    vendors={
        "alpha": Vendor(
            name="Alpha",
            dialect="openai",
            base_url="https://alpha.example/v1",
            key=("ALPHA_KEY", "ALPHA_TOKEN"),
            quirks=Quirks(drop=("logprobs",), roles={"developer": "system"}),
        ),
        "beta": Vendor(
            name="Beta", dialect="anthropic", base_url="https://{region}.beta.example", key=("BETA_KEY",)
        ),
        "both": Vendor(
            name="Both",
            dialect="openai",
            base_url="https://both.example/v1",
            key=("BOTH_KEY",),
            video=VideoFace(dialect="openai", base_url="https://both.example/video"),
        ),
        "home": Vendor(name="Home", dialect="openai", base_url="http://localhost:8000/v1"),
    },
    rules={
        "openai": [{"prefix": "big", "context_window": 900_000, "max_output": 5000}],
    },
    video={"openai": [VideoRow(model="film", seconds=[4, 8], sizes=["1280x720"])]},
    prices={
        "alpha": {
            "big-1": PriceRow(input=2.5, output=10, cached=0.25, source="a list", date="2026-11-20"),
            "film-1": PriceRow(per_second=0.125, source="a list", date="2026-11-20"),
        },
        "beta": {"b": PriceRow(input=1, output=2, source="a list", date="2026-11-20")},
    },
)


def compiled(text: str, environment: Mapping[str, str] | None = None) -> Snapshot:
    """The snapshot of `text`."""
    return compile_config(Source(text, FILE, environment or {}, NOW), VENDORS)


def problems(text: str, environment: Mapping[str, str] | None = None) -> list[str]:
    """What is wrong with `text`, as an operator reads it, less the name of the file."""
    with pytest.raises(ConfigError) as caught:
        compiled(text, environment)
    return [str(problem).removeprefix(FILE + ":") for problem in caught.value.problems]
