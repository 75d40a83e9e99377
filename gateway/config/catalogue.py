"""The data files that come with the gateway: known vendors, what models accept, prices, the example.

In a checkout they stand in `config/`, in an installed wheel beside the packages in `gateway/_data/`. Read
once per process; they change with a release, not while running.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec
from msgspec import Struct

from gateway.config.document import read
from providers.types import Json, Quirks, VideoLimits

T = TypeVar("T")

_PACKAGE = Path(__file__).resolve().parents[1]
_FOLDERS = (_PACKAGE / "_data", _PACKAGE.parent / "config")


class VideoFace(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a vendor that is called for chat is called for video, with the same key."""

    dialect: str
    base_url: str


class Vendor(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A known provider: a row of providers.yaml.

    `key` names the environment variables its key is usually in, the first that is set wins; empty for those
    that need none. A `base_url` with a `{part}` must be written out by the operator. `video` is where one
    that is called for chat makes videos.
    """

    name: str
    dialect: str
    base_url: str
    key: Sequence[str] = ()
    kind: str = "chat"
    quirks: Quirks | None = None
    video: VideoFace | None = None

    @property
    def complete(self) -> bool:
        """Whether the address can be called as it stands."""
        return "{" not in self.base_url

    def is_at(self, base_url: str) -> bool:
        """Whether an address written out in full is this vendor's."""
        if self.complete:
            return self.base_url == base_url
        return re.fullmatch(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(self.base_url)), base_url) is not None


class PriceRow(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A row of prices.yaml, in USD: tokens per million, video per second; where it was read and when.

    `per_second` is one price, or one per tier (480p, 720p, 1080p, 2k, 4k); `silent` the same without sound,
    where that is cheaper.
    """

    source: str
    date: str
    input: float | None = None
    output: float | None = None
    cached: float | None = None
    per_second: float | Mapping[str, float] | None = None
    silent: Mapping[str, float] = {}


class VideoRow(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A row of video_models.yaml: a model, or all that begin so, and what it can make.

    `seconds` is "2-10" for every whole number from 2 to 10, or a list. `retires_at` is a day. The rest is as
    in `VideoLimits`.
    """

    model: str
    seconds: str | Sequence[float] | None = None
    min_seconds: float | None = None
    max_seconds: float | None = None
    sizes: Sequence[str] | None = None
    edges: tuple[int, int, int] | None = None
    ratios: Mapping[str, Sequence[str]] | None = None
    image_ratios: Mapping[str, Sequence[str]] | None = None
    inputs: Sequence[str] | None = None
    max_inputs: int | None = None
    needs: Sequence[str] = ()
    links: bool = True
    uploads: bool = True
    audio: Literal["never", "always", "switch"] | None = None
    fields: Sequence[Literal["seed", "negative_prompt", "style_preset", "camera_movement"]] | None = None
    max_prompt: int | None = None
    retires_at: str | None = None
    operations: Sequence[Literal["generate", "remix", "edit", "extend"]] = ("generate",)
    idempotent_submit: bool = False
    wire: Json = {}

    def limits(self) -> VideoLimits:
        """What it says, for the router and the dialect."""
        values = {name: getattr(self, name) for name in VideoLimits.__struct_fields__}
        if isinstance(self.seconds, str):
            first, _, last = self.seconds.partition("-")
            values["seconds"] = [float(one) for one in range(int(first), int(last) + 1)]
        if self.retires_at is not None:
            values["retires_at"] = datetime.fromisoformat(self.retires_at).replace(tzinfo=UTC).timestamp()
        return VideoLimits(**values)


class Catalogue(Struct, frozen=True, kw_only=True):
    """`vendors` by id, `rules` of models.yaml and `video` rows by dialect, `prices` by vendor and model."""

    vendors: Mapping[str, Vendor]
    rules: Mapping[str, Sequence[Json]]
    prices: Mapping[str, Mapping[str, PriceRow]]
    video: Mapping[str, Sequence[VideoRow]] = {}

    def video_limits(self, dialect: str, model: str) -> VideoLimits:
        """What a video model can make: the row with the longest beginning of its name; anything without one."""
        rows = [row for row in self.video.get(dialect, ()) if model.startswith(row.model)]
        row = max(rows, key=lambda row: len(row.model), default=None)
        return VideoLimits() if row is None else row.limits()

    def vendor_at(self, base_url: str) -> str:
        """The id of the vendor whose address this is, empty for anyone else's."""
        return next((name for name, vendor in self.vendors.items() if vendor.is_at(base_url)), "")


def data_file(name: str) -> Path:
    """Where a shipped file is: `fairlead.yaml`, `schema.json`, ... Raises FileNotFoundError."""
    for folder in _FOLDERS:
        if (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(f"{name} did not come with this installation; looked in {_FOLDERS}")


@cache
def catalogue() -> Catalogue:
    """What came with this release."""
    return Catalogue(
        vendors=_rows("providers.yaml", dict[str, Vendor]),
        rules=_rows("models.yaml", dict[str, list[dict[str, Any]]]),
        prices=_rows("prices.yaml", dict[str, dict[str, PriceRow]]),
        video=_rows("video_models.yaml", dict[str, list[VideoRow]]),
    )


def _rows(name: str, shape: type[T]) -> T:
    return msgspec.convert(read(data_file(name).read_text(encoding="utf-8")).data, shape)
